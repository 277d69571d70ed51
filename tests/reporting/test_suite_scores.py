from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path

import pytest

from ablate.errors import SurroundingsError
from ablate.reporting.artifacts import MetricRow
from ablate.reporting.contaminated import WITHOUT
from ablate.reporting.evidence import Evidence
from ablate.reporting.findings import analyse
from ablate.reporting.flags import at_chance, band_text, flags_of
from ablate.reporting.records import StudyRecord
from ablate.reporting.scores_comparison import comparison
from ablate.reporting.scores_diagnostics import diagnostics_table
from ablate.reporting.scores_judged import judged_table
from ablate.reporting.scores_spread import moves, noise_of, spread_table
from ablate.reporting.scores_tasks import task_tables
from ablate.reporting.suite_tasks import average_without, chance_of, tasks_of
from ablate.reporting.tables import Table
from ablate.stats.estimate import Estimate
from ablate.stats.verdicts import Verdict

from .suite_builders import TASKS, Cellular, add_contamination, small_suite, suite_study

UNKNOWN = math.nan


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> StudyRecord:
    return small_suite(tmp_path_factory.mktemp("suite"))


def column(table: Table, title: str) -> dict[str, str]:
    place = next(i for i, name in enumerate(table.columns) if name.startswith(title))
    return {row[0].text: row[place].text for row in table.rows}


def percent(study: StudyRecord, cell: str, task: str) -> float:
    """Mean of a task's stored scores over the seeds of a cell, in percent."""
    means = []
    for run in study.runs_of(cell):
        folder = run.folder("evaluation")
        assert folder is not None
        lines = map(json.loads, (folder / "samples.jsonl").read_text().splitlines())
        scores = [line["scores"]["acc"] for line in lines if line["task"] == task]
        means.append(100 * sum(scores) / len(scores))
    return float(sum(means) / len(means))


def test_tasks_come_from_the_definition_and_else_from_the_registry() -> None:
    task = TASKS["toxigen"].model_dump(mode="json")
    own = {"suite": "tiny-instruct", "definition": {"tasks": {"toxigen": task}}}
    assert tasks_of(own)["toxigen"] == TASKS["toxigen"]
    assert "reasoning" in tasks_of({"suite": "tiny-instruct", "definition": None})
    assert tasks_of({"suite": "nobody's"}) == {}


def test_a_definition_of_another_form_is_no_traceback() -> None:
    with pytest.raises(SurroundingsError, match=r"definition\.tasks\.a\.kind"):
        tasks_of({"suite": "s", "definition": {"tasks": {"a": {"kind": 3}}}})


def test_an_average_of_main_outputs_is_crossed_over_the_tree_s_items(study: StudyRecord) -> None:
    evidence = Evidence(study)
    arm = evidence.arm("SFT", "average", (0, 1))
    assert arm is not None
    # Four categories, of one, two, two and one task: weights 1/4 and 1/8. MT-Bench stays out.
    assert arm.weights == {
        "factuality/mmlu": 1 / 4,
        "reasoning/gsm8k": 1 / 8,
        "reasoning/bbh": 1 / 8,
        "safety/toxigen": 1 / 8,
        "safety/xstest": 1 / 8,
        "alpaca_eval/alpaca-eval": 1 / 4,
    }
    right = {name: percent(study, "SFT", name) for name in TASKS}
    safety = (100 - right["toxigen"] + right["xstest"]) / 2
    reasoning = (right["gsm8k"] + right["bbh"]) / 2
    expected = (right["mmlu"] + reasoning + safety + right["alpaca-eval"]) / 4
    assert arm.score == pytest.approx(expected)


def test_a_lower_is_better_task_is_shown_in_its_own_direction(study: StudyRecord) -> None:
    arm = Evidence(study).arm("SFT", "toxigen", (0, 1))
    assert arm is not None and arm.score == pytest.approx(percent(study, "SFT", "toxigen"))
    fewer = [r for r in analyse(study).rows("baseline", "toxigen") if r.treatment == "DPO"]
    assert fewer[0].effect.value < 0 and fewer[0].verdict is Verdict.BETTER


