"""TRL's KTO trainer gives the loss of our examples where they are thumbs and no pairs."""

from pathlib import Path
from typing import Any

import pytest
import torch
from test_feedback_kto import examples_of, kto_config, thumbs_of, written
from test_trl_parity import made_trainer, offline
from training_toys import Toy

from ablate.data.records import Judged
from ablate.models.loading import load_policy
from ablate.models.logprobs import completion_logprobs
from ablate.training.kto import KtoObjective, KtoReference, crossed_row, crossings_of

__all__ = ["offline"]
BATCH = list(range(14))


@pytest.mark.parametrize("trained", ["model", "sft"])
def test_kto_on_thumbs_equals_trl(toy: Toy, tmp_path: Path, trained: str) -> None:
    """Four thumbs down and ten up; from either side, so that the baseline is clamped once."""
    held = "sft" if trained == "model" else "model"
    judged = [Judged(feedback=thumb) for thumb in thumbs_of(toy)]
    _, examples = examples_of(toy, written(tmp_path / "thumbs", judged))
    policy, reference = (load_policy(toy.artifacts[name] / "model") for name in (trained, held))
    trainer = made_trainer(
        "KTO", toy, tmp_path, policy.model, ref_model=reference.model,
        beta=0.3, desirable_weight=0.5, per_device_train_batch_size=2,
    )  # fmt: skip
    rows = examples.rows
    crossings = crossings_of(rows, BATCH)
    batch: list[dict[str, Any]] = [
        {
            "prompt_ids": list(rows[i].prompt),
            "completion_ids": list(rows[i].completion),
            "KL_completion_ids": list(rows[j].completion),
            "label": bool(examples.desirable[i]),
        }
        for i, j in crossings
    ]
    assert sum(item["label"] for item in batch) == 10
    theirs = trainer.compute_loss(trainer.model, trainer.data_collator(batch))
    own, crossed = (
        completion_logprobs(reference.model, some, grad=False).logprobs.sum(dim=1)
        for some in (list(rows), [crossed_row(rows, crossing) for crossing in crossings])
    )
    frozen = KtoReference(own, dict(zip(crossings, crossed.tolist(), strict=True)))
    objective = KtoObjective(
        policy.model.eval(),
        rows,
        frozen,
        kto_config(desirable_weight=0.5),
        desirable=examples.desirable,
    )
    step = objective.weight(BATCH)
    assert (step.baseline.item() > 0) == (trained == "sft")
    torch.testing.assert_close(objective.share(BATCH, step).loss, theirs, atol=1e-5, rtol=0)
