"""Reward models by size and data: the leaders of each column, and a paper's numbers."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from ablate.reporting.block_tables import reward_difference
from ablate.reporting.findings import analyse
from ablate.reporting.records import RunRecord, StudyRecord
from ablate.reporting.reward_models import three_ways
from ablate.reporting.tables import Table

from .builders import Fake, write_json, write_manifest
from .published_builders import SOURCE, published_study

# Table 3 of Ivison et al. 2024 (arXiv:2406.09279): RewardBench, best-of-N.
TABLE_3 = {
    ("UltraF.", "13B"): (61.0, 56.9),
    ("Mix", "13B"): (79.8, 58.3),
    ("UltraF.", "70B"): (73.6, 61.1),
    ("Mix", "70B"): (73.9, 60.6),
}


@pytest.fixture(scope="module")
def paper(tmp_path_factory: pytest.TempPathFactory) -> StudyRecord:
    root = tmp_path_factory.mktemp("paper")
    runs = []
    for (data, size), scores in TABLE_3.items():
        folder = root / f"{size}-{data}"
        metrics = [
            {
                **{"metric": name, "level": "task", "value": value, "n_items": 0},
                **{"direction": "higher", "unit": "percent"},
            }
            for name, value in zip(("rewardbench", "best_of_16"), scores, strict=True)
        ]
        write_manifest(folder, "imported", {}, Fake(folder.name, {}))
        write_json(folder / "scores.json", {"suite": "", "source": SOURCE, "metrics": metrics})
        levels = {"dataset": data, "reward_model.size": size}
        run = RunRecord(
            *(f"{size} {data} RM", levels, 0, f"{size} {data}", None, "imported", None),
            *({"evaluation": folder}, {"evaluation": folder.name}, None),
        )
        runs.append(run)
    return published_study(runs, root)


def table_of(study: StudyRecord) -> Table:
    table = three_ways(analyse(study))
    assert table is not None
    return table


def test_published_reward_models_have_the_rank_correlation_of_their_table(
    paper: StudyRecord,
) -> None:
    table = table_of(paper)
    # Ranks 1 4 2 3 and 1 2 4 3: squared differences 0 4 4 0, so 1 - 6 * 8 / (4 * 15) = 0.2.
    (row,) = table.blocks[-1][1]
    assert (row[0].sub, row[1].text) == ("with best of 16 (%)", "ρ +0.20")


def test_sizes_stand_under_their_data_and_each_column_has_its_best(paper: StudyRecord) -> None:
    table = table_of(paper)
    titles = [(title, [row[0].text for row in rows]) for title, rows in table.blocks[:2]]
    assert titles == [("UltraF.", ["13B", "70B"]), ("Mix", ["13B", "70B"])]
    bold = [[row[place].text for row in table.rows if row[place].strong] for place in (1, 2)]
    assert bold == [["79.8"], ["61.1"]]
    assert table.rows[0][0].sub == "published"


def test_a_score_within_the_noise_of_the_best_is_marked(reward_study: StudyRecord) -> None:
    found = analyse(reward_study)
    table = three_ways(found)
    assert table is not None
    place = table.columns.index("pair accuracy (%)")
    fields = {row[0].text: row[place] for _, rows in table.blocks[:-1] for row in rows}
    best = max(field.sort or 0.0 for field in fields.values())
    leader = next(
        run.cell
        for run in reward_study.runs
        if any(
            field.sort == best and name in run.cell.replace(", ", " · ").removesuffix(" RM")
            for name, field in fields.items()
        )
    )
    for cell in reward_study.cells[1:]:
        difference = reward_difference(found, leader, cell, "accuracy")
        if cell != leader and difference.p_value > 0.5:
            # Holm only raises a p, so a large one stays above 0.05.
            size = cell.split(", ")[1].removesuffix(" RM")
            group = dict(table.blocks)[cell.split(",")[0]]
            field = next(row[place] for row in group if row[0].text == size)
            assert field.text.endswith(" ~")
    assert any("~" in field.text for field in fields.values())


def test_pairs_of_other_data_are_not_paired(reward_study: StudyRecord, tmp_path: Path) -> None:
    one, other = reward_study.cells[1:3]
    found = analyse(reward_study)
    paired = reward_difference(found, one, other, "accuracy")
    runs = []
    for run in reward_study.runs:
        folder = run.folder("reward_evaluation")
        if run.cell == other and folder is not None:
            copy = tmp_path / f"copy-{run.seed}"
            copy.mkdir()
            for name in ("scores.json", "manifest.json"):
                (copy / name).write_text((folder / name).read_text())
            lines = (
                (folder / "samples.jsonl").read_text().replace('"doc_hash": "', '"doc_hash": "x')
            )
            (copy / "samples.jsonl").write_text(lines)
            run = replace(run, artifacts={**run.artifacts, "reward_evaluation": copy})
        runs.append(run)
    unpaired = reward_difference(
        analyse(replace(reward_study, runs=tuple(runs))), one, other, "accuracy"
    )
    assert unpaired.value == pytest.approx(paired.value)
    assert unpaired.degrees != paired.degrees and paired.n_items == 200
