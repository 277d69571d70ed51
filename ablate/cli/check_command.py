"""``ablate check``: every problem of a study file at once."""

from __future__ import annotations

import argparse

from ablate.cli.growing import whole
from ablate.cli.opening import open_study
from ablate.cli.output import counted, print_json


def run(args: argparse.Namespace) -> int:
    """Load and plan the file; print what it holds. Problems are raised as StudyError."""
    plan = whole(open_study(args.study, args.sets)).plan
    runs, jobs = len(plan.runs), len(plan.jobs)
    if args.json:
        document = {"study": plan.study, "cells": len(plan.cells), "runs": runs, "jobs": jobs}
        print_json({"ok": True, **document})
    else:
        print(
            f"{args.study}: ok, {counted(len(plan.cells), 'cell')}, "
            f"{counted(runs, 'run')}, {counted(jobs, 'job')}"
        )
    return 0
