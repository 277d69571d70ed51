"""What a plan says of the looks that its study declares."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from ablate.cli.opening import OpenStudy, cached_jobs
from ablate.cli.output import duration
from ablate.plan.build import at_last_look
from ablate.plan.estimate import Estimator
from ablate.plan.power import looks_of
from ablate.plan.summary import summarize
from ablate.store.layout import Store


@dataclass(frozen=True)
class AllLooks:
    """The most that a study with looks can come to: every cell goes on to the last."""

    counts: tuple[int, ...]
    """Seeds a cell at each look."""
    levels: tuple[float, ...]
    """Two-sided nominal level of each look; the family's correction comes on top."""
    runs: int
    to_run: int
    """Jobs without an artifact."""
    seconds: float
    """Of the jobs to run, one after another."""
    wall_seconds: float

    def lines(self) -> Iterator[str]:
        """Yield what follows the table of stages, which has the first look alone."""
        counts = ", ".join(map(str, self.counts))
        levels = ", ".join(f"{level:.2g}" for level in self.levels)
        yield (
            f"looks: at {counts} seeds, levels {levels}; further seeds only where verdicts are "
            "inconclusive"
        )
        yield (
            f"  above is the first look; all looks in every cell are {self.runs} runs, at most "
            f"{self.to_run} jobs to run, {duration(self.seconds)} of work, "
            f"{duration(self.wall_seconds)} of wall time"
        )


def all_looks(
    opened: OpenStudy, store: Store, estimator: Estimator, *, slots: int
) -> AllLooks | None:
    """Return what all looks of a study cost at most; None where it declares none."""
    study = opened.loaded.study
    looks = looks_of(study)
    if looks is None:
        return None
    plan = at_last_look(study, opened.plan)
    summary = summarize(plan, estimator, cached=cached_jobs(store, plan), slots=slots)
    return AllLooks(
        counts=looks.counts,
        levels=looks.levels(study.analysis.alpha),
        runs=summary.runs,
        to_run=sum(row.to_run for row in summary.stages),
        seconds=sum(row.seconds for row in summary.stages),
        wall_seconds=summary.wall_seconds,
    )
