"""Data sets that a study defines: what they become, and what is wrong with them."""

import json
from pathlib import Path

import pytest

from ablate.errors import StudyError
from ablate.plan.build import Plan, plan_study
from ablate.spec.data import PreferencesConfig
from ablate.spec.load import study_from_text
from ablate.spec.shaping import ContaminationFilter, LengthFilter, RefusalFilter

BASE = "study: s\nbase: {model: tiny-instruct, algorithm: dpo}\n"
ROWS = [{"question": f"q{n}", "good": "yes", "bad": "no", "kind": "xy"[n % 2]} for n in range(8)]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "mine.jsonl").write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    return tmp_path


def planned(text: str, folder: Path) -> Plan:
    return plan_study(study_from_text(BASE + text, name="s.yaml", folder=folder))


def data_of(plan: Plan) -> dict[str, PreferencesConfig]:
    """Return the preference configuration of every cell by its data set's level."""
    found = {}
    for run in plan.runs:
        config = run.jobs["preferences"].config
        assert isinstance(config, PreferencesConfig)
        found[run.cell.levels.get("dataset", run.cell.name)] = config
    return found


MINE = "{dataset: ./mine.jsonl, columns: {prompt: question, chosen: good, rejected: bad}"


def test_a_definition_says_columns_slice_and_file(folder: Path) -> None:
    text = (
        f"datasets:\n  mine: {MINE}, where: {{kind: [x]}}}}\ngrid: {{dataset: [mine, ai-fine]}}\n"
    )
    mine = data_of(planned(text, folder))["mine"]
    assert mine.columns == (("chosen", "good"), ("prompt", "question"), ("rejected", "bad"))
    assert mine.where == (("kind", ("x",)),)
    assert mine.location == str(folder / "mine.jsonl")
    assert mine.content is not None and len(mine.content) == 64


def test_a_mixture_joins_definitions_and_generated_sets(folder: Path) -> None:
    text = f"datasets:\n  mine: {MINE}}}\n  both: {{mix: {{mine: 1, ai-fine: 3}}, cap: 40}}\n"
    both = data_of(planned(text + "grid: {dataset: [both, ai-fine]}\n", folder))["both"]
    assert (both.dataset, both.cap) == ("both", 40)
    assert [(part.dataset, part.weight) for part in both.mix] == [
        ("./mine.jsonl", 1.0),
        ("ai-fine", 3.0),
    ]
    assert both.mix[0].columns[0] == ("chosen", "good")
    assert both.mix[0].location.endswith("mine.jsonl") and both.mix[1].location == ""


def test_filters_are_a_factor_and_name_their_suites(folder: Path) -> None:
    text = (
        "base: {model: tiny-instruct, algorithm: dpo, dataset: ai-fine}\n"
        "grid:\n  cleaning:\n    none: {}\n"
        "    clean: {preferences.filters: [refusals, {length: {max: 40}},"
        " {contamination: {suites: [tiny-instruct]}}]}\n"
    )
    plan = plan_study(study_from_text("study: s\n" + text))
    filters = [run.jobs["preferences"].config.filters for run in plan.runs]
    assert filters == [
        (),
        (
            RefusalFilter(),
            LengthFilter(max=40),
            ContaminationFilter(suites=("tiny-instruct",), content=("",), location=("",)),
        ),
    ]


def test_what_is_kept_bears_identity_and_where_it_lies_does_not(folder: Path) -> None:
    other = folder / "elsewhere"
    other.mkdir()
    (other / "mine.jsonl").write_bytes((folder / "mine.jsonl").read_bytes())
    text = "datasets: {mine: " + MINE + "%s}}\ngrid: {dataset: [mine]}\n"
    prints = [
        planned(text % extra, place).runs[0].jobs["preferences"].fingerprint
        for extra, place in (("", folder), ("", other), (", cap: 4", folder))
    ]
    assert prints[0] == prints[1] != prints[2]


def test_a_definitions_name_bears_no_identity(folder: Path) -> None:
    text = "datasets: {%s: {dataset: ai-fine, cap: 4}}\ngrid: {dataset: [%s]}\n"
    first, second = (planned(text % (n, n), folder).runs[0].jobs for n in ("one", "two"))
    assert first["preferences"] == second["preferences"]


def test_real_data_is_compared_with_the_suite_and_a_worlds_own_is_not(folder: Path) -> None:
    text = f"datasets:\n  mine: {MINE}}}\n  both: {{mix: {{mine: 1, ai-fine: 3}}}}\n"
    runs = planned(text + "grid: {dataset: [mine, both, ai-fine]}\n", folder).runs
    assert ["contamination_preferences" in run.jobs for run in runs] == [True, True, False]


def test_a_prompt_set_of_the_studys_own_has_its_own_job(folder: Path) -> None:
    text = (
        "datasets: {some: {dataset: tiny-mixed, cap: 10}}\n"
        "base: {model: tiny-instruct, algorithm: ppo, dataset: ai-fine}\n"
        "grid: {prompts: [some, dataset]}\n"
    )
    runs = plan_study(study_from_text("study: s\n" + text)).runs
    own = runs[0].jobs["prompts"].config
    assert (own.dataset, own.cap) == ("tiny-mixed", 10)
    assert "prompts" not in runs[1].jobs
    # The prompts' job is determined by the policy's own fields, so it adds nothing to its identity.
    assert runs[0].jobs["policy"].config.prompts_shaping.cap == 10


