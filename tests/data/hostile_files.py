"""Reading a file in a process of its own, whose peak memory is measured, and files that grow."""

import gzip
import json
import subprocess
import sys
from pathlib import Path

import pytest

MOST_GROWN = 200 * 2**20
CHILD = """
import json, sys
from pathlib import Path
from ablate.data.reading.files import read_rows
from ablate.data.reading.json_rows import json_rows
from ablate.data.reading.limits import LIMITS
from ablate.data.reading.memory import headroom
from ablate.data.records import Dropped
from ablate.errors import AblateError
path, policy, heavy = sys.argv[1:]
if heavy:
    import pyarrow.parquet
def peak():
    lines = Path("/proc/self/status").read_text().splitlines()
    return 1024 * next(int(line.split()[1]) for line in lines if line.startswith("VmHWM"))
before, rows, dropped, error, kind = peak(), 0, 0, "", ""
try:
    for row in read_rows(Path(path), on_bad_row=policy):
        rows, dropped = rows + 1, dropped + isinstance(row, Dropped)
except AblateError as caught:
    error, kind = str(caught), getattr(caught, "kind", "surroundings")
print(json.dumps([rows, dropped, error, kind, peak() - before]))
"""
on_linux = pytest.mark.skipif(sys.platform != "linux", reason="peak memory is read from /proc")


def read_apart(path: Path, policy: str = "refuse") -> tuple[int, int, str, str, int]:
    """Return rows, dropped ones among them, the error and its kind, and the growth of memory."""
    heavy = "yes" if path.suffix in (".parquet", ".arrow") else ""
    command = [sys.executable, "-c", CHILD, str(path), policy, heavy]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    rows, dropped, error, kind, grown = json.loads(done.stdout)
    return rows, dropped, error, kind, grown


def bomb(path: Path, start: bytes, filling: bytes, *, size: int, end: bytes = b"") -> Path:
    """Write gzip of ``size`` bytes of a filling, by one member again and again."""
    unit = filling * (2**24 // len(filling))
    member = gzip.compress(unit, 1)
    with open(path, "wb") as file:
        file.write(gzip.compress(start))
        for _ in range(size // len(unit)):
            file.write(member)
        file.write(gzip.compress(end))
    return path
