"""The columns in which reward models are compared, and who leads each."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

from ablate.reporting import text
from ablate.reporting.artifacts import MetricRow
from ablate.reporting.block_tables import REWARD, reward_difference, reward_score, role_of
from ablate.reporting.contrasts import Contrast
from ablate.reporting.costs import seconds_of
from ablate.reporting.effects import score_of
from ablate.reporting.estimating import difference
from ablate.reporting.findings import Findings
from ablate.reporting.tables import Cell, score_cell
from ablate.stats.estimate import Estimate
from ablate.stats.multiplicity import adjust
from ablate.store.manifest import read_manifest

BEST_OF = "best_of_"
BENCHMARK = "rewardbench"
TIED = " ~"
"""After a score that its column's best cannot be told from."""
UNKNOWN = Estimate(math.nan, math.nan, math.nan)


@dataclass(frozen=True)
class RewardModel:
    """One reward model, under every seed, and the cells that train on it."""

    name: str
    cells: tuple[str, ...]
    """In the order of the study; cells whose seeds share their reward evaluations are one model."""


@dataclass(frozen=True)
class Way:
    """One column of the comparison."""

    title: str
    fields: tuple[Cell, ...]
    values: tuple[float, ...]
    """By reward model; NaN where it has none."""
    ranked: bool = True
    """Whether its order is compared with that of other columns."""

    @property
    def bands(self) -> bool:
        """Whether any field is tied with the best."""
        return any(field.text.endswith(TIED) for field in self.fields)


Difference = Callable[[RewardModel, RewardModel], Estimate]


def is_reward_metric(name: str) -> bool:
    """Return whether a published number is a reward model's rather than a policy's."""
    return name.replace("-", "_").startswith((BENCHMARK, BEST_OF))


def ways_of(found: Findings, models: Sequence[RewardModel]) -> Iterator[Way]:
    """Yield every column: pairs, benchmark by section, best-of-N, policies, time of training."""
    metrics = metrics_of(found, models)
    if "accuracy" in metrics:
        yield _scored(found, models, metrics["accuracy"], "pair accuracy (%)")
    if "accuracy_hard" in metrics:
        hard = _scored(found, models, metrics["accuracy_hard"], "pair accuracy, hard (%)")
        yield replace(hard, ranked=False)
    for metric in metrics.values():
        if metric.level == "category" and not metric.metric.startswith("accuracy"):
            yield replace(_scored(found, models, metric, text.heading(metric)), ranked=False)
    for metric in metrics.values():
        plain = metric.metric.replace("-", "_")
        if metric.level == "average" or (metric.level == "task" and plain.startswith(BENCHMARK)):
            yield _scored(found, models, metric, text.heading(metric))
    sizes = {n: name for name in metrics if (n := _best_of(name))}
    if sizes:
        # A publication may keep the number to itself and say N.
        largest = max(sizes, key=lambda n: (n.isdecimal(), int(n) if n.isdecimal() else 0))
        metric = metrics[sizes[largest]]
        kind = "gold reward" if metric.unit == "reward" else text.unit_name(metric.unit)
        yield _scored(found, models, metric, f"best of {largest.upper()} ({kind})")
    primary = found.study.primary
    beside = [name for name in found.evidence.promoted if not is_reward_metric(name)]
    for name in dict.fromkeys([primary, *beside]):
        row = found.evidence.metric(name)
        if row is not None:
            yield replace(_policies(found, models, row), ranked=name == primary)
    yield _seconds(found, models)


def _best_of(name: str) -> str:
    plain = name.replace("-", "_")
    return plain.removeprefix(BEST_OF) if plain.startswith(BEST_OF) else ""


def metrics_of(found: Findings, models: Sequence[RewardModel]) -> dict[str, MetricRow]:
    """Return one row of every metric that reward models were evaluated with, by name."""
    rows: dict[str, MetricRow] = {}
    for model in models:
        role = role_of(found, model.cells[0])
        for run in found.study.runs_of(model.cells[0]):
            for name, row in found.evidence.scores(run, role).items():
                if role == REWARD or is_reward_metric(name):
                    rows.setdefault(name, row)
    return rows


