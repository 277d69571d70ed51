"""The scores of a study's cells, as the statistics want them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path

import numpy as np

from ablate.reporting.artifacts import (
    Curve,
    Items,
    ItemTable,
    MetricRow,
    Stratum,
    read_curve,
    read_items,
    read_scores,
)
from ablate.reporting.records import RunRecord, StudyRecord
from ablate.stats.crossed import Arm
from ablate.store.manifest import read_manifest

GREEDY = "greedy_"
POINTS = 100.0
TOLERANCE = 0.01
"""Largest gap, in units of the metric, between a stored score and the mean of its items."""


class Evidence:
    """Everything read of one study; each artifact is read once, however many runs share it."""

    def __init__(self, study: StudyRecord) -> None:
        """Read nothing yet."""
        self.study = study
        self._scores: dict[tuple[str, Path], dict[str, MetricRow]] = {}
        self._items: dict[Path, ItemTable] = {}
        self._curves: dict[Path, Curve | None] = {}
        self._backends: dict[str, Mapping[str, frozenset[str]]] = {}

    def scores(self, run: RunRecord, role: str = "evaluation") -> Mapping[str, MetricRow]:
        """Return the metric rows of a run's evaluation; empty where it has none."""
        folder = run.folder(role)
        if folder is None:
            return {}
        if (role, folder) not in self._scores:
            self._scores[role, folder] = read_scores(folder)
        return self._scores[role, folder]

    def items(self, run: RunRecord, role: str = "evaluation") -> ItemTable:
        """Return the item scores of a run's evaluation; empty where it has none."""
        folder = run.folder(role)
        if folder is None:
            return ItemTable({})
        if folder not in self._items:
            self._items[folder] = read_items(folder)
        return self._items[folder]

    def curve(self, run: RunRecord, role: str = "policy") -> Curve | None:
        """Return the step metrics of a run's stage."""
        folder = run.folder(role)
        if folder is None:
            return None
        if folder not in self._curves:
            self._curves[folder] = read_curve(folder)
        return self._curves[folder]

    def backends(self, cell: str) -> Mapping[str, frozenset[str]]:
        """Return what trained a cell's stages, by role; stages that train nothing are left out."""
        if cell not in self._backends:
            found: dict[str, set[str]] = {}
            for run in self.study.runs_of(cell):
                for role, folder in run.artifacts.items():
                    manifest = read_manifest(folder) if folder and _trains(role) else None
                    if manifest is not None:
                        name = str(manifest.config.get("backend") or "native")
                        found.setdefault(role, set()).add(name)
            self._backends[cell] = {role: frozenset(names) for role, names in found.items()}
        return self._backends[cell]

    def finished(self, cell: str) -> tuple[RunRecord, ...]:
        """Return the runs of a cell that have an evaluation, by seed."""
        return tuple(run for run in self.study.runs_of(cell) if run.folder("evaluation"))

    def values(self, cell: str, metric: str, role: str = "evaluation") -> dict[int, float]:
        """Return a metric by seed; a run without the metric is left out, undefined is NaN."""
        rows = {run.seed: self.scores(run, role).get(metric) for run in self.study.runs_of(cell)}
        return {seed: row.value for seed, row in rows.items() if row is not None}

    def metric(self, name: str) -> MetricRow | None:
        """Return any run's row of a metric, for its direction and unit."""
        return self.metrics.get(name)

    @cached_property
    def metrics(self) -> dict[str, MetricRow]:
        """One row of every evaluation metric, in file order."""
        found: dict[str, MetricRow] = {}
        for run in self.study.runs:
            for name, row in self.scores(run).items():
                found.setdefault(name, row)
        return found

    @cached_property
    def categories(self) -> tuple[str, ...]:
        """Category metrics in file order, sampled form."""
        rows = self.metrics.values()
        names = (row.metric for row in rows if row.level == "category")
        return tuple(name for name in names if not name.startswith(GREEDY))

    @property
    def headline(self) -> tuple[str, ...]:
        """The categories, then their average."""
        return (*self.categories, *(("average",) if "average" in self.metrics else ()))

    def arm(self, cell: str, metric: str, seeds: Sequence[int]) -> Arm | None:
        """Return the item scores behind a metric for the seeds given, or None.

        None where the metric has no item scores, where runs of the cell differ in items, or where
        the items' mean is not the stored score: the statistics then use the seeds alone.
        """
        runs = [run for run in self.finished(cell) if run.seed in seeds]
        tables = [strata_of(self.items(run), self.scores(run), metric) for run in runs]
        if not tables or any(not table for table in tables):
            return None
        if len({_shape(table) for table in tables}) != 1:
            return None
        strata = {
            "/".join(name): np.stack([table[name].values for table in tables]) for name in tables[0]
        }
        arm = Arm(strata, _weights(tables[0], self.scores(runs[0])[metric]))
        stored = [self.scores(run)[metric].value for run in runs]
        if not np.allclose(arm.seed_scores, stored, rtol=0, atol=TOLERANCE):
            return None
        return arm

    def keys(self, cell: str, metric: str) -> frozenset[tuple[Stratum, tuple[str, ...]]]:
        """Return the item keys by stratum of a cell's first finished run."""
        for run in self.finished(cell):
            table = strata_of(self.items(run), self.scores(run), metric)
            return frozenset((name, items.keys) for name, items in table.items())
        return frozenset()


