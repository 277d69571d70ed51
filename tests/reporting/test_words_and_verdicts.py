"""Sentences are no stronger than the verdicts behind them."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from ablate.reporting.answers import answers
from ablate.reporting.effect_tables import family_table
from ablate.reporting.effects import Basis
from ablate.reporting.figures.bars import Bars
from ablate.reporting.findings import Findings, analyse
from ablate.reporting.markdown import escape
from ablate.reporting.marks import best_of
from ablate.reporting.methods import methods
from ablate.reporting.pair_tables import pair_sentences
from ablate.reporting.ranking import ranking_of
from ablate.reporting.ranking_tables import benchmark_table
from ablate.reporting.records import StudyRecord
from ablate.reporting.scope import scope_of
from ablate.reporting.scores_comparison import comparison
from ablate.reporting.sections.factorial import section as factors
from ablate.reporting.sections.ranking import band
from ablate.reporting.step_figures import duel
from ablate.reporting.summary import observed
from ablate.reporting.tables import Cell, sight
from ablate.spec.analysis import Analysis, DeclaredContrast
from ablate.stats.estimate import Estimate
from ablate.stats.verdicts import Verdict
from tests.reporting.builders import Fake, Size, grid, study_of, write_json
from tests.reporting.suite_builders import Cellular, suite_study

BASE = {"treatment": "ppo ai-fine", "control": "base"}


@pytest.fixture(scope="module")
def several(tmp_path_factory: pytest.TempPathFactory) -> StudyRecord:
    return grid(tmp_path_factory.mktemp("several"), Size(seeds=3, items=32, seed_sd=0.02))


@pytest.fixture(scope="module")
def single(tmp_path_factory: pytest.TempPathFactory) -> StudyRecord:
    return grid(tmp_path_factory.mktemp("single"), Size(seeds=1, items=32))


def under(study: StudyRecord, **analysis: object) -> Findings:
    return analyse(replace(study, analysis=Analysis.model_validate(analysis)))


def said(found: Findings, pattern: str) -> Sequence[str]:
    return [sentence for sentence in observed(found) if re.search(pattern, sentence)]


def test_the_largest_gain_is_the_lowest_score_where_less_is_better(tmp_path: Path) -> None:
    """Toxic replies: 20 % of SFT's; "some" takes 15 points off, "all" all 20."""
    gains = {"SFT": 0.0, "some": -0.15, "all": -0.2}
    cells = {name: Cellular({"toxigen": gain}, seeds=(0, 1, 2)) for name, gain in gains.items()}
    study = suite_study(tmp_path, cells, items=400)
    found = under(study, primary="toxigen")
    assert [row.verdict for row in found.rows("baseline")] == [Verdict.BETTER] * 2
    (sentence,) = said(found, "largest decided gain")
    assert "is that of all: −" in sentence


def test_comparisons_that_no_study_declared_are_called_exploratory(several: StudyRecord) -> None:
    declared, own = under(several), under(several, contrasts=["baseline"])
    (plain,), (marked,) = pair_sentences(declared), pair_sentences(own)
    assert plain.startswith("Over 3 pairs") and marked.startswith("Exploratory: over 3 pairs")
    for found, lead in ((declared, ""), (own, "Exploratory. ")):
        table = family_table(found, "algorithm")
        assert table is not None and table.caption == f"{lead}PPO − DPO: Average"


def test_a_study_that_declares_nothing_does_not_say_that_nothing_finished(
    several: StudyRecord,
) -> None:
    first = observed(under(several, contrasts=[]))[0]
    assert first.startswith("No comparison that the study declares") and "exploratory" in first
    assert not said(under(several, contrasts=[]), "has finished yet")


def test_a_range_is_not_borne_out_by_an_interval_over_items_of_one_seed(
    single: StudyRecord,
) -> None:
    """The interval over items lies inside 0 to 60, but says nothing about recipes."""
    entry = DeclaredContrast(**BASE, expect=(0.0, 60.0))
    found = under(single, contrasts=[entry])
    (row,) = found.rows("declared-1")
    assert row.basis is Basis.ITEMS and 0 < row.shown.low < row.shown.high < 60
    (answer,) = answers(found)
    assert answer.agreement == "undecided"
    assert answer.observed.endswith("(these checkpoints only): inconclusive")
    # A study that claims checkpoints only asks for no more.
    (answer,) = answers(under(single, contrasts=[entry], claim="checkpoints"))
    assert answer.agreement == "as expected"


def test_a_borrowed_spread_over_seeds_is_not_called_one_seed(single: StudyRecord) -> None:
    plain, lent = under(single), under(single, seed_sd=1.0)
    count = len([row for row in plain.effects if row.confirmatory])
    assert said(plain, "one seed a side")[0].startswith(f"{count} comparisons rest on one seed")
    assert not said(lent, "one seed a side")


def test_a_metric_in_another_unit_is_not_told_in_points(single: StudyRecord) -> None:
    found = under(single, primary="gold", margin=0.05)
    (sentence,) = said(found, "one seed a side")
    assert re.search(r"see 0\.\d{3} reward\.$", sentence)
    assert any("primary metric gold, margin 0.05 (reward)" in text for text in methods(found))


def test_better_is_explained_for_a_metric_without_good_direction(several: StudyRecord) -> None:
    found = under(several, primary="kl_per_sequence_nats")
    assert observed(found)[0].startswith("KL to SFT has no good direction")
    assert not said(under(several), "no good direction")


