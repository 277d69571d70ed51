from __future__ import annotations

import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from mlflow import MlflowClient

from ablate.tracking.events import Event, RunFailed, RunFinished
from ablate.tracking.mlflow_runs import PARENT
from ablate.tracking.outbox import Outbox, tracking_folder
from ablate.tracking.sink import REFUSED, Sink
from ablate.tracking.targets import target

from .small_study import CELL, RUNS, committed, started

Write = Callable[..., str]
SCORES = {"suite": "t", "metrics": [{"metric": "average", "value": 61.5}]}


def send(store: Path, *events: Event) -> str | None:
    outbox = Outbox(store, "s")
    for event in events:
        outbox.append(event)
    outbox.close()
    return Sink(store, "s", target("mlflow", store, "s")).drain(deadline=time.monotonic() + 600)


def runs_of(store: Path) -> dict[str, Any]:
    """Every MLflow run of the study, by the stage or the seed it stands for."""
    client = MlflowClient(target("mlflow", store, "s").address)
    experiment = client.get_experiment_by_name("s")
    found = client.search_runs([experiment.experiment_id])
    tags = [run.data.tags for run in found]
    names = [tag.get("ablate.stage") or f"seed {tag.get('ablate.seed')}" for tag in tags]
    assert len(set(names)) == len(names), f"doubles among {sorted(names)}"
    return dict(zip(names, found, strict=True))


def replay(store: Path) -> str | None:
    """Forget how far the outbox was read, as a crash before the cursor's write does."""
    sink = Sink(store, "s", target("mlflow", store, "s"))
    sink.cursor.save(0)
    return sink.drain(deadline=time.monotonic() + 600)


def history(store: Path, run: Any, name: str) -> list[tuple[int, float]]:
    rows = MlflowClient(target("mlflow", store, "s").address).get_metric_history(
        run.info.run_id, name
    )
    return sorted((row.step, row.value) for row in rows)


def test_a_run_is_one_mlflow_run_with_flat_parameters(store: Path) -> None:
    assert send(store, started(0)) is None
    run = runs_of(store)["seed 0"]
    assert run.data.params == {
        "factor.algorithm": "dpo",
        "policy.beta": "0.1",
        "policy.lora": "none",
        "policy.targets.0": "q",
        "policy.targets.1": "v",
        "seed": "0",
    }
    assert run.info.run_name == f"{CELL}, seed 0" and run.info.status == "RUNNING"
    assert run.data.tags["ablate.study"] == "s" and run.data.tags["ablate.cell"] == CELL


def test_a_job_of_one_run_is_its_child_and_a_shared_one_stands_alone(
    store: Path, artifact: Write
) -> None:
    sft, policy = artifact("sft", "aaaa"), artifact("policy", "bbb0")
    send(store, started(0), started(1), committed("sft", "aaaa", sft, 0, 1))
    send(store, committed("policy", "bbb0", policy, 0))
    runs = runs_of(store)
    shared, own = runs["sft"], runs["policy"]
    assert PARENT not in shared.data.tags
    assert own.data.tags[PARENT] == runs["seed 0"].info.run_id
    for seed in ("seed 0", "seed 1"):
        assert runs[seed].data.tags["ablate.uses.sft-aaaa"] == shared.info.run_id
    assert "ablate.uses.policy-bbb0" not in runs["seed 1"].data.tags


def test_a_job_that_becomes_shared_leaves_its_parent(store: Path, artifact: Write) -> None:
    folder = artifact("policy", "bbb0")
    send(store, started(0), committed("policy", "bbb0", folder, 0))
    send(store, started(1), committed("policy", "bbb0", folder, 0, 1))
    runs = runs_of(store)
    assert PARENT not in runs["policy"].data.tags
    assert "ablate.uses.policy-bbb0" in runs["seed 1"].data.tags


def test_tags_lead_back_to_the_store_and_weights_stay_there(store: Path, artifact: Write) -> None:
    folder = artifact("evaluation", "eeee", scores=SCORES, summary={"rows": 3})
    send(store, started(0), committed("evaluation", "eeee", folder, 0))
    run = runs_of(store)["evaluation"]
    expected = {"fingerprint": "eeee", "attempt": "2", "artifact": folder, "input.model": "0123"}
    assert {name: run.data.tags[f"ablate.{name}"] for name in expected} == expected
    assert run.info.end_time - run.info.start_time == 2500
    listed = MlflowClient(target("mlflow", store, "s").address).list_artifacts(run.info.run_id)
    assert sorted(entry.path for entry in listed) == [
        "manifest.json",
        "scores.json",
        "summary.json",
    ]
    assert (store / "mlflow-artifacts").is_dir()


def test_scores_are_metrics_of_the_job_and_of_every_run_that_uses_it(
    store: Path, artifact: Write
) -> None:
    folder = artifact("evaluation", "eeee", scores=SCORES)
    send(store, started(0), started(1), committed("evaluation", "eeee", folder, 0, 1))
    for run in runs_of(store).values():
        assert history(store, run, "evaluation/average") == [(0, 61.5)]


def test_an_undefined_number_arrives_as_nan_and_is_counted(store: Path, artifact: Write) -> None:
    lines = [{"step": 1, "loss": 2.0}, {"step": 2, "loss": None}]
    scores = {"suite": "t", "metrics": [{"metric": "average", "value": None}]}
    folder = artifact("policy", "bbb0", metrics=lines, scores=scores)
    send(store, started(0), committed("policy", "bbb0", folder, 0))
    for _ in range(2):
        run = runs_of(store)["policy"]
        first, second = history(store, run, "loss")
        assert first == (1, 2.0) and second[0] == 2 and math.isnan(second[1])
        assert math.isnan(run.data.metrics["policy/average"])
        replay(store)


