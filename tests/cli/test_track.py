"""What the trackers are told, as the outbox has it."""

from pathlib import Path

from ablate.cli.track import Track
from ablate.plan.build import Plan, build_plan
from ablate.plan.cells import expand
from ablate.plan.job import Job
from ablate.spec.load import study_from_text
from ablate.store.manifest import Manifest
from ablate.tracking.events import Event, JobCommitted, RunFinished, RunStarted
from ablate.tracking.outbox import OUTBOX, Outbox, read, tracking_folder

STUDY = """
study: toy
base: {model: tiny-instruct}
rows: [base, sft]
baseline: sft
seeds: 1
grid:
  dataset: [ai-fine]
  algorithm: [dpo]
"""


def plan_of(*seeds: int) -> Plan:
    return build_plan("toy", expand(study_from_text(STUDY)), seeds=seeds, vary=["policy"])


def manifest_of(job: Job) -> Manifest:
    inputs = {role: upstream.fingerprint for role, upstream in job.inputs}
    return Manifest(
        *(job.fingerprint, job.stage, type(job.config).__name__, {}, inputs, {}),
        **{"attempt": 1, "engine": "local", "study": "toy", "code": "c"},
        **{"started": 0.0, "ended": 1.0, "wall_seconds": 1.0},
    )


def told(store: Path) -> list[Event]:
    return [entry.event for entry, _ in read(tracking_folder(store, "toy") / OUTBOX, 0)]


def test_every_run_of_the_plan_is_announced_and_ends_with_its_last_job(tmp_path: Path) -> None:
    plan = plan_of(0)
    track = Track(plan, Outbox(tmp_path, "toy"))
    for job in plan.jobs:
        track.job_committed(job, manifest_of(job))
    events = told(tmp_path)
    assert [event.cell for event in events if isinstance(event, RunStarted)] == [
        run.cell.name for run in plan.runs
    ]
    assert sum(isinstance(event, RunFinished) for event in events) == len(plan.runs)


def test_a_plan_that_grew_announces_its_new_runs_only(tmp_path: Path) -> None:
    track = Track(plan_of(0), Outbox(tmp_path, "toy"))
    before = len(told(tmp_path))
    track.extend(plan_of(0, 1))
    new = told(tmp_path)[before:]
    assert [(type(event), event.seed) for event in new if isinstance(event, RunStarted)] == [
        (RunStarted, 1)
    ] * len(plan_of(1).runs)
    assert len(new) == len(plan_of(1).runs)


def test_a_new_run_is_linked_to_the_jobs_that_are_done_and_ends_when_the_rest_are(
    tmp_path: Path,
) -> None:
    first, grown = plan_of(0), plan_of(0, 1)
    track = Track(first, Outbox(tmp_path, "toy"))
    for job in first.jobs:
        track.job_committed(job, manifest_of(job))
    track.extend(grown)
    track.extend(grown)
    shared = {job.fingerprint for job in first.jobs} & {job.fingerprint for job in plan_of(1).jobs}
    last = {event.fingerprint: event for event in told(tmp_path) if isinstance(event, JobCommitted)}
    # Every run reads the base model, so its record names the runs of both seeds.
    assert {run.split("/")[-2] for key in shared for run in last[key].used_by} == {"0", "1"}
    for job in grown.jobs:
        track.job_committed(job, manifest_of(job))
    ended = [event.run for event in told(tmp_path) if isinstance(event, RunFinished)]
    assert len(ended) == len(set(ended)) == len(grown.runs)
