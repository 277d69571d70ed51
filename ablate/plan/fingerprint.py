"""The identity of what a job computes, equal in every process and on every machine."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

from ablate.spec.config import Config

LENGTH = 16
"""Hexadecimal digits kept: 64 bits, so that a billion jobs collide with probability 3 %."""

STAGE_VERSIONS: dict[str, int] = {
    "model": 1,
    "sft": 1,
    "preferences": 1,
    "reference": 1,
    "reward_model": 1,
    "policy": 1,
    "evaluation": 1,
    "reward_evaluation": 1,
}
"""Raised when a stage's code starts to compute something else from the same configuration."""


def canonical(value: object) -> Any:
    """Return ``value`` in a form with one JSON text.

    Floats keep a type mark, so that 1 and 1.0 and true differ; -0.0 becomes 0.0. Raises TypeError
    for what has no canonical form: callables, sets, NaN, infinities and objects of other classes.
    """
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, float):
        if not math.isfinite(value):
            raise TypeError(f"{value!r} has no canonical form")
        return {"float": repr(value + 0.0)}
    if isinstance(value, Config):
        return identity_of(value)
    if isinstance(value, Mapping):
        if not all(isinstance(key, str) for key in value):
            raise TypeError("a mapping needs string keys to have a canonical form")
        return {"map": {key: canonical(item) for key, item in value.items()}}
    if isinstance(value, Sequence):
        return [canonical(item) for item in value]
    raise TypeError(f"{type(value).__name__} has no canonical form: {value!r}")


def identity_of(config: Config) -> dict[str, Any]:
    """Return class name and every identity-bearing field, resolved, without neutral ones."""
    fields: dict[str, Any] = {}
    for name, (is_identity, has_neutral, neutral) in _field_rules(type(config)).items():
        value = getattr(config, name)
        if is_identity and not (has_neutral and _same(value, neutral)):
            fields[name] = canonical(value)
    return {"class": type(config).__name__, "fields": fields}


def _same(value: object, neutral: object) -> bool:
    return type(value) is type(neutral) and value == neutral


@cache
def _field_rules(cls: type[Config]) -> dict[str, tuple[bool, bool, object]]:
    rules: dict[str, tuple[bool, bool, object]] = {}
    for name, field in cls.model_fields.items():
        extra = field.json_schema_extra if isinstance(field.json_schema_extra, dict) else {}
        identity = extra.get("identity", True) is not False
        rules[name] = (identity, "neutral" in extra, extra.get("neutral"))
    return rules


_TEXTS: dict[int, tuple[Config, str]] = {}
_MOST_TEXTS = 4096


def identity_text(config: Config) -> str:
    """Return the canonical JSON of `identity_of`, remembered for configurations in use."""
    # Keyed by object, not by value: hashing a configuration costs as much as writing it down. The
    # entry holds the object, so its id is not reused while the entry lives.
    found = _TEXTS.get(id(config))
    if found is not None:
        return found[1]
    if len(_TEXTS) >= _MOST_TEXTS:
        _TEXTS.clear()
    text = json.dumps(identity_of(config), sort_keys=True, separators=(",", ":"), allow_nan=False)
    _TEXTS[id(config)] = (config, text)
    return text


def fingerprint(stage: str, config: Config, inputs: Mapping[str, str]) -> str:
    """Return the identity of a job from its stage, configuration and inputs' fingerprints."""
    upstream = json.dumps(dict(inputs), sort_keys=True, separators=(",", ":"))
    text = f"{stage}\n{STAGE_VERSIONS[stage]}\n{identity_text(config)}\n{upstream}"
    return hashlib.sha256(text.encode()).hexdigest()[:LENGTH]
