"""The process that carries a study's events to one tracker: ``python -m ablate.tracking.sink``."""

from __future__ import annotations

import argparse
import fcntl
import json
import logging
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from ablate.secrets import Masker
from ablate.tracking.destination import Destination, Refused
from ablate.tracking.events import Recorded, to_line
from ablate.tracking.outbox import OUTBOX, read, tracking_folder
from ablate.tracking.process import error_path
from ablate.tracking.targets import NAMES, Target, target
from ablate.tracking.trackers import connect

logger = logging.getLogger(__name__)

REFUSED = "refused.jsonl"
POLL_SECONDS = 1.0
LOCK_POLL_SECONDS = 0.1
LONGEST_POLL_SECONDS = 60.0
LAST_DRAIN_SECONDS = 60.0


class Sink:
    """Sends one study's events to one destination, in order."""

    def __init__(self, store: Path, study: str, to: Target) -> None:
        """Connect to nothing yet."""
        self.store, self.study, self.to = store, study, to
        self.folder = tracking_folder(store, study)
        self.cursor = to.cursor(store, study)
        self._destination: Destination | None = None
        self._masker = Masker()

    def drain(self, *, deadline: float) -> str | None:
        """Send pending events until ``deadline`` on the monotonic clock; return what went wrong.

        The cursor moves after each event, so that a crash repeats one event at most, and every
        event can be repeated. An event that the destination refuses for good is kept in
        ``refused.jsonl`` and passed over, so that it does not hold up the others.
        """
        sent = False
        try:
            for recorded, offset in read(self.folder / OUTBOX, self.cursor.load()):
                if time.monotonic() > deadline:
                    return self._note("out of time")
                self._send(recorded)
                self.cursor.save(offset)
                sent = True
            if sent and self._destination is not None:
                self._destination.flush()
        except Exception as error:  # No tracker's failure may end the study or this loop.
            logger.exception("sending to %s stopped", self.to.shown)
            self.close()
            return self._note(f"{type(error).__name__}: {_first_line(error)}")
        return self._note(None)

    def close(self) -> None:
        """Disconnect; the next drain connects again."""
        destination, self._destination = self._destination, None
        if destination is not None:
            try:
                destination.close()
            except Exception:  # What was sent is sent; the process is about to end.
                logger.exception("closing %s", self.to.shown)

    def _send(self, recorded: Recorded) -> None:
        if self._destination is None:
            self._destination = self._connect()
        try:
            self._destination.deliver(recorded)
        except (Refused, ValueError, KeyError, TypeError, AttributeError) as error:
            self._refuse(recorded, error)  # A metrics or scores file that is not one, say.

    def _connect(self) -> Destination:
        found = connect(self.to, self.store, self.study)
        end = self.cursor.load()
        for recorded, offset in read(self.folder / OUTBOX, 0):
            if offset > end:
                break
            found.remember(recorded)
        return found

    def _refuse(self, recorded: Recorded, error: Exception) -> None:
        logger.error("refused for good: %s", error)
        why = {"destination": self.to.name, "why": self._masker.text(str(error))}
        with open(self.folder / REFUSED, "a", encoding="utf-8") as file:
            file.write(json.dumps(why) + "\n" + to_line(recorded))

    def _note(self, error: str | None) -> str | None:
        path = error_path(self.cursor)
        if error is None:
            path.unlink(missing_ok=True)
        else:
            error = self._masker.text(error)
            partial = path.with_suffix(".error.partial")
            partial.write_text(json.dumps(error), encoding="utf-8")
            os.replace(partial, path)
        return error


@contextmanager
def locked(path: Path, *, give_up: Callable[[], bool] = lambda: False) -> Iterator[bool]:
    """Hold an exclusive lock on a file; False where ``give_up`` came true while waiting for it.

    The system frees the lock with the process.
    """
    with open(path, "w", encoding="utf-8") as file:
        while not _try_lock(file):
            if give_up():
                yield False
                return
            time.sleep(LOCK_POLL_SECONDS)
        yield True


def _try_lock(file: IO[str]) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def follow(sink: Sink, closed: threading.Event) -> str | None:
    """Drain again and again until ``closed``, then once more; slower while the server is down."""
    wait = POLL_SECONDS
    while not closed.wait(wait):
        failed = sink.drain(deadline=float("inf"))
        wait = min(2 * wait, LONGEST_POLL_SECONDS) if failed else POLL_SECONDS
    return sink.drain(deadline=time.monotonic() + LAST_DRAIN_SECONDS)


def main(arguments: Sequence[str] | None = None) -> int:
    """Return 0 when everything was sent, 1 when something is left."""
    parser = argparse.ArgumentParser(prog="python -m ablate.tracking.sink", description=__doc__)
    parser.add_argument("store", type=Path)
    parser.add_argument("study")
    parser.add_argument("--to", choices=NAMES, default=NAMES[0], help="tracker")
    parser.add_argument("--follow", action="store_true", help="until standard input closes")
    parser.add_argument("--seconds", type=float, default=LAST_DRAIN_SECONDS, help="of one drain")
    options = parser.parse_args(arguments)
    _configure_log()
    os.nice(10)  # The study's own work comes first.
    to = target(options.to, options.store, options.study)
    sink = Sink(options.store, options.study, to)
    deadline = time.monotonic() + options.seconds
    closed = _closing_input() if options.follow else threading.Event()

    def over() -> bool:
        return closed.is_set() or (not options.follow and time.monotonic() > deadline)

    # Two senders would not see each other's runs.
    with locked(lock_path(sink.folder, options.to), give_up=over) as ours:
        if not ours:
            return 1
        failed = follow(sink, closed) if options.follow else sink.drain(deadline=deadline)
        sink.close()
    return 1 if failed else 0


def lock_path(folder: Path, name: str) -> Path:
    """Return the file that one sender to a destination holds at a time."""
    return folder / f"{name}.lock"


class _MaskedFormatter(logging.Formatter):
    """Formats records without secrets; a tracker's error may hold the address it went to."""

    _masker = Masker()

    def format(self, record: logging.LogRecord) -> str:
        return self._masker.text(super().format(record))


def _configure_log() -> None:
    handler = logging.StreamHandler()
    handler.setFormatter(_MaskedFormatter("%(asctime)s %(name)s %(message)s"))
    logging.basicConfig(level=logging.WARNING, handlers=[handler])


def _closing_input() -> threading.Event:
    """Return an event that is set when whoever started this process closes its input or dies."""
    closed = threading.Event()

    def wait_for_end() -> None:
        sys.stdin.buffer.read()
        closed.set()

    threading.Thread(target=wait_for_end, daemon=True).start()
    return closed


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [""])[0]


if __name__ == "__main__":
    raise SystemExit(main())
