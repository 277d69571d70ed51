"""The tokens stage, and that training from its rows is training from the data itself."""

import json
import logging
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from training_toys import Toy, dpo_config, reward_config, sft_config

from ablate.data.artifacts import ItemWriter
from ablate.data.demonstrations import demonstrations_of
from ablate.data.preferences import read_pairs
from ablate.data.records import Judged, Pair, user
from ablate.errors import StageError
from ablate.models.loading import load_policy
from ablate.models.token_store import open_table
from ablate.spec import stages
from ablate.spec.config import Config
from ablate.spec.data import TokensConfig
from ablate.store.workspace import Workspace
from ablate.training.tokens import described


@pytest.fixture(scope="module")
def tokens(toy: Toy) -> Path:
    """The toy's pairs under the base model's tokenizer."""
    return toy.run("tokens", TokensConfig(), data=toy.artifacts["preferences"]).output


def kto_config(**fields: Any) -> Config:
    return stages.KtoConfig(
        epochs=1, batch_size=8, learning_rate=1e-3, max_length=64, **fields
    )  # fmt: skip


def contents(workspace: Workspace) -> dict[str, bytes]:
    files = (path for path in workspace.output.rglob("*") if path.is_file())
    return {str(path.relative_to(workspace.output)): path.read_bytes() for path in files}


CONFIGS: dict[str, tuple[str, Callable[..., Config]]] = {
    "dpo": ("policy", dpo_config),
    "kto": ("policy", kto_config),
    "reference": ("reference", lambda: stages.ReferenceConfig(max_length=14)),
    "reward_model": ("reward_model", reward_config),
}


@pytest.mark.parametrize("name", CONFIGS)
def test_shared_tokens_train_to_the_bytes_of_the_data_itself(
    name: str, toy: Toy, tokens: Path
) -> None:
    stage, config = CONFIGS[name]
    shared = toy.run(stage, config(), tokens=tokens)
    alone = toy.run(stage, config())
    assert contents(shared) == contents(alone)
    assert shared.counts == alone.counts


def test_training_reads_the_shared_tokens(toy: Toy, tokens: Path, tmp_path: Path) -> None:
    """A store with other completions than the data's gives another policy."""
    for path in tokens.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    stored = np.load(tmp_path / "tokens.npy")
    np.save(tmp_path / "tokens.npy", np.where(stored > 20, 20, stored))
    altered = toy.run("policy", dpo_config(), tokens=tmp_path)
    assert contents(altered).keys() == contents(toy.run("policy", dpo_config())).keys()
    assert contents(altered) != contents(toy.run("policy", dpo_config()))


def test_margins_come_from_the_shared_tokens(toy: Toy) -> None:
    ranked = toy.run(
        "preferences", stages.PreferencesConfig(dataset="ai-fine", examples=24, replies=4)
    ).output
    shared = toy.run("tokens", TokensConfig(), data=ranked).output
    config = reward_config(pair_margins=True, margin=2.0)
    runs = [
        toy.run("reward_model", config, preferences=ranked, **role)
        for role in ({"tokens": shared}, {})
    ]
    assert contents(runs[0]) == contents(runs[1])
    table = open_table(shared, kind="pairs", source_bytes=(ranked / "pairs.jsonl").stat().st_size)
    assert table.margins.tolist() == [pair.margin for pair in read_pairs(ranked)]


def test_sft_is_the_same_from_a_file_of_demonstrations_and_from_its_tokens(
    toy: Toy, tmp_path: Path
) -> None:
    config = sft_config(max_length=14)
    with ItemWriter(tmp_path) as writer:
        for item in demonstrations_of({}, config):
            writer.add(item)
    shared = toy.run("tokens", TokensConfig(), data=tmp_path).output
    runs = [
        toy.run("sft", config),
        toy.run("sft", config, demonstrations=tmp_path),
        toy.run("sft", config, demonstrations=tmp_path, tokens=shared),
    ]
    assert contents(runs[0]) == contents(runs[1]) == contents(runs[2])
    assert 0 < runs[2].counts["dropped_long"] < 48


def test_a_killed_job_resumes_on_shared_tokens_with_the_same_bits(toy: Toy, tokens: Path) -> None:
    class Killed(Exception):
        pass

    def stop(event: Any) -> None:
        if event["event"] == "checkpoint":
            raise Killed

    whole = toy.run("policy", dpo_config(), tokens=tokens)
    killed = toy.workspace("policy", dpo_config(), tokens=tokens)
    killed.report = stop
    with pytest.raises(Killed):
        toy.resume(killed)
    second = toy.successor(killed)
    toy.resume(second)
    assert contents(second) == contents(whole)


