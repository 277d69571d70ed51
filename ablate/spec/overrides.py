"""From what an author writes under ``base``, a level or a rung to one value per dotted path."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from ablate.errors import nearest
from ablate.spec.data import OWN_LABELS
from ablate.spec.fields import (
    ALIASES,
    NAMES,
    SECTIONS,
    checked_value,
    field_paths,
    filled_in,
    links,
    nests,
)
from ablate.spec.hub import moving
from ablate.spec.messages import one_of, show
from ablate.spec.names import SUITE_ENDINGS, is_model_location, is_path
from ablate.spec.problems import Place, Problem
from ablate.spec.registry import NO_SUCH_MODEL, OTHER_MODELS, hub_models, registry
from ablate.spec.rewards import PAIR_JUDGE, reward_functions, reward_names
from ablate.spec.stages import ALGORITHMS

Overrides = dict[str, object]
"""A value per dotted path, in the order in which they apply."""


@dataclass(frozen=True)
class Flat:
    """A mapping of overrides after checking."""

    values: Overrides
    places: dict[str, Place]
    """Where each value stands in the file."""
    problems: list[Problem]


def flatten(mapping: Mapping[str, object], place: Place, *, reserved: Iterable[str] = ()) -> Flat:
    """Return dotted paths and checked values of a nested or dotted mapping.

    Keys in ``reserved`` are the design's own (``from``, ``status``) and are passed over.
    """
    flat = Flat({}, {}, [])
    for key, value in mapping.items():
        if key not in reserved:
            _take(key, value, (*place, key), flat)
    return flat


def merged(first: Mapping[str, object], second: Mapping[str, object]) -> Overrides:
    """Return ``first`` changed by ``second``: what comes later replaces what it covers."""
    result = dict(first)
    for path, value in second.items():
        result.pop(path, None)
        if value is None or nests(path):
            below = f"{path}."
            for other in [name for name in result if name.startswith(below)]:
                del result[other]
        if path.startswith("sft.") and "sft" in result:
            del result["sft"]
        result[path] = value
    return result


def _take(key: str, value: object, place: Place, flat: Flat) -> None:
    path = ALIASES.get(key, key)
    if isinstance(value, Mapping) and (key in SECTIONS or nests(key)):
        if nests(key) and not value:
            _set(key, {}, place, flat)
        for inner, inner_value in value.items():
            _take(f"{key}.{inner}", inner_value, (*place, inner), flat)
    elif value is None and key in SECTIONS and key not in ("sft", "model", "reward_model"):
        pass  # A section without fields, as when all of them are commented out.
    elif key == "sft":
        if value is None:
            _set("sft", None, place, flat)
        else:
            flat.problems.append(Problem(place, f"{show(value)} is not a mapping, nor null."))
    elif key in SECTIONS and path == key and key not in NAMES:
        flat.problems.append(Problem(place, f"{show(value)} is not a mapping of fields."))
    elif (message := unknown_path(path)) is not None:
        flat.problems.append(Problem(place, message, at_key=True))
    else:
        checked, wrong = checked_override(path, value)
        if wrong is None:
            _set(path, checked, place, flat)
        else:
            flat.problems.append(Problem(place, wrong))


def _set(path: str, value: object, place: Place, flat: Flat) -> None:
    if path in flat.places:
        found = "set twice in one mapping, once nested and once dotted. Keep one."
        flat.problems.append(Problem(place, found, at_key=True))
    if isinstance(value, dict):
        value = None if value else ()
    flat.values[path] = value
    flat.places[path] = place


def unknown_path(path: str) -> str | None:
    """Return what is wrong with a path that names no field, or None."""
    if path in field_paths():
        return None
    if filled_in(path):
        return f"{path!r} is filled in by the program. Remove it."
    section, dot, name = path.partition(".")
    if path in SECTIONS:
        fields = sorted(known for known in field_paths() if known.startswith(f"{path}."))
        shown = f"{path}.learning_rate" if f"{path}.learning_rate" in fields else fields[0]
        return f"{path!r} is a section, not a field. Name a field of it, such as {shown}."
    if not dot:
        sections = [name for name in SECTIONS if name not in ALGORITHMS]
        known = sorted({*sections, *(name for name in NAMES if "." not in name)})
        allowed = f"{', '.join(known)}, and an algorithm's name"
        hint = nearest(path, [*known, *ALGORITHMS])
        return f"unknown field; {show(path)} is not one of {allowed}.{hint}"
    if section not in SECTIONS:
        return f"unknown section; {one_of(section, SECTIONS)}"
    names = [known.partition(".")[2] for known in field_paths() if known.startswith(f"{section}.")]
    owner = "no algorithm" if section == "policy" else f"{section!r}"
    elsewhere = _elsewhere(section, name)
    hint = nearest(name, names) or elsewhere
    return (
        f"unknown field; {owner} has {name!r}.{hint}"
        if section == "policy"
        else (f"unknown field; {owner} has no {name!r}.{hint or _listed(names)}")
    )


def _elsewhere(section: str, name: str) -> str:
    homes = [path for path in field_paths() if path.partition(".")[2] == name]
    homes = [path for path in homes if not path.startswith(f"{section}.")]
    return f" Did you mean {homes[0]!r}?" if homes else ""


def _listed(names: list[str]) -> str:
    return f" It has {', '.join(sorted(names))}."


def checked_override(path: str, value: object) -> tuple[object, str | None]:
    """Return a value in its own type and what is wrong with it, or None."""
    check = _NAME_CHECKS.get(path)
    if path == "reward_model.size" and value is None:
        return value, _NO_REWARD_MODEL
    if path == "evaluation.rewards":
        return _listed_names(path, value, _known(reward_functions))
    if nests(path):
        ok = value is None or value == {} or value == ()
        return (value, None) if ok else (value, f"{show(value)} is not a mapping, nor null.")
    if check is None:
        return checked_value(path, value)
    if path == "reward_model.model" and value is None:
        return None, None
    if not isinstance(value, str):
        quotes = " Put it in quotes." if isinstance(value, bool | int | float) else ""
        return value, f"{show(value)} is not a name.{quotes}"
    return value, check(value)


def _listed_names(
    path: str, value: object, check: Callable[[str], str | None]
) -> tuple[object, str | None]:
    """Return a list of names as a tuple, and what is wrong with it or with one of them."""
    names, wrong = checked_value(path, value)
    if wrong is not None or not isinstance(names, tuple):
        return names, wrong
    if twice := [name for number, name in enumerate(names) if name in names[:number]]:
        return names, f"{twice[0]!r} is named twice. Keep one."
    return names, next(filter(None, map(check, names)), None)


_NO_REWARD_MODEL = (
    "null is no reward model. Name a size, such as full, or score without one: policy.reward takes "
    "implicit, judge and the names of reward functions."
)


def _known(allowed: Callable[[], Iterable[str]]) -> Callable[[str], str | None]:
    def check(value: str) -> str | None:
        return None if value in allowed() else one_of(value, allowed())

    return check


def _any_name(value: str) -> str | None:
    """Accept every name: which data sets there are is known once the study's own are read."""
    return None


