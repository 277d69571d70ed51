"""Model folders that others wrote: nothing of them runs, wherever they are loaded."""

from __future__ import annotations

import ast
import json
import os
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

import ablate
from ablate.errors import SurroundingsError
from ablate.models.adopting import adopt_model
from ablate.models.classifiers import _load as load_classifier
from ablate.models.loading import (
    import_model,
    load_boundary,
    load_policy,
    load_reward_model,
    new_reward_model,
    save_model,
)
from ablate.spec.stages import ImportedModelConfig
from ablate.store.workspace import Workspace

PACKAGE = Path(ablate.__file__).parent


class Payload:
    """Writes a file when it is unpickled."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Any, ...]:
        return (os.mkdir, (str(self.mark),))


def imported(folder: Path, good: Path, target: Path) -> None:
    import_model(ImportedModelConfig(format="hf", content="x", location=str(folder)), target)


LOADERS: dict[str, Callable[[Path, Path, Path], Any]] = {
    "policy": lambda folder, good, target: load_policy(folder),
    "reward model": lambda folder, good, target: load_reward_model(folder),
    "new reward model": lambda folder, good, target: new_reward_model(folder, layers=1, seed=0),
    "import": imported,
    "adoption": lambda folder, good, target: adopt_model(folder, target, base=good),
    "classifier": lambda folder, good, target: load_classifier(folder, 2, "cpu"),
}


@pytest.mark.parametrize("place", LOADERS)
def test_a_pickle_with_more_than_tensors_is_refused_and_does_not_run(
    place: str, policy_folder: Path, tmp_path: Path
) -> None:
    folder, mark = tmp_path / "evil", tmp_path / "ran"
    shutil.copytree(policy_folder, folder)
    (folder / "model.safetensors").unlink()
    torch.save({"model.embed_tokens.weight": Payload(mark)}, folder / "pytorch_model.bin")
    with pytest.raises(SurroundingsError, match="a pickle that holds more than tensors"):
        LOADERS[place](folder, policy_folder, tmp_path / "target")
    assert not mark.exists()


@pytest.mark.parametrize("place", LOADERS)
@pytest.mark.parametrize("what", ["config.json", "tokenizer_config.json"])
def test_code_of_a_model_is_refused_without_asking(
    place: str, what: str, policy_folder: Path, tmp_path: Path
) -> None:
    folder, mark = tmp_path / "evil", tmp_path / "ran"
    shutil.copytree(policy_folder, folder)
    (folder / "evil.py").write_text(f"import os; os.mkdir({str(mark)!r})")
    said = json.loads((folder / what).read_text())
    said["auto_map"] = {
        name: "evil.Evil" for name in ("AutoConfig", "AutoModelForCausalLM",
                                       "AutoModelForSequenceClassification")
    } | {"AutoTokenizer": ["evil.Evil", None]}  # fmt: skip
    said |= {"model_type": "evil"} if what == "config.json" else {"tokenizer_class": "Evil"}
    (folder / what).write_text(json.dumps(said))
    # A question would be an EOFError: tests have no terminal.
    with pytest.raises(SurroundingsError, match="code of its own, which is never run"):
        LOADERS[place](folder, policy_folder, tmp_path / "target")
    assert not mark.exists()


def test_a_chat_template_reaches_no_python(policy_folder: Path, tmp_path: Path) -> None:
    mark = tmp_path / "ran"
    call = f"cycler.__init__.__globals__.os.mkdir('{mark}')"
    text = "{{ " + call + " }}"
    (policy_folder / "chat_template.jinja").write_text(text)
    with pytest.raises(Exception, match="unsafe|undefined"):
        load_boundary(policy_folder).prompt_ids([{"role": "user", "content": "w1"}])
    assert not mark.exists()


def test_a_checkpoint_that_is_a_pickle_of_more_is_refused(tmp_path: Path) -> None:
    mark = tmp_path / "ran"
    torch.save({"state": Payload(mark), "metrics": ""}, tmp_path / "checkpoint.pt")
    workspace = Workspace("sft", None, {}, output=tmp_path, scratch=tmp_path)  # type: ignore[arg-type]
    with pytest.raises(Exception, match="Weights only load failed"):
        workspace.load_checkpoint()
    assert not mark.exists()


def test_old_weights_of_tensors_alone_are_adopted_as_safetensors(
    policy_folder: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "old"
    shutil.copytree(policy_folder, folder)
    weights = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    torch.save(weights, folder / "pytorch_model.bin")
    adopt_model(folder, tmp_path / "target", base=policy_folder)
    names = sorted(path.name for path in (tmp_path / "target").iterdir())
    assert names == sorted(path.name for path in policy_folder.iterdir())
    assert (tmp_path / "target" / "model.safetensors").read_bytes() == (
        policy_folder / "model.safetensors"
    ).read_bytes()


def broken(kind: str, source: Path, target: Path, make_llama: Callable[..., Any]) -> None:
    """Make a checkpoint that does not fit a policy of the toy's size."""
    shutil.copytree(source, target)
    settings = target / "config.json"
    if kind == "width":
        save_model(make_llama(hidden_size=16), load_boundary(source).tokenizer, target)
    elif kind == "depth":
        save_model(make_llama(num_hidden_layers=1), load_boundary(source).tokenizer, target)
    elif kind == "missing weights":
        said = json.loads(settings.read_text())
        settings.write_text(json.dumps(said | {"num_hidden_layers": 3}))
    elif kind == "tokenizer":
        tokens = target / "tokenizer.json"
        tokens.write_text(tokens.read_text().replace('"w56"', '"other"'))
    elif kind == "template":
        (target / "chat_template.jinja").write_text("{{ messages[0]['content'] }}")
    elif kind == "not finite":
        model = make_llama()
        model.model.norm.weight.data[0] = torch.nan
        save_model(model, load_boundary(source).tokenizer, target)
    elif kind == "truncated":
        path = target / "model.safetensors"
        path.write_bytes(path.read_bytes()[:-7])
    elif kind == "adapter":
        settings.rename(target / "adapter_config.json")
    else:
        settings.unlink()


