"""Every table of a study by name, as the report shows it and as a pandas frame."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from functools import partial
from typing import Literal, get_args

import pandas as pd

from ablate.errors import unknown_choice
from ablate.reporting import tables
from ablate.reporting.answers import questions
from ablate.reporting.block_tables import reward_table
from ablate.reporting.check_tables import pairing_table, tripwire_table
from ablate.reporting.data_cards import data_report
from ablate.reporting.dataset_table import dataset_table
from ablate.reporting.effect_tables import family_table
from ablate.reporting.factor_tables import level_table, metric_table, term_table, variance_table
from ablate.reporting.findings import Findings
from ablate.reporting.option_table import option_table
from ablate.reporting.over_optimization import reward_kl_table
from ablate.reporting.pair_tables import declared_pairs, duel_table
from ablate.reporting.prompt_table import prompt_table
from ablate.reporting.provenance import provenance_of
from ablate.reporting.ranking_tables import benchmark_table, pair_matrix, ranking_table
from ablate.reporting.reference_table import reference_table
from ablate.reporting.reward_models import three_ways
from ablate.reporting.safety_table import safety_table
from ablate.reporting.scores_comparison import comparison
from ablate.reporting.scores_diagnostics import diagnostics_table
from ablate.reporting.scores_judged import judged_table
from ablate.reporting.scores_spread import spread_table
from ablate.reporting.scores_tasks import task_tables
from ablate.reporting.tables import Cell, Table
from ablate.reporting.tuning import trial_table, tuning_table

Maker = Callable[[Findings], Table | None]
"""Makes one table; None for a study that does not have it."""
Form = Literal["values", "text", "long"]
EFFECTS = "effects-"
"""Before a family's name: the table of its effects on the primary metric."""
LONG = ["group", "row", "column", "value", "low", "high", "text", "sub", "hint"]
"""Columns of a table's long form."""
PAIRS = "pairs-"
"""Before a declared family's name: its pairs of cells and the mean over them."""


def _task(found: Findings, *, name: str) -> Table | None:
    return next((table for table in task_tables(found) if table.name == name), None)


def _data(found: Findings, *, name: str) -> Table | None:
    shown = data_report(found.study).tables
    return next((table for table in shown if table.name == name), None)


def _provenance(found: Findings, *, name: str) -> Table | None:
    known = provenance_of(found.study)
    return known.stages if name == "stages" else known.runs


TABLES: dict[str, Maker] = {
    "questions": questions,
    "sight": tables.sight,
    "datasets": dataset_table,
    "prompt-sets": prompt_table,
    "options": option_table,
    "comparison": comparison,
    "spread": spread_table,
    "dpo-vs-ppo": duel_table,
    "effects-baseline": partial(family_table, name="baseline"),
    "effects-step": partial(family_table, name="step"),
    "effects-algorithm": partial(family_table, name="algorithm"),
    "effects-reward-model": partial(family_table, name="reward_model"),
    "factor-levels": level_table,
    "factor-terms": term_table,
    "factor-metrics": metric_table,
    "variance-components": variance_table,
    "ranking": ranking_table,
    "pairs": pair_matrix,
    "benchmarks": benchmark_table,
    "reward-three-ways": three_ways,
    "reward-models": reward_table,
    "reference-free": reference_table,
    "tasks": partial(_task, name="tasks"),
    "task-details": partial(_task, name="task-details"),
    "task-definitions": partial(_task, name="task-definitions"),
    "safety": safety_table,
    "judged": judged_table,
    "diagnostics": diagnostics_table,
    "tuning": tuning_table,
    "tuning-trials": trial_table,
    "costs": tables.costs,
    "over-optimization": reward_kl_table,
    "data": partial(_data, name="data"),
    "prompt-overlap": partial(_data, name="prompt-overlap"),
    "contamination": partial(_data, name="contamination"),
    "templates": partial(_data, name="templates"),
    "checks": tripwire_table,
    "pairing": pairing_table,
    "stages": partial(_provenance, name="stages"),
    "fingerprints": partial(_provenance, name="fingerprints"),
}
"""Every table by the name of its file, in the order of the page. A study that declares contrasts
has one ``effects-declared-N`` for each beside these, and ``pairs-declared-N`` for a factor."""


def makers_of(found: Findings) -> Mapping[str, Maker]:
    """Return every table that a study may have, those of its own contrasts included."""
    own = [f.name for f in found.families if f.name.startswith("declared")]
    effects = {EFFECTS + name: partial(family_table, name=name) for name in own}
    pairs = {PAIRS + name: partial(declared_pairs, name=name) for name in own}
    return {**TABLES, **effects, **pairs}


def table_of(found: Findings, name: str) -> Table | None:
    """Return a table by its name, or None where the study does not have it.

    Raises ValueError for an unknown name.
    """
    makers = makers_of(found)
    if name not in makers:
        raise ValueError(unknown_choice("table", name, makers))
    return makers[name](found)


def frame_of(table: Table, form: Form = "values") -> pd.DataFrame:
    """Return a table as a frame; its index are the row heads, after their groups where it has any.

    ``values``: each field's unrounded number, NaN where undefined; a column that holds no numbers
    keeps its text. ``text``: what the page prints, small print in parentheses. ``long``: one row a
    field, with the columns of `LONG`. Raises ValueError for another form.
    """
    if form not in get_args(Form):
        raise ValueError(unknown_choice("form", form, get_args(Form)))
    if form == "long":
        return _long(table)
    shown = _texts if form == "text" else _values
    groups = [title for title, rows in table.blocks for _ in rows]
    heads = [row[0].text for row in table.rows]
    index = pd.Index(heads, name=table.titles[0])
    if table.groups:
        index = pd.MultiIndex.from_arrays([groups, heads], names=["group", table.titles[0]])
    fields = (
        list(zip(*table.rows, strict=True))[1:] if table.rows else [()] * (len(table.titles) - 1)
    )
    # By number first: two columns may have one title.
    frame = pd.DataFrame({n: shown(column) for n, column in enumerate(fields)}, index=index)
    return frame.set_axis(list(table.titles[1:]), axis="columns")


def _values(fields: tuple[Cell, ...]) -> list[float] | list[str]:
    if all(field.sort is None for field in fields):
        return [field.text for field in fields]
    return [math.nan if field.sort is None else field.sort for field in fields]


def _texts(fields: tuple[Cell, ...]) -> list[str]:
    return [_text(field) for field in fields]


def _text(field: Cell) -> str:
    small = " ".join(field.sub.split())
    if small and not small.startswith("±"):
        small = f"({small})"
    return f"{field.text} {small}".rstrip()


def _long(table: Table) -> pd.DataFrame:
    rows = [
        {
            "group": title,
            "row": row[0].text,
            "column": column,
            "value": math.nan if field.sort is None else field.sort,
            "low": field.low,
            "high": field.high,
            "text": field.text,
            "sub": field.sub,
            "hint": field.hint,
        }
        for title, block in table.blocks
        for row in block
        for column, field in zip(table.titles[1:], row[1:], strict=True)
    ]
    return pd.DataFrame(rows, columns=LONG)
