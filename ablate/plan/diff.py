"""What an edit of a study adds, removes and reuses."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from ablate.plan.build import Plan


@dataclass(frozen=True)
class PlanDiff:
    """Two plans compared by cell names and job fingerprints."""

    added_cells: tuple[str, ...]
    removed_cells: tuple[str, ...]
    changed_cells: tuple[str, ...]
    """Cells of both whose jobs differ."""
    added_jobs: dict[str, int]
    """New jobs by stage."""
    removed_jobs: dict[str, int]
    reused_jobs: dict[str, int]


def diff_plans(old: Plan, new: Plan) -> PlanDiff:
    """Return what ``new`` adds to, drops from and shares with ``old``."""
    before = {job.fingerprint: job.stage for job in old.jobs}
    after = {job.fingerprint: job.stage for job in new.jobs}
    old_cells, new_cells = _cell_jobs(old), _cell_jobs(new)
    both = [name for name in new_cells if name in old_cells]
    return PlanDiff(
        added_cells=tuple(name for name in new_cells if name not in old_cells),
        removed_cells=tuple(name for name in old_cells if name not in new_cells),
        changed_cells=tuple(name for name in both if old_cells[name] != new_cells[name]),
        added_jobs=dict(Counter(stage for key, stage in after.items() if key not in before)),
        removed_jobs=dict(Counter(stage for key, stage in before.items() if key not in after)),
        reused_jobs=dict(Counter(stage for key, stage in after.items() if key in before)),
    )


def _cell_jobs(plan: Plan) -> dict[str, frozenset[str]]:
    jobs: dict[str, set[str]] = {}
    for run in plan.runs:
        found = jobs.setdefault(run.cell.name, set())
        found.update(job.fingerprint for job in run.jobs.values())
    return {name: frozenset(keys) for name, keys in jobs.items()}
