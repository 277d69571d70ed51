"""What KTO learns from: thumbs as they are, or both sides of pairs, apart from each other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ablate.data.stored import stored_feedback, stored_pairs
from ablate.models.boundary import Row
from ablate.spec.offline import KtoConfig
from ablate.training.examples import fitting_demonstrations, read_feedback_table
from ablate.training.offline import Labels, OfflineStart


@dataclass(frozen=True)
class KtoExamples:
    """Prompts with one completion each, and whether it is desirable."""

    rows: Sequence[Row]
    desirable: Tensor  # (examples,) bool
    labels: Labels
    """The thumbs or pairs that the examples came with."""


def read_examples(start: OfflineStart, config: KtoConfig) -> KtoExamples:
    """Return the examples that fit, and count the others.

    A data set's thumbs are taken where it has any: one example and one label each. Pairs beside
    them are not; most often they say the same again. Of pairs each gives a desirable and an
    undesirable example, and is one label.
    """
    if stored_feedback(start.workspace.inputs["preferences"]).size:
        return _of_thumbs(start, config)
    pairs, total = start.pairs()
    count = len(pairs.kept)
    desirable = torch.arange(2 * count) < count
    labels = Labels.of_pairs(pairs, total, lambda example: example % count)
    return KtoExamples(pairs.both(), desirable, labels)


def _of_thumbs(start: OfflineStart, config: KtoConfig) -> KtoExamples:
    inputs = start.workspace.inputs
    table = read_feedback_table(inputs, start.loaded.boundary)
    lengths = table.lengths("prompt") + table.lengths("completion")
    up = table.margins[np.flatnonzero(lengths <= config.max_length)] > 0.0
    start.count_labels("thumbs", kept=len(up), total=len(table))
    liked, disliked = int(up.sum()), int((~up).sum())
    ratio = config.desirable_weight * liked / (config.undesirable_weight * disliked or np.nan)
    summary = {
        "feedback": len(up),
        "desirable": liked,
        "undesirable": disliked,
        "weighted_ratio": ratio if ratio == ratio else None,
        "pairs_unused": len(stored_pairs(inputs["preferences"])),
    }
    rows = fitting_demonstrations(table, config.max_length)
    return KtoExamples(rows, torch.from_numpy(up), Labels(len(up), len(table), summary))
