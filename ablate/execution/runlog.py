"""The log of a detached run: its launch record first, its done record last."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ablate.store.files import surroundings
from ablate.store.layout import Store
from ablate.store.processes import is_alive, process_id

RUN_LOG = "run.log"
"""In the study's folder."""
LONGEST_RECORD = 1 << 22
"""Bytes at the end in which the last line is looked for."""


@dataclass(frozen=True)
class RunLog:
    """How a detached run was started and how it ended."""

    path: Path
    launch: dict[str, Any]
    """Empty where the first line cannot be read."""
    done: dict[str, Any] | None
    """None while it runs, and for ever where it crashed."""

    def crashed(self) -> bool:
        """Tell whether the process is gone without a done record; never of another machine's."""
        process = process_id(self.launch.get("process"))
        return self.done is None and (process is None or is_alive(process) is False)


def run_log(store: Store, study: str) -> RunLog | None:
    """Return the log of the study's last detached run; None where there is none."""
    path = store.study(study) / RUN_LOG
    try:
        with surroundings(path), open(path, "rb") as file:
            first = file.readline(LONGEST_RECORD)
            end = file.seek(0, 2)
            file.seek(max(0, end - LONGEST_RECORD))
            last = file.read().rstrip(b"\n").rpartition(b"\n")[2]
    except FileNotFoundError:
        return None
    done = _record(last, "done")
    return RunLog(path, _record(first, "launch") or {}, done)


def _record(line: bytes, event: str) -> dict[str, Any] | None:
    try:
        record = json.loads(line)
    except ValueError:
        return None
    return record if isinstance(record, dict) and record.get("event") == event else None
