"""The base of every stage's configuration."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, Field


class Config(BaseModel):
    """A frozen, closed record; every field bears identity unless made with `not_identity`."""

    # The fields' docstrings are read where the schema is made: here they would take each command
    # a quarter of a second.
    model_config = ConfigDict(frozen=True, defer_build=True, extra="forbid", allow_inf_nan=False)


def not_identity(default: Any) -> Any:
    """Return a field that a fingerprint leaves out: where or how fast, never what is computed."""
    return Field(default, json_schema_extra={"identity": False})


def added_later(default: Any, *, neutral: Any) -> Any:
    """Return a field that a fingerprint leaves out exactly at ``neutral``.

    ``neutral`` is the literal that computes what was computed before the field existed; it
    never changes, while the default may.
    """
    return Field(default, json_schema_extra={"neutral": neutral})
