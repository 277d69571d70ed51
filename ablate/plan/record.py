"""The plan as a document: what ``plan.json`` holds and what estimates learn from it."""

from __future__ import annotations

from typing import Any

from ablate.plan.build import Plan
from ablate.plan.estimate import job_kind, model_of
from ablate.plan.size import job_size

RUNS = "runs.json"
"""The study's runs and what predicts each job's cost, beside the controller's own plan; and where
its file was."""


def plan_document(plan: Plan) -> dict[str, Any]:
    """Return trials, runs and jobs of ``plan`` in JSON form, with what predicts each job's cost."""
    return {
        "study": plan.study,
        "cells": [cell.name for cell in plan.cells],
        "runs": [
            {
                "cell": run.cell.name,
                "arm": run.cell.arm,
                "seed": run.seed,
                "levels": dict(run.cell.levels),
                "jobs": {role: job.fingerprint for role, job in run.jobs.items()},
            }
            for run in plan.every_run
        ],
        "jobs": [
            {
                "fingerprint": job.fingerprint,
                "stage": job.stage,
                "kind": job_kind(job),
                "size": job_size(job),
                "model": model_of(job),
                "inputs": {role: upstream.fingerprint for role, upstream in job.inputs},
            }
            for job in plan.jobs
        ],
    }
