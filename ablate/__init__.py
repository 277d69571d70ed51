"""Declarative ablation studies of preference learning: study, plan, jobs, runs, report.

>>> loaded = ablate.load_study(Path("study.yaml"))
>>> plan = ablate.plan_study(loaded)
>>> ablate.run_study(plan.jobs, store=ablate.Store(".ablate"), study_name=plan.study)

What came of it, by file or by the name of a study that ran (docs/results.md):

>>> study = ablate.open_study("study.yaml", store=".ablate")
>>> study.results, study.effects, study.table("comparison"), study.figure("forest")
>>> ablate.load_results("dpo-vs-ppo"), ablate.effects_frame("dpo-vs-ppo")
"""

from importlib import import_module
from typing import Any

__version__ = "0.1.0"

_HOMES = {
    "load_study": "ablate.spec.load",
    "plan_study": "ablate.plan.build",
    "Store": "ablate.store.layout",
    "run_study": "ablate.execution.controller",
    "study_record": "ablate.reporting.collect",
    "build_report": "ablate.reporting.report",
    "open_study": "ablate.reporting.frames",
    "load_results": "ablate.reporting.frames",
    "effects_frame": "ablate.reporting.frames",
    "factors_frame": "ablate.reporting.frames",
    "make_table": "ablate.reporting.frames",
    "make_figure": "ablate.reporting.frames",
    "make_frames": "ablate.reporting.frames",
    "TABLES": "ablate.reporting.study_tables",
    "FIGURES": "ablate.reporting.study_figures",
}
__all__ = ["__version__", *_HOMES]


def __getattr__(name: str) -> Any:
    """Import a public name when it is first asked for, so that ``import ablate`` stays quick."""
    if name not in _HOMES:
        raise AttributeError(f"module 'ablate' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    """Return the public names."""
    return sorted(__all__)
