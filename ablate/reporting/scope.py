"""Which randomness the intervals of a report hold, and which they leave out."""

from __future__ import annotations

from ablate.reporting.effects import Basis
from ablate.reporting.findings import Findings
from ablate.reporting.records import listed

_LEFT_OUT = {
    "model": "the base model",
    "sft": "the SFT checkpoint",
    "preferences": "the preference data",
    "reward_model": "the reward model",
    "policy": "policy training",
    "evaluation": "the sampled completions",
}
_CHECKPOINTS = "they speak about these checkpoints and not about the recipes."


def scope_of(found: Findings) -> str:
    """Say what the intervals hold; empty where nothing has one."""
    study = found.study
    own = [cell for cell in study.cells if not found.evidence.source(cell)]
    if not own:
        stated = any(row.checkpoint.defined for row in found.effects)
        if not stated:
            return "Published numbers without standard errors: no difference has an interval."
        return (
            "Intervals rest on the standard errors that the study states for published numbers, and"
            " no pairing of items lowers them; what other training seeds would give is not in them."
        )
    several = any(len(found.evidence.finished(cell)) > 1 for cell in own)
    borrowed = any(row.basis is Basis.BORROWED for row in found.effects)
    if study.analysis.claim == "checkpoints":
        return f"Intervals hold the spread over evaluation items only, as declared: {_CHECKPOINTS}"
    if not several and not borrowed:
        return f"Intervals hold the spread over evaluation items only: with one seed {_CHECKPOINTS}"
    held = [text for stage, text in _LEFT_OUT.items() if stage in study.vary]
    out = [text for stage, text in _LEFT_OUT.items() if stage not in study.vary]
    scope = "evaluation items" + (f" and over seeds of {listed(held)}" if held else "")
    left = f", and leave out what redrawing {listed(out)} would change" if out else ""
    return f"Intervals hold the spread over {scope}{left}."
