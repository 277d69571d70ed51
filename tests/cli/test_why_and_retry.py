"""What a researcher reads in the morning, and how failed jobs are tried again."""

import json
from pathlib import Path

import pytest

from ablate.cli.main import main
from ablate.cli.opening import OpenStudy, open_study
from ablate.execution.controller import run_study
from ablate.execution.engines.local import LocalOptions
from ablate.execution.options import RunOptions
from ablate.plan.job import Job
from ablate.plan.record import RUNS, plan_document
from ablate.store.files import write_json
from ablate.store.layout import Store

STUDY = """
study: night
base:
  model: tiny-instruct
  preferences: {dataset: ai-fine}
  policy: {batch_size: 4}
rows: [sft]
baseline: dpo
seeds: 1
grid:
  algorithm: [dpo, ppo]
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with a study in which PPO has failed."""
    folder = tmp_path_factory.mktemp("night")
    (folder / "night.yaml").write_text(STUDY)
    opened, store = open_study(str(folder / "night.yaml"), []), Store(folder / ".ablate")
    write_json_of(opened, store)
    local = LocalOptions(
        slots=2,
        devices=(),
        preload=("ablate.execution.worker",),
        python_path=(str(Path(__file__).parent),),
    )
    entries = {job.stage: "failing_stages:stage" for job in opened.plan.jobs}
    options = RunOptions(local=local, entry_points=entries, beat_seconds=0.1)
    outcome = run_study(opened.plan.jobs, store=store, study_name="night", options=options)
    assert [failure.kind for failure in outcome.failures.values()] == ["out_of_memory"]
    return folder


def write_json_of(opened: OpenStudy, store: Store) -> None:
    store.create()
    (store.study("night")).mkdir(parents=True)
    write_json(store.study("night") / RUNS, plan_document(opened.plan))


@pytest.fixture
def ppo(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Job:
    """Return the job that failed, the folder being the working directory."""
    monkeypatch.chdir(folder)
    jobs: list[Job] = list(open_study("night.yaml", []).plan.jobs)
    return next(job for job in jobs if type(job.config).__name__ == "PpoConfig")


def why(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    assert main(["why", *words]) == 0
    return capsys.readouterr().out


def test_why_tells_every_attempt_and_what_followed(ppo, capsys):
    text = why(capsys, ppo.fingerprint)
    lines = text.splitlines()
    assert lines[1] == f"policy-{ppo.fingerprint}: failed"
    assert lines[2] == "  out_of_memory: MemoryError"
    # Killed once, then out of memory with micro-batches 4, 2, 1 and with 1 alone.
    attempts = [line for line in lines if line.startswith("  attempt ")]
    assert [line.split(",")[0].split(maxsplit=2)[2] for line in attempts] == [
        "worker lost", *["out of memory"] * 4
    ]  # fmt: skip
    assert "at step 3 of 40" in attempts[1] and "micro-batch 4" in attempts[1]
    assert "micro-batch 1, alone, on local" in attempts[4]
    for said in (
        "then tried again (1 of 3)",
        "then tried again with micro-batch 2, not sharing a device",
        "then tried again with nothing else beside it",
        "then given up: it had the place to itself with micro-batch 1",
        f"log .ablate/attempts/{ppo.fingerprint}/5/log.txt",
        f"metrics .ablate/attempts/{ppo.fingerprint}/4/metrics.jsonl",
        "ablate retry FILE --class out_of_memory",
    ):
        assert said in text, said


def test_why_names_what_made_the_key(ppo, capsys):
    text = why(capsys, ppo.fingerprint)
    assert "  key       PpoConfig: batch_size 4, " in text
    for role, upstream in ppo.inputs:
        assert f"{role} {upstream.stage}-{upstream.fingerprint}" in " ".join(text.split())


def test_why_of_a_cell_leads_to_the_root_of_what_was_skipped(ppo, capsys):
    document = json.loads(why(capsys, "ppo", "--json"))
    states = {job["stage"]: (job["state"], job["roots"]) for job in document}
    assert states["policy"] == ("failed", [])
    assert states["evaluation"] == ("skipped", [f"policy-{ppo.fingerprint}"])
    assert states["sft"][0] == "done"
    text = why(capsys, "ppo/evaluation")
    assert f"cannot start without policy-{ppo.fingerprint}" in text
    assert f"policy-{ppo.fingerprint}: failed" in text


def test_why_of_what_is_done_says_who_made_it(ppo, capsys):
    text = why(capsys, "dpo/policy")
    assert ": done" in text and "attempt 1 made it by" in text
    assert "every run takes it from the store" in " ".join(text.split())


def test_retrying_another_class_leaves_a_failure_as_it_is(ppo, folder, capsys):
    store = Store(folder / ".ablate")
    before = len(store.attempts(ppo.fingerprint))
    quiet = ["--no-report", "--no-tracking", "--json"]
    for words in (["--class", "bug"], ["--class", "oom", "--cell", "dpo"], ["--cell", "dpo"]):
        assert main(["retry", "night.yaml", *words, *quiet]) == 4
        document = json.loads(capsys.readouterr().out)
        assert document["failures"][ppo.fingerprint]["kind"] == "out_of_memory"
    assert len(store.attempts(ppo.fingerprint)) == before


def test_a_class_or_cell_that_is_none_exits_with_2(ppo, capsys):
    assert main(["retry", "night.yaml", "--class", "omm"]) == 2
    assert "Did you mean 'oom'?" in capsys.readouterr().err
    assert main(["retry", "night.yaml", "--cell", "pppo"]) == 2
    assert main(["why", "pppo"]) == 2


def test_what_never_ran_has_nothing_to_try_again(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "night.yaml").write_text(STUDY)
    assert main(["retry", "night.yaml"]) == 3
    assert "was never run here" in capsys.readouterr().err
