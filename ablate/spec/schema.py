"""The JSON schema of a study file, so that editors complete and check it."""

from __future__ import annotations

import ast
import inspect
import textwrap
from collections.abc import Mapping
from functools import cache
from itertools import pairwise
from typing import Any

from pydantic.json_schema import models_json_schema

from ablate.spec.config import Config
from ablate.spec.datasets import DatasetDefinition
from ablate.spec.fields import SECTIONS, WELL_KNOWN, field_paths, filled_in
from ablate.spec.registry import registry
from ablate.spec.seeding import Seeds
from ablate.spec.stages import ALGORITHMS
from ablate.spec.study import Study
from ablate.spec.tune import Range

DIALECT = "https://json-schema.org/draft/2020-12/schema"


def study_schema() -> dict[str, Any]:
    """Return the schema of a study file, the fields of every stage included."""
    stages = dict.fromkeys(cls for section in SECTIONS.values() for cls in section)
    classes: list[type[Config]] = [Study, Seeds, Range, DatasetDefinition, *stages]
    _, found = models_json_schema([(cls, "validation") for cls in classes])
    definitions = found["$defs"]
    _describe(definitions)
    schema: dict[str, Any] = definitions.pop("Study")
    definitions["Overrides"] = _overrides(definitions)
    overrides = {"$ref": "#/$defs/Overrides"}
    properties = schema["properties"]
    properties["base"] = overrides
    properties["datasets"] = {
        "type": "object",
        "additionalProperties": {"$ref": "#/$defs/DatasetDefinition"},
        "description": properties["datasets"]["description"],
    }
    properties["seeds"] = {
        "anyOf": [{"type": "integer", "minimum": 1}, {"$ref": "#/$defs/Seeds"}],
        "description": properties["seeds"]["description"],
    }
    for name in ("cells", "branches"):
        properties[name] = {
            "type": "object",
            "additionalProperties": overrides,
            "description": properties[name]["description"],
        }
    properties["ladder"] |= {
        "type": "array",
        "items": {
            "type": "object",
            "minProperties": 1,
            "maxProperties": 1,
            "additionalProperties": overrides,
        },
    }
    properties["ladder"].pop("anyOf", None)
    schema["$schema"] = DIALECT
    schema["$defs"] = definitions
    schema["title"] = "An ablate study"
    return schema


def _describe(definitions: Mapping[str, Any]) -> None:
    """Give every property the docstring of its field."""
    pending: list[type[Config]] = [Config]
    while pending:
        cls = pending.pop()
        pending += cls.__subclasses__()
        properties = definitions.get(cls.__name__, {}).get("properties", {})
        for base in cls.__mro__[: cls.__mro__.index(Config)]:
            for name, text in _docstrings(base).items():
                if name in properties:
                    properties[name].setdefault("description", text)


@cache
def _docstrings(cls: type) -> dict[str, str]:
    """Return the string below each field of a class, as its source has it."""
    (node,) = ast.parse(textwrap.dedent(inspect.getsource(cls))).body
    assert isinstance(node, ast.ClassDef)
    found = {}
    for field, below in pairwise(node.body):
        if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name):
            if isinstance(below, ast.Expr) and isinstance(below.value, ast.Constant):
                found[field.target.id] = inspect.cleandoc(str(below.value.value))
    return found


def _overrides(definitions: dict[str, Any]) -> dict[str, Any]:
    """Return the schema of ``base``: sections, dotted paths and well-known names."""
    properties: dict[str, Any] = {}
    for section, classes in SECTIONS.items():
        fields: dict[str, Any] = {}
        for cls in classes:
            for name, field in definitions[cls.__name__]["properties"].items():
                path = f"{section}.{name}"
                if path in field_paths() and not filled_in(path):
                    fields.setdefault(name, field)
                    properties.setdefault(path, field)
        properties[section] = {"type": "object", "properties": fields}
        properties[section]["additionalProperties"] = False
        properties[section]["description"] = _summary(classes)
    properties["reward_model"] = {"anyOf": [{"type": "string"}, properties["reward_model"]]}
    properties["sft"] = {"anyOf": [{"type": "null"}, properties["sft"]]}
    model = properties["model"]
    model["properties"]["name"] = {"type": "string"}
    properties["model"] = {"anyOf": [{"type": "string"}, model]}
    return {
        "type": ["object", "null"],
        "properties": properties | _well_known(),
        "patternProperties": {r"\.(lora|judge)\.": {}, "^(from|status)$": {"type": "string"}},
        "additionalProperties": False,
    }


def _summary(classes: tuple[type[Config], ...]) -> str:
    return " Or: ".join((cls.__doc__ or "").strip().splitlines()[0] for cls in classes)


def _well_known() -> dict[str, Any]:
    known = registry()
    names = {
        "dataset": known.named("preferences"),
        "prompts": list(known.prompts),
        "preset": list(known.presets),
        "algorithm": list(ALGORITHMS),
    }
    assert set(names) <= set(WELL_KNOWN)
    schemas: dict[str, Any] = {
        name: {"type": "string", "examples": values} for name, values in names.items()
    }
    for name in ("algorithm", "preset"):
        schemas[name] = {"enum": names[name]}
    schemas["reward_model.dataset"] = schemas["dataset"]
    schemas["preferences.dataset"] = schemas["dataset"]
    return schemas
