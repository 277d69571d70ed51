"""What every tracker must do, whichever it is."""

from __future__ import annotations

import json
import random
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from ablate.tracking.events import Event, RunFailed, RunFinished
from ablate.tracking.outbox import OUTBOX, Outbox, tracking_folder
from ablate.tracking.sink import REFUSED, Sink
from ablate.tracking.targets import NAMES, target

from .killed import drained_until
from .small_study import RUNS, committed, started
from .views import VIEWS, Seen, cleaned

Write = Callable[..., str]
SCORES = {"metrics": [{"metric": "average", "value": 61.5}, {"metric": "odd[0]", "value": None}]}
LINES: list[dict[str, object]] = [
    {"step": 1, "loss": 2.0, "a[0]": 1.0, "kl": None},
    {"step": 2, "loss": None, "a[0]": 0.5, "note": "text"},
]
METRICS = cleaned({"loss": [(1, 2.0), (2, None)], "a[0]": [(1, 1.0), (2, 0.5)], "kl": [(1, None)]})
every_tracker = pytest.mark.parametrize("name", NAMES)


@pytest.fixture(autouse=True)
def offline(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_ERROR_REPORTING", "false")


def tell(store: Path, *events: Event) -> None:
    outbox = Outbox(store, "s")
    for event in events:
        outbox.append(event)
    outbox.close()


def tell_the_study(store: Path, artifact: Write) -> None:
    """Two seeds that share the SFT model; the second one's policy fails."""
    sft = artifact("sft", "aaaa", metrics=[{"step": 1, "loss": 3.0}])
    policy = artifact("policy", "bbb0", metrics=LINES, scores=SCORES)
    tell(store, started(0), started(1), committed("sft", "aaaa", sft, 0, 1))
    tell(store, committed("policy", "bbb0", policy, 0), RunFinished(RUNS[0]))
    tell(store, RunFailed(RUNS[1], "policy", "out_of_memory", "no room"))


def expected() -> Seen:
    level = {"algorithm": "dpo"}
    final = {"policy/average": 61.5, next(iter(cleaned({"policy/odd[0]": []}))): None}
    return Seen(
        jobs={"aaaa": {"loss": [(1, 3.0)]}, "bbb0": METRICS},
        scores={0: final, 1: {}},
        ended={0: True, 1: False},
        levels={0: level, 1: level},
        beta={0: 0.1, 1: 0.1},
    )


def drain(store: Path, name: str) -> str | None:
    sink = Sink(store, "s", target(name, store, "s"))
    failed = sink.drain(deadline=time.monotonic() + 600)
    sink.close()
    return failed


def forget_the_place(store: Path, name: str) -> None:
    """Forget how far the outbox was read, as a crash before the cursor's write does."""
    target(name, store, "s").cursor(store, "s").save(0)


@every_tracker
def test_a_study_arrives_and_sending_it_again_changes_nothing(
    store: Path, artifact: Write, name: str
) -> None:
    tell_the_study(store, artifact)
    for _ in range(2):
        assert drain(store, name) is None
        assert VIEWS[name](store) == expected()
        forget_the_place(store, name)


@every_tracker
def test_a_sink_killed_at_any_moment_sends_everything_once_in_the_end(
    store: Path, artifact: Write, name: str
) -> None:
    tell_the_study(store, artifact)
    _, calls = drained_until(store, name, calls=None)
    forget_all(store, name)
    generator, kills = random.Random(name), 0
    for _ in range(5):
        ended, _ = drained_until(store, name, calls=generator.randrange(1, calls // 2))
        kills += not ended
        if ended:
            forget_the_place(store, name)
    assert kills >= 2
    assert drain(store, name) is None
    assert VIEWS[name](store) == expected()


def forget_all(store: Path, name: str) -> None:
    """Leave the outbox and nothing of what was sent."""
    for made in (store / "tensorboard", store / "wandb"):
        if made.exists():
            made.rename(store / f"{made.name}-{time.monotonic_ns()}")
    if name == "mlflow":
        from mlflow import MlflowClient

        client = MlflowClient(target(name, store, "s").address)
        found = client.get_experiment_by_name("s").experiment_id
        client.rename_experiment(found, "another")
    forget_the_place(store, name)


@every_tracker
def test_ten_thousand_step_metrics_arrive_once(store: Path, artifact: Write, name: str) -> None:
    lines = [{"step": n, "loss": n / 2, "kl": n, "lr": 0.5, "len": 8} for n in range(1, 2_501)]
    folder = artifact("policy", "bbb0", metrics=lines)
    tell(store, started(0), committed("policy", "bbb0", folder, 0))
    assert drain(store, name) is None
    rows = VIEWS[name](store).jobs["bbb0"]
    assert sum(map(len, rows.values())) == 10_000
    assert rows["loss"] == [(step, step / 2) for step in range(1, 2_501)]


@every_tracker
def test_an_artifact_that_is_gone_is_marked_and_the_rest_arrives(store: Path, name: str) -> None:
    gone = committed("policy", "bbb0", "artifacts/policy/bbb0", 0)
    tell(store, started(0), gone, RunFinished(RUNS[0]))
    assert drain(store, name) is None
    seen = VIEWS[name](store)
    assert (seen.missing, seen.ended, seen.jobs) == ({"policy"}, {0: True}, {"bbb0": {}})


@every_tracker
def test_what_can_never_be_sent_is_kept_with_the_name_of_its_destination(
    store: Path, artifact: Write, name: str
) -> None:
    folder = artifact("policy", "bbb0")
    (store / folder / "metrics.jsonl").write_text("not json\n")
    broken = committed("policy", "bbb0", folder, 0)
    tell(store, started(0), broken, RunFinished(RUNS[0]))
    assert drain(store, name) is None
    assert VIEWS[name](store).ended == {0: True}
    why, line = (tracking_folder(store, "s") / REFUSED).read_text().splitlines()
    assert json.loads(why)["destination"] == name
    assert line in (tracking_folder(store, "s") / OUTBOX).read_text().splitlines()


@every_tracker
def test_a_job_that_comes_to_be_shared_is_there_once(
    store: Path, artifact: Write, name: str
) -> None:
    folder = artifact("policy", "bbb0", metrics=LINES, scores=SCORES)
    tell(store, started(0), committed("policy", "bbb0", folder, 0), RunFinished(RUNS[0]))
    assert drain(store, name) is None
    tell(store, started(1), committed("policy", "bbb0", folder, 0, 1), RunFinished(RUNS[1]))
    assert drain(store, name) is None
    seen = VIEWS[name](store)
    assert seen.jobs == {"bbb0": METRICS}
    assert seen.scores[0] == seen.scores[1] == expected().scores[0]


@every_tracker
def test_a_run_that_fails_and_then_finishes_has_finished(store: Path, name: str) -> None:
    tell(store, started(0), RunFailed(RUNS[0], "policy", "out_of_memory", "no room"))
    assert drain(store, name) is None
    assert VIEWS[name](store).ended == {0: False}
    tell(store, RunFinished(RUNS[0]))
    assert drain(store, name) is None
    assert VIEWS[name](store).ended == {0: True}