def test_items_of_one_passage_are_one_cluster(study: StudyRecord) -> None:
    arm = Evidence(study).arm("SFT", "bbh", (0, 1))
    assert arm is not None
    assert len(set(arm.clusters["reasoning/bbh"])) == 10 and arm.n_items == 40
    other = Evidence(study).arm("SFT", "mmlu", (0, 1))
    assert other is not None and other.clusters == {}


def test_a_promoted_task_is_a_column_and_counts_once(study: StudyRecord) -> None:
    table = comparison(analyse(study))
    assert table.columns[1:8] == (
        *("Factuality (%)", "Reasoning (%)", "Safety (%)", "AlpacaEval (%)"),
        *("GSM8K (%)", "ToxiGen (%)", "Average (%)"),
    )
    assert any("not counted twice" in note for note in table.notes)


def test_the_average_without_contaminated_tasks_leaves_them_out_in_every_row(
    study: StudyRecord, tmp_path: Path
) -> None:
    seen = add_contamination(study, tmp_path, ["gsm8k-0", "test:gsm8k-1", "gsm8k-900"])
    evidence = Evidence(seen)
    assert [(one.task, one.seen, one.documents) for one in evidence.seen] == [("gsm8k", 2, 40)]
    for cell in ("SFT", "DPO"):
        right = {name: percent(study, cell, name) for name in TASKS}
        safety = (100 - right["toxigen"] + right["xstest"]) / 2
        expected = (right["mmlu"] + right["bbh"] + safety + right["alpaca-eval"]) / 4
        arm = evidence.arm(cell, WITHOUT, (0, 1))
        assert arm is not None and arm.score == pytest.approx(expected)
    table = comparison(analyse(seen))
    assert table.columns[8] == "Average without contaminated tasks (%)"
    assert any("leaves out GSM8K (2 of 40 documents)" in note for note in table.notes)


def test_documents_found_in_a_suite_s_files_are_counted_over_all_data_sets(
    study: StudyRecord, tmp_path: Path
) -> None:
    one = add_contamination(study, tmp_path / "a", ["bbh/7", "bbh/8"], sizes={"bbh": 150})
    both = add_contamination(one, tmp_path / "b", ["bbh/8", "xstest/1"], run=1, sizes={"bbh": 150})
    seen = {found.task: (found.seen, found.documents) for found in Evidence(both).seen}
    # Rows 7 and 8 of 150, row 8 once; of XSTest's file the size is not said, 40 were scored.
    assert seen == {"bbh": (2, 150), "xstest": (1, 40)}
    assert Evidence(both).left_out == {"bbh", "xstest"}


def test_a_task_of_which_less_than_one_in_a_hundred_is_seen_stays(tmp_path: Path) -> None:
    wide = suite_study(tmp_path, {"SFT": Cellular(seeds=(0,))}, items=101)
    evidence = Evidence(add_contamination(wide, tmp_path, ["gsm8k-0"]))
    assert evidence.seen[0].share < 0.01 and evidence.left_out == frozenset()
    assert WITHOUT not in evidence.metrics


def row(metric: str, level: str, value: float) -> MetricRow:
    return MetricRow(metric, level, value, 10, "higher", "percent")


def test_a_missing_leaf_leaves_the_average_without_tasks_blank() -> None:
    tasks = {name: TASKS[name] for name in ("mmlu", "gsm8k", "bbh")}
    scores = {"factuality": row("factuality", "category", 40), "bbh": row("bbh", "task", 20)}
    assert average_without(scores, tasks, frozenset({"gsm8k"})) == 30
    assert math.isnan(average_without(scores, tasks, frozenset({"bbh"})))
    # A category that loses all of its tasks drops out: 20 of the one that remains.
    assert average_without(scores, tasks, frozenset({"mmlu", "gsm8k"})) == 20


