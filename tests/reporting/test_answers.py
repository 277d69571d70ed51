"""Expected stands beside observed, and their agreement is never more than the verdict."""

from dataclasses import replace
from typing import Any

import pytest

from ablate.reporting.answers import Answer, answers, questions
from ablate.reporting.findings import analyse
from ablate.reporting.records import StudyRecord
from ablate.spec.analysis import Analysis, DeclaredContrast
from tests.reporting.builders import Size, grid


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> StudyRecord:
    """PPO gains a quarter of a logit, some points, on DPO; every cell gains on base."""
    return grid(tmp_path_factory.mktemp("grid"), Size(seeds=4, items=64, seed_sd=0.02))


def answer(study: StudyRecord, **contrast: Any) -> Answer:
    entry = DeclaredContrast(**contrast)
    (found,) = answers(analyse(replace(study, analysis=Analysis(contrasts=(entry,)))))
    return found


BASE = {"treatment": "ppo ai-fine", "control": "base"}


@pytest.mark.parametrize(
    ("expect", "agreement"),
    [
        ("better", "as expected"),
        ("worse", "not as expected"),
        ("no difference", "not as expected"),
        ((0, 60), "as expected"),
        ((-60, 0), "not as expected"),
        ((0, 26), "undecided"),
    ],
)
def test_agreement_follows_the_verdict_or_the_interval(
    study: StudyRecord, expect: Any, agreement: str
) -> None:
    effect = next(
        row
        for row in analyse(replace(study, baseline="base")).rows("baseline")
        if row.treatment == "ppo ai-fine"
    ).effect
    assert effect.low < 26 < effect.high and effect.low > 0  # What the last case rests on.
    assert answer(study, expect=expect, **BASE).agreement == agreement


def test_words_alone_are_printed_and_not_judged(study: StudyRecord) -> None:
    found = answer(study, question="Does it pay?", expectation="Surely.", **BASE)
    assert (found.question, found.expected, found.agreement) == ("Does it pay?", "Surely.", "")
    assert "better" in found.observed


def test_several_pairs_answer_by_their_mean(study: StudyRecord) -> None:
    found = answer(study, factor="algorithm", treatment="ppo", control="dpo", expect=(0, 2))
    assert "3 pairs" in found.observed and found.expected == "between +0 and +2"


def test_what_has_not_run_is_said(study: StudyRecord) -> None:
    found = answer(study, treatment="ppo ai-fine", control="nobody", expect="better")
    assert found.observed == found.agreement == "nothing measured yet"


def test_the_questions_are_a_table_and_a_study_without_any_has_none(study: StudyRecord) -> None:
    entry = DeclaredContrast(expect="better", **BASE)
    table = questions(analyse(replace(study, analysis=Analysis(contrasts=(entry,)))))
    assert table is not None and [cell.text for cell in table.rows[0]][-1] == "as expected"
    assert questions(analyse(study)) is None
