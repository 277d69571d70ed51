"""Every converter of a published format, by the name of its layout."""

from __future__ import annotations

from collections.abc import Mapping

from ablate.data.converters import (
    annotated,
    conversations,
    grouped,
    hh,
    rated,
    votes,
    web,
)
from ablate.data.converters.common import Converter

CONVERTERS: Mapping[str, Converter] = {
    **web.CONVERTERS,
    **votes.CONVERTERS,
    **grouped.CONVERTERS,
    **rated.CONVERTERS,
    **hh.CONVERTERS,
    **annotated.CONVERTERS,
    **conversations.CONVERTERS,
}
"""By layout; docs/datasets.md says what each one takes and does."""
