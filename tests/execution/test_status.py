from pathlib import Path

import pytest
from toy_study import evaluation, pairs, run, study, training

from ablate.errors import SurroundingsError
from ablate.execution.status import (
    StageRow,
    job_logs,
    stage_timings,
    study_names,
    study_status,
)
from ablate.store.files import read_json, write_json
from ablate.store.layout import Store


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    store = Store(tmp_path_factory.mktemp("store"))
    jobs = [pairs(), pairs("die once"), evaluation(training(upstream=pairs("bug")))]
    run(store, jobs, name="mixed")
    run(store, study(seeds=1), name="good")
    return store


def test_the_status_counts_jobs_by_stage_and_state(store: Store) -> None:
    status = study_status(store, "mixed")
    assert (status.state, status.running) == ("ended", ())
    assert status.stages == (
        StageRow("preferences", done=2, failed=1),
        StageRow("sft", skipped=1),
        StageRow("evaluation", skipped=1),
    )


def test_a_failure_comes_with_its_class_message_and_log(store: Store) -> None:
    (row,) = study_status(store, "mixed").failed
    assert (row.stage, row.kind) == ("preferences", "bug")
    assert row.log is not None and "KeyError" in row.log.read_text()


def test_a_status_without_a_last_word_and_without_a_controller_is_interrupted(
    store: Store, tmp_path: Path
) -> None:
    path = store.study("mixed") / "status.json"
    record = read_json(path)
    lease = read_json(store.study("mixed") / "lease")
    write_json(path, {**record, "state": "running"})
    assert study_status(store, "mixed").state == "running"  # its controller, this process, lives
    write_json(store.study("mixed") / "lease", {**lease, "start": "another time"})
    assert study_status(store, "mixed").state == "interrupted"
    write_json(path, record)


def test_an_unknown_study_is_answered_with_the_nearest_name(store: Store) -> None:
    assert study_names(store) == ["good", "mixed"]
    with pytest.raises(SurroundingsError, match="Did you mean 'mixed'"):
        study_status(store, "mixd")


def test_timings_add_up_over_the_jobs_of_a_stage(store: Store) -> None:
    rows = {row.stage: row for row in stage_timings(store, "good")}
    assert {stage: row.jobs for stage, row in rows.items()} == {
        "preferences": 1,
        "sft": 2,
        "evaluation": 2,
    }
    manifest = store.manifest("preferences", pairs().fingerprint)
    assert manifest is not None
    assert rows["preferences"].wall_seconds == manifest.wall_seconds
    assert rows["preferences"].rollout_seconds == manifest.timings["rollout"]
    assert rows["preferences"].counts == {"preferences": 50}


def test_every_attempt_has_its_log(store: Store) -> None:
    job = pairs("die once")
    logs = job_logs(store, "mixed", job.fingerprint[:6])
    assert [(log.attempt, log.state) for log in logs] == [(1, "worker_lost"), (2, "ok")]
    assert all(log.log.exists() for log in logs)
    assert len(job_logs(store, "good", "sft")) == 2


def test_an_unknown_job_is_answered_with_the_nearest_name(store: Store) -> None:
    with pytest.raises(SurroundingsError, match="no job 'policy'"):
        job_logs(store, "mixed", "policy")