def test_seeds_that_have_not_finished_are_in_no_interval(several: StudyRecord) -> None:
    """Three seeds are planned; the intervals of the first hold no spread over seeds."""
    runs = [
        run if run.seed == 0 else replace(run, artifacts={}, fingerprints={}, missing="not started")
        for run in several.runs
    ]
    found = analyse(replace(several, runs=tuple(runs)))
    assert scope_of(found).startswith("Intervals hold the spread over evaluation items only")
    assert "over seeds of" in scope_of(analyse(several))


def test_a_ranking_of_one_seed_is_about_checkpoints(
    several: StudyRecord, single: StudyRecord
) -> None:
    known = ranking_of(analyse(several)), ranking_of(analyse(single))
    sure, few = (band(one, "average") for one in known if one is not None)
    assert "(exploratory)." in sure and "checkpoints" not in sure
    assert few.endswith("(exploratory). With one seed this is about these checkpoints.")


def test_a_pair_in_two_families_needs_the_seeds_of_the_stricter_one(several: StudyRecord) -> None:
    entry = DeclaredContrast(treatment="ppo ai-fine", control="SFT")
    found = under(several, contrasts=["baseline", entry], margin=6.0)
    (alone,) = found.rows("declared-2")
    beside = next(r for r in found.rows("baseline") if r.treatment == "ppo ai-fine")
    only = under(several, contrasts=[entry], margin=6.0).rows("declared-1")[0]
    # At Holm's alpha / 8 of its family more seeds are needed than for the same pair by itself.
    assert only.seeds_to_resolve is not None and beside.seeds_to_resolve is not None
    assert only.seeds_to_resolve < alone.seeds_to_resolve == beside.seeds_to_resolve


def test_a_margin_is_printed_as_declared_and_never_rounded(single: StudyRecord) -> None:
    """0.05 points are not 0.1."""
    table = sight(under(single, primary="gold", margin=0.05))
    assert table is not None
    margins = {row[0].text: row[5].text for row in table.rows}
    assert margins["Average"] == margins["Gold reward (primary)"] == "0.05"


def test_bars_of_another_unit_are_no_percentages(single: StudyRecord) -> None:
    drawn = duel(under(single, primary="gold", margin=0.05))
    assert drawn is not None
    said = drawn.svg.decode()
    assert "Gold reward (reward)" in said and "(points)" not in said
    assert re.search(r"PPO: 0\.\d{3}\.", drawn.alt)


def test_negative_scores_stand_below_the_axis() -> None:
    scores = {("DPO", "x"): Estimate(-2.0, -3.0, -1.0), ("PPO", "x"): Estimate(-1.0, -1.5, -0.5)}
    bars = Bars(["x"], ["DPO", "PPO"], scores, {}, 0.0, "gold", "difference", unit="reward")
    assert bars.bottom == pytest.approx(-3.3) and bars.top == 0.0


def test_pairs_of_one_label_keep_their_places(tmp_path: Path) -> None:
    """Two PPO cells beside one DPO cell of the same data: neither hides the other."""
    levels = {"dataset": "d"}
    fakes = [
        Fake("one", {"algorithm": "dpo", **levels}),
        *(Fake(name, {"algorithm": "ppo", **levels}) for name in ("two", "three")),
    ]
    drawn = duel(analyse(study_of(tmp_path, fakes, Size(2, 16), baseline="one")))
    assert drawn is not None
    assert "two − one" in drawn.svg.decode() and "three − one" in drawn.svg.decode()


def test_a_study_without_baseline_names_none(single: StudyRecord) -> None:
    table = comparison(analyse(replace(single, baseline="")))
    assert not any("baseline's levels" in note for note in table.notes)
    levels = {"ppo ai-fine": "dpo ai-fine"}
    table = comparison(analyse(replace(single, baseline=levels)))
    assert any("baseline's levels" in note for note in table.notes)


def test_dollars_of_a_name_make_no_formula_in_markdown() -> None:
    assert escape("a $x$ | <b>") == r"a \$x\$ \| \<b\>"


def test_nothing_undefined_is_printed_as_nan(tmp_path: Path) -> None:
    """All cells score alike in every run: no share, no ratio and no best cell is defined."""
    study = grid(tmp_path, Size(seeds=2, items=16))
    for run in study.runs:
        folder = run.artifacts["evaluation"]
        assert folder is not None
        scores = json.loads((folder / "scores.json").read_text())
        scores["metrics"] = [{**row, "value": 50.0} for row in scores["metrics"]]
        write_json(folder / "scores.json", scores)
        (folder / "samples.jsonl").unlink()
    found = analyse(study)
    said = " ".join(factors(found).text)
    assert "dataset – (p = –)" in said
    table = benchmark_table(found)
    assert table is not None
    assert {row[-1].text for row in table.rows} == {"–"}
    words = [cell.text for row in table.rows for cell in row]
    assert not [word for word in [*words, said] if re.search(r"\bnan\b", word)]


def test_an_undefined_number_takes_no_part_in_sorting_and_bold(several: StudyRecord) -> None:
    metric = analyse(several).evidence.metrics["average"]
    fields = best_of(
        [Cell("–", sort=math.nan), Cell("1.0", sort=1.0), Cell("2.0", sort=2.0)], metric
    )
    assert fields[0].sort is None and [field.strong for field in fields] == [False, False, True]


def test_a_figure_of_what_was_not_declared_says_so(several: StudyRecord) -> None:
    declared, own = duel(under(several)), duel(under(several, contrasts=["baseline"]))
    assert declared is not None and own is not None
    assert own.caption == f"Exploratory: not declared before the results. {declared.caption}"
