"""Two processes with half of the weights each against one process with all of them."""

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
import sharded_toys
import torch
from safetensors.torch import load_file
from sharded_toys import RESUMED, STAGES, rollout_and_step, successor, workspace
from training_toys import RUNS, Toy

from ablate.store.workspace import METRICS

WEIGHTS = "model/model.safetensors"
TORCHRUN = (
    "-m", "torch.distributed.run", "--nproc-per-node", "2", "--rdzv-backend", "c10d",
    "--rdzv-endpoint", "127.0.0.1:0",
)  # fmt: skip


@dataclass(frozen=True)
class Pair:
    """What one process left, and what each of two left."""

    one: Path
    two: Path

    def output(self, name: str, *, rank: int | None = None) -> Path:
        """Return the output folder of the single process, or of a rank."""
        return (self.one if rank is None else self.two / str(rank)) / name / "output"


@pytest.fixture(scope="module")
def pair(toy: Toy, tmp_path_factory: pytest.TempPathFactory) -> Pair:
    """Run every stage in one process, then all of them in two."""
    root = tmp_path_factory.mktemp("sharded")
    made = Pair(root / "one", root / "two")
    for name, (stage, config) in STAGES.items():
        run = workspace(made.one / name, stage, config=config, inputs=toy.artifacts)
        RUNS[stage](run)
        (made.one / name / "counts.json").write_text(json.dumps([run.counts, run.numerics]))
    inputs = root / "inputs.json"
    inputs.write_text(json.dumps({role: str(path) for role, path in toy.artifacts.items()}))
    command = [sys.executable, *TORCHRUN, sharded_toys.__file__, str(inputs), str(made.two)]
    # A deadlock would wait for half an hour; a busy machine takes minutes for ten seconds of work.
    ended = subprocess.run(
        command,
        env={**os.environ, "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert ended.returncode == 0, ended.stderr
    return made


def lines(folder: Path) -> list[dict[str, float]]:
    text = (folder / METRICS).read_text(encoding="utf-8").replace("null", "NaN")
    return [json.loads(line) for line in text.splitlines()]


def assert_same_weights(one: Path, two: Path) -> None:
    expected, found = load_file(one / WEIGHTS), load_file(two / WEIGHTS)
    assert list(found) == list(expected)
    for name, weight in expected.items():
        torch.testing.assert_close(found[name], weight, atol=1e-5, rtol=0, msg=name)


@pytest.mark.parametrize("name", STAGES)
def test_two_ranks_make_the_updates_of_one_process(pair: Pair, name: str) -> None:
    assert_same_weights(pair.output(name), pair.output(name, rank=0))
    one, two = lines(pair.output(name)), lines(pair.output(name, rank=0))
    # The norm of the gradient is among them: Adam alone would hide gradients that are averaged.
    assert len(one) == len(two) >= 2
    for expected, found in zip(one, two, strict=True):
        assert found == pytest.approx(expected, abs=1e-5, rel=1e-5, nan_ok=True)


@pytest.mark.parametrize("name", STAGES)
def test_rank_0_leaves_the_artifact_and_other_ranks_no_weights(pair: Pair, name: str) -> None:
    def files(folder: Path) -> set[str]:
        return {str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file()}

    left = files(pair.output(name, rank=0))
    assert left == files(pair.output(name))
    assert WEIGHTS in left and WEIGHTS not in files(pair.output(name, rank=1))
    rounded = {WEIGHTS, METRICS, "reward.json"}
    for file in left - rounded:
        expected = (pair.output(name) / file).read_bytes()
        assert (pair.output(name, rank=0) / file).read_bytes() == expected


@pytest.mark.parametrize("name", STAGES)
def test_budgets_count_the_work_of_all_ranks_once(pair: Pair, name: str) -> None:
    counts, _ = json.loads((pair.one / name / "counts.json").read_text())
    for rank in (0, 1):
        found, numerics = json.loads((pair.two / str(rank) / name / "counts.json").read_text())
        assert found == counts
        assert numerics["ranks"] == 2


def test_the_scale_of_a_reward_model_comes_from_the_samples_of_all_ranks(pair: Pair) -> None:
    one, two = (
        json.loads((pair.output("reward-model", rank=rank) / "reward.json").read_text())
        for rank in (None, 0)
    )
    assert two == pytest.approx(one, abs=1e-5)


def test_ranks_agree_on_when_a_budget_of_seconds_is_spent(pair: Pair) -> None:
    # The learning rate is a function of the time spent, so ranks that disagree differ in a line.
    one, other = (pair.output("seconds", rank=rank) / METRICS for rank in (0, 1))
    assert one.read_bytes() == other.read_bytes()
    assert lines(one.parent)


@pytest.mark.parametrize("name", RESUMED)
def test_two_killed_ranks_resume_to_the_same_bytes(pair: Pair, name: str) -> None:
    whole, resumed = pair.output(name, rank=0), pair.output(f"{name}-resumed", rank=0)
    for file in (WEIGHTS, METRICS):
        assert (resumed / file).read_bytes() == (whole / file).read_bytes()


@pytest.mark.parametrize("name", RESUMED)
def test_one_process_goes_on_from_the_checkpoint_of_two(
    pair: Pair, toy: Toy, name: str, tmp_path: Path
) -> None:
    stage, config = STAGES[name]
    dead = workspace(tmp_path / "dead", stage, config=config, inputs=toy.artifacts)
    saved = pair.two / "0" / f"{name}-killed" / "scratch"
    resumed = successor(tmp_path / "resumed", dead, scratch=saved)
    RUNS[stage](resumed)
    assert_same_weights(pair.output(name), resumed.output)
    assert len(lines(resumed.output)) == len(lines(pair.output(name)))


def test_ranks_that_decode_and_pad_unequal_lengths_wait_for_each_other(
    pair: Pair, toy: Toy, tmp_path: Path
) -> None:
    expected, scores = rollout_and_step(toy.artifacts, tmp_path)
    first = [len(tokens) for tokens in expected[: sharded_toys.REQUESTS]]
    # A rank decodes until its longest completion ends.
    assert max(first[0::2]) != max(first[1::2])
    for rank in (0, 1):
        left = json.loads((pair.two / str(rank) / "rollout" / "left.json").read_text())
        assert left == [expected, pytest.approx(scores, abs=1e-4)]
    assert expected[: sharded_toys.REQUESTS] != expected[sharded_toys.REQUESTS :]
