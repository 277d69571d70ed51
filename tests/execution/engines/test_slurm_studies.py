"""Whole studies on a real Slurm: the same bytes as on this machine, and controllers that die."""

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from ablate.execution.book import JobState
from ablate.execution.controller import run_study
from ablate.execution.engines.local import LocalOptions
from ablate.execution.engines.slurm import SlurmEngine
from ablate.execution.engines.slurm_script import SlurmOptions
from ablate.execution.options import Outcome, RunOptions
from ablate.plan.job import Job
from ablate.spec.stages import EvaluationConfig, PreferencesConfig, SftConfig
from ablate.store.layout import Store
from ablate.testing.engines import contents, starts
from ablate.testing.slurm_loopback import SlurmLoopback
from ablate.testing.stages import ENTRY_POINTS

LOCAL = LocalOptions(slots=2, devices=(), preload=("ablate.execution.worker",))
OPTIONS = RunOptions(local=LOCAL, entry_points=ENTRY_POINTS, beat_seconds=0.1)
QUICK = SlurmOptions(
    slots=4, accelerators="none", least_seconds=0.1, most_seconds=0.5, lag_seconds=1.0
)


def study(seeds: int = 2) -> list[Job]:
    """Return evaluations of trainings that share one root; 1 + 2 x seeds jobs."""
    root = Job("preferences", PreferencesConfig(dataset="die once"))
    trainings = [
        Job("sft", SftConfig(dataset="plain", seed=seed), (("model", root),))
        for seed in range(seeds)
    ]
    return [
        Job("evaluation", EvaluationConfig(seed=seed), (("policy", training),))
        for seed, training in enumerate(trainings)
    ]


def run(store: Store, jobs: list[Job], options: RunOptions, *, name: str = "toy") -> Outcome:
    return run_study(jobs, store=store, study_name=name, options=options)


def on_slurm(store: Store, jobs: list[Job], slurm: SlurmOptions = QUICK) -> Outcome:
    engine = SlurmEngine(slurm)
    try:
        return run(store, jobs, replace(OPTIONS, engine=engine))
    finally:
        engine.close()


@pytest.fixture(scope="module")
def expected(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Return the bytes that the local engine leaves."""
    store = Store(tmp_path_factory.mktemp("local") / "store")
    assert run(store, study(), OPTIONS).complete
    return contents(store)


@pytest.mark.parametrize("pack", [1, 2])
def test_a_study_on_slurm_leaves_the_bytes_of_a_local_one(
    slurm: SlurmLoopback, tmp_path: Path, expected: dict[str, str], pack: int
) -> None:
    """One of its jobs is killed in its first attempt and tried again."""
    store = Store(tmp_path / "store")
    outcome = on_slurm(store, study(), replace(QUICK, pack=pack))
    assert outcome.count(JobState.DONE) == 5 and contents(store) == expected
    manifest = store.manifest("preferences", study()[0].inputs[0][1].inputs[0][1].fingerprint)
    assert manifest is not None and manifest.engine == "slurm" and manifest.attempt == 2
    assert on_slurm(store, study()).count(JobState.CACHED) == 5


def test_jobs_outlive_a_killed_controller_and_the_next_one_takes_them_over(
    slurm: SlurmLoopback, tmp_path: Path
) -> None:
    """The job is started once, although two controllers have run it."""
    store, gate = Store(tmp_path / "store"), tmp_path / "gate"
    command = [sys.executable, __file__, str(store.root), str(gate)]
    controller = subprocess.Popen(command)
    deadline = time.monotonic() + 60.0
    while starts(gate) == 0:
        assert controller.poll() is None and time.monotonic() < deadline
        time.sleep(0.05)
    controller.send_signal(signal.SIGKILL)
    controller.wait()
    gate.touch()
    outcome = on_slurm(store, waiting(gate))
    assert outcome.complete and starts(gate) == 1
    assert [path.name for path in store.job(waiting(gate)[0].fingerprint).iterdir()].count("2") == 0


def waiting(gate: Path) -> list[Job]:
    return [Job("preferences", PreferencesConfig(dataset="wait", location=str(gate)))]


@pytest.mark.skipif(
    "ABLATE_SLOW" not in os.environ, reason="takes minutes on two cores: set ABLATE_SLOW"
)
def test_the_command_runs_a_study_on_slurm_as_it_does_here(
    slurm: SlurmLoopback, tmp_path: Path
) -> None:
    """Every stage once, by the study that the repository has for it."""
    study_file = Path(__file__).parents[3] / "studies" / "smoke.yaml"
    place = tmp_path / "cluster.yaml"
    place.write_text("engine: slurm\naccelerators: none\nslots: 4\nhours: 0.5\n")
    found = {}
    for engine in ("local", str(place)):
        store = tmp_path / Path(engine).stem
        command = [sys.executable, "-m", "ablate", "run", str(study_file), "--engine", engine]
        command += ["--store", str(store), "--json", "--no-tracking", "--no-report"]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        assert json.loads(done.stdout)["complete"]
        found[engine] = contents(Store(store))
    assert len(found["local"]) > 1 and found["local"] == found[str(place)]


def main() -> int:
    """Run the waiting job as a controller of its own."""
    on_slurm(Store(sys.argv[1]), waiting(Path(sys.argv[2])))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
