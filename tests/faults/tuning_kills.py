"""Kill the controller of a tuning study at random moments, and compare all that it decided.

``python tests/faults/tuning_kills.py STATE [--kills 2] [--seed 0] [--study studies/tuning.yaml]``

Runs ``ablate run`` in a store, undisturbed; then in another, where the controller is sent SIGKILL
at random moments of that duration, one in each of so many equal parts of it, and the same command
started again. Compares the trials (which values, in which order), what each scored on each rung,
the values chosen, and every byte of every artifact, the final scores among them. Seeded; STATE
keeps the undisturbed store for the next time. Prints a table; exits with 1 on a difference.
"""

from __future__ import annotations

import argparse
import random
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import oracle
from campaign import Campaign
from cluster import Local
from processes import kill, marked

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


def moments(seconds: float, *, kills: int, seed: int) -> list[float]:
    """Return when to kill, in seconds of running; one moment in each equal part."""
    generator, part = random.Random(seed), (1.0 - EARLIEST) / kills
    return [seconds * (EARLIEST + part * (n + generator.random())) for n in range(kills)]


def killed(campaign: Campaign, store: Path, at: list[float]) -> int:
    """Run the study, killing its controller at these seconds of running; return its last status.

    Seconds between a kill and the next start do not count.
    """
    ran = 0.0
    for number, moment in enumerate(at):
        before = oracle.committed(store)
        process, start = campaign.start(store), time.monotonic()
        while process.poll() is None and ran + time.monotonic() - start < moment:
            time.sleep(0.02)
        if process.poll() is None and kill(process.pid):
            campaign.note("kill", number=number, kind="controller", store=store.name, at=moment)
        process.wait()
        ran += time.monotonic() - start
        campaign.look(store, before, orphans=True)
    return campaign.start(store).wait()


def compared(calm: Tuned, found: Tuned) -> Iterator[tuple[str, bool]]:
    """Yield each arm's trials in words, and whether both stores decided the same."""
    for one, other in zip(calm.arms, found.arms, strict=True):
        values = [trial.values for trial in one.trials] == [trial.values for trial in other.trials]
        scores = [trial.scores for trial in one.trials] == [trial.scores for trial in other.trials]
        numbers = [None if arm.winner is None else arm.winner.number for arm in (one, other)]
        same = values and scores and numbers[0] == numbers[1] and other.is_done
        told = f"{len(one.trials)} trials, values {_word(values)}, scores {_word(scores)}"
        yield f"{one.cell:34} {told}, chosen: trials {numbers[0]} and {numbers[1]}", same


def _word(equal: bool) -> str:
    return "equal" if equal else "DIFFERENT"


def main() -> int:
    """Run the campaign; 0 if nothing differs and nothing is left behind."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("state", type=Path, help="folder that keeps everything")
    parser.add_argument("--study", type=Path, default=Path("studies/tuning.yaml"))
    parser.add_argument("--kills", type=int, default=2)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--set", action="append", default=[], help="as for ablate run")
    given = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(1))
    sets = [word for item in given.set for word in ("--set", item)]
    state = given.state.absolute()
    campaign = Campaign(state, given.study, given.seed, given.kills, 1.0, Local(), sets)
    state.mkdir(parents=True, exist_ok=True)
    store = state / f"disturbed-{given.seed}"
    if store.exists():
        parser.error(f"{store} is there already; remove it or choose another --seed")
    try:
        start = time.monotonic()
        expected = campaign.undisturbed()
        if not (known := campaign.records("undisturbed")):
            campaign.note("undisturbed", seconds=time.monotonic() - start)
            known = campaign.records("undisturbed")
        seconds = known[0]["seconds"]
        code = killed(campaign, store, moments(seconds, kills=given.kills, seed=given.seed))
    finally:
        for pid in marked(campaign.mark):
            kill(pid)
    wrong = [*oracle.differences(expected, oracle.contents(store)), *oracle.second_results(store)]
    wrong += campaign.problems
    arms = [*compared(*(decided(given.study, at, given.set) for at in (state / "calm", store)))]
    done = [record["at"] for record in campaign.records("kill") if record["store"] == store.name]
    print(f"undisturbed                        {seconds:.0f} s")
    print(f"kills of the controller            {len(done)}, at {done} s of running")
    print(f"last exit status                   {code}")
    print(f"artifact files compared            {len(expected)}, {len(wrong)} problems")
    print("\n".join([*(line for line, _ in arms), *wrong[:20]]))
    return int(code != 0 or bool(wrong) or not all(same for _, same in arms))


if __name__ == "__main__":
    raise SystemExit(main())
