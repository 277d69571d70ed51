"""How many runs a cell gets: a number of seeds, or declared looks at a growing number."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from ablate.spec.config import Config
from ablate.spec.messages import field_problem, show

MAX_SEEDS = 1000
FEWEST_AT_A_LOOK = 2
"""One seed has no interval over seeds: there is nothing to look at."""
SeededStage = Literal["model", "sft", "preferences", "reward_model", "policy", "evaluation"]
Count = Annotated[int, Field(ge=1, le=MAX_SEEDS, strict=True)]


class Seeds(Config):
    """How many seeds, and which stages they reach."""

    n: Count = 1
    """Number of seeds: the n of every interval. With `looks` the first of them."""
    vary: tuple[SeededStage, ...] = ("reward_model", "policy", "evaluation")
    """Stages that get the seed; the others use 0 and are shared. What is not named here is left
    out of every interval, and the report says so."""
    looks: tuple[Count, ...] = ()
    """Seeds a cell at which the verdicts are looked at, rising, such as ``[3, 5, 8]``. Cells of
    declared comparisons that are inconclusive at one get the seeds of the next, others stop."""
    spend: Literal["obrien-fleming", "even"] = "obrien-fleming"
    """How the looks share alpha: little early and most at the last, or each the same. Few seeds
    know their spread badly, so the first suits first looks at three seeds."""

    @model_validator(mode="before")
    @classmethod
    def _first_look(cls, given: Any) -> Any:
        """Take the first look for `n` where that is left out."""
        if isinstance(given, Mapping) and "n" not in given:
            looks = given.get("looks")
            if isinstance(looks, Sequence) and looks and isinstance(looks[0], int):
                return {**given, "n": looks[0]}
        return given

    @model_validator(mode="after")
    def _rising(self) -> Self:
        if not self.looks:
            if "spend" in self.model_fields_set:
                found = "there is nothing to share without looks. Add looks, or remove it."
                raise field_problem(found, "spend")
            return self
        shown = str(list(self.looks))
        if len(self.looks) < 2:
            found = f"{shown} is one look; two or more are needed. Write n: {self.looks[0]} alone."
            raise field_problem(found, "looks")
        if self.looks[0] < FEWEST_AT_A_LOOK:
            found = f"{shown} starts with one seed, which has no interval over seeds; the first"
            raise field_problem(f"{found} look needs 2 or more, better 3. Raise it.", "looks")
        if any(after <= before for before, after in pairwise(self.looks)):
            found = f"{shown} does not rise; each look has more seeds than the one before it."
            raise field_problem(f"{found} Sort it, and keep each number once.", "looks")
        if self.n != self.looks[0]:
            found = f"{self.n} is not the first look, {self.looks[0]}. Remove n, or make them equal"
            raise field_problem(f"{found}.", "n")
        return self

    @property
    def most(self) -> int:
        """Seeds of a cell that goes on to the end."""
        return self.looks[-1] if self.looks else self.n


def seeds_given(value: object) -> object:
    """Return a mapping of fields for a number of seeds; anything else as it is."""
    if isinstance(value, int) and not isinstance(value, bool):
        return {"n": value}
    if not isinstance(value, Mapping | Seeds):
        found = f"{show(value)} is neither a number of seeds nor a mapping of n, looks and vary."
        raise field_problem(f"{found} Write 3, {{looks: [3, 5]}} or {{n: 3, vary: [policy]}}.")
    return value
