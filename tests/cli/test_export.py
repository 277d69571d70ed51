"""``ablate export``: a folder that transformers loads, and a card that says where it comes from."""

import json
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, LlamaConfig, LlamaForCausalLM

from ablate.cli.main import main
from ablate.data import tiny
from ablate.models.loading import save_model
from ablate.spec.offline import DpoConfig
from ablate.spec.stages import (
    EmbeddedModelConfig,
    ImportedModelConfig,
    PreferencesConfig,
    SftConfig,
)
from ablate.store.files import sha256, tree_files
from ablate.store.manifest import FileEntry, Manifest

ODD = "dpo | *bold* <b> [x](y)\\#"
SECRET = "/mnt/somebody/secret"


def commit(store, stage, key, config, inputs):
    """Add a record to an artifact that is there, as a controller does."""
    folder = store / "artifacts" / stage / key
    folder.mkdir(parents=True, exist_ok=True)
    files = {
        name: FileEntry(path.stat().st_size, sha256(path))
        for name, path in tree_files(folder).items()
    }
    record = Manifest(
        fingerprint=key, stage=stage, config_class=type(config).__name__,
        config=config.model_dump(mode="json"), inputs=inputs, files=files, attempt=1,
        engine="local", study="s", code="c0de" * 16, started=0.0, ended=1.0, wall_seconds=1.0,
        numerics={"versions": {"torch": "2.13.0"}},
    )  # fmt: skip
    (folder / "manifest.json").write_text(json.dumps(record.as_json()))