def test_chance_follows_the_tree() -> None:
    # Factuality 25; reasoning (0 + 25) / 2; safety (0 + 50) / 2, since ToxiGen states none; 0.
    assert chance_of(row("mmlu", "task", 1), TASKS) == 25
    assert chance_of(row("reasoning", "category", 1), TASKS) == 12.5
    assert chance_of(row("safety", "category", 1), TASKS) == 25
    assert chance_of(row("average", "average", 1), TASKS) == (25 + 12.5 + 25 + 0) / 4
    assert math.isnan(chance_of(row("length", "diagnostic", 1), TASKS))


def test_a_score_is_above_chance_where_its_whole_interval_is() -> None:
    assert at_chance(Estimate(30, 24, 36), 25, items=100)
    assert not at_chance(Estimate(30, 26, 34), 25, items=100)
    # Lower is better: 40 % toxic with chance at 50 is good only where 50 is not reached.
    assert at_chance(Estimate(40, 28, 52), 50, items=100, lower=True)
    assert not at_chance(Estimate(40, 32, 48), 50, items=100, lower=True)


def test_without_an_interval_wilson_s_over_the_items_decides() -> None:
    # Wilson for 10 of 10 is (0.722, 1), for 6 of 10 (0.313, 0.832).
    alone = Estimate(100, UNKNOWN, UNKNOWN, n_items=10)
    assert not at_chance(alone, 72, items=0) and at_chance(alone, 73, items=0)
    assert at_chance(Estimate(60, UNKNOWN, UNKNOWN), 50, items=10)


def test_where_chance_is_nothing_only_nothing_is_at_chance() -> None:
    assert at_chance(Estimate(0, UNKNOWN, UNKNOWN), 0, items=10)
    assert not at_chance(Estimate(1, -1, 3), 0, items=10)
    assert not at_chance(Estimate(UNKNOWN, UNKNOWN, UNKNOWN), 0, items=10)


@pytest.mark.parametrize(
    ("score", "said"),
    [
        (Estimate(20, 10, 30, n_seeds=3), "not above chance (25.0 %)"),
        (Estimate(60, 5, 115, n_seeds=2), "not shown above chance (25.0 %) with 2 seeds"),
        (Estimate(60, 24, 96, n_seeds=1), "not shown above chance (25.0 %) with 1 seed"),
    ],
)
def test_a_good_score_that_few_seeds_cannot_show_is_not_called_chance(
    study: StudyRecord, score: Estimate, said: str
) -> None:
    evidence = Evidence(study)
    (flag,) = flags_of(evidence, evidence.metrics["mmlu"], score)
    assert flag.said == said


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (0.4, "below the target band of 0.5 to 5: over-filtering is a finding too"),
        (0.5, ""),
        (5.1, "above the target band of 0.5 to 5"),
        (UNKNOWN, ""),
    ],
)
def test_both_sides_of_a_band_are_findings(value: float, said: str) -> None:
    assert band_text(value, TASKS["toxigen"]) == said


def test_marks_stand_on_the_scores_with_their_legend(study: StudyRecord) -> None:
    table = comparison(analyse(study))
    assert column(table, "Factuality")["SFT"].endswith("†")
    assert column(table, "ToxiGen")["DPO"] == "0.0‡"
    assert [note[0] for note in table.notes if note[0] in "†‡"] == ["†", "‡"]


def test_an_invalid_cell_is_struck_and_in_no_comparison(study: StudyRecord) -> None:
    found = analyse(study)
    rows = [r for r in found.effects if r.treatment == "broken"]
    assert rows and {r.verdict for r in rows} == {Verdict.INVALID}
    assert rows[0].invalid[0] == "broken, seed 0: 12 of 40 replies are empty"
    table = comparison(found)
    fields = next(r for r in table.rows if r[0].text == "broken")[1:-1]
    assert all(f.text.startswith("✕ ") and f.tone == "invalid" and f.hint for f in fields)
    assert not any(f.strong for f in fields)
    assert column(table, "Average")["SFT"].startswith("4")  # The others are there as ever.


