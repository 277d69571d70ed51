"""What a study declares decides which interval a difference gets and what its verdict is about."""

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ablate.reporting.contrasts import Contrast, contrasts_of, families_of
from ablate.reporting.effects import Basis, EffectRow, effect_rows
from ablate.reporting.estimating import margin_of, score_of
from ablate.reporting.evidence import Evidence
from ablate.reporting.records import StudyRecord
from ablate.spec.analysis import Analysis, DeclaredContrast
from ablate.stats.borrowed import borrowed_difference, pooled_overlap
from ablate.stats.crossed import crossed_difference, matched_difference
from ablate.stats.estimate import Claim
from ablate.stats.multiplicity import adjust
from ablate.stats.paired import checkpoint_difference
from ablate.stats.quantiles import t_two_sided
from ablate.stats.verdicts import Verdict
from tests.reporting.builders import Fake, Size, grid, study_of, unfinished, write_json

TREATED, CONTROL = "ppo ai-fine", "dpo ai-fine"
STEP = Contrast("algorithm", TREATED, CONTROL, "ai-fine")


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> StudyRecord:
    return grid(tmp_path_factory.mktemp("grid"), Size(seeds=3, items=24))


def declared(study: StudyRecord, **analysis: Any) -> StudyRecord:
    return replace(study, analysis=Analysis(**analysis))


def one(study: StudyRecord, contrast: Contrast = STEP) -> EffectRow:
    return effect_rows(Evidence(study), [contrast], ["average"])[0]


def test_matched_seeds_enter_the_interval_only_where_the_study_declares_them(
    study: StudyRecord,
) -> None:
    evidence = Evidence(study)
    arms = [evidence.arm(cell, "average", (0, 1, 2)) for cell in (TREATED, CONTROL)]
    plain, matched = one(study), one(declared(study, seeds="matched"))
    assert plain.basis is Basis.CROSSED and matched.basis is Basis.MATCHED
    assert plain.effect == crossed_difference(*arms)  # type: ignore[arg-type]
    assert matched.effect == matched_difference(*arms)  # type: ignore[arg-type]


def test_a_claim_about_checkpoints_is_decided_over_items_alone(study: StudyRecord) -> None:
    evidence = Evidence(study)
    arms = [evidence.arm(cell, "average", (0, 1, 2)) for cell in (TREATED, CONTROL)]
    row = one(declared(study, claim="checkpoints"))
    assert row.effect == checkpoint_difference(*arms)  # type: ignore[arg-type]
    assert row.effect.claim is Claim.CHECKPOINT and row.basis is Basis.ITEMS


def test_one_seed_borrows_the_spread_of_the_cells_that_have_several(study: StudyRecord) -> None:
    partial = unfinished(unfinished(study, TREATED, 1, "not run"), TREATED, 2, "not run")
    row = one(partial)
    assert row.basis is Basis.BORROWED and row.effect.defined
    assert row.effect.claim is Claim.RECIPE and row.effect.n_seeds == 1
    evidence = Evidence(partial)
    cells = [c for c in study.cells if c not in ("base", "SFT", TREATED)]
    scores = [list(evidence.values(cell, "average").values()) for cell in cells]
    squares = sum(sum((x - sum(s) / 3) ** 2 for x in s) for s in scores)
    seed_sd, degrees = math.sqrt(squares / (2 * len(scores))), 2 * len(scores)  # 2 a cell
    lenders = [evidence.arm(cell, "average", (0, 1, 2)) for cell in cells]
    arms = [evidence.arm(cell, "average", (0,)) for cell in (TREATED, CONTROL)]
    expected = borrowed_difference(
        *arms,  # type: ignore[arg-type]
        seed_sd=seed_sd,
        degrees=degrees,
        overlap=pooled_overlap(lenders),  # type: ignore[arg-type]
    )
    assert row.effect.standard_error == pytest.approx(expected.standard_error)
    assert row.effect.degrees == pytest.approx(expected.degrees)


def test_starting_points_lend_no_spread_because_their_seeds_share_a_checkpoint(
    tmp_path: Path,
) -> None:
    fakes = [Fake("base", {}, -1, kind="base"), Fake("SFT", {}, kind="sft")]
    fakes.append(Fake("dpo", {"algorithm": "dpo"}, 1))
    made = study_of(tmp_path, fakes, Size(seeds=2, items=16))
    row = one(unfinished(made, "dpo", 1, "not run"), Contrast("baseline", "dpo", "SFT", "dpo"))
    assert row.basis is Basis.ITEMS and not row.effect.defined and row.checkpoint.defined


def test_a_declared_seed_sd_holds_for_the_primary_metric(tmp_path: Path) -> None:
    fakes = [Fake("SFT", {}, kind="sft"), Fake("dpo", {"algorithm": "dpo"}, 1)]
    made = declared(study_of(tmp_path, fakes, Size(seeds=1, items=16)), seed_sd=3.0)
    contrast = Contrast("baseline", "dpo", "SFT", "dpo")
    rows = effect_rows(Evidence(made), [contrast], ["average", "coding"])
    assert [row.basis for row in rows] == [Basis.BORROWED, Basis.ITEMS]
    error = math.hypot(rows[0].checkpoint.standard_error, 3 * math.sqrt(2))
    assert rows[0].effect.standard_error == pytest.approx(error)