def _scored(found: Findings, models: Sequence[RewardModel], metric: MetricRow, title: str) -> Way:
    scores = [reward_score(found, model.cells[0], metric.metric) for model in models]
    fields = [
        _with_error(found, model, metric, score_cell(score, metric.unit))
        for model, score in zip(models, scores, strict=True)
    ]

    def compare(one: RewardModel, other: RewardModel) -> Estimate:
        return reward_difference(found, one.cells[0], other.cells[0], metric.metric)

    return _led(found, models, Way(title, tuple(fields), tuple(s.value for s in scores)), compare)


def _with_error(found: Findings, model: RewardModel, metric: MetricRow, field: Cell) -> Cell:
    """Show the error over prompts that one seed's evaluation states, where there is no interval."""
    errors = list(found.evidence.values(model.cells[0], f"error_{metric.metric}", REWARD).values())
    if field.sub or field.sort is None or len(errors) != 1 or math.isnan(errors[0]):
        return field
    half = text.plain(1.96 * errors[0], metric.unit)
    return replace(field, sub=f"± {half}", hint="over prompts only")


def _policies(found: Findings, models: Sequence[RewardModel], metric: MetricRow) -> Way:
    """Return the score of each model's policies, their mean where several cells train on it."""
    fields, values, valid = [], [], {}
    for model in models:
        cells = [cell for cell in model.cells if not found.evidence.invalid(cell)]
        scores = [score_of(found.evidence, cell, metric.metric) for cell in cells]
        scores = [score for score in scores if not math.isnan(score.value)]
        valid[model.name] = cells
        if not scores:
            fields.append(Cell(text.DASH, tone="muted", hint="no valid policy trains on it"))
            values.append(math.nan)
            continue
        mean = math.fsum(score.value for score in scores) / len(scores)
        field = score_cell(scores[0], metric.unit)
        if len(scores) > 1:
            low, high = (text.plain(f(s.value for s in scores), metric.unit) for f in (min, max))
            said = f"{len(scores)} cells: {low} to {high}"
            field = Cell(text.plain(mean, metric.unit), said, mean)
        fields.append(field)
        values.append(mean)

    def compare(one: RewardModel, other: RewardModel) -> Estimate:
        if len(valid[one.name]) != 1 or len(valid[other.name]) != 1:
            return UNKNOWN
        pair = Contrast("policies", valid[one.name][0], valid[other.name][0], "", declared=False)
        return difference(found.evidence, pair, metric.metric).effect

    arrow = " ↓" if metric.direction == "lower" else ""
    way = Way(f"policy: {text.heading(metric)}{arrow}", tuple(fields), tuple(values))
    return _led(found, models, way, compare, lower=metric.direction == "lower")


def _seconds(found: Findings, models: Sequence[RewardModel]) -> Way:
    """Return the minutes that a seed of each reward model trained, on whatever machine."""
    fields, values = [], []
    for model in models:
        runs = found.study.runs_of(model.cells[0])
        folders = [folder for run in runs if (folder := run.folder("reward_model")) is not None]
        manifests = [m for folder in folders if (m := read_manifest(folder)) is not None]
        spent = [seconds_of(manifest) / 60 for manifest in manifests]
        mean = math.fsum(spent) / len(spent) if spent else math.nan
        values.append(mean)
        missing = Cell(text.DASH, tone="muted", hint="no reward model was trained for it here")
        fields.append(Cell(f"{mean:,.1f}", sort=mean) if spent else missing)
    return Way("its training (min)", tuple(fields), tuple(values), ranked=False)


def _led(
    found: Findings,
    models: Sequence[RewardModel],
    way: Way,
    compare: Difference,
    *,
    lower: bool = False,
) -> Way:
    """Return a column with its best in bold and those marked that it cannot be told from."""
    known = [place for place, value in enumerate(way.values) if not math.isnan(value)]
    if len(known) < 2:
        return way
    best = (min if lower else max)(way.values[place] for place in known)
    leaders = [place for place in known if way.values[place] == best]
    others = [place for place in known if place not in leaders]
    first = models[leaders[0]]
    p_values = adjust([compare(first, models[place]).p_value for place in others], "holm")
    tied = {place for place, p in zip(others, p_values, strict=True) if p >= found.study.alpha}
    fields = [
        replace(field, strong=True)
        if place in leaders
        else replace(field, text=f"{field.text}{TIED}")
        if place in tied
        else field
        for place, field in enumerate(way.fields)
    ]
    return replace(way, fields=tuple(fields))
