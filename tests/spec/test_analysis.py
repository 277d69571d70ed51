"""What a study declares beforehand is checked when it is read: names, ranges, levels."""

from pathlib import Path

import pytest

from ablate.errors import StudyError
from ablate.spec.load import load_study

HEAD = """study: s
base: {model: tiny-instruct}
baseline: sft
rows: [sft]
grid: {dataset: [ai-fine, human-noisy], algorithm: [dpo, ppo]}
"""


def check(folder: Path, rest: str) -> str:
    """Return the problems of a study, empty where it has none."""
    path = folder / "s.yaml"
    path.write_text(HEAD + rest)
    try:
        load_study(path)
    except StudyError as error:
        return str(error)
    return ""


@pytest.mark.parametrize(
    "contrasts",
    [
        "[baseline, algorithms]",
        "[]",
        "[{treatment: 'ai-fine, ppo', control: 'ai-fine, dpo', expect: [0, 2]}]",
        "[{factor: algorithm, treatment: ppo, control: dpo, expect: no difference}]",
        "[{factor: dataset, treatment: ai-fine, control: human-noisy, question: Why?}]",
    ],
)
def test_families_cells_and_levels_of_a_factor_may_be_declared(
    tmp_path: Path, contrasts: str
) -> None:
    assert check(tmp_path, f"analysis: {{contrasts: {contrasts}}}") == ""


@pytest.mark.parametrize(
    ("rest", "found"),
    [
        ("analysis: {contrasts: [baselin]}", "Did you mean 'baseline'?"),
        ("analysis: {contrasts: [baseline, baseline]}", "listed twice"),
        ("analysis: {contrasts: [3]}", "neither a family"),
        ("analysis: {contrasts: [{treatment: a, control: a}]}", "compared with itself"),
        ("analysis: {contrasts: [{treatment: sft}]}", "contrasts[0].control: missing"),
        (
            "analysis: {contrasts: [{treatment: 'ai-fine, dpo', control: sft, qestion: x}]}",
            "Did you mean 'question'?",
        ),
        ("analysis: {contrasts: [{treatment: sftt, control: sft}]}", "Did you mean 'sft'?"),
        (
            "analysis: {contrasts: [{factor: algoritm, treatment: ppo, control: dpo}]}",
            "Did you mean 'algorithm'?",
        ),
        (
            "analysis: {contrasts: [{factor: algorithm, treatment: pppo, control: dpo}]}",
            "Did you mean 'ppo'?",
        ),
        ("analysis: {contrasts: [{treatment: a, control: b, expect: [2, 1]}]}", "low comes after"),
        ("analysis: {contrasts: [{treatment: a, control: b, expect: great}]}", "neither one of"),
        ("analysis: {contrasts: [steps]}", "compares nothing: no ladder"),
        (
            "analysis: {contrasts: [{treatment: 'ai-fine dpo', control: sft}]}",
            "is not one of 'ai-fine, dpo', 'ai-fine, ppo', 'human-noisy, dpo'",
        ),
        (
            "analysis: {contrasts: [&one {treatment: 'ai-fine, dpo', control: sft}, *one]}",
            "'ai-fine, dpo - sft' is listed twice",
        ),
        ("analysis: {correction: max}", "max-t"),
        ("analysis: {margins: {gold: 0}}", "above 0"),
        ("analysis: {seed_sd: -1}", "above 0"),
        ("analysis: {claim: recipe}", "Did you mean 'recipes'?"),
        ("notes: {sftt: hello}", "Did you mean 'sft'?"),
    ],
)
def test_mistakes_are_told_once_with_their_place(tmp_path: Path, rest: str, found: str) -> None:
    message = check(tmp_path, rest)
    assert found in message and "s.yaml:6:" in message
    assert message.count("s.yaml:") == 1