def test_tokens_of_another_tokenizer_are_made_again(
    toy: Toy, tokens: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for path in tokens.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    index = json.loads((tmp_path / "index.json").read_text())
    (tmp_path / "index.json").write_text(json.dumps({**index, "tokenizer": "another"}))
    np.save(tmp_path / "tokens.npy", np.zeros_like(np.load(tmp_path / "tokens.npy")))
    with caplog.at_level(logging.INFO, logger="ablate.training.examples"):
        again = toy.run("policy", dpo_config(), tokens=tmp_path)
    assert "another tokenizer's" in caplog.text
    assert contents(again) == contents(toy.run("policy", dpo_config()))


def test_tokens_of_other_pairs_are_refused(toy: Toy, tokens: Path) -> None:
    other = toy.run("preferences", stages.PreferencesConfig(dataset="ai-fine", examples=24)).output
    with pytest.raises(StageError, match="source_bytes is .*Run the tokens stage again") as caught:
        toy.run("policy", dpo_config(), preferences=other, tokens=tokens)
    assert caught.value.kind == "bad_data"


def test_the_summary_counts_rows_tokens_and_lengths(toy: Toy, tokens: Path) -> None:
    boundary = load_policy(toy.artifacts["sft"] / "model").boundary
    pairs = read_pairs(toy.artifacts["preferences"])
    prompts = [len(boundary.prompt_ids(pair.prompt)) for pair in pairs]
    chosen = [len(boundary.completion_ids(pair.chosen)) for pair in pairs]
    rejected = [len(boundary.completion_ids(pair.rejected)) for pair in pairs]
    stated = json.loads((tokens / "summary.json").read_text())
    assert stated["kind"] == "pairs" and stated["rows"] == 48
    assert stated["tokens"] == sum(prompts) + sum(chosen) + sum(rejected)
    ordered = sorted(chosen)
    lengths = stated["lengths"]["chosen"]
    assert lengths["mean"] == pytest.approx(sum(chosen) / 48)
    assert lengths["median"] == (ordered[23] + ordered[24]) / 2
    assert lengths["max"] == ordered[-1]
    # The 95 % point of 48 values is at 0.95 * 47 = 44.65 between the sorted ones.
    expected = 0.35 * ordered[44] + 0.65 * ordered[45]
    assert lengths["p95"] == pytest.approx(expected)


def test_the_summary_says_what_is_wrong_with_the_template(
    toy: Toy, tokens: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    stated = {
        check["name"]: check
        for check in json.loads((tokens / "summary.json").read_text())["checks"]
    }
    assert stated["beginning token"]["status"] == stated["end of a completion"]["status"] == "ok"
    assert stated["template"]["found"].startswith("SHA-256 ")
    twice = tmp_path / "model"
    shutil.copytree(toy.artifacts["model"] / "model", twice)
    template = (twice / "chat_template.jinja").read_text()
    (twice / "chat_template.jinja").write_text("{{ bos_token }}" + template)
    again = toy.run("tokens", TokensConfig(), model=tmp_path, data=toy.artifacts["preferences"])
    found = {
        c["name"]: c for c in json.loads((again.output / "summary.json").read_text())["checks"]
    }
    assert found["beginning token"]["status"] == "fail"
    assert found["beginning token"]["value"] == 2.0
    assert "tokens: beginning token" in caplog.text


def test_the_stage_writes_the_same_bytes_every_time(toy: Toy, tokens: Path) -> None:
    again = toy.run("tokens", TokensConfig(), data=toy.artifacts["preferences"])
    assert contents(again) == {path.name: path.read_bytes() for path in tokens.iterdir()}


def test_progress_is_reported_to_the_last_row(toy: Toy) -> None:
    workspace = toy.workspace("tokens", TokensConfig(), data=toy.artifacts["preferences"])
    events: list[Any] = []
    workspace.report = events.append
    toy.resume(workspace)
    assert events[-1] == {"event": "progress", "done": 48, "total": 48}


def test_data_without_pairs_has_tokens_of_no_row(toy: Toy, tmp_path: Path) -> None:
    """Thumbs and ratings are no pairs: their jobs read the data itself."""
    workspace = toy.run("tokens", TokensConfig(), data=tmp_path)
    table = open_table(workspace.output, kind="pairs", source_bytes=0)
    assert described(table)["rows"] == 0
    assert described(table)["lengths"]["prompt"] == {
        "mean": None, "median": None, "p95": None, "max": None
    }  # fmt: skip


def test_the_summary_counts_words_that_the_tokenizer_does_not_know(
    toy: Toy, tokens: Path, tmp_path: Path
) -> None:
    # One foreign word in the prompt and in each reply of the only pair: three unknown tokens.
    with ItemWriter(tmp_path) as writer:
        writer.add(Judged(Pair("a-1", user("zebra"), "quagga", "okapi")))
    output = toy.run("tokens", TokensConfig(), data=tmp_path).output
    summary = json.loads((output / "summary.json").read_text())
    (check,) = [check for check in summary["checks"] if check["name"] == "unknown tokens"]
    assert check["found"].startswith(f"3 of {summary['tokens']} tokens")
    assert (check["status"], check["value"]) == ("fail", 3 / summary["tokens"])
    known = json.loads((tokens / "summary.json").read_text())["checks"][-1]
    assert (known["name"], known["status"], known["value"]) == ("unknown tokens", "ok", 0.0)