REFUSED = {
    "width": "hidden_size is 16, and the base model's 32",
    "depth": "num_hidden_layers is 1, and the base model's 2",
    "missing weights": "9 missing keys, model.layers.2.input_layernorm.weight among them",
    "tokenizer": "tokenizer, special tokens or chat template differ",
    "template": "tokenizer, special tokens or chat template differ",
    "not finite": "weight model.norm.weight is not finite",
    "truncated": "its model cannot be loaded",
    "adapter": "an adapter without its model. Merge it first",
    "nothing": "it holds no config.json",
}


@pytest.mark.parametrize("kind", REFUSED)
def test_a_checkpoint_that_does_not_fit_is_not_adopted(
    kind: str, policy_folder: Path, tmp_path: Path, make_llama: Callable[..., Any]
) -> None:
    broken(kind, policy_folder, tmp_path / "other", make_llama)
    with pytest.raises(SurroundingsError, match=REFUSED[kind]):
        adopt_model(tmp_path / "other", tmp_path / "target", base=policy_folder)
    assert not (tmp_path / "target").exists()


def calls() -> Iterator[tuple[str, str, ast.Call]]:
    """Yield every call in the package: the module's path, what is called, the call."""
    for path in sorted(PACKAGE.rglob("*.py")):
        text = path.read_text(encoding="utf-8")
        for node in ast.walk(ast.parse(text)) if SUSPECT.search(text) else ():
            if isinstance(node, ast.Call):
                yield path.relative_to(PACKAGE).as_posix(), ast.unparse(node.func), node


PIPES = {"reporting/parallel.py", "reporting/item_worker.py", "reporting/item_pool.py"}
"""Read pickles from processes that they have started themselves, through a pipe, never a file."""
SUSPECT = re.compile(
    r"pickle|joblib|shelve|dill|torch\.load|from_pretrained|yaml|unpack|extractall|trust_remote"
)
"""Only files with such a word are parsed, which takes a second and not ten."""


def test_no_call_in_the_package_opens_a_pickle_or_trusts_code() -> None:
    for module, name, call in calls():
        given = {word.arg: ast.unparse(word.value) for word in call.keywords if word.arg}
        assert given.get("trust_remote_code", "False") == "False", module
        assert given.get("allow_pickle", "False") == "False", module
        assert given.get("weights_only", "True") == "True", module
        if name.endswith("torch.load"):
            assert given["weights_only"] == "True", module
        if name.startswith(("pickle.", "joblib.", "dill.", "cloudpickle.", "shelve.")):
            assert module in PIPES, f"{module}: {name}"
        if name == "yaml.load":
            loader = given.get("Loader") or ast.unparse(call.args[1])
            assert "Safe" in loader or loader == "_LOADER", f"{module}: {loader}"
        assert not name.endswith(("extractall", "unpack_archive", "yaml.unsafe_load")), module


def test_every_model_and_tokenizer_is_loaded_with_its_code_refused() -> None:
    # Through a mapping of options, which says so where it is made; generation settings hold none.
    mappings = {"**NO_CODE", "**options", "**local"}
    for module, name, call in calls():
        if not name.endswith(".from_pretrained") or name.startswith("GenerationConfig"):
            continue
        words = {word.arg or f"**{ast.unparse(word.value)}" for word in call.keywords}
        assert "trust_remote_code" in words or words & mappings, f"{module}: {name}"
        if words & mappings and "trust_remote_code" not in words:
            text = (PACKAGE / module).read_text(encoding="utf-8")
            assert '"trust_remote_code": False' in text, module
