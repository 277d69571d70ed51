"""Pairs that a reward model has the other way round. Untrusted text: the formats escape it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import chain, zip_longest
from typing import Any

from ablate.data.hygiene.harmless import harmless
from ablate.reporting.artifacts import number, read_lines
from ablate.reporting.block_tables import REWARD
from ablate.reporting.findings import Findings
from ablate.reporting.reward_models import reward_models
from ablate.reporting.reward_ways import RewardModel

FILE = "disagreements.jsonl"
MOST = 10
"""Pairs that are shown, over all reward models."""
EXCERPT = 600
"""Characters of a text that are shown."""


@dataclass(frozen=True)
class Disagreement:
    """One pair whose rejected reply a reward model scores higher."""

    reward_model: str
    subset: str
    prompt: str
    chosen: str
    rejected: str
    scores: tuple[str, str]
    """Of the chosen and of the rejected reply: they have a unit only among themselves."""


def disagreements(found: Findings) -> tuple[Disagreement, ...]:
    """Return the worst pairs of the first evaluated seed of each reward model, models in turn.

    A pair that several models have the other way round is shown once.
    """
    of_each = [_of(found, model) for model in reward_models(found)]
    kept: dict[tuple[str, str, str], Disagreement] = {}
    for one in chain.from_iterable(zip_longest(*of_each)):
        if one is not None:
            kept.setdefault((one.prompt, one.chosen, one.rejected), one)
    return tuple(kept.values())[:MOST]


def _of(found: Findings, model: RewardModel) -> list[Disagreement]:
    runs = found.study.runs_of(model.cells[0])
    folder = next((path for run in runs if (path := run.folder(REWARD)) is not None), None)
    if folder is None:  # A published one has numbers and no pairs.
        return []
    lines = sorted(read_lines(folder / FILE), key=_margin)[:MOST]
    return [_shown(model, line) for line in lines]


def _margin(line: Mapping[str, Any]) -> float:
    margin = number(line.get("chosen_score")) - number(line.get("rejected_score"))
    return math.inf if math.isnan(margin) else margin


def _shown(model: RewardModel, line: Mapping[str, Any]) -> Disagreement:
    subset = line.get("subset") or line.get("category") or line.get("task") or ""
    prompt, chosen, rejected = (
        harmless(str(line.get(part) or ""), EXCERPT) for part in ("prompt", "chosen", "rejected")
    )
    scores = (
        f"{number(line.get('chosen_score')):.3g}",
        f"{number(line.get('rejected_score')):.3g}",
    )
    return Disagreement(model.name, harmless(str(subset), 80), prompt, chosen, rejected, scores)
