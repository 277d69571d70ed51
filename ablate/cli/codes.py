"""What an error of a command means for its exit code."""

from __future__ import annotations

import errno
import sys

from ablate.errors import AblateError, StudyError, SurroundingsError
from ablate.store.files import REMEDIES

FULL = (errno.ENOSPC, errno.EDQUOT)
"""A full disk may be met at any write, that of our own output among them."""
INTERRUPTED = 130


def said(error: BaseException) -> int:
    """Print an error for people; return the exit code. A bug is raised again."""
    if isinstance(error, KeyboardInterrupt):
        return INTERRUPTED
    if isinstance(error, OSError) and error.errno in FULL:
        error = SurroundingsError(f"{error.filename or 'output'}: {REMEDIES[error.errno]}")
    if not isinstance(error, AblateError):
        raise error
    print(error, file=sys.stderr)
    if isinstance(error, StudyError):
        return 2
    return 3 if isinstance(error, SurroundingsError) else 1