def test_relabelling_trains_its_reward_model_on_the_own_labels(folder: Path) -> None:
    text = (
        "base: {model: tiny-instruct, algorithm: dpo, dataset: ai-fine}\n"
        "grid: {labels.reward: [dataset, reward_model]}\n"
    )
    kept, made = (run.jobs for run in plan_study(study_from_text("study: s\n" + text)).runs)
    assert "labels" not in kept and "reward_model" not in kept
    assert dict(made["reward_model"].inputs)["preferences"] is made["preferences"]
    assert dict(made["policy"].inputs)["preferences"] is made["labels"]


@pytest.mark.parametrize(
    ("definition", "message"),
    [
        ("ai-fine: {dataset: ./mine.jsonl}", "'ai-fine' is a name of the registry. Choose another"),
        ("a: {cap: 3}", "either dataset or mix says where the rows are"),
        ("a: {dataset: ./mine.jsonl, colums: {a: b}}", "Did you mean 'columns'?"),
        ("a: {dataset: ./mine.jsonl, filters: [refusal]}", "Did you mean 'refusals'?"),
        ("a: {dataset: ./mine.jsonl, filters: [{length: {max: -1}}]}", "-1 is out of range"),
        ("a: {dataset: ./mine.jsonl, filters: [{length: {min: 9, max: 3}}]}", "so no row fits"),
        ("a: {mix: {ai-fien: 1}}", "Did you mean 'ai-fine'?"),
        ("a: {dataset: owner/name@main}", "'main' may be a branch or a tag"),
        ("a: {mix: [{dataset: ai-fine, weight: 1}, web-narrow]}", "some parts of the mixture have"),
        ("a: {mix: [{dataset: ai-fine, weight: 1, examples: 2}]}", "a weight or a number of"),
        ("a: {dataset: ./none.jsonl}", "'./none.jsonl': no such file or folder"),
        (
            "a: {dataset: ./mine.jsonl, filters: [{contamination: {suites: [gsm]}}]}",
            "the filter contamination: 'gsm' is not one of",
        ),
    ],
)
def test_a_wrong_definition_says_so(folder: Path, definition: str, message: str) -> None:
    with pytest.raises(StudyError) as caught:
        planned(f"datasets:\n  {definition}\ngrid: {{dataset: [ai-fine]}}\n", folder)
    assert message in str(caught.value)
    assert str(caught.value).startswith("s.yaml:4:")


def test_replies_on_policy_need_new_labels() -> None:
    text = (
        "study: s\nbase: {model: tiny-instruct, algorithm: dpo, dataset: ai-fine}\n"
        "grid: {labels.generations: [off_policy, on_policy]}\n"
    )
    with pytest.raises(StudyError, match="Set reward_model, implicit, judge or a reward function"):
        plan_study(study_from_text(text))


def test_a_presets_number_of_examples_is_of_generated_sets_as_they_are(folder: Path) -> None:
    text = (
        f"datasets:\n  mine: {MINE}}}\n  some: {{dataset: ai-fine, cap: 4}}\n"
        "grid: {dataset: [mine, some, ai-fine]}\n"
    )
    found = data_of(planned(text, folder))
    assert {name: config.examples for name, config in found.items()} == {
        "mine": None,
        "some": None,
        "ai-fine": 2500,
    }


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ("{mix: {mine: 1, ai-fine: 1}, where: {kind: [x]}}", "a mixture.*so where has no effect"),
        ("{dataset: ai-fine, split: test}", "generated and not read, so split has no effect"),
        ("{mix: [{dataset: ai-fine, layout: hh}]}", "generated and not read, so layout has no"),
    ],
)
def test_how_to_read_is_said_of_what_is_read(folder: Path, fields: str, reason: str) -> None:
    """Else a slice that keeps every row would look like one that was taken."""
    text = f"datasets:\n  mine: {MINE}}}\n  level: {fields}\ngrid: {{dataset: [level, ai-fine]}}\n"
    with pytest.raises(StudyError, match=reason):
        planned(text, folder)


@pytest.mark.parametrize(
    ("definition", "base", "message"),
    [
        (f"{MINE}, cap: 3}}", "preferences: {cap: 5}", "'mine' says cap under datasets"),
        (f"{MINE}, split: test}}", "", "'./mine.jsonl' is one file, so split has no effect"),
    ],
)
def test_a_field_without_one_meaning_is_refused(
    folder: Path, definition: str, base: str, message: str
) -> None:
    text = (
        f"study: s\ndatasets: {{mine: {definition}}}\n"
        f"base: {{model: tiny-instruct, algorithm: dpo, {base}}}\ngrid: {{dataset: [mine]}}\n"
    )
    with pytest.raises(StudyError) as caught:
        plan_study(study_from_text(text, name="s.yaml", folder=folder))
    assert message in str(caught.value)
