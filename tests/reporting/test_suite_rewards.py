from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from ablate.reporting.artifacts import read_scores
from ablate.reporting.disagreements import MOST, disagreements
from ablate.reporting.evaluation_figures import epoch_trace
from ablate.reporting.evidence import Evidence
from ablate.reporting.findings import Findings, analyse
from ablate.reporting.frames import load_results
from ablate.reporting.rank_correlation import rank_correlation
from ablate.reporting.records import StudyRecord
from ablate.reporting.report import ReportFiles, build_report
from ablate.reporting.reward_models import alarms_of, reward_models, three_ways

from .builders import change, write_json
from .suite_builders import Cellular, add_epochs, add_rewards, suite_study
from .test_report import Page
from .test_table_formats import columns_of

CELLS = {
    "SFT": Cellular(seeds=(0,)),
    "A": Cellular({"gsm8k": 0.2}, seeds=(0,), words=150),
    "B": Cellular({"gsm8k": 0.4}, seeds=(0,), words=200),
    "broken": Cellular(invalid=["<i>no reply ended</i>"], seeds=(0,)),
}


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> StudyRecord:
    root = tmp_path_factory.mktemp("rewards")
    plain = suite_study(root, CELLS)
    rewarded = add_rewards(plain, root, {"SFT": 45.0, "A": 60.0, "B": 70.0, "broken": 80.0})
    return add_epochs(rewarded, root, [0.1, 0.3])


@pytest.fixture(scope="module")
def report(study: StudyRecord, tmp_path_factory: pytest.TempPathFactory) -> ReportFiles:
    return build_report(study, tmp_path_factory.mktemp("report"))


@pytest.mark.parametrize(
    ("left", "right"),
    [([1, 2, 3, 4], [1, 3, 2, 4]), ([1, 1, 2, 3, 4], [5, 4, 4, 2, 1]), ([1, 2, 2], [2, 2, 1])],
)
def test_rank_correlations_are_scipy_s_with_ties(left: list[float], right: list[float]) -> None:
    found = rank_correlation(left, right)
    assert found.spearman == pytest.approx(stats.spearmanr(left, right).statistic)
    assert found.kendall == pytest.approx(stats.kendalltau(left, right).statistic)
    assert found.n == len(left)


def test_a_rank_correlation_needs_three_pairs_and_spread() -> None:
    two = rank_correlation([1, 2, math.nan], [1, 2, 3])
    assert two.n == 2 and math.isnan(two.spearman) and math.isnan(two.kendall)
    assert math.isnan(rank_correlation([1, 1, 1], [1, 2, 3]).kendall)


def test_reward_models_stand_three_ways_with_their_rank_correlations(study: StudyRecord) -> None:
    table = three_ways(analyse(study))
    assert table is not None
    assert table.columns[1:] == (
        *("pair accuracy (%)", "RewardBench may 2024 chat (%)", "RewardBench may 2024 (%)"),
        *("best of 8 (gold reward)", "policy: Average (%)"),
        *("policy: GSM8K (%)", "policy: ToxiGen (%) ↓"),
    )
    accuracy = [row[1].text for row in table.rows[:4]]
    assert accuracy == ["45.0", "60.0", "70.0", "80.0"]
    # Best-of-8 was written as 1 - accuracy: the two rank the four models in opposite orders.
    last = {row[0].sub: row for row in table.rows[4:]}
    opposite = last["with best of 8 (gold reward)"][1]
    assert (opposite.text, opposite.sub) == ("ρ −1.00", "τ −1.00, n = 4")
    # The broken cell's policy has no valid score: three models remain.
    assert last["with policy: Average (%)"][1].sub.endswith("n = 3")
    assert table.rows[3][5].text == "–"


def test_two_reward_models_have_no_rank_correlation_and_the_table_says_so(
    study: StudyRecord,
) -> None:
    for cell in ("B", "broken"):
        run = study.runs_of(cell)[0]
        kept = {role: f for role, f in run.artifacts.items() if role != "reward_evaluation"}
        study = change(study, cell, 0, artifacts=kept)
    table = three_ways(analyse(study))
    assert table is not None
    assert (table.rows[-1][1].text, table.rows[-1][1].sub) == ("–", "n = 2")
    assert any("fewer than 3 reward models are undefined" in note for note in table.notes)


def test_cells_that_share_a_reward_model_are_one_row(study: StudyRecord) -> None:
    shared = study.runs_of("A")[0].artifacts["reward_evaluation"]
    run = study.runs_of("B")[0]
    study = change(study, "B", 0, artifacts={**run.artifacts, "reward_evaluation": shared})
    found = analyse(study)
    assert [model.cells for model in reward_models(found)] == [("SFT",), ("A", "B"), ("broken",)]
    table = three_ways(found)
    assert table is not None and table.rows[1][0].sub == "trains A; B"
    values = [found.evidence.values(cell, "average")[0] for cell in ("A", "B")]
    assert table.rows[1][5].sort == pytest.approx(sum(values) / 2)


