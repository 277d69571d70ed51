# ruff: noqa: E501 - messages are written out as they appear.
"""What a user reads about a wrong `tune` section; every expected text is written by hand."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from ablate.errors import StudyError
from ablate.plan.cells import expand
from ablate.spec.load import load_study, study_from_text

HEAD = "study: s\nbase: {model: tiny-instruct, dataset: ai-fine}\nrows: [sft]\n"
GRID = "grid: {algorithm: [dpo, simpo]}\n"
TUNE = "tune:\n  trials: 6\n  search:\n"
RATE = "    policy.learning_rate: {low: 1e-5, high: 1e-3, log: true}\n"


def problems(text: str) -> list[str]:
    """Return what is said of each problem, without the source lines."""
    with pytest.raises(StudyError) as caught:
        expand(study_from_text(text, name="s.yaml"))
    return [line for line in str(caught.value).splitlines() if line.startswith("s.yaml:")]


CASES = {
    "no trials": (
        "tune: {search: {policy.beta: [1, 2]}}\n",
        "s.yaml:5:7: tune.trials: missing; it is needed. Add it.",
    ),
    "too many trials": (
        "tune: {trials: 2000, search: {policy.beta: [1, 2]}}\n",
        "s.yaml:5:16: tune.trials: 2000 is out of range; it must be at most 1000.",
    ),
    "unknown key": (
        "tune: {trials: 2, sampel: tpe, search: {policy.beta: [1, 2]}}\n",
        "s.yaml:5:19: tune.sampel: unknown key; 'sampel' is not one of evaluation, objective, parallel, prune, sampler, search, seed, seeds, startup, trials. Did you mean 'sampler'?",
    ),
    "unknown sampler": (
        "tune: {trials: 2, sampler: tpf, search: {policy.beta: [1, 2]}}\n",
        "s.yaml:5:28: tune.sampler: 'tpf' is not one of qmc, random, tpe. Did you mean 'tpe'?",
    ),
    "nothing searched": (
        "tune: {trials: 2, search: {}}\n",
        "s.yaml:5:27: tune.search: nothing is searched. Name a field and its values.",
    ),
    "neither range nor list": (
        TUNE + "    policy.beta: 0.1\n",
        "s.yaml:8:18: tune.search.policy.beta: 0.1 is neither a range such as {low: 1e-6, high: 1e-4, log: true} nor a list of values. Write one of the two.",
    ),
    "a range upside down": (
        TUNE + "    policy.beta: {low: 1, high: 0.1}\n",
        "s.yaml:8:27: tune.search.policy.beta.high: 0.1 is not above low, 1. Change one.",
    ),
    "a logarithm of zero": (
        TUNE + "    policy.beta: {low: 0, high: 1, log: true}\n",
        "s.yaml:8:19: tune.search.policy.beta.low: 0 has no logarithm; log needs numbers above 0.",
    ),
    "a bound that is text": (
        TUNE + "    policy.beta: {low: small, high: 1}\n",
        "s.yaml:8:24: tune.search.policy.beta.low: 'small' is not a finite number.",
    ),
    "one choice": (
        TUNE + "    policy.beta: [0.1]\n",
        "s.yaml:8:18: tune.search.policy.beta: fewer than two values; nothing is searched. Write it under base.",
    ),
    "a choice twice": (
        TUNE + "    policy.beta: [0.1, 0.3, 0.1]\n",
        "s.yaml:8:18: tune.search.policy.beta: a value is listed twice, which makes it likelier. Keep one.",
    ),
    "unknown field": (
        TUNE + "    policy.betta: [0.1, 0.3]\n" + RATE,
        "s.yaml:8:5: tune.search.policy.betta: unknown field; no algorithm has 'betta'. Did you mean 'beta'?",
    ),
    "a choice that the field refuses": (
        TUNE + "    policy.batch_size: [0, 16]\n",
        "s.yaml:8:25: tune.search.policy.batch_size[0]: 0 is out of range; it must be above 0.",
    ),
    "a bound that the field refuses": (
        TUNE + "    policy.beta: {low: -1, high: 1}\n",
        "s.yaml:8:24: tune.search.policy.beta.low: -1 is out of range; it must be above 0.0.",
    ),
    "a range of a field without numbers": (
        TUNE + "    policy.schedule: {low: 1, high: 2}\n",
        "s.yaml:8:28: tune.search.policy.schedule.low: 1 is not one of constant, cosine, linear.",
    ),
    "a field that no cell uses": (
        TUNE + RATE + "    ppo.kl_coef: [0.05, 0.1]\n",
        "s.yaml:9:5: tune.search.ppo.kl_coef: no cell uses this field; cells train with dpo, simpo. Remove it.",
    ),
    "a cell without a searched field": (
        TUNE + "    dpo.beta: [0.1, 0.3]\n",
        "s.yaml:7:3: tune.search: 'simpo' would not be tuned: no field of the search is used there. Every trained cell has the same budget. Search a field of theirs too.",
    ),
    "the same field twice": (
        TUNE + "    policy.beta: [0.1, 0.3]\n    dpo.beta: [0.1, 0.3]\n",
        "s.yaml:9:5: tune.search.dpo.beta: 'policy.beta' searches the same field of 'dpo'. Keep one.",
    ),
    "where cells start": (
        TUNE + RATE + "    sft.learning_rate: [1e-3, 1e-4]\n",
        "s.yaml:9:5: tune.search.sft.learning_rate: 'sft.learning_rate' says where cells start, which trials share. Set it under base.",
    ),
    "how results are measured": (
        TUNE + RATE + "    evaluation.temperature: [0.5, 1.0]\n",
        "s.yaml:9:5: tune.search.evaluation.temperature: 'evaluation.temperature' says how results are measured, which trials share. Set it under base.",
    ),
    "a name": (
        TUNE + RATE + "    dataset: [ai-fine, human-noisy]\n",
        "s.yaml:9:5: tune.search.dataset: 'dataset' names what a study compares; only single fields are searched. Remove it.",
    ),
    "how fast": (
        TUNE + RATE + "    policy.micro_batch_size: [4, 8]\n",
        "s.yaml:9:5: tune.search.policy.micro_batch_size: this field says where or how fast a job runs, not what it computes. Remove it.",
    ),
    "an objective that the suite has not": (
        "tune: {trials: 2, objective: gould, search: {policy.beta: [1, 2]}}\n",
        "s.yaml:5:30: tune.objective: 'gould' is not one of average, coding, factuality, gold, instruction_following, reasoning, safety, truthfulness. Did you mean 'gold'?",
    ),
    "pruning a round of one": (
        TUNE + RATE + "  parallel: 1\n  prune: {rungs: [{policy.epochs: 1}]}\n",
        "s.yaml:10:3: tune.prune: a round of one trial has nothing to prune. Raise tune.parallel.",
    ),
    "no rungs": (
        TUNE + RATE + "  prune: {rungs: []}\n",
        "s.yaml:9:18: tune.prune.rungs: not a list of shorter trainings, the shortest first, such as [{policy.epochs: 1}].",
    ),
    "a rung of a searched field": (
        TUNE + "    policy.epochs: [1, 2]\n  prune: {rungs: [{dpo.epochs: 1, simpo.beta: 2}]}\n",
        "s.yaml:9:20: tune.prune.rungs[0].dpo.epochs: this field is searched; a rung would set all its trials alike. Remove it.",
    ),
    "a rung that a cell does not use": (
        TUNE + RATE + "  prune: {rungs: [{dpo.epochs: 1}]}\n",
        "s.yaml:9:19: tune.prune.rungs[0]: no field that 'simpo' uses, so that its rung would be no shorter. Add one, such as policy.epochs.",
    ),
    "a rung that is no shorter": (
        TUNE + RATE + "  prune: {rungs: [{policy.epochs: 2, simpo.epochs: 1}]}\n",
        "s.yaml:9:19: tune.prune.rungs[0]: it trains 'dpo' in full. Make it shorter, or remove it.",
    ),
    "a rung that is longer": (
        TUNE + RATE + "  prune: {rungs: [{policy.epochs: 5}]}\n",
        "s.yaml:9:19: tune.prune.rungs[0]: it trains 'dpo' longer than what comes after it: epochs 5 > 2. Write the shortest first, all shorter than in full.",
    ),
    "a section": (
        TUNE + "    sft: [1, 2]\n",
        "s.yaml:8:5: tune.search.sft: 'sft' is a section, not a field. Name a field of it, such as sft.learning_rate.",
    ),
    "the split of trials": (
        TUNE + RATE + "  evaluation: {split: test}\n",
        "s.yaml:9:16: tune.evaluation.split: trials are always evaluated on the validation split of the study's suite. Remove it.",
    ),
    "an unknown field of the evaluation": (
        TUNE + RATE + "  evaluation: {limits: 3}\n",
        "s.yaml:9:16: tune.evaluation.limits: unknown field; 'evaluation' has no 'limits'. Did you mean 'limit'?",
    ),
    "results on validation": (
        "include: []\n" + TUNE + RATE,
        "s.yaml:2:50: base.evaluation.split: the results would be read on the split that values are chosen on. Leave it at test: tuning takes validation itself.",
    ),
    "seeds that do not reach policies": (
        "seeds: {n: 2, vary: [evaluation]}\n" + TUNE + RATE,
        "s.yaml:5:21: seeds.vary: 'policy' is not among them, so the results would be the trials' own trainings. Tuning needs it: add policy.",
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_the_message_for(case: str) -> None:
    text, message = CASES[case]
    head = HEAD
    if case == "results on validation":
        head = head.replace("ai-fine}", "ai-fine, evaluation.split: validation}")
        message = message.replace(":50:", ":66:")
    assert message in problems(head + GRID + text)


def test_a_factor_of_the_study_is_not_searched_whatever_its_spelling() -> None:
    text = HEAD + "grid: {algorithm: [dpo], policy.beta: [0.1, 0.3]}\n" + TUNE
    assert problems(text + "    dpo.beta: [0.2, 0.4]\n") == [
        "s.yaml:8:5: tune.search.dpo.beta: 'policy.beta' is a factor of the study, whose levels are compared as they are. Remove it here or there."
    ]


def test_rows_alone_are_not_tuned() -> None:
    assert problems(HEAD + "cells: {again: {evaluation.samples: 1}}\n" + TUNE + RATE)[0] == (
        "s.yaml:5:1: tune: no cell is trained; rows and imported results are not tuned. Remove tune, or train something."
    )


def test_values_that_go_not_together_are_blamed_on_the_one() -> None:
    text = HEAD + "grid: {algorithm: [ppo]}\n" + TUNE
    (found,) = problems(text + "    ppo.batch_size: {low: 1, high: 500}\n")
    assert found.startswith("s.yaml:8:36: tune.search.ppo.batch_size.high: 'ppo': ppo.batch_size: ")


SUITE = """
description: mine
tasks:
  problems: {kind: gsm8k, category: reasoning, files: {test: problems.jsonl, train: solved.jsonl}}
  chat: {kind: do-not-answer, category: safety, files: {test: chat.jsonl}}
