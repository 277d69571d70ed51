"""What a cell's trials draw from: the searched fields that the cell uses, with checked values."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from ablate.spec.fields import ALIASES
from ablate.spec.overrides import checked_override
from ablate.spec.tune import Domain, Range, Tune
from ablate.spec.usage import uses

DIGITS = 6
"""Significant digits of a drawn number. The last bits of a logarithm differ between machines; a
trial must not become another one because its controller went on elsewhere."""


@dataclass(frozen=True)
class Dimension:
    """One searched field."""

    path: str
    """Dotted path, in its one spelling."""
    choices: tuple[object, ...] = ()
    """Values to choose from, in their field's own type; empty for a range."""
    low: float = math.nan
    """Smallest value of a range; NaN for choices."""
    high: float = math.nan
    """Largest value of a range; NaN for choices."""
    log: bool = False
    """Whether a range is logarithmic."""
    whole: bool = False
    """Whether a range has whole numbers alone."""

    def value(self, drawn: float | int) -> object:
        """Return the field's value of a draw: a number of the range, or an index of a choice."""
        if self.choices:
            return self.choices[int(drawn)]
        if self.whole:
            return int(drawn)
        return min(max(float(f"{drawn:.{DIGITS - 1}e}"), self.low), self.high)

    def at(self, share: float) -> object:
        """Return the value at a share of the way, 0 to below 1: what stands for a draw to come."""
        if self.choices:
            return self.value(int(share * len(self.choices)))
        if self.whole and not self.log:
            return int(self.low + share * (self.high - self.low + 1))
        if not self.log:
            return self.value(self.low + share * (self.high - self.low))
        drawn = math.exp(math.log(self.low) + share * math.log(self.high / self.low))
        return self.value(round(drawn) if self.whole else drawn)


def spelled(path: str) -> str:
    """Return the one spelling of a path."""
    return ALIASES.get(path, path)


def dimension(path: str, domain: Domain) -> Dimension:
    """Return a searched field with its values in the field's own type; wrong ones stay as given."""
    path = spelled(path)
    if not isinstance(domain, Range):
        return Dimension(path, tuple(checked_override(path, value)[0] for value in domain))
    ends = [checked_override(path, end)[0] for end in (domain.low, domain.high)]
    whole = all(type(end) is int for end in ends)
    return Dimension(path, (), float(domain.low), float(domain.high), domain.log, whole)


def space_of(tune: Tune, overrides: Mapping[str, object]) -> tuple[Dimension, ...]:
    """Return what the trials of a cell with these overrides draw from, in the file's order."""
    return tuple(
        dimension(path, domain)
        for path, domain in tune.search.items()
        if uses(overrides, spelled(path))
    )