def test_an_accuracy_on_people_s_labels_is_held_against_their_agreement(
    study: StudyRecord, report: ReportFiles
) -> None:
    table = three_ways(analyse(study))
    assert table is not None
    assert any(
        note.startswith("People agree with one another on 65 to 75 %") for note in table.notes
    )
    assert "reward-accuracy.svg" in {path.name for path in report.figures}


def test_a_generated_world_s_pairs_are_not_held_against_people(reward_study: StudyRecord) -> None:
    table = three_ways(Findings(reward_study, Evidence(reward_study), (), ()))
    assert table is not None and not any("People agree" in note for note in table.notes)


def test_alarms_stand_at_the_top_with_the_cells_they_concern(
    study: StudyRecord, report: ReportFiles
) -> None:
    (alarm,) = alarms_of(analyse(study))
    assert alarm == "Reward model of SFT: stars: 45.0 % of 40 pairs <b>under chance</b>"
    page = report.html.read_text()
    assert page.index('class="alarm"') < page.index("<nav")
    assert "<b>under chance" not in page and page.count('class="alarm"') == 2


def test_the_worst_disagreements_are_few_sorted_and_escaped(
    study: StudyRecord, report: ReportFiles
) -> None:
    shown = disagreements(analyse(study))
    assert len(shown) == MOST
    # The four models disagree on the same pairs, so each pair is shown once, the worst first.
    assert [pair.scores[1] for pair in shown[:2]] == ["14.5", "13.5"]
    assert len({pair.rejected for pair in shown}) == MOST
    page = report.html.read_text()
    assert "<script>the moon" not in page and "&lt;script&gt;the moon 14" in page
    section = page.split('<section id="reward-models"')[1].split("</section>")[0]
    assert section.count('<details class="card">') == MOST
    assert "<script>" not in report.markdown.read_text()


def test_an_invalid_cell_is_counted_named_and_in_the_results(report: ReportFiles) -> None:
    page = Page(report.html.read_text())
    assert "4 of 4 runs complete, 1 invalid; 4 cells" in page.text
    assert "no comparison with them: broken." in page.text
    assert "<i>no reply ended</i>" in page.text
    assert all(tag != "i" for tag, _ in page.tags)
    assert "invalid_reason" in report.results.read_text().splitlines()[0]


def test_every_table_of_the_page_has_equal_rows_in_latex(report: ReportFiles) -> None:
    names = {path.stem for path in report.tables}
    assert {"tasks", "task-definitions", "judged", "diagnostics", "reward-three-ways"} <= names
    for path in report.tables:
        rows = [line for line in path.read_text().splitlines() if line.endswith(r"\\")]
        assert len({columns_of(row) for row in rows}) == 1, path.name


def test_checkpoints_are_drawn_by_epoch_with_the_last_evaluation_at_the_end(
    study: StudyRecord, report: ReportFiles
) -> None:
    found = analyse(study)
    trace = epoch_trace(found, "A", ["gsm8k", "average"])
    assert trace is not None and list(trace.epochs) == [1, 2, 3]
    stored = []
    for role in ("evaluation_checkpoint_1", "evaluation_checkpoint_2", "evaluation"):
        folder = study.runs_of("A")[0].folder(role)
        assert folder is not None
        stored.append(read_scores(folder).rows["gsm8k"].value)
    np.testing.assert_array_equal(trace.values["gsm8k"], [stored])
    assert epoch_trace(found, "SFT", ["average"]) is None
    assert "evaluation-epochs.svg" in {path.name for path in report.figures}
    stages = set(load_results(study).stage)
    assert {"evaluation_checkpoint_1", "evaluation_checkpoint_2"} <= stages


def test_checkpoints_stand_at_equal_distances_up_to_the_last_epoch(
    study: StudyRecord, tmp_path: Path
) -> None:
    run = study.runs_of("A")[0]
    write_json(
        tmp_path / "p" / "manifest.json",
        {
            **{"schema": 1, "fingerprint": "p", "stage": "policy", "config_class": "Dpo"},
            **{
                "config": {"epochs": 6, "checkpoints": 3},
                "inputs": {},
                "files": {},
                "attempt": 1,
                "engine": "local",
            },
            **{"study": "s", "code": "c", "started": 0.0, "ended": 1.0, "wall_seconds": 1.0},
        },
    )
    changed = change(study, "A", 0, artifacts={**run.artifacts, "policy": tmp_path / "p"})
    trace = epoch_trace(analyse(changed), "A", ["average"])
    assert trace is not None and list(trace.epochs) == [2, 4, 6]


def test_win_rates_are_drawn_against_length(report: ReportFiles) -> None:
    drawn = next(path for path in report.figures if path.name == "win-rate-length.svg")
    assert "mean length / reference" in drawn.read_text()
    alt = next(
        a["alt"]
        for tag, a in Page(report.html.read_text()).tags
        if tag == "img" and "times" in str(a.get("alt"))
    )
    assert "B" in str(alt) and "at 2.00 times" in str(alt) and "broken" not in str(alt)
