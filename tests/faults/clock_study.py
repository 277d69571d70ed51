"""A controller of its own for a study of toy stages; its clock may jump meanwhile.

``python clock_study.py STORE GATE [UNTIL]``: 0 when complete, 3 when it was stopped.
"""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "execution"))

from toy_study import OPTIONS, pairs, run, study

from ablate.plan.job import Job
from ablate.store.layout import Store


def jobs(gate: str) -> list[Job]:
    """Return five jobs, and one that waits until ``gate`` exists."""
    return [pairs("wait", location=gate), *study(1)]


def main() -> int:
    """Run the study."""
    store, gate, *until = sys.argv[1:]
    options = replace(OPTIONS, until=float(until[0]) if until else None)
    outcome = run(Store(store), jobs(gate), options=options)
    sys.stdout.write(f"{outcome.stopped or 'complete'}\n")
    return 0 if outcome.complete else 3


if __name__ == "__main__":
    raise SystemExit(main())
