"""Kill a study's processes at random moments, again and again, and compare every byte it leaves.

``python tests/faults/campaign.py STATE --study studies/smoke.yaml --kills 200 --seed 1``

Runs ``ablate run`` in a fresh store and sends SIGKILL to the controller, its fork server, workers
or an engine's daemons, starting the same command again whenever it ended, until it ends by itself
with everything done; then again in the next store, until so many kills are spent. After each round
every artifact is compared with those of a store that nobody disturbed.

Seeded: the kind of the n-th kill and the time before it follow from the seed and n alone.
Replayable: ``--first N`` begins with the n-th kill. Resumable: everything is kept in STATE, and the
same command goes on after the last kill there; the table at the end is of all of them. Exits with 1
on any difference, second result, lost commit, orphan or failure.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
import uuid
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import oracle
from cluster import Local, Ray, Slurm, Target
from processes import kill, marked, wait_gone

ORPHAN_SECONDS = 10.0
"""A process that outlives its controller by more than this is an orphan."""
MOST_STARTS = 1000
"""Of one round: a study that never ends is a failure as well."""


@dataclass
class Campaign:
    """A series of rounds with one schedule of kills."""

    state: Path
    study: Path
    seed: int
    kills: int
    mean_seconds: float
    target: Target
    options: list[str]
    first: int = 0
    mark: str = field(default_factory=lambda: uuid.uuid4().hex)
    problems: list[str] = field(default_factory=list)

    @property
    def journal(self) -> Path:
        """One JSON object a line: kills and rounds."""
        return self.state / "journal.jsonl"

    def records(self, what: str) -> list[dict[str, Any]]:
        """Return the journal's records of one kind; a torn last line is left out."""
        found = []
        for line in self.journal.read_text().splitlines() if self.journal.exists() else ():
            with contextlib.suppress(ValueError):
                found.append(json.loads(line))
        return [record for record in found if record["what"] == what]

    def note(self, what: str, **record: Any) -> None:
        """Append to the journal."""
        with self.journal.open("a") as file:
            file.write(json.dumps({"what": what, **record}) + "\n")

    def draw(self, number: int) -> tuple[str, float, float]:
        """Return kind, seconds before, and choice among equals of the n-th kill."""
        generator = random.Random(f"{self.seed}/{number}")
        weights = self.target.weights
        kind = generator.choices(list(weights), list(weights.values()))[0]
        return kind, generator.expovariate(1.0 / self.mean_seconds), generator.random()

    def start(self, store: Path) -> subprocess.Popen[bytes]:
        """Start the same command once more."""
        command = [sys.executable, "-m", "ablate", "run", str(self.study), "--store", str(store)]
        command += ["--engine", self.target.name, "--no-report", "--no-tracking", *self.options]
        with store.with_suffix(".txt").open("ab") as output:
            return subprocess.Popen(
                command,
                env={**os.environ, "ABLATE_CAMPAIGN": self.mark},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )

    def undisturbed(self) -> oracle.Contents:
        """Return the artifacts of the study on this machine when nobody disturbs it."""
        store = self.state / "calm"
        calm = Campaign(self.state, self.study, 0, 0, 1.0, Local(), self.options, mark=self.mark)
        if calm.start(store).wait() != 0:
            raise SystemExit(store.with_suffix(".txt").read_text()[-4000:])
        return oracle.contents(store)

    def round(self, store: Path, expected: oracle.Contents, done: int) -> int:
        """Run the study to its end under kills from number ``done`` on; return their number."""
        before: set[str] = oracle.committed(store)
        for _ in range(MOST_STARTS):
            process = self.start(store)
            ended_alone = True
            while process.poll() is None and done < self.first + self.kills:
                kind, seconds, choice = self.draw(done)
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(seconds)
                # What was killed before is down for as long as the campaign waited.
                self.target.heal()
                if process.poll() is None and self.target.strike(kind, process.pid, choice):
                    self.note("kill", number=done, kind=kind, store=store.name, at=time.time())
                    ended_alone = False
                    done += 1
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(self.mean_seconds)
            self.target.heal()
            code = process.wait()
            self.look(store, before, orphans=self.target.name == "local")
            before = oracle.committed(store)
            # A job whose workers are killed too often is given up until the command runs again.
            if code == 0 or (ended_alone and code not in (4, 3, 130, -9)):
                break
        else:
            self.problems.append(f"{store.name}: not done after {MOST_STARTS} starts")
        if code != 0:
            self.problems.append(f"{store.name}: ended with {code}")
        wrong = [*oracle.differences(expected, oracle.contents(store))]
        wrong += [*oracle.lying_manifests(store), *oracle.second_results(store)]
        self.problems += [f"{store.name}: {line}" for line in wrong]
        counts = oracle.attempts(store)
        self.note(
            "round",
            store=store.name,
            jobs=len(counts),
            attempts=sum(counts.values()),
            files=len(expected),
            problems=self.problems,
        )
        return done

    def look(
        self,
        store: Path,
        before: set[str],
        *,
        orphans: bool,
        patience_seconds: float = ORPHAN_SECONDS,
    ) -> None:
        """Note commits that were lost, and processes that were left behind."""
        lost = before - oracle.committed(store)
        self.problems += [f"{store.name}: lost commit {name}" for name in sorted(lost)]
        if orphans:
            left = wait_gone(self.mark, seconds=patience_seconds)
            self.problems += [f"{store.name}: orphan {pid}" for pid in left]

    def run(self) -> None:
        """Go on until every kill is spent; a round that was begun is finished."""
        self.state.mkdir(parents=True, exist_ok=True)
        expected = self.undisturbed()
        done = self.first + len(self.records("kill"))
        for record in self.records("round"):
            self.problems = record["problems"]
        while done < self.first + self.kills:
            number = len(self.records("round"))
            store = self.state / f"round-{number}"
            done = self.round(store, expected, done)
            shutil.rmtree(store)

    def table(self) -> Iterator[str]:
        """Yield what happened and what came out."""
        kinds = Counter(record["kind"] for record in self.records("kill"))
        rounds = self.records("round")
        yield f"study                 {self.study.name}, engine {self.target.name}"
        yield f"seed, first kill      {self.seed}, {self.first}"
        yield f"kills                 {sum(kinds.values())}: " + ", ".join(
            f"{count} {kind}" for kind, count in sorted(kinds.items())
        )
        yield f"rounds                {len(rounds)}"
        yield f"jobs                  {sum(record['jobs'] for record in rounds)}"
        yield f"attempts              {sum(record['attempts'] for record in rounds)}"
        yield f"files compared        {sum(record['files'] for record in rounds)}"
        yield f"problems              {len(self.problems)}"
        yield from self.problems


def targets() -> dict[str, type[Target]]:
    """Return the engines that a campaign knows."""
    return {"local": Local, "slurm": Slurm, "ray": Ray}


def main() -> int:
    """Run or go on with a campaign; 0 if nothing is wrong."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("state", type=Path, help="folder that keeps everything")
    parser.add_argument("--study", type=Path, default=Path("studies/smoke.yaml"))
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--first", type=int, default=0, help="number of the first kill")
    parser.add_argument("--mean-seconds", type=float, default=4.0, help="between two kills")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--engine", choices=sorted(targets()), default="local")
    parser.add_argument("--set", action="append", default=[], help="as for ablate run")
    given = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(1))
    target = targets()[given.engine]()
    campaign = Campaign(
        given.state.absolute(),
        given.study,
        given.seed,
        given.kills,
        given.mean_seconds,
        target,
        [word for item in given.set for word in ("--set", item)],
        first=given.first,
    )
    try:
        campaign.run()
    finally:
        for pid in marked(campaign.mark):
            kill(pid)
        target.close()
    print("\n".join(campaign.table()))
    return int(bool(campaign.problems))


if __name__ == "__main__":
    raise SystemExit(main())
