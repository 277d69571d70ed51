"""The outbox of a study: events wait here until the trackers have them.

``outbox.jsonl`` is append-only with one writer, the controller. How far a destination has read is
a file of its own, so that a second MLflow server gets everything from the start. Nothing here
imports a tracker; appending takes microseconds.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from ablate.secrets import Masker
from ablate.tracking.events import Event, Recorded, body, from_line, masked, stamped, subject

OUTBOX = "outbox.jsonl"


def tracking_folder(store: Path, study: str) -> Path:
    """Return the folder of a study's outbox."""
    return store / "studies" / study / "tracking"


class Outbox:
    """The writing end, for the controller's listener."""

    def __init__(self, store: Path, study: str, *, wake: Callable[[], None] = lambda: None) -> None:
        """Open for appending; a line torn by a crash is closed off, not continued.

        ``wake`` is called after every event that is appended, so that somebody sends it.
        """
        self._wake, self._masker = wake, Masker()
        folder = tracking_folder(store, study)
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / OUTBOX
        self._last = {
            subject(entry.event): _digest(body(entry.event)) for entry, _ in read(path, 0)
        }
        self._file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
        self._torn = not _ends_with_newline(path)

    def append(self, event: Event) -> bool:
        """Add the event; False when it only repeats the last one about the same subject.

        A controller may therefore tell everything it knows each time it starts. The line is
        written in one call, so a killed process loses at most the event it was writing; there is
        no fsync, because the artifacts are the truth and not this file. Secrets are masked here,
        before anything is written or sent. Raises OSError where the disk takes no whole line.
        """
        said = body(event)
        if self._masker.text(said) != said:
            event = masked(event, self._masker)
            said = body(event)
        about = subject(event)
        digest = _digest(said)
        if self._last.get(about) == digest:
            return False
        self._write(stamped(said, time.time_ns() // 1_000_000).encode())
        self._last[about] = digest
        self._wake()
        return True

    def _write(self, line: bytes) -> None:
        """Add a line, after closing off one that was torn."""
        line = b"\n" * self._torn + line
        written = 0
        try:
            written = os.write(self._file, line)
        finally:
            # A full disk takes a part of a line, or nothing.
            self._torn = self._torn and not written or 0 < written < len(line)
        if written < len(line):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), OUTBOX)

    def close(self) -> None:
        """Close the file; the outbox stays."""
        os.close(self._file)


def read(path: Path, offset: int) -> Iterator[tuple[Recorded, int]]:
    """Yield each record from byte ``offset`` on, with the offset behind it.

    Torn lines are skipped; a last line without its newline is left for the next time.
    """
    if not path.exists():
        return
    with open(path, "rb") as file:
        file.seek(offset)
        for line in file:
            if not line.endswith(b"\n"):
                return
            offset += len(line)
            if recorded := from_line(line.decode(errors="replace")):
                yield recorded, offset


@dataclass(frozen=True)
class Cursor:
    """How far one destination has read one study's outbox."""

    folder: Path
    destination: str
    """Its address; only its hash reaches the disk, because it may hold a password."""
    made: Path | None = None
    """A local file or folder without which nothing was sent."""

    @property
    def path(self) -> Path:
        """The file that holds the offset."""
        digest = hashlib.sha256(self.destination.encode()).hexdigest()[:12]
        return self.folder / f"cursor-{digest}.json"

    def load(self) -> int:
        """Return the offset; 0 where nothing was sent yet or the file is unreadable."""
        if self.made is not None and not self.made.exists():
            return 0
        try:
            record = json.loads(self.path.read_text(encoding="utf-8"))
            offset = int(record["offset"])
            whole = offset == record.get("again", offset)
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            whole, offset = False, 0
        return offset if whole else 0  # Sending everything again adds nothing twice.

    def save(self, offset: int) -> None:
        """Replace the offset atomically."""
        partial = self.path.with_suffix(".partial")
        # Twice: a digit that a disk changed would pass over events without a word.
        record = {"offset": offset, "again": offset}
        partial.write_text(json.dumps(record), encoding="utf-8")
        os.replace(partial, self.path)

    def pending(self) -> int:
        """Return how many events the destination does not have."""
        return sum(1 for _ in read(self.folder / OUTBOX, self.load()))


def _digest(text: str) -> bytes:
    return hashlib.sha256(text.encode()).digest()


def _ends_with_newline(path: Path) -> bool:
    with open(path, "rb") as file:
        if file.seek(0, os.SEEK_END) == 0:
            return True
        file.seek(-1, os.SEEK_END)
        return file.read(1) == b"\n"
