"""What a report is made from: a study and its runs, with the folders of their artifacts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from ablate.spec.analysis import Analysis

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
    notes: Mapping[str, str] = field(default_factory=dict)
    """A sentence by cell, printed beside it."""
    data_names: Mapping[str, str] = field(default_factory=dict)
    """What the study calls a data artifact, by fingerprint; others have their own names."""
    data_notes: tuple[str, ...] = ()
    """Sentences on who labelled and who judges."""

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
        return tuple(sorted((r for r in self.runs if r.cell == cell), key=lambda r: r.seed))

    def levels_of(self, cell: str) -> Mapping[str, str]:
        """Return the levels of a cell."""
        return next((run.levels for run in self.runs if run.cell == cell), {})

    def parent_of(self, cell: str) -> str | None:
        """Return the cell that this one adds a change to."""
        return next((run.parent for run in self.runs if run.cell == cell), None)

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


_LEFT_OUT = {
    "model": "the base model",
    "sft": "the SFT checkpoint",
    "preferences": "the preference data",
    "reward_model": "the reward model",
    "policy": "policy training",
    "evaluation": "the sampled completions",
}


def interval_scope(study: StudyRecord) -> str:
    """Say which randomness the intervals hold and which they leave out."""
    if len({run.seed for run in study.runs}) < 2:
        return (
            "Intervals hold the spread over evaluation items only: with one seed they speak about"
            " these checkpoints and not about the recipes."
        )
    held = [text for stage, text in _LEFT_OUT.items() if stage in study.vary]
    out = [text for stage, text in _LEFT_OUT.items() if stage not in study.vary]
    scope = "evaluation items" + (f" and over seeds of {listed(held)}" if held else "")
    left = f", and leave out what redrawing {listed(out)} would change" if out else ""
    return f"Intervals hold the spread over {scope}{left}."


def listed(words: list[str]) -> str:
    """Return ``a, b and c``."""
    return " and ".join(filter(None, [", ".join(words[:-1]), *words[-1:]]))
