"""What the user's own command is told of."""

import json
import time
from argparse import Namespace
from dataclasses import replace
from pathlib import Path

from ablate.cli.detach import Session
from ablate.execution.failures import Failure, FailureClass
from ablate.plan.build import plan_study
from ablate.spec.load import study_from_text
from ablate.store.layout import Store

STUDY = b"""
study: told
base: {model: tiny-instruct, evaluation: {suite: tiny-instruct}}
rows: [sft]
baseline: sft
seeds: 1
grid: {dataset: [human-noisy], algorithm: [dpo]}
"""


def test_a_failure_of_a_grown_job_names_its_cell(tmp_path: Path) -> None:
    """A plan that tunes has no runs at its beginning; its events name the cells all the same."""
    plan, said = plan_study(study_from_text(STUDY)), tmp_path / "said.json"
    run = plan.runs[-1]
    session = Session(Namespace(on_event=f"tee {said}"))
    hook = session.listener(replace(plan, runs=()), Store(tmp_path / "store"))
    session.extend(plan)
    failure = Failure(FailureClass.BUG, "wrong")
    hook.job_failed(run.jobs["policy"], failure, attempt=1, retried=False)
    for _ in range(500):
        if said.exists() and said.read_text().endswith("\n"):
            break
        time.sleep(0.01)
    assert json.loads(said.read_text())["cells"] == [run.cell.name]
