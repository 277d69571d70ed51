"""The tables and slides of Ivison et al. 2024, rendered again from their published numbers.

Expected values are worked out by hand from the printed tables: deltas of categories, averages as
the unweighted mean of six categories, the paired t test over five data sets.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from ablate.evals.imports.stage import run as import_results
from ablate.plan.build import plan_study
from ablate.reporting.collect import study_record
from ablate.reporting.dataset_table import dataset_table
from ablate.reporting.findings import Findings, analyse
from ablate.reporting.over_pairs import over_pairs
from ablate.reporting.pair_tables import duel_table
from ablate.reporting.reward_models import three_ways
from ablate.reporting.step_figures import step_frames
from ablate.reporting.summary import observed
from ablate.reporting.tables import Cell, Table
from ablate.spec.load import load_study
from ablate.stats.verdicts import Verdict
from ablate.store.layout import Store
from ablate.store.workspace import Workspace
from tests.stored_toys import commit

STUDIES = Path(__file__).parents[1] / "studies"


def findings(name: str, root: Path) -> Findings:
    """Import a study's rows as its jobs do, and analyse them."""
    loaded = load_study(STUDIES / f"{name}.yaml")
    plan, store = plan_study(loaded), Store(root)
    store.create()
    for job in plan.jobs:
        folder = store.artifact(job.stage, job.fingerprint)
        folder.mkdir(parents=True)
        import_results(Workspace(job.stage, job.config, {}, folder, root / "scratch"))
        commit(folder, job.stage, job.config.model_dump(mode="json"))
    return analyse(study_record(loaded, plan, store))


@pytest.fixture(scope="module")
def table_1(tmp_path_factory: pytest.TempPathFactory) -> Findings:
    return findings("ivison_table1", tmp_path_factory.mktemp("table1"))


@pytest.fixture(scope="module")
def table_2(tmp_path_factory: pytest.TempPathFactory) -> Findings:
    return findings("ivison_table2", tmp_path_factory.mktemp("table2"))


def row(table: Table | None, head: str) -> dict[str, Cell]:
    assert table is not None
    cells = next(cells for cells in table.rows if cells[0].text.startswith(head))
    return dict(zip(table.columns, cells, strict=True))


def test_bold_is_the_maximum_and_not_the_slide_s_hand(table_1: Findings) -> None:
    table = dataset_table(table_1)
    # The slide prints Factuality 55.6 of UltraFeedback (overall) in bold; 55.7 stands twice.
    assert not row(table, "UltraFeedback (overall)")["Factuality (%)"].strong
    assert row(table, "StackExchange")["Factuality (%)"].strong
    assert row(table, "Chatbot Arena (2024)")["Factuality (%)"].strong
    assert row(table, "UltraFeedback (fine")["Average (%)"].strong


def test_shading_needs_a_verdict_and_not_an_eye(table_1: Findings) -> None:
    table = dataset_table(table_1)
    # Coding 45.1 -> 40.3 is shaded orange on the slide. With a standard error of 2.3 a side the
    # difference has 3.25: -4.8 is 1.5 of them. Safety 91.8 -> 67.3 is 24.5 / 1.2 of them.
    assert row(table, "SHP-2")["Coding (%)"].tone not in ("better", "worse")
    assert row(table, "Chatbot Arena (2023)")["Safety (%)"].tone == "worse"
    # HH-RLHF's Safety +1.3 is shaded blue on the slide: 1.3 / 1.2.
    assert row(table, "HH-RLHF")["Safety (%)"].tone not in ("better", "worse")


def test_rows_stand_in_their_groups_with_the_baselines_on_top(table_1: Findings) -> None:
    table = dataset_table(table_1)
    assert table is not None
    assert [group.title for group in table.groups] == ["", "Web", "Human", "Synthetic"]
    assert [cells[0].text for cells in table.rows[:2]] == ["Llama 2 base", "Tulu 2 (SFT)"]
    assert len(table.rows) == 16


def test_deltas_are_of_unrounded_averages(table_2: Findings) -> None:
    rows = {r.control.removeprefix("DPO "): r for r in table_2.rows("algorithm")}
    # StackExchange: 57.3 - 56.7 of the printed averages is 0.6; (343.5 - 340.4) / 6 is 0.517.
    assert rows["StackExchange"].effect.value == pytest.approx(3.1 / 6)
    # UltraFeedback: 1.2, which the slide's caption takes for the mean of all five.
    assert rows["UltraFeedback (fine-grained)"].effect.value == pytest.approx(7.3 / 6)


def test_ppo_over_dpo_is_inconclusive_over_five_data_sets(table_2: Findings) -> None:
    metric = table_2.evidence.metric("average")
    assert metric is not None
    over = over_pairs(table_2, "algorithm", metric)
    # (3.1 + 7.6 + 0.2 + 1.9 + 7.3) / 6 over 5 sets, with t(4) intervals.
    assert over.mean.value == pytest.approx(20.1 / 30, abs=5e-3)
    assert (over.mean.low, over.mean.high) == pytest.approx((-0.01, 1.35), abs=6e-3)
    assert over.mean.p_value == pytest.approx(0.053, abs=5e-4)
    assert over.verdict is Verdict.INCONCLUSIVE and (over.wins, over.groups) == (5, 5)
    said = " ".join(observed(table_2))
    assert "averages +0.67" in said and "inconclusive (t test p 0.053)" in said
    assert "1.2" not in said.split("averages", 1)[1].split(".", 2)[0]


def test_no_category_survives_correction(table_2: Findings) -> None:
    table = duel_table(table_2)
    holm = row(table, "p, Holm")
    shown = [holm[name].text for name in table.columns[1:7]]  # type: ignore[union-attr]
    order = ["Factuality", "Reasoning", "Coding", "Truthfulness", "Safety", "Inst. following"]
    assert table is not None and [name.split(" (")[0] for name in table.columns[1:7]] == order
    assert [float(text) for text in shown] == pytest.approx([1, 1, 0.32, 1, 1, 1], abs=6e-3)


def test_reward_models_rank_otherwise_by_each_evaluation(tmp_path: Path) -> None:
    found = findings("ivison_table3", tmp_path)
    table = three_ways(found)
    assert row(table, "13B Mix RM")["RewardBench (%)"].strong
    assert table is not None
    ranks = [cells for cells in table.rows if "ρ" in "".join(cell.text for cell in cells)]
    # Ranks 1 4 2 3 by RewardBench and 1 2 4 3 by best-of-N: 1 - 6 * 8 / 60 = 0.2.
    assert any("0.20" in cell.text for cells in ranks for cell in cells)


def test_the_slides_reveal_one_series_a_frame(tmp_path: Path) -> None:
    found = findings("ivison_steps", tmp_path)
    assert found.study.rungs == found.study.cells and len(found.study.rungs) == 7
    assert len(step_frames(found)) == 7
