"""Kill a study at random moments, again and again, and compare every byte it leaves.

``python scripts/campaigns/kill_quickstart.py [--kills 20] [--study studies/quickstart.yaml]``

Runs ``ablate run <study>`` in a fresh store and sends SIGKILL to the controller, its fork server
or a worker at random moments, starting the same command again whenever it ended, until it ends by
itself with everything done. Then every artifact file is compared with those of a store that
nobody disturbed. Prints a table; exits with 1 on any difference, orphan or failure.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
import uuid
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

PROC = Path("/proc")
ORPHAN_SECONDS = 10.0
"""A process that outlives its controller by more than this is an orphan."""
WEIGHTS = {"worker": 5, "controller": 3, "server": 2}
"""How often each kind of process is chosen."""


@dataclass
class Campaign:
    """One store that is being disturbed."""

    study: Path
    store: Path
    options: list[str]
    mark: str = field(default_factory=lambda: uuid.uuid4().hex)
    kills: list[tuple[str, float]] = field(default_factory=list)
    starts: int = 0
    orphans: list[int] = field(default_factory=list)
    slowest_end_seconds: float = 0.0

    def start(self) -> subprocess.Popen[bytes]:
        """Start the same command once more."""
        self.starts += 1
        command = [sys.executable, "-m", "ablate", "run", str(self.study)]
        command += ["--store", str(self.store), *self.options]
        with (self.store.parent / "output.txt").open("ab") as output:
            return subprocess.Popen(
                command,
                env={**os.environ, "ABLATE_CAMPAIGN": self.mark},
                stdout=output,
                stderr=output,
                start_new_session=True,
            )

    def kill_one(self, controller: int, clock: float) -> None:
        """Send SIGKILL to one process of a randomly chosen kind, if there is one."""
        kind = random.choices(list(WEIGHTS), list(WEIGHTS.values()))[0]
        victims = processes(controller)[kind]
        if victims:
            os.kill(random.choice(victims), signal.SIGKILL)
            self.kills.append((kind, time.monotonic() - clock))

    def end(self) -> None:
        """Kill what is left when the campaign itself is ended."""
        for pid in marked(self.mark):
            os.kill(pid, signal.SIGKILL)

    def check_orphans(self) -> None:
        """Wait until no process of the campaign is left; note those that stay."""
        start = time.monotonic()
        while (left := marked(self.mark)) and time.monotonic() - start < ORPHAN_SECONDS:
            time.sleep(0.02)
        self.slowest_end_seconds = max(self.slowest_end_seconds, time.monotonic() - start)
        for pid in left:
            self.orphans.append(pid)
            os.kill(pid, signal.SIGKILL)


def processes(controller: int) -> dict[str, list[int]]:
    """Return the controller, its fork server and its workers that live now."""
    servers = [pid for pid in children(controller) if b"forkserver" in text(pid, "cmdline")]
    workers = [pid for server in servers for pid in children(server)]
    return {"controller": [controller], "server": servers, "worker": workers}


def children(pid: int) -> list[int]:
    """Return the children of a process, whichever of its threads started them."""
    found: list[int] = []
    tasks = PROC / str(pid) / "task"
    for task in os.listdir(tasks) if tasks.exists() else []:
        found += [int(word) for word in text(pid, f"task/{task}/children").split()]
    return found


def text(pid: int, name: str) -> bytes:
    """Return a file of /proc; empty if the process is gone."""
    try:
        return (PROC / str(pid) / name).read_bytes()
    except OSError:
        return b""


def marked(mark: str) -> list[int]:
    """Return the processes that were started with ``mark`` and live."""
    pids = (int(folder.name) for folder in PROC.iterdir() if folder.name.isdigit())
    return [pid for pid in pids if mark.encode() in text(pid, "environ")]


def disturbed(campaign: Campaign, *, kills: int, mean_seconds: float) -> int:
    """Run the study to its end under ``kills`` kills; return its last exit status."""
    clock = time.monotonic()
    while True:
        before = len(campaign.kills)
        process = campaign.start()
        while process.poll() is None and len(campaign.kills) < kills:
            time.sleep(random.expovariate(1.0 / mean_seconds))
            if process.poll() is None:
                campaign.kill_one(process.pid, clock)
        code = process.wait()
        campaign.check_orphans()
        # A job whose workers are killed too often is given up, until the command is run again.
        if code == 0 or len(campaign.kills) == before:
            return code


def contents(store: Path) -> dict[str, str]:
    """Return the hash of every artifact file but the manifests, which hold times."""
    root = store / "artifacts"
    return {
        path.relative_to(root).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(root.rglob("*"))
        if path.is_file() and path.name != "manifest.json"
    }


def differences(expected: dict[str, str], found: dict[str, str]) -> Iterator[str]:
    """Yield every file that is missing, too many, or different."""
    for name in sorted(expected.keys() | found.keys()):
        if name not in found:
            yield f"missing: {name}"
        elif name not in expected:
            yield f"too many: {name}"
        elif found[name] != expected[name]:
            yield f"different: {name}"


def show(campaign: Campaign, code: int, files: int, wrong: list[str]) -> None:
    """Print what happened and what came out."""
    counts = Counter(kind for kind, _ in campaign.kills)
    attempts = campaign.store / "attempts"
    numbers = [len(list(job.glob("*/request.json"))) for job in attempts.iterdir()]
    rows = {
        "kills": ", ".join(f"{number} {kind}" for kind, number in sorted(counts.items())),
        "moments (s)": " ".join(f"{seconds:.1f}" for _, seconds in campaign.kills),
        "starts of the command": campaign.starts,
        "last exit status": code,
        "jobs": len(numbers),
        "attempts": sum(numbers),
        "files compared": files,
        "files that differ": len(wrong),
        "orphans": len(campaign.orphans),
        "slowest end of all processes (s)": f"{campaign.slowest_end_seconds:.2f}",
    }
    for name, value in rows.items():
        print(f"{name:34} {value}")
    for line in wrong:
        print(line)


def main() -> int:
    """Run the campaign; 0 if nothing differs and nothing is left behind."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--study", type=Path, default=Path("studies/quickstart.yaml"))
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--mean-seconds", type=float, default=8.0, help="between two kills")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--undisturbed", type=Path, help="store that holds the finished study")
    parser.add_argument("--set", action="append", default=[], help="as for ablate run")
    arguments = parser.parse_args()
    random.seed(arguments.seed)
    options = ["--no-report", "--no-tracking"]
    options += [word for item in arguments.set for word in ("--set", item)]
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(1))
    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as stack:
        calm = Campaign(arguments.study, arguments.undisturbed or Path(folder, "calm"), options)
        stack.callback(calm.end)
        if calm.start().wait() != 0:
            print((calm.store.parent / "output.txt").read_text())
            return 1
        campaign = Campaign(arguments.study, Path(folder, "disturbed"), options)
        stack.callback(campaign.end)
        code = disturbed(campaign, kills=arguments.kills, mean_seconds=arguments.mean_seconds)
        expected = contents(calm.store)
        wrong = list(differences(expected, contents(campaign.store)))
        show(campaign, code, len(expected), wrong)
        if code != 0:
            print((campaign.store.parent / "output.txt").read_text()[-4000:])
    return int(code != 0 or bool(wrong) or bool(campaign.orphans))


if __name__ == "__main__":
    raise SystemExit(main())
