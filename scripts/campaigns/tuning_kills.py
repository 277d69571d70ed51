"""Kill the controller of a tuning study at random moments, and compare all that it decided.

``python scripts/campaigns/tuning_kills.py [--kills 2] [--study studies/tuning.yaml]``

Runs ``ablate run <study>`` in a fresh store, undisturbed; then in another, where the controller is
sent SIGKILL at random moments of that duration and the same command started again. Compares the
trials (which values, in which order), what each scored on each rung, the values chosen, and every
byte of every artifact, the final scores among them. Prints a table; exits with 1 on a difference.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import random
import signal
import sys
import tempfile
import time
from pathlib import Path

from kill_quickstart import Campaign, contents, differences

from ablate.reporting.opened import reasons_of
from ablate.reporting.tuned import Tuned, tuned_record
from ablate.spec.load import load_study
from ablate.store.layout import Store

EARLIEST = 0.15
"""Share of the undisturbed run before which nothing is killed: the base model trains there."""


def decided(study: Path, store: Path, sets: list[str]) -> Tuned:
    """Return the trials and choices that a store's artifacts hold."""
    loaded, opened = load_study(study, sets), Store(store)
    reasons = reasons_of(opened, loaded.study.study)
    found = tuned_record(loaded, opened, reasons=reasons)
    assert found is not None, f"{study} tunes nothing"
    return found


def killed(campaign: Campaign, moments: list[float]) -> int:
    """Run the study, killing its controller at these seconds of running; return its last status.

    Seconds between a kill and the next start do not count.
    """
    ran = 0.0
    for moment in moments:
        process, start = campaign.start(), time.monotonic()
        while process.poll() is None and ran + time.monotonic() - start < moment:
            time.sleep(0.02)
        if process.poll() is None:
            os.kill(process.pid, signal.SIGKILL)
            campaign.kills.append(("controller", moment))
        process.wait()
        ran += time.monotonic() - start
        campaign.check_orphans()
    return campaign.start().wait()


def show(calm: Tuned, found: Tuned, rows: dict[str, object]) -> bool:
    """Print what happened and each arm's trials; return whether both decided the same."""
    for name, value in rows.items():
        print(f"{name:34} {value}")
    same = True
    for one, other in zip(calm.arms, found.arms, strict=True):
        values = [trial.values for trial in one.trials] == [trial.values for trial in other.trials]
        scores = [trial.scores for trial in one.trials] == [trial.scores for trial in other.trials]
        numbers = [None if arm.winner is None else arm.winner.number for arm in (one, other)]
        same = same and values and scores and numbers[0] == numbers[1] and other.is_done
        told = f"{len(one.trials)} trials, values {_word(values)}, scores {_word(scores)}"
        print(f"{one.cell:34} {told}, chosen: trials {numbers[0]} and {numbers[1]}")
    return same


def _word(equal: bool) -> str:
    return "equal" if equal else "DIFFERENT"


def main() -> int:
    """Run the campaign; 0 if nothing differs and nothing is left behind."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--study", type=Path, default=Path("studies/tuning.yaml"))
    parser.add_argument("--kills", type=int, default=2)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--set", action="append", default=[], help="as for ablate run")
    arguments = parser.parse_args()
    random.seed(arguments.seed)
    options = ["--no-report", "--no-tracking"]
    options += [word for item in arguments.set for word in ("--set", item)]
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(1))
    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as stack:
        calm = Campaign(arguments.study, Path(folder, "calm"), options)
        stack.callback(calm.end)
        start = time.monotonic()
        if calm.start().wait() != 0:
            print((calm.store.parent / "output.txt").read_text()[-4000:])
            return 1
        seconds = time.monotonic() - start
        campaign = Campaign(arguments.study, Path(folder, "disturbed"), options)
        stack.callback(campaign.end)
        share = [random.uniform(EARLIEST, 1.0) for _ in range(arguments.kills)]
        code = killed(campaign, sorted(seconds * one for one in share))
        expected = contents(calm.store)
        wrong = list(differences(expected, contents(campaign.store)))
        stores = (calm.store, campaign.store)
        before, after = (decided(arguments.study, store, arguments.set) for store in stores)
        rows = {
            "seconds undisturbed": f"{seconds:.0f}",
            "kills of the controller": len(campaign.kills),
            "moments (s)": " ".join(f"{moment:.0f}" for _, moment in campaign.kills),
            "starts of the command": campaign.starts,
            "last exit status": code,
            "artifact files compared": len(expected),
            "artifact files that differ": len(wrong),
            "orphans": len(campaign.orphans),
        }
        same = show(before, after, rows)
        print("\n".join(wrong[:20]), end="\n" if wrong else "")
    return int(code != 0 or bool(wrong) or bool(campaign.orphans) or not same)


if __name__ == "__main__":
    raise SystemExit(main())
