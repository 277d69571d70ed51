"""Every error that ablate raises on purpose.

AblateError
├── StudyError          the study file must change
├── SurroundingsError   disk, permissions, a missing model or data set, a held lease
└── StageError          a job found that it cannot go on (its class is in ``kind``)
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class AblateError(Exception):
    """Base of every error that ablate raises on purpose; printed without a traceback."""


class StudyError(AblateError):
    """The study file must change; the message holds every problem of the file."""


class SurroundingsError(AblateError):
    """Something around the study must change: disk, permission, a model, data, another process."""


class StageError(AblateError):
    """A job cannot go on, for a reason that is not a bug."""

    def __init__(self, message: str, *, kind: str = "bug") -> None:
        """Keep the failure class: ``out_of_memory``, ``non_finite_loss`` or ``bad_data``."""
        super().__init__(message)
        self.kind = kind


def nearest(found: object, allowed: Iterable[str]) -> str:
    """Return `` Did you mean 'x'?`` for the closest allowed value, or an empty string."""
    close = difflib.get_close_matches(str(found), list(allowed), n=1)
    return f" Did you mean {close[0]!r}?" if close else ""


def unknown_choice(where: str, found: object, allowed: Iterable[str]) -> str:
    """Say where, what was found, what is allowed, and the nearest allowed value."""
    choices = sorted(allowed)
    return f"{where}: {found!r} is not one of {', '.join(choices)}.{nearest(found, choices)}"
