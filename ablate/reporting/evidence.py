"""The scores of a study's cells, as the statistics want them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path

from ablate.reporting.arms import arm_of
from ablate.reporting.artifacts import (
    Curve,
    Items,
    ItemTable,
    MetricRow,
    ScoreFile,
    Stratum,
    read_curve,
    read_scores,
)
from ablate.reporting.contaminated import (
    LEAST_SHARE,
    WITHOUT,
    Scored,
    Seen,
    contaminated,
    has_results,
)
from ablate.reporting.item_files import SAMPLES, SUBSET
from ablate.reporting.item_pool import read_tables
from ablate.reporting.records import RunRecord, StudyRecord
from ablate.reporting.standing import Standing
from ablate.reporting.strata import GREEDY, strata_of
from ablate.reporting.suite_tasks import Tasks, average_without, by_category, tasks_of
from ablate.spec.suites import TaskDefinition
from ablate.stats.crossed import Arm
from ablate.stats.estimate import Estimate
from ablate.store.manifest import read_manifest

EVALUATION = "evaluation"
NO_FILE = ScoreFile("", {})


class Evidence:
    """Everything read of one study; each artifact is read once, however many runs share it."""

    def __init__(self, study: StudyRecord) -> None:
        """Read nothing yet."""
        self.study = study
        self.estimates: dict[tuple[str, str], Estimate] = {}
        """Scores by cell and metric that were computed before: tables and figures share them."""
        self.standings: dict[tuple[str, str], Standing] = {}
        """Looks that declared comparisons stand at, by treatment and control."""
        self._files: dict[Path, ScoreFile] = {}
        self._rows: dict[Path, Mapping[str, MetricRow]] = {}
        self._configs: dict[Path, Mapping[str, object]] = {}
        self._tasks: dict[Path, Tasks] = {}
        self._items: dict[Path, ItemTable] = {}
        self._arms: dict[tuple[str, str, tuple[int, ...]], Arm | None] = {}
        self._values: dict[tuple[str, str, str], dict[int, float]] = {}
        self._first_tables: dict[tuple[str, str], Mapping[Stratum, Items]] = {}
        self._curves: dict[Path, Curve | None] = {}
        self._backends: dict[str, Mapping[str, frozenset[str]]] = {}

    def file(self, run: RunRecord, role: str = EVALUATION) -> ScoreFile:
        """Return what a run's evaluation says, as it stands on disk; empty where it has none."""
        folder = run.folder(role)
        if folder is None:
            return NO_FILE
        if folder not in self._files:
            self._files[folder] = read_scores(folder)
        return self._files[folder]

    def scores(self, run: RunRecord, role: str = EVALUATION) -> Mapping[str, MetricRow]:
        """Return the metric rows of a run's evaluation; empty where it has none.

        Where the study's data hold documents of the suite, the average without the tasks they are
        of is a row too, after the others.
        """
        rows = self.file(run, role).rows
        folder = run.folder(role)
        if role != EVALUATION or "average" not in rows or folder is None or not self.left_out:
            return rows
        if folder not in self._rows:
            self._rows[folder] = {**rows, WITHOUT: self._average_without(run)}
        return self._rows[folder]

    def _average_without(self, run: RunRecord) -> MetricRow:
        rows, tasks = self.file(run).rows, self.tasks_of(run)
        value = average_without(rows, tasks, self.left_out)
        tables = strata_of(self.items(run), rows, "average", tasks=tasks)
        items = sum(len(t.keys) for (_, task), t in tables.items() if task not in self.left_out)
        return MetricRow(WITHOUT, "average", value, items, "higher", "percent")

    def config(self, run: RunRecord, role: str = EVALUATION) -> Mapping[str, object]:
        """Return the configuration in the manifest of a run's stage; empty where there is none."""
        folder = run.folder(role)
        if folder is None:
            return {}
        if folder not in self._configs:
            manifest = read_manifest(folder)
            self._configs[folder] = manifest.config if manifest is not None else {}
        return self._configs[folder]

    def tasks_of(self, run: RunRecord) -> Tasks:
        """Return the tasks that a run was evaluated on; empty where it was not."""
        folder = run.folder(EVALUATION)
        if folder is None:
            return {}
        if folder not in self._tasks:
            self._tasks[folder] = tasks_of({"suite": self.file(run).suite, **self.config(run)})
        return self._tasks[folder]

    @cached_property
    def tasks(self) -> Tasks:
        """Every task of the study's evaluations by name; the first definition of a name counts."""
        found: dict[str, TaskDefinition] = {}
        for run in self.study.runs:
            for name, task in self.tasks_of(run).items():
                found.setdefault(name, task)
        return found

    @cached_property
    def undeclared(self) -> tuple[str, ...]:
        """What is not as the suite declares it: fields that no sample of a task has.

        Its items then count as independent and as one subset, which a reader has to know.
        """
        known: dict[str, frozenset[str]] = {}
        for run in self.study.runs:
            for name, fields in self.items(run).fields.items():
                known[name] = known.get(name, frozenset()) | fields
        said = []
        for name, task in self.tasks.items():
            found = known.get(name)
            if found is None:
                continue
            if task.cluster != "doc_id" and "cluster" not in found:
                said.append(
                    f"{name}: no sample has the cluster {task.cluster!r} that the suite declares;"
                    " items count as independent."
                )
            if task.strata and SUBSET not in found:
                said.append(
                    f"{name}: no sample has the strata {task.strata!r} that the suite declares;"
                    " items count as one subset."
                )
        return tuple(said)

    @cached_property
    def seen(self) -> tuple[Seen, ...]:
        """What the study's training data hold of each task of its evaluations."""
        if not has_results(self.study):
            return ()
        scored = (self._scored(run) for run in self.study.runs if run.folder(EVALUATION))
        return tuple(contaminated(self.study, scored))

    def _scored(self, run: RunRecord) -> Scored:
        config = self.config(run)
        suite = str(config.get("suite") or self.file(run).suite)
        return Scored(suite, str(config.get("split") or "test"), self.items(run))

    @cached_property
    def left_out(self) -> frozenset[str]:
        """Tasks that the average without contaminated tasks leaves out."""
        return frozenset(one.task for one in self.seen if one.share >= LEAST_SHARE)

    def invalid(self, cell: str) -> dict[int, tuple[str, ...]]:
        """Return by seed why the scores of a cell's runs cannot be trusted."""
        said = {run.seed: self.file(run).invalid for run in self.study.runs_of(cell)}
        return {seed: reasons for seed, reasons in said.items() if reasons}

    def source(self, cell: str) -> str:
        """Return where a published row's numbers are from; empty for a cell of the study's own."""
        return next((said for run in self.finished(cell) if (said := self.file(run).source)), "")

    def standing(self, treatment: str, control: str) -> Standing | None:
        """Return the look at which two cells are compared; None without declared looks.

        Cells that no declared comparison has are compared at the last look that both have in full.
        """
        looks, sides = self.study.looks, (treatment, control)
        if looks is None or any(self.source(cell) for cell in sides):
            return None
        if sides in self.standings:
            return self.standings[sides]
        seeds = [{run.seed for run in self.finished(cell)} for cell in sides]
        full = [set(range(count)) <= seeds[0] & seeds[1] for count in looks.counts]
        return Standing(looks.at(max(1, sum(full))), is_reached=any(full))

    def items(self, run: RunRecord, role: str = "evaluation") -> ItemTable:
        """Return the item scores of a run's evaluation; empty where it has none."""
        folder = run.folder(role)
        if folder is None:
            return ItemTable({})
        if folder not in self._items:
            # All of a role at once: whoever looks at one run of a study looks at the others next.
            runs = {other.folder(role): other for other in self.study.runs}
            new = [(path, self._subsets(one)) for path, one in runs.items() if path is not None]
            read = read_tables([(path / SAMPLES, subsets) for path, subsets in new])
            self._items |= {path: table for (path, _), table in zip(new, read, strict=True)}
        return self._items[folder]

    def _subsets(self, run: RunRecord) -> dict[str, str]:
        """Return by task the field of its samples that tells the declared strata apart."""
        declared = {name: task.strata for name, task in self.tasks_of(run).items() if task.strata}
        return {name: SUBSET if field == "category" else field for name, field in declared.items()}

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
        key = (cell, metric, role)
        if key not in self._values:
            rows = ((run.seed, self.scores(run, role)) for run in self.study.runs_of(cell))
            found = {seed: scores[metric].value for seed, scores in rows if metric in scores}
            self._values[key] = found
        return dict(self._values[key])

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

    def categories_of(self, cell: str) -> tuple[str, ...]:
        """Return the categories of a cell's first finished run, in file order, sampled form."""
        rows = next((self.file(run).rows for run in self.finished(cell)), {})
        names = (row.metric for row in rows.values() if row.level == "category")
        return tuple(name for name in names if not name.startswith(GREEDY))

    @cached_property
    def scored_tasks(self) -> tuple[str, ...]:
        """Tasks whose own score is a metric, in the order of their suites.

        A category that is named like its only task stands for it.
        """
        tree = by_category(self.tasks)
        return tuple(
            name
            for name, task in self.tasks.items()
            if name in self.metrics
            and (
                self.metrics[name].level == "task"
                or (tree.get(name) == [name] and task.direction == "higher")
            )
        )

    @cached_property
    def promoted(self) -> tuple[str, ...]:
        """Tasks that are columns of their own; all of them where a suite has no categories.

        A published task that no suite of the study knows is one as well.
        """
        own = (
            name
            for name in self.scored_tasks
            if self.metrics[name].level == "task"
            and (self.tasks[name].promote or not self.categories)
        )
        published = (
            row.metric
            for row in self.metrics.values()
            if row.level == "task" and row.metric not in self.tasks and self._is_published(row)
        )
        return (*own, *published)

    def _is_published(self, row: MetricRow) -> bool:
        files = (self.file(run) for run in self.study.runs if run.kind == "imported")
        return any(file.source and row.metric in file.rows for file in files)

    @property
    def headline(self) -> tuple[str, ...]:
        """The categories, tasks beside them, and their average."""
        averages = (name for name in ("average", WITHOUT) if name in self.metrics)
        return (*self.categories, *self.promoted, *averages)

    def arm(self, cell: str, metric: str, seeds: Sequence[int]) -> Arm | None:
        """Return the item scores behind a metric for the seeds given, or None.

        None where the metric has no item scores, where runs of the cell differ in items, or where
        the items' mean is not the stored score: the statistics then use the seeds alone.
        """
        key = (cell, metric, tuple(sorted(seeds)))
        if key not in self._arms:
            runs = [run for run in self.finished(cell) if run.seed in seeds]
            rows = [self.scores(run).get(metric) for run in runs]
            known = [row for row in rows if row is not None]
            tables = [self.strata(run, metric) for run in runs]
            self._arms[key] = arm_of(tables, known) if len(known) == len(rows) else None
        return self._arms[key]

    def table(self, cell: str, metric: str) -> Mapping[Stratum, Items]:
        """Return the item scores behind a metric of a cell's first finished run."""
        key = (cell, metric)
        if key not in self._first_tables:
            first = next(iter(self.finished(cell)), None)
            self._first_tables[key] = self.strata(first, metric) if first is not None else {}
        return self._first_tables[key]

    def keys(self, cell: str, metric: str) -> frozenset[tuple[Stratum, tuple[str, ...]]]:
        """Return the item keys by stratum of a cell's first finished run."""
        return frozenset((name, t.keys) for name, t in self.table(cell, metric).items())

    def strata(self, run: RunRecord, metric: str) -> dict[Stratum, Items]:
        """Return the item scores behind a run's metric, in its unit; empty where it has none."""
        return strata_of(
            self.items(run),
            self.scores(run),
            metric,
            tasks=self.tasks_of(run),
            without=self.left_out,
        )


def _trains(role: str) -> bool:
    """Return whether a role is of a stage that has a backend, links and members included."""
    return role == "sft" or role.startswith(("policy", "reward_model", "implicit"))
