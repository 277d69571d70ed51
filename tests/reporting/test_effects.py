from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest

from ablate.plan.build import plan_study
from ablate.reporting.collect import study_record
from ablate.reporting.contrasts import Contrast, contrasts_of
from ablate.reporting.effects import effect_rows, score_of
from ablate.reporting.evidence import Evidence
from ablate.reporting.findings import analyse
from ablate.reporting.records import StudyRecord
from ablate.spec.load import study_from_text
from ablate.stats.crossed import Arm, crossed_difference
from ablate.stats.multiplicity import adjust
from ablate.stats.verdicts import Verdict
from ablate.store.layout import Store

from .builders import CATEGORIES, Size, grid, unfinished, write_json

STEP = Contrast("step", "DPO → PPO", "+ better data", "DPO → PPO")


def outputs(study: StudyRecord, cell: str) -> np.ndarray:
    """Percent right by (seed, category, item), straight from the files."""
    table = np.zeros((3, 6, 64))
    for run in study.runs_of(cell):
        folder = run.folder("evaluation")
        assert folder is not None
        for line in map(json.loads, (folder / "samples.jsonl").read_text().splitlines()):
            if line["mode"] == "sampled":
                place = (run.seed, CATEGORIES.index(line["category"]), line["doc_id"])
                table[place] += 50 * line["scores"]["acc"]
    return table


def test_an_effect_is_the_crossed_difference_of_the_stored_outputs(
    ladder_study: StudyRecord,
) -> None:
    weights = {name: 1 / 6 for name in CATEGORIES}
    arms = [
        Arm(dict(zip(CATEGORIES, outputs(ladder_study, cell).swapaxes(0, 1), strict=True)), weights)
        for cell in (STEP.treatment, STEP.control)
    ]
    expected = crossed_difference(*arms)
    row = effect_rows(Evidence(ladder_study), [STEP], ["average"])[0]
    assert row.effect.value == pytest.approx(expected.value)
    assert (row.effect.low, row.effect.high) == pytest.approx((expected.low, expected.high))
    assert (row.effect.n_items, row.effect.n_seeds) == (384, 3)
    assert row.basis == "items and seeds"


def test_every_row_names_the_runs_of_both_sides(ladder_study: StudyRecord) -> None:
    row = effect_rows(Evidence(ladder_study), [STEP], ["average"])[0]
    expected = {run.run_id for cell in STEP.__dict__.values() for run in ladder_study.runs_of(cell)}
    assert set(row.run_ids) == expected and len(expected) == 6


def test_a_ladder_compares_with_its_start_and_step_by_step(ladder_study: StudyRecord) -> None:
    found = contrasts_of(ladder_study)
    steps = [(c.treatment, c.control) for c in found if c.kind == "step"]
    rungs = ladder_study.rungs
    assert steps == [*zip(rungs[1:], rungs[:-1], strict=True), ("KL off", "DPO → PPO")]
    assert {c.control for c in found if c.kind == "baseline"} == {"SFT"}


def test_on_a_ladder_only_the_switch_of_algorithm_is_a_duel(ladder_study: StudyRecord) -> None:
    duels = [c for c in contrasts_of(ladder_study) if c.kind == "algorithm"]
    assert [(c.treatment, c.control) for c in duels] == [("DPO → PPO", "+ better data")]


def test_a_grid_pairs_algorithms_within_a_data_set(grid_study: StudyRecord) -> None:
    duels = [c for c in contrasts_of(grid_study) if c.kind == "algorithm"]
    assert [c.label for c in duels] == ["human-noisy", "ai-overall", "ai-fine"]
    assert all(c.treatment == f"ppo {c.label}" for c in duels)


def test_a_partial_baseline_pairs_within_equal_levels_of_the_other_factors(tmp_path: Path) -> None:
    loaded = study_from_text(
        "study: s\nbase: {model: tiny-instruct}\nrows: [sft]\nbaseline: {algorithm: dpo}\n"
        "grid:\n  dataset: [ai-fine, human-noisy]\n  algorithm: [dpo, ppo]\n"
        "  reward_model: [small, full]\n"
    )
    study = study_record(loaded, plan_study(loaded), Store(tmp_path))
    found = [(c.treatment, c.control) for c in contrasts_of(study) if c.kind == "baseline"]
    # DPO has no reward model: its one cell is the control of both sizes.
    assert found == [
        (f"{data}, ppo, reward_model={size}", f"{data}, dpo")
        for data in ("ai-fine", "human-noisy")
        for size in ("small", "full")
    ]