def test_max_t_is_never_below_the_plain_p_and_seldom_above_holm(study: StudyRecord) -> None:
    contrasts = [c for c in contrasts_of(study) if c.kind == "baseline"]
    rows = effect_rows(Evidence(declared(study, correction="max-t")), contrasts, ["average"])
    plain = [row.effect.p_value for row in rows]
    assert all(row.p_adjusted >= p for row, p in zip(rows, plain, strict=True))
    holm = adjust(plain, "holm")
    assert sum(r.p_adjusted for r in rows) < 1.1 * sum(holm)
    again = effect_rows(Evidence(declared(study, correction="max-t")), contrasts, ["average"])
    assert [row.p_adjusted for row in rows] == [row.p_adjusted for row in again]


def test_what_is_not_declared_is_exploratory(study: StudyRecord) -> None:
    own = DeclaredContrast(
        name="RL", factor="algorithm", treatment="ppo", control="dpo", expect=(0, 2)
    )
    made = declared(study, contrasts=(own,), correction="none")
    families = {family.name: family for family in families_of(made)}
    assert families["declared-1"].declared and not families["baseline"].declared
    rows = effect_rows(Evidence(made), contrasts_of(made), ["average", "coding"])
    confirmatory = {(row.treatment, row.control) for row in rows if row.confirmatory}
    pairs = {(f"ppo {d}", f"dpo {d}") for d in ("human-noisy", "ai-overall", "ai-fine")}
    assert confirmatory == pairs
    assert all(row.metric == "average" for row in rows if row.confirmatory)
    mine = [row for row in rows if row.confirmatory]
    assert [row.p_adjusted for row in mine] == [row.effect.p_value for row in mine]


def test_two_cells_may_be_declared_by_name(study: StudyRecord) -> None:
    made = declared(study, contrasts=(DeclaredContrast(treatment=TREATED, control="base"),))
    own = [c for c in contrasts_of(made) if c.kind == "declared-1"]
    assert [(c.treatment, c.control, c.declared) for c in own] == [(TREATED, "base", True)]


def test_margins_hold_in_the_unit_of_their_metric(study: StudyRecord) -> None:
    evidence = Evidence(declared(study, margin=2.0, margins={"gold": 0.1}))
    assert margin_of(evidence, "average") == 2.0 and margin_of(evidence, "gold") == 0.1
    assert math.isnan(margin_of(evidence, "kl_per_sequence_nats"))


def test_an_effect_has_its_equivalence_p_and_what_to_expect_of_it_again(
    study: StudyRecord,
) -> None:
    contrasts = [c for c in contrasts_of(study) if c.kind == "baseline"]
    rows = effect_rows(Evidence(study), contrasts, ["average"])
    for row in rows:
        near = (1.0 - abs(row.effect.value)) / row.effect.standard_error
        half = t_two_sided(near, row.effect.degrees) / 2
        assert row.p_equivalence == pytest.approx(half if near > 0 else 1 - half)
    best = max(rows, key=lambda row: row.effect.value)
    assert best.shrunken < best.effect.value


def published(folder: Path, study: StudyRecord, value: float, error: float | None) -> StudyRecord:
    """Add a row of a paper, which has one run without samples."""
    row = {"metric": "average", "level": "average", "value": value, "n_items": 0}
    row |= {"direction": "higher", "unit": "percent"}
    row |= {} if error is None else {"standard_error": error}
    write_json(folder / "scores.json", {"suite": "", "source": "A paper", "metrics": [row]})
    run = replace(
        study.runs_of("SFT")[0], cell="theirs", kind="imported", run_id="theirs",
        artifacts={"evaluation": folder}, fingerprints={"evaluation": "0"},
    )  # fmt: skip
    return replace(study, cells=(*study.cells, "theirs"), runs=(*study.runs, run))


def test_a_published_row_has_no_interval_and_no_verdict(study: StudyRecord, tmp_path: Path) -> None:
    made = published(tmp_path, study, 40.0, None)
    evidence = Evidence(made)
    assert score_of(evidence, "theirs", "average").value == 40.0
    assert not score_of(evidence, "theirs", "average").defined
    row = one(made, Contrast("baseline", TREATED, "theirs", TREATED))
    ours = score_of(evidence, TREATED, "average").value
    assert row.effect.value == pytest.approx(ours - 40.0)  # all three seeds of ours
    assert not row.effect.defined and row.basis is Basis.PUBLISHED
    assert row.verdict is Verdict.INCONCLUSIVE and not row.invalid


def test_a_stated_error_serves_a_claim_about_checkpoints_only(
    study: StudyRecord, tmp_path: Path
) -> None:
    made = published(tmp_path, study, 40.0, 0.6)
    contrast = Contrast("baseline", TREATED, "theirs", TREATED)
    assert not one(made, contrast).effect.defined and one(made, contrast).checkpoint.defined
    row = one(declared(made, claim="checkpoints"), contrast)
    ours = score_of(Evidence(made), TREATED, "average").standard_error
    assert row.effect.standard_error == pytest.approx(math.hypot(ours, 0.6))
    assert row.effect.claim is Claim.CHECKPOINT
