"""The program of an allocation that several attempts share: the local engine inside it.

``python -m ablate.execution.engines.slurm_pack --slots N FOLDER...``. Each attempt's end is written
to its folder, because Slurm knows of one job only; wishes to stop one of them come as a file too.
"""

from __future__ import annotations

import argparse
import logging
import os
import signal
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from ablate.execution.engines.devices import available_devices
from ablate.execution.engines.local import LocalEngine, LocalOptions
from ablate.execution.engines.protocol import Observation, Resources, State, Submission
from ablate.execution.stages import preload_for
from ablate.store.attempts import Attempt
from ablate.store.files import read_json, write_json

ENDED = "slurm-end.json"
"""How an attempt ended, in its folder."""
WISH = "slurm-stop.json"
"""That an attempt is to stop, in its folder: ``{"gently": true}``."""
LOOK_SECONDS = 0.25
"""Between two looks for wishes."""
NEVER = Observation(
    State.GONE, None, True, "its allocation ended before it started", blameless=True
)
"""The word about an attempt that was not started."""


class Pack:
    """Runs attempts side by side until all have ended, or the allocation does."""

    def __init__(self, engine: LocalEngine, waiting: Sequence[Submission]) -> None:
        """Run ``waiting`` on ``engine`` as it has room."""
        self._engine = engine
        self._waiting = {submission.name: submission for submission in waiting}
        self._running: dict[str, Submission] = {}
        self._obeyed: dict[str, bool] = {}
        self.stopping = False
        """Set where the allocation is about to end."""

    def run(self) -> None:
        """Run all of them."""
        while self._waiting or self._running:
            self._obey()
            self._admit()
            words = self._engine.poll(list(self._running), timeout_seconds=LOOK_SECONDS)
            for handle, word in words.items():
                if word.state is State.GONE:
                    tell(self._running.pop(handle), word)

    def _admit(self) -> None:
        for name, submission in list(self._waiting.items()):
            if self._engine.capacity(submission.resources) > 0:
                self._running[name] = self._waiting.pop(name)
                self._engine.submit(submission)

    def _obey(self) -> None:
        """Carry out what was asked: through files, or by the signal before the time limit."""
        for name, submission in {**self._waiting, **self._running}.items():
            wish = read_json(submission.folder / WISH)
            if not self.stopping and not isinstance(wish, dict):
                continue
            if name in self._waiting:
                tell(self._waiting.pop(name), NEVER)
                continue
            gently = not isinstance(wish, dict) or bool(wish.get("gently"))
            if self._obeyed.get(name) is not gently:
                self._obeyed[name] = gently
                self._engine.cancel(name, gently=gently)


def tell(submission: Submission, word: Observation) -> None:
    """Write down how an attempt ended."""
    write_json(submission.folder / ENDED, {**asdict(word), "state": word.state.value})


def told(folder: Path) -> Observation | None:
    """Return how an attempt ended; None while that is not written."""
    record = read_json(folder / ENDED)
    if not isinstance(record, dict):
        return None
    return Observation(
        State.GONE, record.get("code"), bool(record.get("certain")), str(record.get("reason", "")),
        bool(record.get("blameless")),
    )  # fmt: skip


def wish(folder: Path, *, gently: bool) -> None:
    """Ask for an attempt to stop."""
    write_json(folder / WISH, {"gently": gently}, durable=False)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the attempts named on the command line; return 0 however they ended."""
    parser = argparse.ArgumentParser(prog="ablate.execution.engines.slurm_pack")
    parser.add_argument("--slots", type=int, required=True)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--places", type=int, default=1)
    parser.add_argument("--memory-bytes", type=float, default=0.0)
    parser.add_argument("folders", nargs="+", type=Path)
    asked = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, stream=sys.stderr)
    devices = available_devices()
    resources = Resources(int(bool(devices)), shares=True, memory_bytes=asked.memory_bytes)
    submissions = [
        Submission(Attempt(folder).name, folder, resources)
        for folder in asked.folders
        if Attempt(folder).exit() is None
    ]
    options = LocalOptions(
        slots=asked.slots,
        devices=devices,
        slots_per_device=asked.places,
        threads=asked.threads,
        network="HF_HUB_OFFLINE" not in os.environ,
        preload=_preload(submissions),
    )
    engine = LocalEngine(options)
    pack = Pack(engine, submissions)

    def stop(number: int, frame: Any) -> None:
        pack.stopping = True

    signal.signal(signal.SIGTERM, stop)
    try:
        pack.run()
    finally:
        engine.close()
    return 0


def _preload(submissions: Sequence[Submission]) -> tuple[str, ...]:
    requests = [Attempt(item.folder).request() or {} for item in submissions]
    entries = {item["stage"]: item["entry"] for item in requests if "entry" in item}
    return preload_for(entries, entries)


if __name__ == "__main__":
    raise SystemExit(main())
