"""One part of the report's page, before any format."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from ablate.reporting.browser.data import Browser
from ablate.reporting.data_cards import DataCard
from ablate.reporting.disagreements import Disagreement
from ablate.reporting.figures.save import Drawing
from ablate.reporting.findings import Findings
from ablate.reporting.tables import Table

T = TypeVar("T")


@dataclass(frozen=True)
class Section:
    """One part of the page, with what it shows in order."""

    name: str
    title: str
    text: tuple[str, ...] = ()
    figures: tuple[Drawing, ...] = ()
    tables: tuple[Table, ...] = ()
    cards: tuple[DataCard, ...] = ()
    alarms: tuple[str, ...] = ()
    """What must be looked at before the numbers."""
    warnings: tuple[str, ...] = ()
    """What stands with the provenance: faults of what the section looked at."""
    frames: tuple[Drawing, ...] = ()
    """A sequence that is stepped through, one at a time."""
    disagreements: tuple[Disagreement, ...] = ()
    browser: Browser | None = None
    """Outputs of cells side by side."""

    @property
    def shows(self) -> bool:
        """Whether there is anything to see."""
        return bool(self.figures or self.tables or self.browser)


SectionMaker = Callable[[Findings], Section]
"""Makes one section of a study's page; what the study does not have it leaves empty."""


def given(*found: T | None) -> tuple[T, ...]:
    """Return what is there, in order."""
    return tuple(one for one in found if one is not None)