CELLS = """study: s
base: {model: tiny-instruct, dataset: ai-fine, reward_model.normalize: true}
cells:
  plain dpo: {algorithm: dpo, policy.beta: 0.2}
  lora dpo: {algorithm: dpo, policy.lora: {rank: 4}}
  lora ppo: {algorithm: ppo, policy.lora: {rank: 4}}
  three: {algorithm: ppo, reward_model.members: 3}
"""


def test_an_adapter_that_one_listed_cell_names_is_a_difference(tmp_path: Path) -> None:
    """Each adapter pairs with the other; the ensemble's PPO, without one, with the plain DPO.

    DPO knows no reward model and PPO no beta, so neither is a difference.
    """
    loaded = study_from_text(CELLS)
    study = study_record(loaded, plan_study(loaded), Store(tmp_path))
    found = [c for c in contrasts_of(study) if c.kind == "algorithm"]
    assert [(c.control, c.treatment) for c in found] == [
        ("plain dpo", "three"),
        ("lora dpo", "lora ppo"),
    ]
    assert found[0].label == "plain dpo, three"


def test_only_sizes_are_steps_to_a_larger_reward_model(tmp_path: Path) -> None:
    """Members and objectives were called sizes; layers are in the order of their numbers."""
    head = "study: s\nbase: {model: tiny-instruct, dataset: ai-fine, algorithm: ppo}\ngrid:\n"
    steps = []
    for factor in ("reward_model.members: [1, 3]", "reward_model.layers: [3, 1, 2]"):
        loaded = study_from_text(head + "  " + factor + "\n")
        study = study_record(loaded, plan_study(loaded), Store(tmp_path))
        steps.append([c.label for c in contrasts_of(study) if c.kind == "reward_model"])
    assert steps == [[], ["1 → 2", "2 → 3"]]


def test_reward_model_sizes_are_compared_from_small_to_large(reward_study: StudyRecord) -> None:
    found = [c for c in contrasts_of(reward_study) if c.kind == "reward_model"]
    assert [c.label.split(": ")[1] for c in found] == ["small → medium", "medium → large"] * 2


def test_each_family_is_adjusted_on_its_own(grid_study: StudyRecord) -> None:
    found = analyse(grid_study)
    for kind in ("baseline", "algorithm"):
        rows = found.rows(kind)
        expected = adjust([row.effect.p_value for row in rows], "holm")
        assert [row.p_adjusted for row in rows] == pytest.approx(expected)
    rows = found.rows("baseline", "safety")
    expected = adjust([row.effect.p_value for row in rows], "bh")
    assert [row.p_adjusted for row in rows] == pytest.approx(expected)
    assert not rows[0].confirmatory


def test_a_pair_in_two_families_gets_one_answer_the_strictest(ladder_study: StudyRecord) -> None:
    found = analyse(ladder_study)
    steps = {(r.treatment, r.control): r for r in found.rows("step")}
    shared = [r for r in found.effects if r.confirmatory and r.kind in ("baseline", "algorithm")]
    shared = [r for r in shared if (r.treatment, r.control) in steps]
    assert [r.kind for r in shared] == ["baseline", "algorithm"]
    raw = [row.effect.p_value for row in found.rows("step")]
    for row in shared:
        step = steps[row.treatment, row.control]
        expected = adjust(raw, "holm")[list(steps).index((row.treatment, row.control))]
        assert row.p_adjusted == step.p_adjusted == pytest.approx(expected)
        assert row.verdict is step.verdict and row.detectable == step.detectable


