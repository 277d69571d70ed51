"""Two studies, or two cells, compared: the numbers."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from scipy.stats import false_discovery_control
from scipy.stats import t as student
from stored_toys import DPO, ITEMS, Scores, stored, write_study

from ablate.reporting.diff import StudyDiff, compare_studies, matched_cells
from ablate.reporting.diff_cells import CellOf, compare_cells
from ablate.reporting.diff_config import FieldChange
from ablate.reporting.diff_items import Flips
from ablate.reporting.effects import EffectRow
from ablate.reporting.findings import analyse
from ablate.reporting.opened import record_of
from ablate.reporting.records import RunRecord, StudyRecord
from ablate.stats.verdicts import Verdict
from ablate.store.layout import Store

Make = Callable[..., StudyRecord]


@pytest.fixture
def made(tmp_path: Path) -> Make:
    """Return a maker of stored studies; equal studies in one store share their artifacts."""

    def make(name: str, scores: Scores, beta: float = 0.1, suite: str = "toy") -> StudyRecord:
        store = Store(tmp_path / f"store-{suite}")
        stored(write_study(tmp_path, name, beta), store, scores, suite)
        return record_of(name, store)

    return make


def only(diff: StudyDiff, metric: str = "average") -> EffectRow:
    """Return the one effect on a metric."""
    (row,) = (row for row in diff.effects if row.metric == metric)
    return row


AS_SFT: Scores = {"sft": ITEMS["sft"], DPO: ITEMS["sft"]}
"""The DPO arm answers as SFT does."""


def test_a_difference_across_studies_has_the_crossed_interval(made: Make) -> None:
    """A's DPO scores 1001 and 1010, B's 1110 under both seeds: 50 and 75.

    The item means differ by 0, 1, 1/2 and -1/2: mean 1/4, squares about it sum to 5/4, so the
    variance over items is 5/12 and V_item = 5/48. No seed mean moves, so V_seed = 0. A's residuals
    are four halves: mean square 1/3, V_corr = 1/3 / (2 * 4) = 1/24. The larger of the sum and
    V_item is V_item, with 3 degrees of freedom.
    """
    diff = compare_studies(made("one", AS_SFT), made("two", ITEMS, beta=0.5))
    row = only(diff)
    half = float(student.ppf(0.975, 3)) * 100 * math.sqrt(5 / 48)
    assert diff.scores[DPO] == (50, 75)
    assert row.effect.value == pytest.approx(25)
    assert (row.effect.low, row.effect.high) == pytest.approx((25 - half, 25 + half))
    assert not row.confirmatory


def test_equal_runs_are_named_and_not_compared(made: Make) -> None:
    """SFT does not know beta: both studies share its evaluations."""
    diff = compare_studies(made("one", AS_SFT), made("two", ITEMS, beta=0.5))
    assert {(pair.name, pair.same) for pair in diff.pairs} == {("sft", True), (DPO, False)}
    assert {row.label for row in diff.effects} == {DPO}
    shares = {stage.stage: (stage.same, stage.changed) for stage in diff.stages}
    assert shares["sft"] == (4, 0) and shares["policy"] == (0, 2) and shares["evaluation"] == (2, 2)


def test_the_field_that_differs_is_found_and_the_seed_is_none(made: Make) -> None:
    diff = compare_studies(made("one", AS_SFT), made("two", ITEMS, beta=0.5))
    assert diff.fields == (FieldChange("policy", "beta", "0.1", "0.5", (DPO,)),)


def test_a_declaration_that_differs_is_found(made: Make) -> None:
    one = made("one", AS_SFT)
    two = replace(one, analysis=one.analysis.model_copy(update={"margin": 3.0}))
    diff = compare_studies(one, two)
    assert diff.fields == (FieldChange("study", "analysis.margin", "1.0", "3.0"),)
    assert diff.notes == ("margin and alpha are 1 and 0.05 in A, 3 and 0.05 in B; A's are used",)


@pytest.mark.parametrize(
    ("suite", "reason"),
    [
        ("other", "the two sides were scored on different items"),
        ("asked", "the two sides were asked with different prompts"),
    ],
)
def test_other_items_or_prompts_give_no_interval_and_a_reason(
    made: Make, tmp_path: Path, suite: str, reason: str
) -> None:
    one, two = made("one", AS_SFT), made("two", ITEMS, beta=0.5, suite=suite)
    if suite == "asked":  # The same documents under another prompt.
        for path in (tmp_path / "store-asked").rglob("samples.jsonl"):
            text = path.read_text().replace('"doc_hash": "asked', '"doc_hash": "toy')
            path.write_text(text)
    row = only(compare_studies(one, two))
    (found,) = row.invalid
    assert found.startswith(reason) and row.verdict is Verdict.INVALID
    assert row.effect.value == pytest.approx(25) and math.isnan(row.effect.low)


def with_seeds(study: StudyRecord, first: int) -> StudyRecord:
    return replace(study, runs=tuple(replace(run, seed=run.seed + first) for run in study.runs))


def test_studies_without_a_common_seed_are_compared_all_the_same(made: Make) -> None:
    one, two = made("one", AS_SFT), made("two", ITEMS, beta=0.5)
    rows = [only(compare_studies(one, other)) for other in (two, with_seeds(two, 10))]
    assert rows[1].effect == rows[0].effect and rows[1].effect.n_seeds == 2


def renamed(study: StudyRecord, old: str, new: str) -> StudyRecord:
    def run(one: RunRecord) -> RunRecord:
        return replace(one, cell=new if one.cell == old else one.cell)

    cells = tuple(new if cell == old else cell for cell in study.cells)
    return replace(study, cells=cells, runs=tuple(map(run, study.runs)))


def test_a_cell_of_another_name_is_matched_by_its_runs_then_by_its_levels(made: Make) -> None:
    one, two = made("one", AS_SFT), made("two", ITEMS, beta=0.5)
    other = renamed(renamed(two, DPO, "softer"), "sft", "start")
    assert [(p.name, p.same) for p in matched_cells(one, other)] == [
        ("sft → start", True),
        (f"{DPO} → softer", False),
    ]


def test_a_cell_of_one_side_alone_is_told(made: Make) -> None:
    one, two = made("one", AS_SFT), made("two", ITEMS, beta=0.5)
    levels = {"algorithm": "kto"}
    runs = (replace(r, levels=levels) if r.cell == DPO else r for r in two.runs)
    diff = compare_studies(one, renamed(replace(two, runs=tuple(runs)), DPO, "kto"))
    assert (diff.only_left, diff.only_right) == ((DPO,), ("kto",))
    assert diff.effects == ()


def test_a_verdict_that_changed_is_told_with_both(made: Make) -> None:
    """On 40 items the arm of B has 20 more right, the same under both seeds."""
    start = [[1.0] * 10 + [0.0] * 30] * 2
    better = [[1.0] * 30 + [0.0] * 10] * 2
    one = made("one", {"sft": start, DPO: start})
    two = made("two", {"sft": start, DPO: better}, beta=0.5)
    (change,) = compare_studies(one, two).verdicts
    assert (change.treatment, change.control) == (DPO, "sft")
    assert change.right is Verdict.BETTER and change.left is not Verdict.BETTER


def test_items_that_flip_are_counted_by_seed_and_over_all(made: Make) -> None:
    """Seed 0: 1001 to 1110, two up and one down; seed 1: 1010 to 1110, one up.

    Two of three, and one of one, are as far off as any table of that size can be: p = 1. Only the
    second item goes up under both seeds; the fourth goes down under the first alone.
    """
    study = made("one", ITEMS)
    found = compare_cells(CellOf(study, "sft"), CellOf(study, DPO)).items
    assert found.seeds == (Flips(0, 2, 1, 1, 1.0), Flips(1, 1, 0, 3, 1.0))
    assert [(flip.item, flip.left, flip.right) for flip in found.gained] == [("toy1/1", 0, 100)]
    assert found.lost == ()


def test_cells_of_one_study_get_the_answer_of_its_report(grid_study: StudyRecord) -> None:
    own = next(
        row
        for row in analyse(grid_study).rows("baseline")
        if (row.treatment, row.control) == ("ppo ai-fine", "SFT")
    )
    cells = CellOf(grid_study, "SFT"), CellOf(grid_study, "ppo ai-fine")
    row = compare_cells(*cells).effects[0]
    assert (row.metric, row.effect) == ("average", own.effect)
    assert (row.p_adjusted, row.verdict) == (own.p_adjusted, own.verdict)
    back = compare_cells(cells[1], cells[0]).effects[0]
    assert back.effect.value == -row.effect.value and back.p_adjusted == row.p_adjusted
    assert (row.verdict, back.verdict) == (Verdict.BETTER, Verdict.WORSE)


def test_metrics_beside_the_primary_are_adjusted_together(grid_study: StudyRecord) -> None:
    cells = CellOf(grid_study, "dpo ai-fine"), CellOf(grid_study, "ppo ai-fine")
    primary, *rest = compare_cells(*cells).effects
    raw = [row.effect.p_value for row in rest]
    expected = false_discovery_control(raw, method="bh")
    assert [row.p_adjusted for row in rest] == pytest.approx(list(expected))
    assert {"coding", "safety", "length_tokens"} <= {row.metric for row in rest}
    assert not any(row.confirmatory for row in rest)


def test_a_cell_compared_with_itself_has_nothing_to_compare(grid_study: StudyRecord) -> None:
    diff = compare_cells(*[CellOf(grid_study, "SFT")] * 2)
    assert diff.same and diff.effects == ()


def test_costs_are_ratios_and_a_cost_of_nothing_has_none(made: Make) -> None:
    study = made("one", ITEMS)
    spent = {
        "sft": {"preferences": 0.0, "generated_tokens": 0.0, "reward_calls": 0.0, "seconds": 10.0},
        DPO: {"preferences": 60.0, "generated_tokens": 0.0, "reward_calls": 0.0, "seconds": 25.0},
    }
    runs = tuple(replace(run, spent=spent[run.cell]) for run in study.runs)
    priced = replace(study, runs=runs)
    costs = compare_cells(CellOf(priced, "sft"), CellOf(priced, DPO)).costs
    assert [cost.unit for cost in costs] == ["preferences", "seconds"]
    assert math.isnan(costs[0].ratio) and costs[1].ratio == 2.5


def test_cells_of_two_studies_are_nobodys_declared_comparison(grid_study: StudyRecord) -> None:
    other = replace(grid_study, name="again", digest="other")
    row = compare_cells(CellOf(grid_study, "SFT"), CellOf(other, "ppo ai-fine")).effects[0]
    assert row.kind == "diff" and not row.confirmatory
    assert (row.treatment, row.control) == ("B: ppo ai-fine", "A: SFT")
