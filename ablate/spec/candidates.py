"""The records of a design before it is resolved."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from ablate.spec.factors import Level, is_path_factor, one_level
from ablate.spec.messages import one_of
from ablate.spec.problems import Place, Problem


@dataclass(frozen=True)
class Factor:
    """What varies."""

    name: str
    """As the author wrote it."""
    paths: tuple[str, ...]
    """The fields that its levels set."""
    levels: tuple[Level, ...]
    """Empty for the factors of a ladder or of explicit cells."""
    place: Place = ()
    """Where it stands in the file."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """A cell before its stages are resolved."""

    name: str
    levels: Mapping[str, str]
    """Label by factor; a factor that the cell does not use has a dash."""
    overrides: Mapping[str, object]
    """Checked values by path, in the order in which they apply."""
    parent: str | None = None
    """The rung before, or the rung that a branch leaves."""
    status: str | None = None
    """``preliminary`` or None."""
    place: Place = ()
    """Where the cell stands in the file; the design's for a cell of a grid."""
    places: Mapping[str, Place] = field(default_factory=dict)
    """Where each override stands in the file."""


Choice = dict[str, Level]
"""A level of every factor."""


def choice_labels(choice: Choice) -> tuple[tuple[str, str], ...]:
    """Return factor and label pairs, which tell choices apart."""
    return tuple((name, level.label) for name, level in choice.items())


def find_level(factor: Factor, value: object, place: Place) -> tuple[Level | None, Problem | None]:
    """Return the level of a factor that ``value`` names, or what is wrong with it."""
    known = {level.label: level for level in factor.levels}
    if not is_path_factor(factor.name) or (isinstance(value, str) and value in known):
        found = known.get(str(value))
    else:
        found = known.get(one_level(factor.name, value, place)[0].label)
    return found, None if found else Problem(place, one_of(value, known))