def test_one_seed_has_no_recipe_claim_but_a_checkpoint_interval(
    one_seed_study: StudyRecord,
) -> None:
    for row in analyse(one_seed_study).rows("baseline"):
        assert not row.effect.defined and math.isnan(row.p_adjusted)
        assert row.checkpoint.defined and row.shown is row.checkpoint
        assert row.verdict is Verdict.INCONCLUSIVE
        assert row.detectable > 0 and row.tipping_seed_sd >= 0


def test_an_unfinished_run_is_left_out_and_named(grid_study: StudyRecord) -> None:
    study = unfinished(grid_study, "ppo ai-fine", 2, "not run")
    row = next(r for r in analyse(study).rows("baseline") if r.treatment == "ppo ai-fine")
    assert row.effect.n_seeds == 2 and row.verdict is not Verdict.INVALID
    assert "ppo ai-fine, seed 2 left out: not run" in row.warnings


def test_a_failed_run_makes_the_effect_invalid(grid_study: StudyRecord) -> None:
    study = unfinished(grid_study, "ppo ai-fine", 2, "failed: the loss is not finite")
    row = next(r for r in analyse(study).rows("baseline") if r.treatment == "ppo ai-fine")
    assert row.verdict is Verdict.INVALID and not row.shown.defined
    assert row.invalid == ("ppo ai-fine, seed 2: failed: the loss is not finite",)


def test_an_undefined_score_makes_the_effect_invalid_and_stays_nan(tmp_path: Path) -> None:
    study = grid(tmp_path, Size(items=20))
    folder = study.runs_of("ppo ai-fine")[0].folder("evaluation")
    assert folder is not None
    scores = json.loads((folder / "scores.json").read_text())
    for metric in scores["metrics"]:
        if metric["metric"] == "average":
            metric["value"] = None
    write_json(folder / "scores.json", scores)
    row = next(r for r in analyse(study).rows("baseline") if r.treatment == "ppo ai-fine")
    assert row.verdict is Verdict.INVALID and math.isnan(row.effect.value)
    assert row.invalid == ("ppo ai-fine: average is undefined for seed 0",)


@pytest.mark.parametrize(
    ("field", "value", "expected"),
    [
        # One of the 20 documents of each of the 6 categories.
        ("doc_hash", "other", "scored on different items: 120 and 120, of which 114 are the same"),
        ("prompt_hash", "other", "asked with different prompts: equal for 114 of 120 items"),
    ],
)
def test_items_that_do_not_pair_make_the_effect_invalid(
    tmp_path: Path, field: str, value: str, expected: str
) -> None:
    study = grid(tmp_path, Size(items=20))
    for run in study.runs_of("ppo ai-fine"):
        folder = run.folder("evaluation")
        assert folder is not None
        lines = [json.loads(x) for x in (folder / "samples.jsonl").read_text().splitlines()]
        for line in lines:
            if line["doc_id"] == 3:
                line[field] = value
        (folder / "samples.jsonl").write_text("".join(json.dumps(x) + "\n" for x in lines))
    row = next(r for r in analyse(study).rows("baseline") if r.treatment == "ppo ai-fine")
    assert row.invalid == (f"the two sides were {expected}",)


def test_scores_that_their_items_do_not_explain_fall_back_to_seeds(tmp_path: Path) -> None:
    study = grid(tmp_path, Size(items=20))
    for run in study.runs_of("ppo ai-fine"):
        folder = run.folder("evaluation")
        assert folder is not None
        (folder / "samples.jsonl").unlink()
    row = next(r for r in analyse(study).rows("baseline") if r.treatment == "ppo ai-fine")
    assert row.basis == "seeds only" and row.effect.defined


def test_a_truncation_gap_is_named_beside_the_number(ladder_study: StudyRecord) -> None:
    rows = analyse(ladder_study).rows("step")
    row = next(r for r in rows if r.treatment == "KL off")
    assert row.verdict is Verdict.WORSE
    assert any(warning.startswith("outputs that ended") for warning in row.warnings)


def test_a_cell_without_runs_has_no_score(grid_study: StudyRecord) -> None:
    assert math.isnan(score_of(Evidence(grid_study), "no such cell", "average").value)
    assert math.isnan(score_of(Evidence(grid_study), "SFT", "no such metric").value)
