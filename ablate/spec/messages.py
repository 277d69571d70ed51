"""What pydantic found, in the words of a study file's author."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from pydantic_core import ErrorDetails, PydanticCustomError

from ablate.errors import nearest
from ablate.spec.problems import Place, Problem

_COMPARISONS = {
    "greater_than": ("gt", "above"),
    "greater_than_equal": ("ge", "at least"),
    "less_than": ("lt", "below"),
    "less_than_equal": ("le", "at most"),
}
_KINDS = {
    "string_type": "text",
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "int_parsing": "a whole number",
    "float_type": "a number",
    "float_parsing": "a number",
    "finite_number": "a finite number",
    "bool_type": "true or false",
    "bool_parsing": "true or false",
    "list_type": "a list",
    "tuple_type": "a list",
    "dict_type": "a mapping",
    "mapping_type": "a mapping",
    "model_type": "a mapping",
    "model_attributes_type": "a mapping",
    "none_required": "null",
}


def show(value: object) -> str:
    """Return a value as an author would write it, shortened."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, Mapping):
        return "a mapping"
    if isinstance(value, Sequence) and not isinstance(value, str):
        return "a list"
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


def one_of(found: object, allowed: Iterable[str]) -> str:
    """Say what is allowed instead of ``found``, with the nearest allowed name."""
    choices = sorted(allowed)
    # A cell's name holds commas: between quotes one sees where it ends.
    shown = [show(name) if ", " in name else name for name in choices]
    listed = ", ".join(shown) if shown else "(nothing)"
    return f"{show(found)} is not one of {listed}.{nearest(found, choices)}"


def field_problem(message: str, key: str = "") -> PydanticCustomError:
    """Return an error for a validator to raise; ``key`` is the key below it to point at."""
    return PydanticCustomError("study", "{message}", {"message": message, "key": key})


def value_message(error: ErrorDetails) -> str:
    """Return what is wrong with one value and what is allowed."""
    kind, found, context = error["type"], error["input"], error.get("ctx", {})
    if kind in _COMPARISONS:
        name, word = _COMPARISONS[kind]
        return f"{show(found)} is out of range; it must be {word} {context[name]}."
    if kind == "literal_error":
        return one_of(found, _choices(str(context["expected"])))
    if kind in _KINDS:
        return f"{show(found)} is not {_KINDS[kind]}.{_hint(kind, found)}"
    if kind == "data":
        return str(context["message"])
    if kind in ("too_short", "string_too_short"):
        return f"{show(found)} is empty; at least one is needed."
    return f"{show(found)}: {error['msg']}."


def _choices(expected: str) -> list[str]:
    return [part.strip().strip("'") for part in expected.replace(" or ", ", ").split(",")]


def _hint(kind: str, found: object) -> str:
    if kind.startswith("bool") and found in ("yes", "on", "no", "off"):
        return f" Write {'true' if found in ('yes', 'on') else 'false'}."
    if kind.startswith("int") and isinstance(found, float) and found.is_integer():
        return f" Write {int(found)}."
    if kind.startswith(("int", "float")) and isinstance(found, str):
        plain = found.replace("_", "").replace(",", "")
        if plain != found and plain.isdigit():
            return f" Write {plain}."
    if kind == "string_type" and isinstance(found, bool | int | float):
        return " Put it in quotes."
    return ""


def structure_problems(
    errors: Iterable[ErrorDetails], allowed_keys: Callable[[Place], Iterable[str]]
) -> list[Problem]:
    """Return one problem for each pydantic error of the study's own fields."""
    return [_structure_problem(error, allowed_keys) for error in errors]


def _structure_problem(
    error: ErrorDetails, allowed_keys: Callable[[Place], Iterable[str]]
) -> Problem:
    place: Place = error["loc"]
    if error["type"] == "extra_forbidden":
        name = str(place[-1])
        return Problem(place, f"unknown key; {one_of(name, allowed_keys(place[:-1]))}", True)
    if error["type"] == "missing":
        return Problem(place, "missing; it is needed. Add it.")
    if error["type"] == "study":
        context = _context(error)
        key = context.get("key")
        return Problem((*place, key) if key else place, str(context["message"]), bool(key))
    return Problem(place, value_message(error))


def _context(error: ErrorDetails) -> Mapping[str, Any]:
    return error.get("ctx", {})
