"""Room on the disk: what is to come, what is left, and a study that stops in time."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "execution"))

from toy_study import OPTIONS, contents, run, study

from ablate.errors import SurroundingsError
from ablate.execution.book import JobState
from ablate.plan.estimate import disk_bytes
from ablate.plan.job import Job
from ablate.spec.stages import EmbeddedModelConfig, ImportedModelConfig, SftConfig
from ablate.store.disk import RESERVE_VARIABLE, DiskGuard, Space, forecast_bytes, reserve, shortage
from ablate.store.layout import Store
from ablate.store.usage import disk_usage

MODEL = Job("model", EmbeddedModelConfig())
SFT = Job("sft", SftConfig(), (("model", MODEL),))
GB = 1_000_000_000


class Disk:
    """A disk whose free space a test sets."""

    def __init__(self, free: int) -> None:
        self.free, self.now = free, 0.0

    def guard(self, root: Path) -> DiskGuard:
        return DiskGuard(root, look=lambda path: Space(500 * GB, self.free), clock=lambda: self.now)


def test_the_reserve_is_a_gigabyte_or_two_percent_of_a_small_disk(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv(RESERVE_VARIABLE, raising=False)
    assert reserve(Space(500 * GB, 0)) == GB
    assert reserve(Space(10 * GB, 0)) == 0.02 * 10 * GB
    for text, expected in (("0", 0.0), ("5GB", 5e9), ("1.5 mb", 1.5e6), ("300", 300.0)):
        monkeypatch.setenv(RESERVE_VARIABLE, text)
        assert reserve(Space(500 * GB, 0)) == expected


@pytest.mark.parametrize("text", ["", "much", "-1", "5 PB", "nan", "1e9"])
def test_a_reserve_that_is_no_size_is_refused(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(RESERVE_VARIABLE, text)
    with pytest.raises(SurroundingsError, match="is no size; write one such as 5GB"):
        reserve(Space(1, 1))


def test_a_training_job_needs_its_weights_and_two_checkpoints() -> None:
    # Weights are 4 bytes a parameter beside 0.2 MB of records, a checkpoint 12, there twice.
    weights = disk_bytes(SFT) - 2e5
    assert weights > 4 * 150_000
    assert forecast_bytes(SFT) == disk_bytes(SFT) + 2 * 3 * weights


def test_a_model_of_unknown_size_stops_no_study() -> None:
    unknown = Job("model", ImportedModelConfig(format="hf", content="x"))
    assert forecast_bytes(Job("sft", SftConfig(), (("model", unknown),))) == 0.0


def test_nothing_starts_that_the_disk_has_no_room_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(RESERVE_VARIABLE, raising=False)
    needed = int(forecast_bytes(SFT))
    disk = Disk(GB + needed)
    guard = disk.guard(tmp_path)
    assert guard.reason([], SFT) == ""
    disk.free -= 1
    reason = guard.reason([], SFT)
    assert reason.startswith("the disk would be full: 1.0 GB are free") and "ablate gc" in reason


def test_what_a_running_job_has_written_needs_no_room(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(RESERVE_VARIABLE, "0")
    attempt = tmp_path / "1"
    attempt.mkdir()
    disk = Disk(int(forecast_bytes(SFT)) - 1)
    guard = disk.guard(tmp_path)
    (attempt / "scratch").write_bytes(os.urandom(1 << 20))
    # Half of its checkpoint is there, so the rest fits.
    assert guard.reason([(SFT, attempt)]) == ""
    # Another of its kind does not; asked for a job that is to start, the answer is always new.
    assert guard.reason([(SFT, attempt)], SFT) != ""


def test_an_answer_about_what_runs_is_kept_for_a_moment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(RESERVE_VARIABLE, "1GB")
    disk = Disk(2 * GB)
    guard = disk.guard(tmp_path)
    assert guard.reason([]) == ""
    disk.free = 0
    assert guard.reason([]) == ""
    disk.now += 2.1
    assert "the disk would be full" in guard.reason([])


def test_a_plan_that_will_not_fit_is_warned_about(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(RESERVE_VARIABLE, "0")
    assert shortage(tmp_path / "none" / "yet", [MODEL, SFT], slots=2) == ""
    monkeypatch.setenv(RESERVE_VARIABLE, "900TB")
    assert "the study will stop before the disk is full" in shortage(tmp_path, [SFT], slots=1)


def test_a_study_drains_before_the_disk_is_full_and_goes_on_with_room(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = Store(tmp_path / "store")
    monkeypatch.setenv(RESERVE_VARIABLE, "900TB")
    outcome = run(store, study(1))
    assert outcome.stopped is not None and "the disk would be full" in outcome.stopped
    assert set(outcome.states.values()) == {JobState.WAITING} and not outcome.failures
    monkeypatch.setenv(RESERVE_VARIABLE, "0")
    assert run(store, study(1)).complete


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A real file system of 6 MB."""
    if os.geteuid() != 0 or shutil.which("mount") is None:
        pytest.skip("only root can mount a small file system")
    place = tmp_path / "disk"
    place.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=6m", "tmpfs", str(place)]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode != 0:
        pytest.skip(f"no small file system can be mounted here: {done.stderr.strip()}")
    try:
        yield place
    finally:
        subprocess.run(["umount", "-l", str(place)], check=True)


def test_a_small_disk_that_fills_stops_the_study_with_every_job_whole(
    small_disk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """6 MB: the reserve of 2 % is 120 kB. What is there already leaves room for a job or two."""
    monkeypatch.delenv(RESERVE_VARIABLE, raising=False)
    store = Store(small_disk / "store")
    # Of 6,291,456 bytes 691,456 are left. A job without a model counts 0.5 MB, so that with the
    # reserve 0.07 MB may be written before no further one starts; one job takes about 0.04 MB.
    (small_disk / "other").write_bytes(bytes(5_600_000))
    options = replace(OPTIONS, local=replace(OPTIONS.local, slots=1))
    outcome = run(store, study(1), options=options)
    assert outcome.stopped is not None and "the disk would be full" in outcome.stopped
    assert not outcome.failures and not outcome.complete
    assert 1 <= outcome.count(JobState.DONE) <= 4
    made = contents(store)
    (small_disk / "other").unlink()
    assert run(store, study(1), options=options).complete
    after = contents(store)
    assert {name: after[name] for name in made} == made
    assert disk_usage(store.root) < 4_000_000