def test_more_metrics_than_one_batch_holds_all_arrive_once(store: Path, artifact: Write) -> None:
    lines = [{"step": step, "loss": 1.0, "tokens": step} for step in range(1, 1202)]
    folder = artifact("policy", "bbb0", metrics=lines)
    send(store, started(0), committed("policy", "bbb0", folder, 0))
    run = runs_of(store)["policy"]
    assert history(store, run, "tokens") == [(step, float(step)) for step in range(1, 1202)]


def test_sending_everything_again_changes_nothing(store: Path, artifact: Write) -> None:
    folder = artifact("policy", "bbb0", metrics=[{"step": 1, "loss": 2.0}], scores=SCORES)
    send(store, started(0), committed("policy", "bbb0", folder, 0), RunFinished(RUNS[0]))
    before = {name: run.to_dictionary() for name, run in runs_of(store).items()}
    assert replay(store) is None
    assert {name: run.to_dictionary() for name, run in runs_of(store).items()} == before
    assert history(store, runs_of(store)["policy"], "loss") == [(1, 2.0)]


def test_a_crash_before_a_job_was_complete_repeats_it_without_doubles(
    store: Path, artifact: Write
) -> None:
    folder = artifact("policy", "bbb0", metrics=[{"step": 1, "loss": 2.0}], scores=SCORES)
    send(store, started(0), committed("policy", "bbb0", folder, 0))
    client = MlflowClient(target("mlflow", store, "s").address)
    run = runs_of(store)["policy"]
    client.delete_tag(run.info.run_id, "ablate.complete")
    replay(store)
    again = runs_of(store)["policy"]
    assert history(store, again, "loss") == [(1, 2.0)]
    assert again.data.tags["ablate.complete"] == "true"


def test_a_double_left_by_a_lost_answer_is_removed(store: Path) -> None:
    send(store, started(0))
    client = MlflowClient(target("mlflow", store, "s").address)
    run = runs_of(store)["seed 0"]
    client.create_run(run.info.experiment_id, run.info.start_time + 1, run.data.tags)
    replay(store)
    assert runs_of(store)["seed 0"].info.run_id == run.info.run_id


def test_a_failed_run_says_why_and_a_later_success_takes_it_back(store: Path) -> None:
    send(store, started(0), RunFailed(RUNS[0], "policy", "out_of_memory", "no room"))
    failed = runs_of(store)["seed 0"]
    assert failed.info.status == "FAILED"
    assert failed.data.tags["ablate.failure"] == "policy: out_of_memory: no room"
    send(store, RunFinished(RUNS[0]))
    finished = runs_of(store)["seed 0"]
    assert finished.info.status == "FINISHED" and "ablate.failure" not in finished.data.tags


def test_a_change_outside_identity_keeps_the_first_parameters(store: Path) -> None:
    send(store, started(0))
    changed = started(0)
    changed.params["policy"]["beta"] = 0.2
    changed.params["policy"]["micro_batch_size"] = 4
    assert send(store, changed) is None
    params = runs_of(store)["seed 0"].data.params
    assert params["policy.beta"] == "0.1" and params["policy.micro_batch_size"] == "4"


def test_an_event_that_can_never_be_sent_does_not_hold_up_the_others(
    store: Path, artifact: Write
) -> None:
    folder = artifact("policy", "bbb0")
    (store / folder / "metrics.jsonl").write_text("not json\n")
    broken = committed("policy", "bbb0", folder, 0)
    assert send(store, started(0), broken, RunFinished(RUNS[0])) is None
    assert runs_of(store)["seed 0"].info.status == "FINISHED"
    assert '"fingerprint":"bbb0"' in (tracking_folder(store, "s") / REFUSED).read_text()


def test_an_event_that_mlflow_refuses_for_good_is_kept_and_passed_over(store: Path) -> None:
    outbox, sink = Outbox(store, "s"), Sink(store, "s", target("mlflow", store, "s"))
    outbox.append(started(0))
    outbox.append(started(1))
    assert sink.drain(deadline=time.monotonic() + 600) is None
    # A user deletes a run that the sink is about to write to.
    client = MlflowClient(target("mlflow", store, "s").address)
    client.delete_run(runs_of(store)["seed 0"].info.run_id)
    outbox.append(RunFailed(RUNS[0], "policy", "out_of_memory", "no room"))
    outbox.append(RunFinished(RUNS[1]))
    assert sink.drain(deadline=time.monotonic() + 600) is None
    assert runs_of(store)["seed 1"].info.status == "FINISHED"
    assert "no room" in (tracking_folder(store, "s") / REFUSED).read_text()


def test_an_artifact_that_is_gone_is_marked(store: Path) -> None:
    send(store, started(0), committed("policy", "bbb0", "artifacts/policy/bbb0", 0))
    assert runs_of(store)["policy"].data.tags["ablate.artifact_missing"] == "true"


def test_a_deleted_experiment_is_explained_and_everything_stays_pending(store: Path) -> None:
    client = MlflowClient(target("mlflow", store, "s").address)
    client.delete_experiment(client.create_experiment("s"))
    why = send(store, started(0))
    assert why is not None and "experiment 's' is deleted" in why and "Restore it" in why
    assert Sink(store, "s", target("mlflow", store, "s")).cursor.pending() == 1


def test_a_drain_stops_at_its_deadline_and_keeps_the_rest(store: Path) -> None:
    outbox = Outbox(store, "s")
    outbox.append(started(0))
    sink = Sink(store, "s", target("mlflow", store, "s"))
    assert sink.drain(deadline=time.monotonic() - 1) == "out of time"
    assert sink.cursor.pending() == 1
