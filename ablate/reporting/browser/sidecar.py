"""Every output of every cell, as files beside the page."""

from __future__ import annotations

import gzip
import hashlib
import json
import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

from ablate.errors import SurroundingsError
from ablate.reporting.artifacts import read_lines
from ablate.reporting.records import StudyRecord

FOLDER = "samples"
_LONGEST_NAME = 80


def write_samples(study: StudyRecord, out: Path) -> tuple[Path, ...]:
    """Write ``samples/<task>.jsonl.gz`` into ``out``, one line an output, and return the files.

    A line is the evaluation's own with ``cell`` and ``seeds`` before it; seeds that share an
    evaluation share its lines. Only one line is held at a time. Equal artifacts give equal bytes.
    Raises SurroundingsError where ``out`` cannot be written.
    """
    try:
        return _written(study, out)
    except OSError as error:
        raise SurroundingsError(
            f"{out / FOLDER}: the outputs cannot be written ({error.strerror}). Mend that, or name "
            "another folder with --reports."
        ) from error


def _written(study: StudyRecord, out: Path) -> tuple[Path, ...]:
    out.mkdir(parents=True, exist_ok=True)
    partial = Path(tempfile.mkdtemp(prefix=".partial-", dir=out))
    names: dict[str, str] = {}
    try:
        with ExitStack() as stack:
            files: dict[str, gzip.GzipFile] = {}
            for task, line in _lines(study):
                if task not in files:
                    names[task] = file_name(task)
                    raw = stack.enter_context(open(partial / names[task], "wb"))
                    # Without time and name, equal lines are equal files.
                    zipped = gzip.GzipFile(filename="", mode="wb", fileobj=raw, mtime=0)
                    files[task] = stack.enter_context(zipped)
                files[task].write(line)
        (out / FOLDER).mkdir(exist_ok=True)
        for old in (out / FOLDER).glob("*.jsonl.gz"):
            old.unlink()
        for name in names.values():
            os.replace(partial / name, out / FOLDER / name)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return tuple(out / FOLDER / name for name in names.values())


def _lines(study: StudyRecord) -> Iterator[tuple[str, bytes]]:
    """Yield the task and the line of every output, cell by cell."""
    for cell in study.cells:
        seeds: dict[Path, list[int]] = {}
        for run in study.runs_of(cell):
            if (folder := run.folder("evaluation")) is not None:
                seeds.setdefault(folder, []).append(run.seed)
        for folder, of_folder in seeds.items():
            for line in read_lines(folder / "samples.jsonl"):
                record = {"cell": cell, "seeds": of_folder, **line}
                yield str(line.get("task") or "outputs"), (json.dumps(record) + "\n").encode()


def file_name(task: str) -> str:
    """Return a file name for a task that any system takes, and no other task has."""
    plain = re.sub(r"[^A-Za-z0-9._-]", "_", task).lstrip(".")[:_LONGEST_NAME]
    if plain != task:
        plain += "-" + hashlib.sha256(task.encode(errors="replace")).hexdigest()[:8]
    return f"{plain}.jsonl.gz"
