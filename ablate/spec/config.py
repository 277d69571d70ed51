"""The base of every stage's configuration."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, Field


class Config(BaseModel):
    """A frozen, closed record; every field bears identity unless made with `not_identity`."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", use_attribute_docstrings=True, allow_inf_nan=False
    )


def not_identity(default: Any) -> Any:
    """Return a field that a fingerprint leaves out: where or how fast, never what is computed."""
    return Field(default, json_schema_extra={"identity": False})


def added_later(default: Any, *, neutral: Any) -> Any:
    """Return a field that a fingerprint leaves out exactly at ``neutral``.

    ``neutral`` is the literal that computes what was computed before the field existed; it
    never changes, while the default may.
    """
    return Field(default, json_schema_extra={"neutral": neutral})
