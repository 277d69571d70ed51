"""Two levels compared pair by pair, on published numbers and on own cells."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from ablate.reporting.findings import Findings, analyse
from ablate.reporting.latex import latex_table
from ablate.reporting.over_pairs import over_pairs
from ablate.reporting.pair_tables import duel_table, pair_sentences, pair_tables
from ablate.reporting.records import StudyRecord
from ablate.reporting.tables import Cell, Table
from ablate.spec.analysis import Analysis, DeclaredContrast
from ablate.stats.verdicts import Verdict

from . import builders
from .published_builders import duel, published_run

# Ivison et al. 2024 (arXiv:2406.09279), Table 2: factuality, reasoning, coding, truthfulness,
# safety, instruction following.
TABLE_2 = {
    ("StackExchange", "dpo"): (55.3, 47.8, 42.4, 56.2, 92.0, 46.7),
    ("StackExchange", "ppo"): (55.1, 47.8, 46.4, 54.2, 92.6, 47.4),
    ("ChatArena (2023)", "dpo"): (55.4, 50.2, 45.9, 58.5, 67.3, 50.8),
    ("ChatArena (2023)", "ppo"): (55.2, 49.2, 46.4, 55.8, 79.4, 49.7),
    ("HH-RLHF", "dpo"): (55.2, 47.6, 44.2, 60.0, 93.4, 46.6),
    ("HH-RLHF", "ppo"): (54.9, 48.6, 45.9, 58.0, 92.8, 47.0),
    ("Nectar", "dpo"): (55.6, 45.8, 39.0, 68.1, 93.3, 48.4),
    ("Nectar", "ppo"): (55.2, 51.2, 45.6, 60.1, 92.6, 47.4),
    ("UltraFeedback (FG)", "dpo"): (55.3, 50.9, 45.9, 69.3, 91.9, 52.8),
    ("UltraFeedback (FG)", "ppo"): (56.0, 52.0, 47.7, 71.5, 91.8, 54.4),
}


@pytest.fixture(scope="module")
def paper(tmp_path_factory: pytest.TempPathFactory) -> Findings:
    return analyse(duel(tmp_path_factory.mktemp("paper"), TABLE_2))


@pytest.fixture(scope="module")
def grid(grid_study: StudyRecord) -> Findings:
    return analyse(grid_study)


def block(table: Table, title: str) -> dict[str, dict[str, Cell]]:
    """Return the rows of a group by head, each by column."""
    rows = dict(table.blocks)[title]
    return {row[0].text: dict(zip(table.columns[1:], row[1:], strict=True)) for row in rows}


def test_the_published_duel_has_the_mean_interval_and_p_of_its_reanalysis(paper: Findings) -> None:
    # statistics_and_reports.md 2.9: mean +0.67, t 2.73 on 4 degrees, p .053, [-0.01, +1.35].
    over = over_pairs(paper, "algorithm", paper.evidence.metrics["average"])
    assert over.mean.value == pytest.approx(0.67, abs=0.005)
    assert over.mean.value / over.mean.standard_error == pytest.approx(2.73, abs=0.01)
    assert over.mean.p_value == pytest.approx(0.053, abs=0.0005)
    assert (over.mean.low, over.mean.high) == pytest.approx((-0.01, 1.35), abs=0.005)
    # Two-sided over five wins and no loss: 2 / 2^5.
    assert (over.wins, over.groups) == (5, 5)
    assert over.sign_p == pytest.approx(0.0625)
    assert over.verdict is Verdict.INCONCLUSIVE


@pytest.mark.parametrize(
    ("category", "mean", "p_holm"),
    [
        ("factuality", -0.08, 1),
        ("reasoning", 1.30, 1),
        ("coding", 2.92, 0.32),
        ("truthfulness", -2.50, 1),
        ("safety", 2.26, 1),
        ("instruction_following", 0.12, 1),
    ],
)
def test_no_category_of_the_published_duel_survives_holm(
    paper: Findings, category: str, mean: float, p_holm: float
) -> None:
    over = over_pairs(paper, "algorithm", paper.evidence.metrics[category])
    assert over.mean.value == pytest.approx(mean, abs=0.006)
    assert over.p_adjusted == pytest.approx(p_holm, abs=0.006)
    # Factuality's [-0.63, +0.47] lies inside the margin of one point, which decides nothing either.
    assert over.verdict in (Verdict.INCONCLUSIVE, Verdict.EQUIVALENT)


def test_the_sentence_on_the_published_duel_says_inconclusive(paper: Findings) -> None:
    (said,) = pair_sentences(paper)
    assert said == (
        "Over 5 pairs, PPO minus DPO averages +0.67 [−0.01, +1.35] points: inconclusive (t test p"
        " 0.053). PPO is better in 5 of 5 (exact sign test p 0.062)."
    )


def test_a_delta_is_of_unrounded_averages_and_a_tie_is_bold_twice(paper: Findings) -> None:
    table = duel_table(paper)
    assert table is not None
    rows = block(table, "StackExchange")
    # 56.7333 and 57.25: the printed 56.7 and 57.2 would differ by 0.5 as well, their sum by 3.1/6.
    assert rows["Δ"]["Average (%)"].sort == pytest.approx(3.1 / 6)
    assert rows["Δ"]["Average (%)"].slanted
    assert [rows[way]["Reasoning (%)"].strong for way in ("DPO", "PPO")] == [True, True]
    assert [rows[way]["Coding (%)"].strong for way in ("DPO", "PPO")] == [False, True]


def test_published_pairs_carry_a_badge_no_interval_and_no_shade(paper: Findings) -> None:
    table = duel_table(paper)
    assert table is not None
    rows = table.blocks[0][1]
    assert [row[0].sub for row in rows] == ["published", "published", ""]
    assert {cell.tone for row in rows for cell in row} == {""}
    assert any("A paper, Table 2" in note for note in table.notes)


def test_the_last_block_has_mean_wins_tests_and_verdict(paper: Findings) -> None:
    table = duel_table(paper)
    assert table is not None
    rows = block(table, "Over 5 pairs")
    assert rows["mean Δ"]["Average (%)"].text == "+0.67"
    assert rows["mean Δ"]["Average (%)"].sub == "[−0.01, +1.35]"
    assert rows["PPO better in"]["Average (%)"].text == "5 of 5"
    assert rows["sign test p"]["Average (%)"].text == "0.062"
    assert rows["t test p"]["Average (%)"].text == "0.053"
    assert rows["p, Holm over categories"]["Coding (%)"].text == "0.323"
    assert rows["verdict on the mean"]["Average (%)"].text == "? inconclusive"
    assert latex_table(table).count(r"\midrule") == 6


def test_pairs_that_share_a_cell_count_once(tmp_path: Path) -> None:
    # One DPO cell with two PPO cells (+2 and +4 on every category), another pair at +1: the
    # replicates are 3 and 1, so the mean is 2 and not 7/3.
    runs = {
        ("a", "dpo"): (50.0,) * 6,
        ("a", "ppo"): (52.0,) * 6,
        ("b", "dpo"): (50.0,) * 6,
        ("b", "ppo"): (51.0,) * 6,
    }
    study = duel(tmp_path / "one", runs)
    levels = {"dataset": "a", "algorithm": "ppo", "prompts": "mixed"}
    more = published_run(tmp_path / "two", "a, ppo, mixed", (54.0,) * 6, levels)
    cells = (*study.cells, more.cell)
    found = analyse(replace(study, runs=(*study.runs, more), cells=cells, design="grid"))
    over = over_pairs(found, "algorithm", found.evidence.metrics["average"])
    assert (over.pairs, over.groups) == (3, 2)
    assert over.mean.value == pytest.approx(2.0)


def test_own_pairs_have_intervals_and_shades_from_their_verdicts_alone(grid: Findings) -> None:
    table = duel_table(grid)
    assert table is not None
    deltas = [row for row in table.rows if row[0].text == "Δ"]
    assert len(deltas) == 3
    for row, pair in zip(deltas, grid.rows("algorithm"), strict=True):
        field = row[table.columns.index("Average (%)")]
        assert field.sort == pair.effect.value and (field.low, field.high) == (
            pair.shown.low,
            pair.shown.high,
        )
        expected = {Verdict.BETTER: "better", Verdict.WORSE: "worse"}.get(pair.verdict, "")
        assert field.tone == expected


def test_a_declared_factor_has_blocks_of_its_own(tmp_path: Path) -> None:
    entry = DeclaredContrast(factor="dataset", treatment="ai-fine", control="human-noisy")
    size = builders.Size(seeds=2, items=20)
    study = builders.grid(tmp_path, size, analysis=Analysis(contrasts=(entry,)))
    found = analyse(study)
    tables = {table.name: table for table in pair_tables(found)}
    assert list(tables) == ["pairs-declared-1", "dpo-vs-ppo"]
    heads = [row[0].text for row in tables["pairs-declared-1"].rows[:3]]
    assert heads == ["human-noisy", "ai-fine", "Δ"]
    assert "Declared before the results: Average." in " ".join(tables["pairs-declared-1"].notes)
    assert "Exploratory" in " ".join(tables["dpo-vs-ppo"].notes)


def test_a_study_without_pairs_has_no_such_table(reward_study: StudyRecord) -> None:
    found = analyse(reward_study)
    assert pair_tables(found) == () and duel_table(found) is None
