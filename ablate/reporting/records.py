"""What a report is made from: a study and its runs, with the folders of their artifacts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Literal

from ablate.reporting.tuned import Tuned
from ablate.spec.analysis import Analysis
from ablate.stats.sequential import Looks

RunKind = Literal["policy", "base", "sft", "imported"]
Design = Literal["ladder", "grid", "one_factor_at_a_time", "cells"]


@dataclass(frozen=True)
class RunRecord:
    """One run: a cell under one seed."""

    cell: str
    levels: Mapping[str, str]
    """Level of each factor the cell uses; a factor it does not use is left out."""
    seed: int
    run_id: str
    parent: str | None
    """Cell this one adds a change to: the rung before, or a branch's origin."""
    kind: RunKind
    """``base`` and ``sft`` are starting points evaluated as rows."""
    status: str | None
    """``preliminary`` puts a footnote under every number of the run."""
    artifacts: Mapping[str, Path | None]
    """Artifact folder by stage role: ``evaluation``, ``reward_evaluation``, ``policy``,
    ``reward_model``, ``sft``, ``model``, ...; None where there is none yet."""
    fingerprints: Mapping[str, str]
    """Fingerprint by stage role."""
    missing: str | None
    """Why the run has no evaluation; a text that starts with ``failed`` marks a failure."""
    spent: Mapping[str, float] = field(default_factory=dict)
    """Budgets that the run's own stages spent; empty where they are not all there."""
    preferences: int | None = None
    """Preference pairs behind a published row; None where nothing is said."""
    group: str = ""
    """Heading that the cell's row stands under, such as the kind of its preference data."""

    def folder(self, role: str) -> Path | None:
        """Return the artifact of a stage, or None."""
        return self.artifacts.get(role)

    @property
    def failed(self) -> bool:
        """Whether the run ended without a result, other than by not having started."""
        return self.missing is not None and self.missing.lower().startswith("failed")


@dataclass(frozen=True)
class StudyRecord:
    """A study's declared design and what became of its runs."""

    name: str
    question: str
    expectation: str
    status: str | None
    """``preliminary`` marks the whole report."""
    analysis: Analysis
    """What was declared before the results."""
    baseline: str | Mapping[str, str] | None
    """A cell, or the control of each cell that has one, where the study names levels of some
    factors: effects then pair within equal levels of the others."""
    design: Design
    cells: tuple[str, ...]
    """Cell names in the order of the study file."""
    runs: tuple[RunRecord, ...]
    source_text: str
    digest: str
    plan_summary: Mapping[str, object]
    """Lines for the provenance section, by title."""
    vary: tuple[str, ...]
    """Stages that the seed reaches."""
    branches: tuple[str, ...] = ()
    """Cells that are side arms of a ladder and no rungs."""
    amendments: tuple[str, ...] = ()
    """What of the analysis was not declared before the study had results."""
    notes: Mapping[str, str] = field(default_factory=dict)
    """A sentence by cell, printed beside it."""
    data_names: Mapping[str, str] = field(default_factory=dict)
    """What the study calls a data artifact, by fingerprint; others have their own names."""
    data_notes: tuple[str, ...] = ()
    """Sentences on who labelled and who judges."""
    tuned: Tuned | None = None
    """What the study's tuning tried and chose; None for one that tunes nothing."""
    looks: Looks | None = None
    """Looks that the study declares; None where the number of seeds is fixed."""

    @property
    def primary(self) -> str:
        """Metric whose effects are confirmatory; every other is exploratory."""
        return self.analysis.primary

    @property
    def margin(self) -> float:
        """Smallest effect of interest, in points of a percentage."""
        return self.analysis.margin

    @property
    def alpha(self) -> float:
        """Two-sided error rate."""
        return self.analysis.alpha

    @property
    def correction(self) -> str:
        """Correction within each family of primary effects."""
        return self.analysis.correction

    def runs_of(self, cell: str) -> tuple[RunRecord, ...]:
        """Return the runs of a cell by seed."""
        return self._runs_by_cell.get(cell, ())

    @cached_property
    def _runs_by_cell(self) -> Mapping[str, tuple[RunRecord, ...]]:
        """Looked up for every number of a report: a search through all runs would add up."""
        found: dict[str, list[RunRecord]] = {}
        for run in self.runs:
            found.setdefault(run.cell, []).append(run)
        return {cell: tuple(sorted(runs, key=lambda r: r.seed)) for cell, runs in found.items()}

    def levels_of(self, cell: str) -> Mapping[str, str]:
        """Return the levels of a cell."""
        return self._first[cell].levels if cell in self._first else {}

    def parent_of(self, cell: str) -> str | None:
        """Return the cell that this one adds a change to."""
        return self._first[cell].parent if cell in self._first else None

    @cached_property
    def _first(self) -> Mapping[str, RunRecord]:
        """The first run of each cell, which has the levels of all of them."""
        return {run.cell: run for run in reversed(self.runs)}

    def preliminary(self, cell: str) -> bool:
        """Whether numbers of the cell carry the footnote."""
        if self.status == "preliminary":
            return True
        return any(run.status == "preliminary" for run in self.runs_of(cell))

    @property
    def rungs(self) -> tuple[str, ...]:
        """The steps of a ladder, or of imported rows that follow one another; else empty."""
        if self.design == "ladder":
            kept = [run.cell for run in self.runs if run.kind != "imported"]
            return tuple(cell for cell in self.cells if cell in kept and cell not in self.branches)
        chain: list[str] = []
        for cell in self.cells:
            parent = self.parent_of(cell)
            if parent is not None and chain in ([], [*chain[:-1], parent]):
                chain = [*(chain or [parent]), cell]
        return tuple(chain)

    @property
    def factors(self) -> tuple[str, ...]:
        """Names of all factors, in order of first use."""
        return tuple(dict.fromkeys(name for run in self.runs for name in run.levels))


def listed(words: list[str]) -> str:
    """Return ``a, b and c``."""
    return " and ".join(filter(None, [", ".join(words[:-1]), *words[-1:]]))