def strata_of(
    table: ItemTable, scores: Mapping[str, MetricRow], metric: str
) -> dict[Stratum, Items]:
    """Return the strata behind a metric in the metric's unit; empty where it has none."""
    if metric not in scores:
        return {}
    mode = "greedy" if metric.startswith(GREEDY) else "sampled"
    plain = metric.removeprefix(GREEDY)
    by_stratum = _named_score(table, mode, plain)
    row = scores[metric]
    chosen = {
        stratum: items
        for stratum, items in by_stratum.items()
        if row.level != "category" or stratum[0] == plain
    }
    if row.level == "diagnostic" and plain not in _score_names(table, mode):
        return {}
    return {stratum: _in_unit(items, stratum, scores, row) for stratum, items in chosen.items()}


def _score_names(table: ItemTable, mode: str) -> list[str]:
    return [name for kind, name in table.scores if kind == mode]


def _named_score(table: ItemTable, mode: str, plain: str) -> Mapping[Stratum, Items]:
    """Choose the score by its own name, else ``acc``, else the only one there is."""
    names = _score_names(table, mode)
    for name in (plain, "acc", *(names if len(names) == 1 else ())):
        if name in names:
            return table.scores[mode, name]
    return {}


def _in_unit(
    items: Items, stratum: Stratum, scores: Mapping[str, MetricRow], row: MetricRow
) -> Items:
    if row.unit != "percent":
        return items
    values = POINTS * items.values
    task = scores.get(stratum[1])
    if task is not None and task.level == "task" and task.direction == "lower":
        values = POINTS - values  # A lower-is-better task enters its category turned round.
    return Items(items.keys, items.prompts, values)


def _weights(table: Mapping[Stratum, Items], metric: MetricRow) -> dict[str, float]:
    """Equal weights of categories, then of tasks; a diagnostic weighs every item alike."""
    if metric.level == "diagnostic":
        total = sum(len(items.keys) for items in table.values())
        return {"/".join(name): len(items.keys) / total for name, items in table.items()}
    categories = [name[0] for name in table]
    return {
        "/".join(name): 1 / (len(set(categories)) * categories.count(name[0])) for name in table
    }


def _shape(table: Mapping[Stratum, Items]) -> tuple[tuple[Stratum, tuple[str, ...]], ...]:
    return tuple(sorted((name, items.keys) for name, items in table.items()))


def _trains(role: str) -> bool:
    """Return whether a role is of a stage that has a backend, links and members included."""
    return role == "sft" or role.startswith(("policy", "reward_model", "implicit"))
