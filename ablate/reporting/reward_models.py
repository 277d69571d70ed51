"""Reward models three ways: how they order pairs, what they choose, what trains on them."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from itertools import combinations

from ablate.evals.reward_rules import human_agreement
from ablate.reporting import text
from ablate.reporting.block_tables import REWARD, role_of
from ablate.reporting.data_sets import cells_text
from ablate.reporting.findings import Findings
from ablate.reporting.marks import badge, sources_of
from ablate.reporting.rank_correlation import FEWEST, rank_correlation
from ablate.reporting.records import RunRecord
from ablate.reporting.reward_ways import RewardModel, Way, is_reward_metric, ways_of
from ablate.reporting.tables import Cell, RowGroup, Table
from ablate.spec.registry import registry

ROLES = ("evaluation", REWARD)
"""Of the evaluations that may raise an alarm."""


def reward_models(found: Findings) -> tuple[RewardModel, ...]:
    """Return the reward models of a study, each once."""
    groups: dict[frozenset[str], list[str]] = {}
    for cell in found.study.cells:
        role = role_of(found, cell)
        scores = found.evidence.scores(_first(found, cell))
        if role != REWARD and not any(is_reward_metric(name) for name in scores):
            continue
        runs = [run for run in found.study.runs_of(cell) if run.folder(role) is not None]
        if runs:
            groups.setdefault(frozenset(str(run.folder(role)) for run in runs), []).append(cell)
    cells = [tuple(group) for group in groups.values()]
    names = [_levels(found, group) for group in cells]
    if "" in names or len(set(names)) < len(names):
        names = [group[0] for group in cells]
    return tuple(RewardModel(name, group) for name, group in zip(names, cells, strict=True))


def _first(found: Findings, cell: str) -> RunRecord:
    return found.study.runs_of(cell)[0]


def _levels(found: Findings, cells: Sequence[str]) -> str:
    """Return the levels that all cells of a reward model share, of what makes a reward model."""
    shared = [set(found.study.levels_of(cell).items()) for cell in cells]
    common = set.intersection(*shared)
    return " · ".join(
        level
        for name, level in found.study.levels_of(cells[0]).items()
        if (name, level) in common and name.startswith(("dataset", "reward_model", "model"))
    )


def three_ways(found: Findings) -> Table | None:
    """Return one row per reward model and the rank correlations of the columns below.

    Where data and size both vary, rows stand under their data. None below two reward models: then
    there is nothing to rank.
    """
    models = reward_models(found)
    if len(models) < 2:
        return None
    models, groups = _grouped(found, models)
    ways = [way for way in ways_of(found, models) if any(not math.isnan(v) for v in way.values)]
    rows = [
        (_head(found, model, groups), *(way.fields[index] for way in ways))
        for index, model in enumerate(models)
    ]
    footer = list(_footer(ways))
    ranks = (RowGroup("Rank correlations of the columns, over reward models", len(footer)),)
    return Table(
        "reward-three-ways",
        "Reward models three ways: the pairs they order right, the gold reward of the sample they"
        " like best, and the policy that trains on them. Half widths of 95 % intervals below.",
        ("reward model", *(way.title for way in ways)),
        (*rows, *footer),
        tuple(_notes(found, models, ways)),
        groups=(*groups, *(ranks if footer else ())),
    )


def _grouped(
    found: Findings, models: Sequence[RewardModel]
) -> tuple[tuple[RewardModel, ...], tuple[RowGroup, ...]]:
    """Return the models, those of equal data side by side, and the headings over them."""
    data = {model.name: _data_of(found, model) for model in models}
    names = tuple(dict.fromkeys(data.values()))
    if "" in names or not 1 < len(names) < len(models):
        return tuple(models), (RowGroup("", len(models)),)
    ordered = tuple(model for name in names for model in models if data[model.name] == name)
    counts = list(data.values())
    return ordered, tuple(RowGroup(name, counts.count(name)) for name in names)


def _data_of(found: Findings, model: RewardModel) -> str:
    """Return the level of a reward model's data; of the policy's where only that is a factor."""
    levels = found.study.levels_of(model.cells[0])
    names = ("reward_model.dataset", "reward_dataset", "dataset")
    return next((levels[name] for name in names if name in levels), "")


def _head(found: Findings, model: RewardModel, groups: Sequence[RowGroup]) -> Cell:
    name = model.name
    data = _data_of(found, model)
    if len(groups) > 1 and name.startswith(f"{data} · "):
        name = name.removeprefix(f"{data} · ")
    return Cell(name, sub=badge(found, model.cells[0]) or _of_cells(model))


def _of_cells(model: RewardModel) -> str:
    if model.cells == (model.name,):
        return ""
    more = f"; and {len(model.cells) - 2} more" if len(model.cells) > 2 else ""
    return f"trains {'; '.join(model.cells[:2])}{more}"


def _footer(ways: Sequence[Way]) -> Iterator[tuple[Cell, ...]]:
    """Yield for each ranked column but the first its rank correlations with those before it."""
    ranked = [place for place, way in enumerate(ways) if way.ranked]
    for place in ranked[1:]:
        fields = [
            _correlation(way, ways[place]) if way.ranked and before < place else Cell("")
            for before, way in enumerate(ways)
        ]
        yield (Cell("rank correlation", sub=f"with {ways[place].title}", strong=True), *fields)


def _correlation(left: Way, right: Way) -> Cell:
    found = rank_correlation(left.values, right.values)
    if found.n < FEWEST:
        return Cell(text.DASH, f"n = {found.n}", tone="muted", hint=f"undefined below n = {FEWEST}")
    if math.isnan(found.spearman):
        return Cell(text.DASH, f"n = {found.n}", tone="muted", hint="one side has no spread")
    both = f"ρ {text.signed(found.spearman, 'correlation')}"
    tau = f"τ {text.signed(found.kendall, 'correlation')}, n = {found.n}"
    return Cell(both, tau, found.spearman)


def _notes(found: Findings, models: Sequence[RewardModel], ways: Sequence[Way]) -> Iterator[str]:
    counts = [
        sum(
            not math.isnan(a) and not math.isnan(b) for a, b in zip(x.values, y.values, strict=True)
        )
        for x, y in combinations([way for way in ways if way.ranked], 2)
    ]
    if counts and min(counts) < FEWEST:
        yield f"Rank correlations of fewer than {FEWEST} reward models are undefined (NaN)."
    yield (
        "Rank correlations over reward models: Spearman's ρ and Kendall's τ-b, descriptive. With a"
        " handful of models even a large one may be chance."
    )
    if any(way.bands for way in ways):
        yield (
            "Bold: the best of its column. ~: no difference to the best is shown (paired test, Holm"
            " over the column), so the column does not say which of them leads; with few seeds"
            " that may be many. Without an interval only the best is marked."
        )
    if any(is_of_people(found, model) for model in models):
        yield band_note()
    yield from sources_of(found, [model.cells[0] for model in models])
    yield from _said(found, models)


def band_note() -> str:
    """Say how far people agree with one another, beside which an accuracy is to be read."""
    band = human_agreement()
    return (
        f"People agree with one another on {band.low:g} to {band.high:g} % of such pairs"
        f" ({band.source}): on labels of people an accuracy above that band is a reason to look for"
        " leaks, and one inside it is as good as labels allow."
    )


def is_of_people(found: Findings, model: RewardModel) -> bool:
    """Whether a reward model is evaluated on pairs that people may have labelled."""
    runs = found.study.runs_of(model.cells[0])
    run = next((r for r in runs if r.folder(REWARD) is not None), None)
    if run is None:
        return False
    config, file = found.evidence.config(run, REWARD), found.evidence.file(run, REWARD)
    entry = registry().datasets.get(str(config.get("dataset") or file.suite))
    if entry is None:
        return True
    return entry.world is None and "people" in (entry.labeller or "people")


def _said(found: Findings, models: Sequence[RewardModel]) -> Iterator[str]:
    """Yield what the evaluations say that they leave out, each sentence once."""
    notes: dict[str, None] = {}
    for model in models:
        for run in found.study.runs_of(model.cells[0]):
            notes |= dict.fromkeys(found.evidence.file(run, REWARD).notes)
    yield from notes


def alarms_of(found: Findings, *, roles: Sequence[str] = ROLES) -> tuple[str, ...]:
    """Return what evaluations raised an alarm about, with the cells that it concerns."""
    concerned: dict[tuple[str, str], list[str]] = {}
    for run in found.study.runs:
        for role in roles:
            for alarm in found.evidence.file(run, role).alarms:
                cells = concerned.setdefault((role, alarm), [])
                if run.cell not in cells:
                    cells.append(run.cell)
    named = {role: "Reward model" if role == REWARD else "Evaluation" for role in roles}
    return tuple(
        f"{named[role]} of {cells_text(tuple(cells))}: {alarm}"
        for (role, alarm), cells in concerned.items()
    )