def _model(value: str) -> str | None:
    if value in registry().models or is_model_location(value):
        return None
    if (wrong := moving(value)) is not None:
        return wrong
    if value in hub_models():
        return f"{value!r} lacks its commit; the registry has it as {hub_models()[value]!r}."
    return f"{show(value)} {NO_SUCH_MODEL}{nearest(value, registry().models)} {OTHER_MODELS}"


def _evaluated_reward(value: str) -> str | None:
    allowed = [*reward_names(), PAIR_JUDGE]
    if value in allowed or is_path(value):
        return None
    return f"{one_of(value, allowed)} A folder with a sequence classifier starts with ./ or /."


def _suite(value: str) -> str | None:
    if value in registry().suites or value.endswith(SUITE_ENDINGS):
        return None
    return f"{one_of(value, registry().suites)} A suite file of your own ends in .yaml."


def _algorithm(value: str) -> str | None:
    """Check a name, or the names of a chain such as ``dpo -> ppo``."""
    for name in links(value):
        if name not in ALGORITHMS:
            return one_of(name, ALGORITHMS)
    return None


_NAME_CHECKS: dict[str, Callable[[str], str | None]] = {
    "algorithm": _algorithm,
    "model": _model,
    "preset": _known(lambda: registry().presets),
    "dataset": _any_name,
    "reward_model.model": _model,
    "reward_model.dataset": _any_name,
    "sft.dataset": _any_name,
    "reward_evaluation.dataset": _any_name,
    "prompts": _any_name,
    "evaluation.suite": _suite,
}

for _name in ALGORITHMS:
    if "reward" in ALGORITHMS[_name].model_fields:
        _NAME_CHECKS[f"{_name}.reward"] = _known(reward_names)
_NAME_CHECKS["policy.reward"] = _known(reward_names)
_NAME_CHECKS["reward_evaluation.reward"] = _evaluated_reward
_NAME_CHECKS["labels.reward"] = _known(lambda: [OWN_LABELS, *reward_names()])
_NAME_CHECKS["d2po.gold"] = _NAME_CHECKS["policy.gold"] = _known(reward_functions)
