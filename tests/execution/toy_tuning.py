"""A study that tunes toy stages; ``python toy_tuning.py <store>`` runs it as a controller."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Callable
from dataclasses import replace

from toy_study import LOCAL

from ablate.cli.growing import Growing, pieces_of, standing_trials
from ablate.cli.opening import OpenStudy
from ablate.errors import StageError
from ablate.execution.controller import run_study
from ablate.execution.options import Outcome, RunOptions
from ablate.execution.stages import ENTRY_POINTS
from ablate.plan.build import Plan, plan_study
from ablate.spec.evaluation import EvaluationConfig
from ablate.spec.load import LoadedStudy, study_from_text
from ablate.spec.policies import PolicyConfig
from ablate.store.layout import Store
from ablate.store.workspace import Workspace

STUDY = """\
study: toys
base: {model: tiny-instruct, dataset: ai-fine}
rows: [sft]
baseline: sft
seeds: 1
grid: {algorithm: [dpo, simpo]}
tune:
  trials: 4
  parallel: 2
  sampler: tpe
  startup: 2
  search:
    policy.learning_rate: {low: 1e-6, high: 1e-3, log: true}
    dpo.beta: [0.03, 0.1, 0.3]
    simpo.beta: {low: 1, high: 10}
  prune: {rungs: [{policy.epochs: 1}]}
"""
DIVERGES = 2e-4
"""Trials with a larger learning rate fail."""


def work(workspace: Workspace) -> None:
    """Write down what was asked for; a policy fails where its learning rate is large."""
    config, made = workspace.config, {}
    if isinstance(config, PolicyConfig):
        if config.learning_rate > DIVERGES:
            raise StageError("the loss is not finite", kind="non_finite_loss")
        made = {"rate": config.learning_rate, "seed": config.seed, "epochs": config.epochs}
    (workspace.output / "made.json").write_text(json.dumps(made))


def evaluation(workspace: Workspace) -> None:
    """Score a policy: best at a learning rate of 1e-4, better with epochs, a little by seed."""
    assert isinstance(workspace.config, EvaluationConfig)
    made = json.loads((workspace.inputs["policy"] / "made.json").read_text())
    value = 10.0
    if made:
        value = 50.0 - abs(math.log(made["rate"] / 1e-4)) + made["epochs"] + 1e-6 * made["seed"]
    row = {"metric": "average", "level": "average", "value": value, "direction": "higher"}
    document = {"suite": "tiny-instruct", "metrics": [{**row, "unit": "percent", "n_items": 4}]}
    (workspace.output / "scores.json").write_text(json.dumps(document))


OPTIONS = RunOptions(
    local=replace(LOCAL, preload=("ablate.execution.worker", "toy_tuning")),
    entry_points={
        stage: f"toy_tuning:{'evaluation' if stage == 'evaluation' else 'work'}"
        for stage in ENTRY_POINTS
    },
    beat_seconds=0.1,
    fuse=100,
)


def loaded(text: str = STUDY) -> LoadedStudy:
    return study_from_text(text, name="toys.yaml")


def tune(
    store: Store, text: str = STUDY, grew: Callable[[Plan], None] = lambda plan: None
) -> tuple[Outcome, Plan]:
    """Run the study to its end; return what became of its jobs, and its plan by then."""
    study = loaded(text)
    opened = OpenStudy(study, plan_study(study))
    growing = Growing(opened.plan, pieces_of(opened, store), grew)
    options = replace(OPTIONS, grow=growing, keep_failed=standing_trials(growing))
    outcome = run_study(opened.plan.jobs, store=store, study_name="toys", options=options)
    return outcome, growing.plan


if __name__ == "__main__":
    tune(Store(sys.argv[1]))
