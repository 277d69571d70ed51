"""All checks of a data set, and those that compare it with something else."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Protocol

from ablate.data.hygiene.check import NAMED, Check, not_applicable, over, percent
from ablate.data.hygiene.exposure import Overlap
from ablate.data.hygiene.pair_checks import (
    IdenticalReplies,
    LabelDirection,
    LengthBias,
    MixedKinds,
    Refusals,
    Ties,
)
from ablate.data.hygiene.text_checks import (
    BrokenText,
    EmptyTexts,
    ExtremeLengths,
    Openings,
    Repeats,
    SystemPrompts,
    Turns,
)
from ablate.data.hygiene.views import View, views
from ablate.data.shaping.items import Item

UNUSABLE = 0.5
"""Share of a source's rows, left out for what they hold, that makes its reading doubtful."""
SAME_PROMPTS = 0.5
"""Share of the policy's prompts from which a reward model's training covers them."""
CONTAMINATED = 0.02
"""Share of a suite's items beyond which its score is no measurement of this model."""
_WORD = re.compile(r"[a-z]+|\d+[a-z]*")
_NOBODY = ("", "human", "humans", "people", "none", "unknown")


class Tally(Protocol):
    """Takes rows one by one and says at last what it found."""

    def add(self, view: View) -> None:
        """Take a row."""

    def check(self) -> Check:
        """Return what was found so far."""


def tallies() -> list[Tally]:
    """Return all checks of rows, fresh."""
    return [
        LabelDirection(),
        Ties(),
        LengthBias(),
        IdenticalReplies(),
        MixedKinds(),
        Repeats("row"),
        Repeats("prompt"),
        EmptyTexts(),
        Turns(),
        SystemPrompts(),
        BrokenText(),
        ExtremeLengths(),
        Refusals(),
        Openings(),
    ]


def checked(items: Iterable[Item]) -> tuple[Check, ...]:
    """Return what all checks of rows find, in one pass over them."""
    run = tallies()
    for view in views(items):
        for tally in run:
            tally.add(view)
    return tuple(tally.check() for tally in run)


def unusable_rows(dropped: Mapping[str, int], rows: int, named: Sequence[str] = ()) -> Check:
    """Return the check of rows left out for what they hold, such as prompts that differ in a pair.

    ``dropped`` counts them by reason, ``rows`` are those that were kept.
    """
    name = "unusable rows"
    count, read = sum(dropped.values()), rows + sum(dropped.values())
    if not read:
        return not_applicable(name, "there are no rows")
    reasons = ", ".join(f"{n} {reason}" for reason, n in sorted(dropped.items()))
    share = count / read
    found = f"{count} of {read} rows were left out" + (f": {reasons}" if reasons else "")
    return Check(name, over(share, warn=0.0, fail=UNUSABLE), found, share, tuple(named[:NAMED]))


def labeller_check(labeller: str, judge: str) -> Check:
    """Return whether who labelled the data also judges the models, by name.

    Names are the same judge if one begins with the other, word by word: ``GPT-4`` and
    ``gpt-4-0613``. Whether two differently named models come from one house is not known here.
    """
    name = "labeller and judge"
    said, asked = (_WORD.findall(who.casefold()) for who in (labeller, judge))
    if " ".join(said) in _NOBODY or " ".join(asked) in _NOBODY:
        return not_applicable(name, "no model labels the data and judges as well")
    shorter = min(len(said), len(asked))
    same = said[:shorter] == asked[:shorter]
    found = f"the labels are by {labeller!r} and the judge is {judge!r}"
    return Check(name, "warn" if same else "ok", found, float(same))


def overlap_check(overlap: Overlap) -> Check:
    """Return how many of a policy's prompts (right) its reward model was trained on (left).

    High values are usual, and they flatter the reward; the effect of new prompts needs low ones.
    """
    name = "reward-model prompts and policy prompts"
    value = overlap.right_like_left
    if math.isnan(value):
        return not_applicable(name, "one of the sets has no prompts")
    found = (
        f"{percent(value)} of the policy's prompts are in the reward model's set "
        f"({percent(overlap.right_in_left)} whole), {percent(overlap.left_like_right)} the other "
        "way around"
    )
    return Check(name, over(value, warn=SAME_PROMPTS), found, value)