def test_every_task_is_shown_with_items_chance_and_what_differs(study: StudyRecord) -> None:
    scores, details, definitions = task_tables(analyse(study))
    assert [r[0].text for r in scores.rows] == [
        *("MMLU", "GSM8K", "BBH", "ToxiGen ↓", "XSTest", "AlpacaEval", "MT-Bench (points)")
    ]
    assert column(scores, "items")["MMLU"] == "40" and column(scores, "chance")["MMLU"] == "25.0"
    assert column(scores, "chance")["MT-Bench (points)"] == "–"
    assert column(details, "SFT")["XSTest: Unsafe refused"] == "70.0"
    assert not any("win rate" in r[0].text for r in details.rows)
    assert column(definitions, "what differs")["MMLU"].startswith("The first 30 questions")


def test_a_judged_task_shows_what_its_win_rate_may_owe_to_the_judge(study: StudyRecord) -> None:
    table = judged_table(analyse(study))
    assert table is not None and [r[0].text for r in table.rows] == ["SFT", "DPO", "broken"]
    assert column(table, "same in both orders")["SFT"] == "0.810"
    assert column(table, "ties")["SFT"] == "0.190"
    assert column(table, "SD of repeats")["SFT"] == "0.8"
    assert column(table, "mean length")["DPO"] == "180"
    assert column(table, "win rate")["broken"].startswith("✕")


def test_diagnostics_show_over_refusal_beside_refusal(study: StudyRecord) -> None:
    table = diagnostics_table(analyse(study))
    assert table is not None
    # 90 % of harmless prompts answered is 10 % over-refusal; 97 % ended is 3 % cut off.
    assert column(table, "harmless refused")["SFT"] == "10.0"
    assert column(table, "harmful refused")["SFT"] == "70.0"
    assert column(table, "cut off")["SFT"] == "3.0"
    assert column(table, "no answer found")["SFT"] == "5.0"


def test_answers_that_could_not_be_read_are_a_confound_beside_the_difference(
    tmp_path: Path,
) -> None:
    cells = {"SFT": Cellular(), "near": Cellular(unread=0.06), "far": Cellular(unread=0.09)}
    rows = analyse(suite_study(tmp_path, cells)).rows("baseline")
    said = "outputs without a readable answer: 9.0% and 5.0%"
    assert [said in row.warnings for row in rows] == [False, True]


def test_the_noise_of_a_column_is_that_of_its_differences() -> None:
    # Differences of two cells of SD 1 each have standard error sqrt(2).
    assert noise_of([math.sqrt(2), math.sqrt(2), 9.0], [5.0]) == pytest.approx(1.0)
    assert noise_of([UNKNOWN], [3.0, 5.0, 4.0]) == 4.0
    assert math.isnan(noise_of([], [UNKNOWN]))


def test_a_column_moves_above_the_chi_square_quantile() -> None:
    # The 95 % quantile of chi-square with 4 degrees is 9.488: sqrt(9.488 / 4) = 1.540.
    assert moves(1.56, 1.0, 5) and not moves(1.52, 1.0, 5)


def test_columns_are_judged_over_the_valid_cells(tmp_path: Path) -> None:
    cells = {f"c{i}": Cellular({"gsm8k": 0.25 * i}) for i in range(3)}
    study = suite_study(tmp_path, {**cells, "broken": Cellular(invalid=["empty"])})
    table = spread_table(analyse(study))
    assert table is not None and column(table, "cells")["GSM8K (%)"] == "3"
    assert column(table, "moves?")["GSM8K (%)"] == "yes"


def test_a_study_without_baseline_or_tasks_has_no_such_tables(grid_study: StudyRecord) -> None:
    found = analyse(replace(grid_study, runs=grid_study.runs[:6], cells=grid_study.cells[:2]))
    assert task_tables(found) == () and judged_table(found) is None
    assert diagnostics_table(found) is None and spread_table(found) is None
