"""Looks that a study declares: what is refused, where, and what follows from those that are not."""

from __future__ import annotations

import pytest

from ablate.errors import StudyError
from ablate.plan.power import looks_of
from ablate.spec.load import study_from_text
from ablate.spec.study import Study
from ablate.stats.sequential import Looks

STUDY = """\
study: looked
base: {{model: tiny-instruct, dataset: ai-fine}}
rows: [sft]
baseline: sft
seeds: {seeds}
grid: {{algorithm: [dpo, ppo]}}
analysis: {{{analysis}}}
"""


def study(seeds: str, analysis: str = "") -> Study:
    return study_from_text(STUDY.format(seeds=seeds, analysis=analysis), name="s.yaml").study


def test_the_first_look_is_the_number_of_seeds_a_study_starts_with() -> None:
    read = study("{looks: [3, 5, 8]}").seeds
    assert (read.n, read.most, read.spend) == (3, 8, "obrien-fleming")
    assert looks_of(study("{looks: [3, 5]}")) == Looks((3, 5), "obrien-fleming")
    assert looks_of(study("{looks: [3, 5], spend: even}")) == Looks((3, 5), "even")
    assert looks_of(study("3")) is None and study("3").seeds.most == 3


@pytest.mark.parametrize(
    ("seeds", "said"),
    [
        (
            "{looks: [5, 3]}",
            "5:9: seeds.looks: [5, 3] does not rise; each look has more seeds than the one before"
            " it. Sort it, and keep each number once.",
        ),
        (
            "{looks: [3, 3]}",
            "5:9: seeds.looks: [3, 3] does not rise; each look has more seeds than the one before"
            " it. Sort it, and keep each number once.",
        ),
        (
            "{looks: [3]}",
            "5:9: seeds.looks: [3] is one look; two or more are needed. Write n: 3 alone.",
        ),
        (
            "{looks: [1, 3]}",
            "5:9: seeds.looks: [1, 3] starts with one seed, which has no interval over seeds; the"
            " first look needs 2 or more, better 3. Raise it.",
        ),
        (
            "{n: 2, looks: [3, 5]}",
            "5:9: seeds.n: 2 is not the first look, 3. Remove n, or make them equal.",
        ),
        (
            "{n: 3, spend: even}",
            "5:15: seeds.spend: there is nothing to share without looks. Add looks, or remove it.",
        ),
        ("{looks: [3, 5], spend: pocock}", "5:31: seeds.spend: 'pocock' is not one of"),
        ("{looks: [3, x]}", "5:20: seeds.looks[1]: 'x' is not a whole number."),
        ("{looks: 3}", "5:16: seeds.looks: 3 is not a list."),
    ],
)
def test_wrong_looks_are_refused_with_their_place(seeds: str, said: str) -> None:
    with pytest.raises(StudyError) as refused:
        study(seeds)
    assert f"s.yaml:{said}" in str(refused.value)


@pytest.mark.parametrize(
    ("analysis", "said"),
    [
        ("correction: max-t", "correction 'max-t' is for comparisons with equal seeds"),
        ("claim: checkpoints", "verdicts about checkpoints do not gain from further seeds"),
    ],
)
def test_looks_that_an_analysis_cannot_use_are_refused(analysis: str, said: str) -> None:
    with pytest.raises(StudyError, match=said):
        study("{looks: [3, 5]}", analysis)
    study("3", analysis)


def test_looks_are_part_of_what_is_declared_before_the_results() -> None:
    declared = study("{looks: [3, 5]}").declared
    assert (declared["looks"], declared["spend"]) == ([3, 5], "obrien-fleming")
    assert study("3").declared["looks"] == []
    assert declared["primary"] == "average"
