"""What a look at a store finds wrong with it, and how each thing is mended."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum


class Severity(StrEnum):
    """How much a finding matters."""

    ERROR = "error"
    """Results are lost or in danger until it is mended."""
    WARNING = "warning"
    """Something is in the way, or will be."""
    NOTE = "note"
    """Worth knowing; nothing needs to be done."""


@dataclass
class Finding:
    """One thing that was found."""

    kind: str
    """``damaged``, ``zombie``, ``torn``, ``record``, ``space``, ... : one word for scripts."""
    severity: Severity
    where: str
    """Path relative to the store; empty for the store itself."""
    message: str
    """What was found and what to do, in sentences."""
    bytes: int = 0
    """Of disk that it takes, where that is the point."""
    mend: Callable[[], str | None] | None = field(default=None, repr=False, compare=False)
    """Mends it and returns None, or why that is not possible now; None where nothing can."""
    mended: bool = False
    """Whether it was mended."""
    problem: str = ""
    """Why it could not be mended."""

    def repair(self) -> None:
        """Mend it, if it can be; what goes wrong is kept in ``problem``."""
        if self.mend is None:
            return
        try:
            self.problem = self.mend() or ""
        except Exception as error:  # One repair that fails must not keep others from being made.
            self.problem = f"{type(error).__name__}: {error}"
        self.mended = not self.problem