def scores(folder):
    """Write an evaluation of sixty items, of which every third is right."""
    folder.mkdir(parents=True)
    row = {"metric": "coding", "level": "category", "n_items": 60, "direction": "higher"}
    metrics = [row | {"value": 100 / 3, "unit": "percent"}]
    (folder / "scores.json").write_text(json.dumps({"metrics": metrics}))
    lines = [
        {"category": "coding", "task": "t", "doc_id": n, "doc_hash": str(n), "mode": "sampled",
         "scores": {"acc": float(n % 3 == 0)}}
        for n in range(60)
    ]  # fmt: skip
    (folder / "samples.jsonl").write_text("\n".join(map(json.dumps, lines)) + "\n")


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A store with one study of two seeds, the second one not trained yet."""
    monkeypatch.chdir(tmp_path)
    root = tmp_path / "store"
    tokenizer = tiny.build_tokenizer()
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = LlamaForCausalLM(
            LlamaConfig(
                vocab_size=len(tokenizer), hidden_size=8, intermediate_size=8,
                num_hidden_layers=1, num_attention_heads=2, eos_token_id=tokenizer.eos_token_id,
            )
        )  # fmt: skip
    for stage, key in (("model", "m"), ("sft", "s"), ("policy", "p")):
        save_model(model, tokenizer, root / "artifacts" / stage / key / "model")
    scores(root / "artifacts" / "evaluation" / "e")
    location = f"{SECRET}/pairs.jsonl"
    data = PreferencesConfig(dataset=location, content="ab" * 32, location=location)
    sft = SftConfig(dataset="tiny-demonstrations")
    commit(root, "model", "m", EmbeddedModelConfig(), {})
    commit(root, "sft", "s", sft, {"model": "m"})
    commit(root, "preferences", "d", data, {})
    commit(root, "policy", "p", DpoConfig(beta=0.25), {"policy": "s", "preferences": "d"})
    commit(root, "evaluation", "e", sft, {"policy": "p"})
    stages = {"m": "model", "s": "sft", "d": "preferences", "p": "policy", "p1": "policy"}
    stages |= {"e": "evaluation", "e1": "evaluation"}
    jobs = {"model": "m", "sft": "s", "preferences": "d"}
    runs = [
        {"cell": ODD, "seed": 0, "jobs": {**jobs, "policy": "p", "evaluation": "e"}},
        {"cell": ODD, "seed": 1, "jobs": {**jobs, "policy": "p1", "evaluation": "e1"}},
        {"cell": "SFT", "seed": 0, "jobs": {"model": "m", "sft": "s", "evaluation": "e1"}},
    ]
    listed = [
        {"stage": stage, "fingerprint": key, "kind": stage, "size": 1.0, "model": "m"}
        for key, stage in stages.items()
    ]
    (root / "studies" / "s").mkdir(parents=True)
    (root / "studies" / "s" / "runs.json").write_text(json.dumps({"jobs": listed, "runs": runs}))
    (root / "studies" / "s" / "plan.json").write_text("{}")
    monkeypatch.setenv("ABLATE_STORE", str(root))
    return root


def test_transformers_loads_what_is_exported(store, capsys):
    assert main(["export", ODD, "--to", "out"]) == 0
    assert "wrote policy-p (seed 0) to out" in capsys.readouterr().out
    model = AutoModelForCausalLM.from_pretrained("out")
    tokenizer = AutoTokenizer.from_pretrained("out")
    kept = AutoModelForCausalLM.from_pretrained(store / "artifacts" / "policy" / "p" / "model")
    ids = torch.tensor([[1, 5, 6]])
    assert torch.equal(model(ids).logits, kept(ids).logits)
    assert tokenizer.chat_template and model.generation_config.eos_token_id is not None


def test_the_card_says_what_was_trained_from_what_and_how_well(store):
    main(["export", ODD, "--to", "out"])
    card = Path("out/README.md").read_text()
    for said in (
        "**policy-p** (dpo)",
        "from policy: s, preferences: d",
        "| beta | 0.25 |",
        "code c0dec0dec0de",
        "torch 2.13.0",
        f"pairs.jsonl: a local file, SHA-256 {'ab' * 32}; its terms are not recorded",
        "trained from scratch on the generated world tiny-instruct",
        "tiny-demonstrations: Demonstrations of the embedded world",
        "## Limits",
    ):
        assert said in card
    # A third of 60 items: 33.3 +- 2.001 x sqrt(1/3 x 2/3 / 59) x 100 = 33.3 +- 12.3.
    assert "| Coding | 33.33 percent | 21.1 to 45.6 | 60 | higher |" in card


@pytest.mark.parametrize(
    ("hub_id", "terms"),
    [("facebook/opt-125m", "terms: opt-175b"), ("o/m", "its terms are stated there")],
)
def test_the_card_names_a_hub_model_with_its_commit_and_its_terms(store, hub_id, terms):
    content = f"hub:{hub_id}@{'0' * 40}"
    commit(store, "model", "m", ImportedModelConfig(format="hf", content=content), {})
    assert main(["export", ODD, "--to", "out"]) == 0
    card = Path("out/README.md").read_text()
    assert f"{hub_id}@{'0' * 40} of a model hub; {terms}" in card
    assert f'base_model: "{hub_id}"' in card


def test_the_card_names_no_place_of_this_machine(store, tmp_path):
    main(["export", ODD, "--to", "out"])
    card = Path("out/README.md").read_text()
    assert SECRET not in card and str(tmp_path) not in card


def test_odd_characters_of_a_name_change_neither_title_nor_front_matter(store):
    main(["export", ODD, "--to", "out"])
    lines = Path("out/README.md").read_text().splitlines()
    title = next(line for line in lines if line.startswith("# "))
    assert title == ("# dpo \\| \\*bold\\* \\<b\\> \\[x\\](y)\\\\\\#, seed 0, of the study s")
    front = lines[1 : lines.index("---", 1)]
    assert front[-1] == 'tags: ["ablate-studies", "dpo"]'


def test_a_folder_with_content_is_left_alone_without_force(store, capsys):
    Path("out").mkdir()
    Path("out/mine.txt").write_text("mine")
    assert main(["export", ODD, "--to", "out"]) == 3
    assert "the folder is not empty" in capsys.readouterr().err
    assert [path.name for path in Path("out").iterdir()] == ["mine.txt"]
    assert main(["export", ODD, "--to", "out", "--force"]) == 0
    assert Path("out/mine.txt").read_text() == "mine" and Path("out/config.json").exists()


def test_a_row_that_trains_no_policy_is_its_starting_point(store, capsys):
    assert main(["export", "SFT", "--to", "out", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {
        "study": "s", "cell": "SFT", "seed": 0, "artifact": "s", "folder": "out",
    }  # fmt: skip
    assert "Not evaluated." in Path("out/README.md").read_text()


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["SFTT", "--to", "out"], 2, "'SFTT' is no cell of study s; cells: "),
        (["SFTT", "--to", "out"], 2, "Did you mean 'SFT'?"),
        ([ODD, "--seed", "7", "--to", "out"], 2, "has the seeds 0, 1."),
        ([ODD, "--seed", "1", "--to", "out"], 3, "policy-p1 is not there"),
        ([ODD, "--study", "t", "--to", "out"], 3, "no study 't'"),
        ([ODD, "--to", "store/studies/s/runs.json"], 3, "a file; a folder is needed"),
    ],
)
def test_what_cannot_be_exported_is_said_and_nothing_is_written(
    store, capsys, arguments, code, message
):
    assert main(["export", *arguments]) == code
    assert message in capsys.readouterr().err
    assert not Path("out").exists()


def test_a_damaged_model_is_not_exported(store, capsys):
    with open(store / "artifacts" / "policy" / "p" / "model" / "model.safetensors", "r+b") as file:
        file.seek(-1, 2)
        file.write(b"\xff")
    assert main(["export", ODD, "--to", "out"]) == 3
    assert "policy-p is damaged" in capsys.readouterr().err
    assert not Path("out").exists()