"""


def own_suite(folder: Path, tune: str) -> Path:
    (folder / "suite.yaml").write_text(SUITE)
    for name in ("problems", "solved", "chat"):
        (folder / f"{name}.jsonl").write_text(json.dumps({"question": name}) + "\n")
    text = HEAD.replace("ai-fine}", "ai-fine, evaluation: {suite: ./suite.yaml}}") + GRID
    (folder / "s.yaml").write_text(f"{text}{TUNE}{RATE}{tune}")
    return folder / "s.yaml"


def test_a_suite_without_validation_is_refused_and_those_with_one_are_named(tmp_path: Path) -> None:
    with pytest.raises(StudyError) as caught:
        expand(load_study(own_suite(tmp_path, "")))
    assert (
        "s.yaml:5:1: tune: the suite './suite.yaml' has no validation split to tune on; tiny-instruct has one, and so have the benchmarks gsm8k and mbpp. Name another suite, or leave tasks out with tune.evaluation.without."
        in str(caught.value)
    )


def test_tasks_without_validation_can_be_left_out_of_trials_alone(tmp_path: Path) -> None:
    study = load_study(
        own_suite(tmp_path, "  objective: problems\n  evaluation: {without: [chat]}\n")
    )
    assert [cell.name for cell in expand(study)] == ["sft", "dpo", "simpo"]


def test_what_is_right_is_taken() -> None:
    every = (
        "tune:\n  trials: 12\n  parallel: 3\n  objective: greedy_average\n  sampler: tpe\n"
        "  startup: 6\n  seeds: 2\n  seed: 7\n  evaluation: {limit: 16}\n  search:\n" + RATE + ""
        "    dpo.beta: [0.03, 0.1]\n    simpo.beta: {low: 1, high: 10}\n"
        "  prune: {keep: 0.34, rungs: [{policy.epochs: 1}]}\n"
    )
    assert len(expand(study_from_text(HEAD + GRID + every))) == 3
