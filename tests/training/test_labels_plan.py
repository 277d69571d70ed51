# ruff: noqa: E501 - messages are written out as they appear.
"""Studies that make their labels: what is planned, and what a wrong one is told."""

from collections.abc import Mapping
from pathlib import Path

import pytest

from ablate.errors import StudyError
from ablate.plan.build import build_plan
from ablate.plan.cells import expand
from ablate.plan.job import Job
from ablate.spec.data import LabelsConfig
from ablate.spec.load import load_study, study_from_text

HEAD = "study: s\nbase: {model: tiny-instruct, dataset: ai-fine}\n"


def jobs_of(path: Path) -> dict[str, Mapping[str, Job]]:
    """Return the jobs of seed 0 by role, by cell."""
    loaded = load_study(path)
    plan = build_plan("s", expand(loaded), seeds=[0], vary=loaded.study.seeds.vary)
    return {run.cell.name: run.jobs for run in plan.runs}


def message(text: str) -> str:
    with pytest.raises(StudyError) as caught:
        expand(study_from_text(text, name="s.yaml"))
    return str(caught.value)


def test_both_generations_are_labelled_by_one_model_of_the_original_labels(
    tmp_path: Path,
) -> None:
    path = tmp_path / "s.yaml"
    grid = "grid: {labels.generations: [off_policy, on_policy], labels.reward: [reward_model]}\n"
    base = "base: {model: tiny-instruct, dataset: ai-fine, algorithm: dpo}\n"
    path.write_text("study: s\n" + base + grid)
    cells = jobs_of(path)
    assert len(cells) == 2
    off, on = cells.values()
    configs = [jobs["labels"].config for jobs in (off, on)]
    assert [config.generations for config in configs if isinstance(config, LabelsConfig)] == [
        "off_policy", "on_policy"
    ]  # fmt: skip
    assert off["labels"].fingerprint != on["labels"].fingerprint
    assert off["reward_model"] is on["reward_model"]
    assert dict(off["reward_model"].inputs)["preferences"] is off["preferences"]
    for jobs in (off, on):
        assert dict(jobs["labels"].inputs) == {
            "policy": jobs["sft"],
            "preferences": jobs["preferences"],
            "reward_model": jobs["reward_model"],
        }
        assert dict(jobs["policy"].inputs)["preferences"] is jobs["labels"]
        assert dict(jobs["reference"].inputs)["preferences"] is jobs["labels"]


def test_a_function_labels_without_any_trained_model(tmp_path: Path) -> None:
    path = tmp_path / "s.yaml"
    path.write_text(HEAD + "cells:\n  a: {algorithm: dpo, labels.reward: noun-count}\n")
    (jobs,) = jobs_of(path).values()
    assert "reward_model" not in jobs
    assert set(dict(jobs["labels"].inputs)) == {"policy", "preferences"}


def test_the_data_set_s_own_labels_are_no_job(tmp_path: Path) -> None:
    path = tmp_path / "s.yaml"
    path.write_text(HEAD + "cells:\n  a: {algorithm: dpo, labels.reward: dataset}\n")
    (jobs,) = jobs_of(path).values()
    assert "labels" not in jobs
    assert dict(jobs["policy"].inputs)["preferences"] is jobs["preferences"]


def test_the_preset_samples_as_long_replies_as_the_online_algorithms() -> None:
    text = HEAD + "cells:\n  a: {algorithm: dpo, labels.reward: gold}\n  b: {algorithm: ppo}\n"
    labelled, online = (cell.recipe for cell in expand(study_from_text(text)))
    names = (
        "max_new_tokens",
        "max_prompt_length",
        "max_length",
        "temperature",
        "missing_eos_score",
    )
    assert labelled.labels is not None
    for name in names:
        assert getattr(labelled.labels, name) == getattr(online.policy, name)


def test_labels_of_the_data_set_do_not_fit_new_replies() -> None:
    text = HEAD + "cells:\n  a: {algorithm: dpo, labels.generations: on_policy}\n"
    found = message(text)
    assert (
        "labels.reward: 'dataset', but the data set's labels are not of the replies sampled on"
        " policy. Set reward_model, implicit, judge or a reward function." in found
    )


def test_labels_reach_no_algorithm_that_reads_no_pairs() -> None:
    text = "study: s\nbase: {model: tiny-instruct, dataset: ai-fine, algorithm: ppo}\n"
    found = message(text + "grid: {labels.reward: [dataset, judge]}\n")
    assert found.splitlines()[0] == (
        "s.yaml:3:8: grid.labels.reward: no cell uses this factor; cells train with ppo. Remove the factor or set `algorithm`."
    )


def test_where_only_some_algorithms_read_pairs_the_others_have_one_cell() -> None:
    text = HEAD + "grid: {algorithm: [dpo, ppo], labels.reward: [dataset, judge]}\n"
    names = [cell.name for cell in expand(study_from_text(text))]
    assert names == ["dpo, reward=dataset", "dpo, reward=judge", "ppo"]


def test_one_sample_is_no_pair() -> None:
    text = HEAD + "cells:\n  a: {algorithm: dpo, labels.samples_per_prompt: 1}\n"
    assert "labels.samples_per_prompt: 1 is out of range; it must be at least 2." in message(text)


def test_fields_of_labels_that_nothing_reads_are_no_factor() -> None:
    """How samples are drawn matters on policy alone, and nothing does where labels are kept."""
    grid = "grid: {labels.reward: [dataset, gold], labels.temperature: [0.5, 1.0]}\n"
    base = "study: s\nbase: {model: tiny-instruct, dataset: ai-fine, algorithm: dpo}\n"
    names = [cell.name for cell in expand(study_from_text(base + grid))]
    assert names == [
        "reward=dataset", "reward=gold, temperature=0.5", "reward=gold, temperature=1.0"
    ]  # fmt: skip
    base = base.replace("algorithm: dpo", "algorithm: dpo, labels.reward: gold")
    grid = "labels.generations: [off_policy, on_policy], labels.samples_per_prompt: [2, 4]"
    names = [cell.name for cell in expand(study_from_text(f"{base}grid: {{{grid}}}\n"))]
    assert len(names) == 3 and names[0] == "generations=off_policy"


def test_the_study_of_the_page_is_planned(tmp_path: Path) -> None:
    page = (Path(__file__).parents[2] / "docs" / "labels.md").read_text(encoding="utf-8")
    block = page.split("<!-- file: generations.yaml -->\n```yaml\n")[1].split("```")[0]
    (tmp_path / "generations.yaml").write_text(block, encoding="utf-8")
    cells = jobs_of(tmp_path / "generations.yaml")
    made = {name: "labels" in jobs for name, jobs in cells.items()}
    assert made == {
        "sft": False, "own labels": False, "relabelled": True, "on policy": True,
        "gold labels": True,
    }  # fmt: skip
