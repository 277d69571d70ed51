"""Show what data sets cost: rows a second and memory of each part that streams over rows.

``python scripts/bench/data_scale.py [--rows 500000] [--only NAME]``

Each work runs in a process of its own over generated pairs of 1 kB. Memory is the peak resident
size above what the process held before the first row, files that it maps included; Linux only.
Seconds are CPU time, since the machine may be shared.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from ablate.data.records import Judged, Pair, user
from ablate.data.shaping.items import from_json, to_json
from ablate.data.shaping.ledger import Ledger
from ablate.data.shaping.pipeline import Source, shaped
from ablate.data.shaping.select import Wanted
from ablate.spec.shaping import Shaping

RESULTS = Path(__file__).parent / "results"
PROMPT, REPLY = 200, 400
"""Characters of a prompt and of each of two replies."""
COPIED = 20
"""One row in so many has the prompt of an earlier one, with one letter changed."""


def pairs(rows: int) -> Iterator[Judged]:
    """Yield pairs of 1 kB of random words, the same ones every time."""
    draw = random.Random(0)
    letters = "etaoinshrdlucmfwypvbgkjqxz"
    words = ["".join(draw.choices(letters, k=draw.randint(1, 9))) for _ in range(20_000)]
    words += [word.capitalize() + "." for word in words[:4000]]
    prompts: list[str] = []

    def text(size: int) -> str:
        return " ".join(draw.choices(words, k=size // 6 + 9))[:size]

    for number in range(1, rows + 1):
        prompt = text(PROMPT)
        if number % COPIED == 0:
            place = draw.randrange(PROMPT)
            prompt = prompts[draw.randrange(len(prompts))]
            prompt = prompt[:place] + "z" + prompt[place + 1 :]
        elif len(prompts) < 1000:
            prompts.append(prompt)
        yield Judged(Pair(f"made-{number}", user(prompt), text(REPLY), text(REPLY), source="made"))


def shape(rows: int, folder: Path, **fields: Any) -> tuple[int, dict[str, Any]]:
    """Return how many of the rows some shaping keeps, and what it counted."""
    with Ledger(folder / "dropped.jsonl") as ledger:
        kept = shaped(
            [Source("made", pairs(rows))],
            Shaping(**fields),
            wanted=Wanted("made", 0, rows // 4 if fields else None),
            ledger=ledger,
            scratch=folder,
        )
        return sum(1 for _ in kept), {"steps": [vars(count) for count in ledger.steps]}


def lines(rows: int, folder: Path) -> tuple[int, dict[str, Any]]:
    """Return how many rows went through their JSON lines and back."""
    return sum(from_json(to_json(item)) == item for item in pairs(rows)), {}


SIMPLE = ("refusals", "truecase", {"length": {"max": 400}}, "duplicates", "ties")
WORKS: dict[str, Callable[[int, Path], tuple[int, dict[str, Any]]]] = {
    "generation": lambda rows, folder: shape(rows, folder),
    "lines": lines,
    "examples": lambda rows, folder: shape(rows, folder, cap=rows // 2),
    "filters": lambda rows, folder: shape(rows, folder, filters=SIMPLE),
    "near_duplicates": lambda rows, folder: shape(rows, folder, filters=("near_duplicates",)),
    "near_duplicate_rows": lambda rows, folder: shape(
        rows, folder, filters=({"near_duplicates": {"of": "row"}},)
    ),
    "all_filters": lambda rows, folder: shape(rows, folder, filters=(*SIMPLE, "near_duplicates")),
}
"""What is measured, by name; ``generation`` is the cost of the rows themselves."""


def _status(name: str) -> int:
    """Return one of the kernel's figures about this process in bytes."""
    found = Path("/proc/self/status").read_text().splitlines()
    return next(1024 * int(line.split()[1]) for line in found if line.startswith(name + ":"))


def measured(name: str, rows: int, folder: Path) -> dict[str, Any]:
    """Run one work in this process and return what it took."""
    WORKS[name](100, folder)
    # The peak of resource.getrusage is the parent's where that was larger, also after exec.
    Path("/proc/self/clear_refs").write_text("5")
    before, start = _status("VmRSS"), time.process_time()
    kept, found = WORKS[name](rows, folder)
    seconds = time.process_time() - start
    return {
        "name": name,
        "rows": rows,
        "kept": kept,
        "cpu_seconds": round(seconds, 2),
        "rows_per_second": round(rows / seconds),
        "peak_bytes": _status("VmHWM") - before,
        **found,
    }


def main() -> None:
    """Measure, print, write ``results/data_scale.json``."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=500_000)
    parser.add_argument("--only", choices=WORKS, action="append", help="these works, unwritten")
    parser.add_argument("--child", choices=WORKS, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        with tempfile.TemporaryDirectory() as folder:
            print(json.dumps(measured(options.child, options.rows, Path(folder))))
        return
    found = []
    for name in options.only or WORKS:
        command = [sys.executable, __file__, "--child", name, "--rows", str(options.rows)]
        answer = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        found.append(json.loads(answer.splitlines()[-1]))
        line = "{name:20s} {cpu_seconds:8.1f} s {rows_per_second:8d} rows/s {peak_bytes:12,d} bytes"
        print(line.format(**found[-1]), f"{found[-1]['kept']:8d} kept", flush=True)
    if not options.only:
        machine = {"cores": os.cpu_count(), "python": platform.python_version()}
        content = {"machine": machine, "works": found}
        path = RESULTS / "data_scale.json"
        path.write_text(json.dumps(content, indent=1, sort_keys=True) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
