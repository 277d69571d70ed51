"""Factors and their levels, as values of one path or as named sets of overrides."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from ablate.errors import nearest
from ablate.spec.fields import ALIASES, WELL_KNOWN, field_paths, is_identity
from ablate.spec.messages import one_of, show
from ablate.spec.overrides import Overrides, flatten, unknown_path
from ablate.spec.problems import Place, Problem

UNUSED = "–"
"""Level of a factor that a cell does not depend on."""


@dataclass(frozen=True)
class Level:
    """One level of a factor."""

    label: str
    """What tables show."""
    overrides: Overrides
    """What the level sets."""
    place: Place
    """Where it stands in the file."""
    places: Mapping[str, Place]
    """Where each of its overrides stands."""


def label(value: object) -> str:
    """Return a value as tables show it."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return repr(value).replace("e-0", "e-").replace("e+0", "e")
    if isinstance(value, tuple | list):
        return "+".join(label(item) for item in value) or "default"
    if isinstance(value, Mapping):
        return " ".join(f"{key}={label(item)}" for key, item in value.items()) or "default"
    return str(value)


def named_factors(path: str) -> str:
    """Return the name under which a path varies: its well-known one where it has one."""
    return "reward_model" if path == "reward_model.size" else path


def is_path_factor(name: str) -> bool:
    """Return whether a factor's levels are values of one field."""
    return name in WELL_KNOWN or ALIASES.get(name, name) in field_paths()


def one_level(name: str, value: object, place: Place) -> tuple[Level, list[Problem]]:
    """Return the level of a path's factor that has ``value``, and its problems."""
    flat = flatten({name: value}, place[:-1])
    places = dict.fromkeys(flat.places, place)
    problems = [Problem(place, problem.message) for problem in flat.problems]
    shown = (
        value if isinstance(value, Mapping) or not flat.values else next(iter(flat.values.values()))
    )
    return Level(label(shown), flat.values, place, places), problems


def read_levels(name: str, value: object, place: Place) -> tuple[tuple[Level, ...], list[Problem]]:
    """Return a factor's levels and every problem of its name and of their values."""
    problems: list[Problem] = []
    levels: list[Level] = []
    if isinstance(value, Mapping):
        levels = _named_levels(name, value, place, problems)
    elif not is_path_factor(name):
        problems.append(Problem(place, _unknown_factor(name), at_key=True))
    elif isinstance(value, list | tuple):
        if not is_identity(ALIASES.get(name, name)):
            found = "this field says where or how fast a job runs, not what it computes."
            problems.append(Problem(place, f"{found} Set it under base.", at_key=True))
        for index, item in enumerate(value):
            level, wrong = one_level(name, item, (*place, index))
            levels.append(level)
            problems.extend(wrong)
    labels = [level.label for level in levels]
    for index, level in enumerate(levels):
        if level.label in labels[:index]:
            problems.append(Problem(level.place, f"{level.label!r} is listed twice. Keep one."))
    return tuple(levels), problems


def _named_levels(
    name: str, value: Mapping[str, object], place: Place, problems: list[Problem]
) -> list[Level]:
    levels = []
    for level_name, change in value.items():
        inside: Place = (*place, level_name)
        if change is not None and not isinstance(change, Mapping):
            example = f"{level_name}: {{policy.beta: 0.1}}"
            found = f"{show(change)} is not a mapping of fields, such as {example}."
            hint = f" For values of one field, write {name}: [{label(change)}]."
            problems.append(Problem(inside, found + (hint if is_path_factor(name) else "")))
            change = {}
        flat = flatten(change or {}, inside)
        problems.extend(flat.problems)
        levels.append(Level(level_name, flat.values, inside, flat.places))
    return levels


def _unknown_factor(name: str) -> str:
    if "." in name:
        return unknown_path(name) or one_of(name, field_paths())
    hint = nearest(name, [*WELL_KNOWN, *(path for path in field_paths() if "." in path)])
    return (
        f"{name!r} is no factor; allowed are {', '.join(WELL_KNOWN)}, any field such as "
        f"policy.learning_rate, and a name of your own above named sets of fields.{hint}"
    )
