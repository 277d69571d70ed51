"""The data ablation table: published rows of a paper, and own cells."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest

from ablate.reporting.dataset_table import dataset_table
from ablate.reporting.findings import analyse
from ablate.reporting.latex import latex_table
from ablate.reporting.records import StudyRecord
from ablate.reporting.tables import Cell, Table, invalid_text

from . import builders
from .builders import Fake, Size
from .published_builders import published_run, published_study
from .suite_builders import Cellular, suite_study

# Rows of Table 1 of Ivison et al. 2024 (arXiv:2406.09279): pairs, then factuality, reasoning,
# coding, truthfulness, safety, instruction following.
SFT = (55.4, 47.8, 45.1, 56.6, 91.8, 44.2)
ROWS = {
    ("Web", "SHP-2"): (500_000, (55.4, 47.7, 40.3, 62.2, 90.4, 45.6)),
    ("Web", "StackExchange"): (500_000, (55.7, 46.8, 39.6, 67.4, 92.6, 44.6)),
    ("Human", "Chatbot Arena (2024)"): (34_269, (55.7, 50.4, 37.7, 56.7, 58.1, 50.7)),
    ("Human", "HH-RLHF"): (158_530, (54.7, 46.0, 43.6, 65.6, 93.1, 45.4)),
    ("Synthetic", "Nectar"): (180_099, (55.3, 47.8, 43.2, 68.2, 93.1, 47.8)),
    ("Synthetic", "UltraFeedback (FG)"): (60_908, (55.3, 50.9, 45.9, 69.3, 91.9, 52.8)),
}


@pytest.fixture(scope="module")
def paper(tmp_path_factory: pytest.TempPathFactory) -> StudyRecord:
    root = tmp_path_factory.mktemp("paper")
    runs = [published_run(root, "Tulu 2 (SFT)", SFT, {})]
    for (group, name), (pairs, scores) in ROWS.items():
        levels = {"dataset": name, "algorithm": "dpo"}
        run = published_run(root, f"DPO {name}", scores, levels, group=group)
        runs.append(replace(run, preferences=pairs))
    return published_study(runs, root, baseline="Tulu 2 (SFT)")


def table_of(study: StudyRecord, *, by_average: bool = False) -> Table:
    table = dataset_table(analyse(study), by_average=by_average)
    assert table is not None
    return table


def column(table: Table, title: str) -> dict[str, Cell]:
    place = table.columns.index(title)
    return {row[0].text: row[place] for row in table.rows}


def test_rows_stand_under_their_groups_with_the_starting_point_on_top(paper: StudyRecord) -> None:
    table = table_of(paper)
    titles = [(title, [row[0].text for row in rows]) for title, rows in table.blocks]
    assert titles == [
        ("", ["Tulu 2 (SFT)"]),
        ("Web", ["SHP-2", "StackExchange"]),
        ("Human", ["Chatbot Arena (2024)", "HH-RLHF"]),
        ("Synthetic", ["Nectar", "UltraFeedback (FG)"]),
    ]
    assert column(table, "# samples")["SHP-2"].text == "500,000"
    assert column(table, "# samples")["Tulu 2 (SFT)"].text == "–"


def test_bold_is_computed_with_all_of_a_tie(paper: StudyRecord) -> None:
    table = table_of(paper)
    bold = {title: [n for n, c in column(table, title).items() if c.strong] for title in TITLES}
    # The slide prints 55.6 of another row in bold; the column's largest is 55.7, twice.
    assert bold == {
        "Factuality (%)": ["StackExchange", "Chatbot Arena (2024)"],
        "Safety (%)": ["HH-RLHF", "Nectar"],
        "Average (%)": ["UltraFeedback (FG)"],
    }


TITLES = ("Factuality (%)", "Safety (%)", "Average (%)")


def test_published_rows_have_deltas_of_unrounded_averages_and_no_shade(paper: StudyRecord) -> None:
    table = table_of(paper)
    best = column(table, "Average (%)")["UltraFeedback (FG)"]
    # 366.1 / 6 and 340.9 / 6: 61.0167 - 56.8167 = 4.2.
    assert best.sort == pytest.approx(366.1 / 6)
    assert (best.text, best.sub, best.tone) == ("61.0", "+4.2", "muted")
    assert {cell.tone for row in table.rows for cell in row} <= {"", "muted"}
    assert table.rows[1][0].sub == "published"


def test_rows_of_a_group_can_be_sorted_by_their_average(paper: StudyRecord) -> None:
    table = table_of(paper, by_average=True)
    heads = [row[0].text for row in dict(table.blocks)["Human"]]
    # HH-RLHF: 348.4 / 6; Chatbot Arena: 309.3 / 6.
    assert heads == ["HH-RLHF", "Chatbot Arena (2024)"]


def test_the_latex_of_groups_is_booktabs(paper: StudyRecord) -> None:
    source = latex_table(table_of(paper))
    assert source.count(r"\midrule") == 4
    assert re.search(r"\\multicolumn\{9\}\{l\}\{\\textit\{Synthetic\}\}", source)


def test_own_cells_are_shaded_exactly_where_the_verdict_decides(tmp_path: Path) -> None:
    fakes = [
        Fake("SFT", {}, 0.0, kind="sft", kl_coef=None),
        Fake("noisy", {"dataset": "human-noisy", "algorithm": "dpo"}, 0.1),
        Fake("fine", {"dataset": "ai-fine", "algorithm": "dpo"}, 0.9),
    ]
    study = builders.study_of(tmp_path, fakes, Size(seeds=3, items=40))
    found = analyse(study)
    table = dataset_table(found)
    assert table is not None
    fields = column(table, "Average (%)")
    for name, cell in (("human-noisy", "noisy"), ("ai-fine", "fine")):
        row = next(r for r in found.rows("baseline") if r.treatment == cell)
        shades = {"better": "better", "worse": "worse"}
        assert fields[name].tone == shades.get(row.verdict.value, "muted")
        assert fields[name].sub.startswith(row.verdict.symbol)
    assert fields["ai-fine"].tone == "better"
    assert "mean length (tokens)" in table.columns


def test_several_algorithms_without_groups_have_no_such_table(grid_study: StudyRecord) -> None:
    assert dataset_table(analyse(grid_study)) is None


def test_seeds_of_one_reason_are_named_together(tmp_path: Path) -> None:
    cells = {"SFT": Cellular(), "broken": Cellular(invalid=["no reply ended"], seeds=(0, 1, 2))}
    found = analyse(suite_study(tmp_path, cells, items=5))
    assert invalid_text(found, "broken") == "seeds 0, 1 and 2: no reply ended"
    assert invalid_text(found, "SFT") == ""
