"""``ablate watch``: a study live. It reads files only, and nobody waits for it."""

from __future__ import annotations

import argparse
import os
import shutil
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import NoReturn

from ablate.cli.forecast import Forecast
from ablate.cli.output import bold, print_json
from ablate.cli.steered import OVER, living_study
from ablate.cli.stored import open_store, recorded
from ablate.cli.view import View, failure_lines, screen, settings_line, summary
from ablate.execution.status import RunningRow, study_view
from ablate.plan.record import RUNS
from ablate.store.files import read_json, surroundings
from ablate.store.layout import Store

PLAIN_SECONDS = 15.0
"""Between two lines where a screen cannot be redrawn, unless something happens."""
FAILED, DIED = 4, 3
SLICE_SECONDS = 0.1
"""In which a resized terminal is noticed."""


class Watcher:
    """Reads a study's files again and again."""

    def __init__(self, store: Store, study: str) -> None:
        """Watch one study."""
        self._store, self._study = store, study
        self._stamp: tuple[float, float] | None = None

    def look(self) -> View:
        """Return what the files say now; raises SurroundingsError where they cannot be read."""
        folder = self._store.study(self._study)
        with surroundings(folder):
            status, detail = study_view(self._store, self._study)
            # A plan that grows is written anew; reading it takes long for a large study.
            if (stamp := (_changed(folder / RUNS), status.started)) != self._stamp:
                self._stamp = stamp
                self._plan = recorded(self._store, self._study)
                self._forecast = Forecast(self._store, self._study, self._plan)
            self._forecast.learn(detail.took, detail.cached)
            progress = dict(map(self._progress, status.running))
        return View(status, detail, self._plan, self._forecast, progress)

    def _progress(self, row: RunningRow) -> tuple[str, tuple[float, float]]:
        """Return steps done and in all, fresh from the job's own heartbeat."""
        beat = read_json(self._store.job(row.fingerprint) / str(row.attempt) / "heartbeat")
        said = beat.get("progress") if isinstance(beat, dict) else None
        try:
            return row.fingerprint, (float(said["done"]), float(said["total"]))  # type: ignore[index]
        except (KeyError, TypeError, ValueError):
            return row.fingerprint, (row.done or 0, row.total or 0)


def run(args: argparse.Namespace) -> int:
    """Show a study until it has ended; once with ``--once`` or ``--json``."""
    store = open_store(args)
    watcher = Watcher(store, living_study(store, args.study))
    view = watcher.look()
    if args.json:
        print_json(_document(view))
    elif args.once:
        for line in screen(view, width=10_000, height=None):
            print(line)
    elif sys.stdout.isatty() and os.environ.get("TERM", "dumb") != "dumb":
        view = _live(watcher, every=args.every)
    else:
        view = _plain(watcher, every=args.every)
    return _code(view)


def _code(view: View) -> int:
    """Return 4 where an ended study has failed jobs, 3 where its controller died."""
    if view.status.state == "interrupted":
        return DIED
    return FAILED if view.status.state in OVER and view.status.failed else 0


def _document(view: View) -> dict[str, object]:
    left = {row.fingerprint: view.left(row) for row in view.status.running}
    return {
        "status": view.status,
        "summary": summary(view),
        "seconds_left": view.seconds_left(),
        "seconds_left_of_running": left,
        "jobs": {"done": len(view.detail.took), "of": len(view.plan.jobs)},
        "skipped": view.detail.skipped,
    }


def _live(watcher: Watcher, *, every: float) -> View:
    """Redraw one screen until the study has ended; leave its last view behind."""
    with _own_screen():
        while True:
            view = watcher.look()
            _draw(view)
            if view.status.state in OVER:
                break
            _sleep(every)
    for line in screen(view, width=shutil.get_terminal_size().columns, height=None):
        print(line)
    print(_last_word(view))
    return view


def _draw(view: View) -> None:
    size = shutil.get_terminal_size()
    lines = screen(view, width=size.columns, height=size.lines)
    lines[0] = bold(lines[0])
    # Each line erases what is right of it, the last one what is below: nothing flickers.
    sys.stdout.write("\033[H" + "\033[K\r\n".join(lines) + "\033[K\033[J")
    sys.stdout.flush()


def _sleep(seconds: float) -> None:
    """Wait, but not longer than the terminal keeps its size."""
    deadline, size = time.monotonic() + seconds, shutil.get_terminal_size()
    while (left := deadline - time.monotonic()) > 0 and size == shutil.get_terminal_size():
        time.sleep(min(SLICE_SECONDS, left))


@contextmanager
def _own_screen() -> Iterator[None]:
    """Draw on the terminal's other screen, and give the first one back however this ends."""
    former = {number: signal.signal(number, _leave) for number in (signal.SIGTERM, signal.SIGHUP)}
    sys.stdout.write("\033[?1049h\033[?25l")
    try:
        yield
    finally:
        sys.stdout.write("\033[?25h\033[?1049l")
        sys.stdout.flush()
        for number, handler in former.items():
            signal.signal(number, handler)


def _leave(number: int, frame: FrameType | None) -> NoReturn:
    raise SystemExit(128 + number)


def _plain(watcher: Watcher, *, every: float) -> View:
    """Print a line now and then, and failures and changes of state at once."""
    state, told, due = "", 0, 0.0
    while True:
        view = watcher.look()
        status = view.status
        if status.state != state:
            state, due = status.state, 0.0
            print(
                f"study {status.study}: {state}" + (f" ({status.reason})" if status.reason else "")
            )
            if settings := settings_line(status):
                print(settings)
        if told > len(status.failed):
            told = 0  # some are tried again
        for row in status.failed[told:]:
            for line in failure_lines(row, view.name(row.fingerprint)):
                print(line)
        told = len(status.failed)
        if time.monotonic() >= due or state in OVER:
            due = time.monotonic() + PLAIN_SECONDS
            print(summary(view))
        sys.stdout.flush()
        if state in OVER:
            print(_last_word(view))
            return view
        time.sleep(every)


def _last_word(view: View) -> str:
    if view.status.state == "interrupted":
        return "Its controller died without a last word. The same `ablate run` goes on from here."
    return "The study has ended. See: ablate report FILE"


def _changed(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except OSError:
        return 0.0
