"""``--set path=value``: changes to a study from the command line."""

from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy
from dataclasses import replace
from typing import Any

from ablate.errors import StudyError
from ablate.spec.fields import ALIASES
from ablate.spec.problems import Place, Problem
from ablate.spec.source import Source
from ablate.spec.study import Study
from ablate.spec.yaml_source import UnreadableYaml, parse


def apply_sets(
    data: dict[str, Any], source: Source, sets: Sequence[str]
) -> tuple[dict[str, Any], Source, list[Problem]]:
    """Return data and source with every change applied, in order.

    A path that starts with a key of the study (``seeds``, ``analysis.alpha``) changes that key;
    any other is a field under ``base``.
    """
    if not sets:
        return data, source, []
    data = deepcopy(data)
    written: dict[Place, str] = {}
    for option in sets:
        path, value = _parse_option(option)
        place = _assign(data, path, value)
        written = {known: text for known, text in written.items() if known[: len(place)] != place}
        written[place] = option
    return data, replace(source, sets=written), []


def _parse_option(option: str) -> tuple[str, object]:
    path, equals, text = option.partition("=")
    path = path.strip()
    if not equals or not path or not all(path.split(".")):
        raise StudyError(f"--set {option}: not path=value, such as --set policy.beta=0.2.")
    try:
        node, problems = parse(text)
    except UnreadableYaml as error:
        raise StudyError(f"--set {option}: {error.message}") from None
    if problems:
        raise StudyError("\n".join(f"--set {option}: {message}" for message, _, _ in problems))
    return path, node.data() if node is not None else None


def _assign(data: dict[str, Any], path: str, value: object) -> Place:
    head = path.partition(".")[0]
    if head in Study.model_fields:
        return _assign_below(data, path, value, ())
    if not isinstance(data.get("base"), dict):
        data["base"] = {}
    return _assign_below(data["base"], path, value, ("base",))


def _assign_below(level: dict[str, Any], path: str, value: object, place: Place) -> Place:
    """Write ``value`` where the file has the path, nested or dotted, or else as it is given."""
    for key in [key for key in level if key == path or ALIASES.get(key) == ALIASES.get(path, path)]:
        if isinstance(level[key], dict) and not isinstance(value, dict):
            continue
        del level[key]
        level[path] = value
        return (*place, path)
    for key, inner in level.items():
        if path.startswith(f"{key}."):
            rest = path[len(key) + 1 :]
            if isinstance(inner, dict):
                return _assign_below(inner, rest, value, (*place, key))
            if key == "seeds" and place == ():
                level[key] = {"n": inner}
                return _assign_below(level[key], rest, value, (*place, key))
    head, dot, rest = path.partition(".")
    if place == () and dot and head not in level:
        level[head] = {}
        return _assign_below(level[head], rest, value, (head,))
    level[path] = value
    return (*place, path)
