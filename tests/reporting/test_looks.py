"""Seeds that are added at declared looks: who goes on, what counts, and what the report says."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from ablate.reporting.contrasts import contrasts_of
from ablate.reporting.effect_tables import family_table
from ablate.reporting.effects import EffectRow
from ablate.reporting.evidence import Evidence
from ablate.reporting.findings import Findings, analyse
from ablate.reporting.looks import take_looks
from ablate.reporting.methods import methods
from ablate.reporting.records import RunRecord, StudyRecord
from ablate.reporting.report import build_report
from ablate.reporting.results import effects_of
from ablate.spec.analysis import Analysis
from ablate.stats.crossed import crossed_difference
from ablate.stats.multiplicity import adjust
from ablate.stats.sequential import Looks
from ablate.stats.verdicts import Verdict
from tests.reporting.builders import Fake, Size, study_of

LOOKS = Looks((2, 3, 5))
CLEAR, UNSURE, ALIKE = "clear", "unsure", "alike"


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> StudyRecord:
    """Five seeds of every cell, whether a look asks for them or not: one clearly better."""
    fakes = [
        Fake("SFT", {}, 0.0, kind="sft", kl_coef=None),
        Fake(CLEAR, {"arm": CLEAR}, 2.5),
        Fake(UNSURE, {"arm": UNSURE}, 0.35),
        Fake(ALIKE, {"arm": ALIKE}, 0.0),
    ]
    root = tmp_path_factory.mktemp("looks")
    return study_of(root, fakes, Size(seeds=5, items=16), looks=LOOKS)


def without(study: StudyRecord, lost: Callable[[RunRecord], bool], reason: str) -> StudyRecord:
    """Return the study as if some runs had no result, for a reason."""
    gone = {"missing": reason, "artifacts": {"evaluation": None}}
    runs = (replace(run, **gone) if lost(run) else run for run in study.runs)  # type: ignore[arg-type]
    return replace(study, runs=tuple(runs))


def wanted(study: StudyRecord) -> dict[str, int]:
    return take_looks(Evidence(study), contrasts_of(study))


def rows(found: Findings) -> dict[str, EffectRow]:
    return {row.treatment: row for row in found.rows("baseline")}


def test_a_decided_comparison_stops_and_inconclusive_ones_take_both_cells_on(
    finished: StudyRecord,
) -> None:
    found = rows(analyse(finished))
    assert found[CLEAR].verdict is Verdict.BETTER
    assert [found[cell].verdict for cell in (UNSURE, ALIKE)] == [Verdict.INCONCLUSIVE] * 2
    stops = {cell: row.standing.look.number for cell, row in found.items() if row.standing}
    assert stops == {CLEAR: 1, UNSURE: 3, ALIKE: 3}
    # The baseline goes on with those that it is compared with.
    assert wanted(finished) == {"SFT": 5, CLEAR: 2, UNSURE: 5, ALIKE: 5}


def test_only_the_runs_of_its_look_count_for_a_comparison_that_stopped(
    finished: StudyRecord,
) -> None:
    row = rows(analyse(finished))[CLEAR]
    assert row.effect.n_seeds == 2 and len(row.run_ids) == 4
    evidence = Evidence(finished)
    arms = [evidence.arm(cell, "average", (0, 1)) for cell in (CLEAR, "SFT")]
    assert row.effect == crossed_difference(*arms).at(LOOKS.at(1))  # type: ignore[arg-type]
    assert not any("left out" in warning for warning in row.warnings)


def test_corrections_are_made_over_p_values_that_count_all_looks(finished: StudyRecord) -> None:
    found = rows(analyse(finished))
    evidence, seeds = Evidence(finished), {CLEAR: 2, UNSURE: 5, ALIKE: 5}
    overall = []
    for cell, count in seeds.items():
        arms = [evidence.arm(side, "average", tuple(range(count))) for side in (cell, "SFT")]
        p_value = crossed_difference(*arms).p_value  # type: ignore[arg-type]
        overall.append(min(1.0, 3 * p_value) if 3 * p_value <= 0.5 else 1.0)
    expected = adjust(overall, "holm")
    assert [found[cell].p_adjusted for cell in seeds] == pytest.approx(expected, rel=1e-6)


def test_further_seeds_are_asked_for_once_every_open_comparison_has_taken_the_look(
    finished: StudyRecord,
) -> None:
    first = without(finished, lambda run: run.seed >= 2, "not run")
    assert wanted(first) == {"SFT": 3, CLEAR: 2, UNSURE: 3, ALIKE: 3}
    started = without(first, lambda run: (run.cell, run.seed) == (UNSURE, 1), "not run")
    assert set(wanted(started).values()) == {2}
    second = without(finished, lambda run: run.seed >= 3, "not run")
    waiting = without(second, lambda run: (run.cell, run.seed) == (ALIKE, 2), "not run")
    assert wanted(waiting) == {"SFT": 3, CLEAR: 2, UNSURE: 3, ALIKE: 3}
    assert wanted(second) == {"SFT": 5, CLEAR: 2, UNSURE: 5, ALIKE: 5}


def test_a_study_that_is_cut_off_keeps_the_last_look_it_reached(finished: StudyRecord) -> None:
    cut = without(finished, lambda run: run.seed >= 4, "not run")
    row = rows(analyse(cut))[UNSURE]
    assert row.verdict is Verdict.INCONCLUSIVE and row.effect.n_seeds == 3
    assert row.standing is not None and row.standing.is_open
    # What ran towards the next look is no look of its own.
    assert not any(run.endswith("03") for run in row.run_ids)


def test_before_its_first_look_nothing_is_called(finished: StudyRecord) -> None:
    early = without(replace(finished, looks=Looks((4, 5))), lambda run: run.seed >= 3, "not run")
    row = rows(analyse(early))[CLEAR]
    assert row.effect.n_seeds == 3 and row.verdict is Verdict.INCONCLUSIVE
    assert row.p_adjusted == 1.0
    assert "look 1 of 2 (4 seeds) not reached" in table_text(analyse(early))


def test_a_failed_run_ends_its_comparisons_and_not_the_others(finished: StudyRecord) -> None:
    failed = without(
        finished, lambda run: (run.cell, run.seed) == (UNSURE, 1), "failed: diverged: loss is NaN"
    )
    found = rows(analyse(failed))
    assert found[UNSURE].verdict is Verdict.INVALID
    assert wanted(failed) == {"SFT": 5, CLEAR: 2, UNSURE: 2, ALIKE: 5}


def test_a_failure_after_a_comparison_stopped_does_not_touch_it(finished: StudyRecord) -> None:
    late = without(finished, lambda run: (run.cell, run.seed) == ("SFT", 4), "failed: bug: no")
    found = rows(analyse(late))
    assert found[CLEAR].verdict is Verdict.BETTER
    assert found[UNSURE].verdict is Verdict.INVALID


def test_comparisons_that_are_not_declared_ask_for_no_seeds(finished: StudyRecord) -> None:
    other = Analysis.model_validate({"contrasts": [{"treatment": CLEAR, "control": UNSURE}]})
    assert set(wanted(replace(finished, analysis=other))) == {CLEAR, UNSURE}


def test_without_declared_looks_all_seeds_count_at_once(finished: StudyRecord) -> None:
    plain = replace(finished, looks=None)
    assert wanted(plain) == {}
    row = rows(analyse(plain))[CLEAR]
    assert row.standing is None and row.effect.n_seeds == 5


def table_text(found: Findings) -> str:
    table = family_table(found, "baseline")
    assert table is not None
    return " ".join(cell.text for line in table.rows for cell in line)


def test_the_report_says_at_which_look_each_comparison_stopped(finished: StudyRecord) -> None:
    found = analyse(finished)
    said = table_text(found)
    assert "stopped at look 1 of 3 (2 seeds, level 0.017)" in said
    assert "stopped at look 3 of 3 (5 seeds, level 0.017)" in said
    text = "\n\n".join(methods(found))
    assert "at 2, 3 and 5 seeds a cell" in text and "levels 0.017, 0.017 and 0.017" in text
    assert "Of 3 comparisons: 1 stopped at look 1, 2 stopped at look 3." in text
    frame = effects_of(found)
    chosen = frame[(frame["kind"] == "baseline") & (frame["metric"] == "average")]
    assert dict(zip(chosen["treatment"], chosen["look"], strict=True)) == {
        CLEAR: 1,
        UNSURE: 3,
        ALIKE: 3,
    }


def test_a_study_with_looks_cut_before_the_next_says_what_would_come(
    finished: StudyRecord,
) -> None:
    cut = without(finished, lambda run: run.seed >= 2, "not run")
    assert "inconclusive at look 1 of 3 (2 seeds, level 0.017); its cells get 3 seeds" in (
        table_text(analyse(cut))
    )


def test_reports_render_a_study_with_looks(finished: StudyRecord, tmp_path: Path) -> None:
    # As it is planned: the cell that stopped has two seeds, the others five.
    runs = tuple(run for run in finished.runs if run.cell != CLEAR or run.seed < 2)
    files = build_report(replace(finished, runs=runs), tmp_path)
    assert "stopped at look 1 of 3" in files.markdown.read_text(encoding="utf-8")
