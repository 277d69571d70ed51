"""What only a real Slurm shows: zombies, requeues, a forgetful or absent controller, refusals."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ablate.errors import SurroundingsError
from ablate.execution.engines import slurm_pack
from ablate.execution.engines.protocol import Resources, State
from ablate.execution.engines.slurm import SlurmEngine
from ablate.execution.engines.slurm_client import SlurmClient
from ablate.execution.engines.slurm_script import SlurmOptions
from ablate.execution.failures import FailureClass
from ablate.execution.watching import verdict
from ablate.store.attempts import Attempt
from ablate.store.layout import Store
from ablate.testing.engines import EngineGround, is_silent, pairs, shown, starts
from ablate.testing.slurm_loopback import SlurmLoopback, missing, processes_of


def options(**changes: object) -> SlurmOptions:
    quick = {"least_seconds": 0.1, "most_seconds": 0.5, "lag_seconds": 1.0, "accelerators": "none"}
    return SlurmOptions(**{**quick, **changes})  # type: ignore[arg-type]


def ground_for(folder: Path, **changes: object) -> EngineGround:
    def open_engine(slots: int, devices: int) -> SlurmEngine:
        return SlurmEngine(options(**{"slots": slots, **changes}))

    return EngineGround(Store(folder / "store"), open_engine)


@pytest.fixture
def ground(slurm: SlurmLoopback, tmp_path: Path) -> Iterator[EngineGround]:
    with ground_for(tmp_path) as ground:
        yield ground


@pytest.fixture
def rested(slurm: SlurmLoopback) -> Iterator[SlurmLoopback]:
    """Bring the cluster back to two idle nodes after a test that has broken it."""
    yield slurm
    slurm.mend()


def until(condition: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + 60.0
    while not condition():
        assert time.monotonic() < deadline, f"not within a minute: {what}"
        time.sleep(0.05)


def only_job(slurm: SlurmLoopback) -> tuple[str, str]:
    """Return number and node of the one job that runs."""
    [line] = slurm.run("squeue", "-h", "--states=RUNNING", "-o", "%A %N").splitlines()
    number, node = line.split()
    return number, node


def test_a_zombie_of_a_lost_node_is_no_end_and_is_fenced_by_the_next_attempt(
    rested: SlurmLoopback, ground: EngineGround
) -> None:
    """The node's daemons die, Slurm gives the job up, and the worker goes on writing."""
    engine = ground.open()
    handle, submission, gate = ground.waiting(engine)
    number, node = only_job(rested)
    rested.kill(node)
    rested.kill_job_daemon(number)
    rested.run("scontrol", "update", f"nodename={node}", "state=down", "reason=lost")
    word = ground.ended(engine, handle)
    assert (word.state, word.certain, word.blameless) == (State.GONE, False, True)
    assert "NODE_FAIL" in word.reason
    attempt = Attempt(submission.folder)
    assert not is_silent(attempt)
    ground.prepare(pairs("wait", location=str(gate)), number=2)
    until(lambda: is_silent(attempt), "the zombie is fenced")
    assert attempt.exit() is None and starts(gate) == 1


def test_a_preempted_job_is_stopped_after_a_checkpoint_and_never_requeued(
    rested: SlurmLoopback, ground: EngineGround
) -> None:
    """Its own record is the verdict; Slurm's own requeue would run the same attempt again."""
    engine = ground.open()
    handle, submission, gate = ground.waiting(engine)
    number, node = only_job(rested)
    refused = rested.run("scontrol", "requeue", number, check=False)
    assert refused == "" and only_job(rested) == (number, node)
    ask = ["--partition=hi", f"--nodelist={node}", "--exclusive", "--output=/dev/null"]
    rested.run("sbatch", *ask, "--wrap=sleep 1")
    word = ground.ended(engine, handle)
    record = Attempt(submission.folder).exit() or {}
    assert word.certain and record["failure"]["kind"] == "preempted"
    waiting = rested.run("squeue", "-h", "--states=PENDING", "-o", "%A").split()
    assert number not in waiting and starts(gate) == 1


def test_a_job_that_slurm_starts_again_all_the_same_does_nothing(
    slurm: SlurmLoopback, ground: EngineGround
) -> None:
    """A user may allow requeues behind our back; the restarted script ends at once."""
    engine = ground.open()
    handle, submission, gate = ground.waiting(engine)
    number, _ = only_job(slurm)
    slurm.run("scontrol", "update", f"jobid={number}", "requeue=1")
    slurm.run("scontrol", "requeue", number)
    word = ground.ended(engine, handle)
    assert word.state is State.GONE
    until(lambda: is_silent(Attempt(submission.folder)), "the first start is over")
    until(lambda: not slurm.run("squeue", "-h", "-o", "%A"), "nothing of it is left")
    assert starts(gate) == 1


def test_while_the_controller_of_slurm_is_down_nothing_is_called_gone(
    rested: SlurmLoopback, ground: EngineGround
) -> None:
    """What runs goes on, what is new waits, and what ended is seen when it answers again."""
    engine = ground.open()
    handle, submission, gate = ground.waiting(engine)
    rested.kill("slurmctld")
    behind = ground.prepare(pairs(seed=7))
    late = ground.submit(engine, behind)
    gate.touch()
    until(lambda: Attempt(submission.folder).exit() is not None, "the worker ends")
    for _ in range(5):
        words = engine.poll([handle, late], timeout_seconds=0.1)
        assert [words[name].state for name in (handle, late)] == [State.RUNNING, State.PENDING]
    engine.cancel("0123456789ab/1", gently=False)
    assert ground.open().reattach(submission) == handle, "it may live, so no other is started"
    rested.start_controller()
    # Slurm may call the job cancelled: nobody has told the new controller how it ended.
    assert ground.ended(engine, handle).certain
    assert ground.ended(engine, late).state is State.GONE
    for folder in (submission.folder, behind.folder):
        assert (Attempt(folder).exit() or {})["status"] == "ok"


def test_a_job_that_slurm_has_forgotten_is_judged_by_its_record(
    rested: SlurmLoopback, ground: EngineGround
) -> None:
    """Ended jobs vanish after MinJobAge; here slurmctld loses its memory."""
    engine = ground.open()
    handle, submission, gate = ground.waiting(engine)
    rested.kill("slurmctld")
    gate.touch()
    until(lambda: Attempt(submission.folder).exit() is not None, "the worker ends")
    rested.start_controller(forget=True)
    word = ground.ended(engine, handle)
    assert (word.code, word.certain) == (0, True) and "no longer knows" in word.reason
    unknown = ground.prepare(pairs(seed=5))
    (unknown.folder / "slurm.json").write_text('{"job": "ablate-x", "task": null}')
    assert engine.reattach(unknown) is None


def test_equal_attempts_are_one_array_whose_tasks_are_cancelled_one_by_one(
    slurm: SlurmLoopback, tmp_path: Path
) -> None:
    """Four at once are one call of sbatch; a task is found again by name and place."""
    with ground_for(tmp_path) as ground:
        former = ground.open(slots=4)
        gates = [ground.store.root / f"gate-{number}" for number in range(4)]
        submissions = [
            ground.prepare(pairs("wait", location=str(gate), seed=number))
            for number, gate in enumerate(gates)
        ]
        handles = [ground.submit(former, submission) for submission in submissions]
        assert former.capacity(Resources()) == 0
        for handle, gate in zip(handles, gates, strict=True):
            ground.await_start(former, handle, gate)
        jobs = slurm.run("squeue", "-h", "--array", "-o", "%F %K").split("\n")
        assert len({line.split()[0] for line in jobs if line}) == 1
        engine = ground.open(slots=4)
        assert [engine.reattach(submission) for submission in submissions] == handles
        engine.cancel(handles[2], gently=False)
        ground.ended(engine, handles[2])
        engine.cancel(handles[1], gently=True)
        assert ground.ended(engine, handles[1]).code == 1
        gates[0].touch()
        gates[3].touch()
        assert [ground.ended(engine, handles[number]).code for number in (0, 3)] == [0, 0]


def test_a_waiting_job_is_taken_out_of_the_queue(
    slurm: SlurmLoopback, ground: EngineGround
) -> None:
    """Gently or not: it has nothing to save. One that Slurm never got is dropped here."""
    engine = ground.open(slots=8)
    slurm.run("scontrol", "update", "partitionname=main", "state=down")
    try:
        handles = [
            ground.submit(engine, ground.prepare(pairs(seed=number), priority=number))
            for number in range(3)
        ]
        engine.cancel(handles[2], gently=True)
        word = engine.poll(handles, timeout_seconds=0.0)[handles[2]]
        assert (word.state, word.certain) == (State.GONE, True)
        until(
            lambda: "Down" in engine.poll(handles, timeout_seconds=0.1)[handles[0]].reason,
            "Slurm says why it waits",
        )
        for handle, gently in zip(handles, (True, False), strict=False):
            engine.cancel(handle, gently=gently)
            word = ground.ended(engine, handle)
            assert word.certain and word.code is None
    finally:
        slurm.run("scontrol", "update", "partitionname=main", "state=up")


def test_small_jobs_share_an_allocation_and_keep_words_of_their_own(
    slurm: SlurmLoopback, tmp_path: Path
) -> None:
    """One is stopped, one killed, one ends by itself; the Slurm job ends with the last."""
    with ground_for(tmp_path, pack=2) as ground:
        engine = ground.open(slots=8)
        gates = [ground.store.root / f"gate-{number}" for number in range(2)]
        waiting = [
            pairs("wait", location=str(gate), seed=number) for number, gate in enumerate(gates)
        ]
        # Packed in the order of submission: the first two, and the third by itself.
        jobs = [waiting[0], pairs("die always"), waiting[1]]
        submissions = [ground.prepare(job) for job in jobs]
        handles = [ground.submit(engine, submission) for submission in submissions]
        ground.await_start(engine, handles[0], gates[0])
        ground.await_start(engine, handles[2], gates[1])
        assert len(slurm.run("squeue", "-h", "--array", "-o", "%A").split()) == 2
        assert ground.ended(engine, handles[1]).code == -signal.SIGKILL
        again = ground.open(slots=8)
        assert again.reattach(submissions[0]) == handles[0]
        again.cancel(handles[0], gently=True)
        assert ground.ended(again, handles[0]).code == 1
        record = Attempt(submissions[0].folder).exit() or {}
        assert record["failure"]["kind"] == "preempted"
        until(lambda: len(slurm.run("squeue", "-h", "-o", "%A").split()) == 1, "one is left")
        gates[1].touch()
        assert ground.ended(engine, handles[2]).code == 0


def test_an_allocation_that_must_end_stops_its_jobs_after_a_checkpoint(
    slurm: SlurmLoopback, tmp_path: Path
) -> None:
    """SIGTERM comes before a time limit and with a preemption; what waited says so."""
    with ground_for(tmp_path, pack=2) as ground:
        engine = ground.open(slots=8)
        gate = ground.store.root / "gate"
        submissions = [
            ground.prepare(pairs("wait", location=str(gate), seed=number)) for number in range(2)
        ]
        handles = [ground.submit(engine, submission) for submission in submissions]
        ground.await_start(engine, handles[0], gate)
        number, _ = only_job(slurm)
        slurm.run("scancel", "--batch", "--signal=TERM", number)
        for handle, submission in zip(handles, submissions, strict=True):
            word = ground.ended(engine, handle)
            record = Attempt(submission.folder).exit()
            stopped = record is not None and record["failure"]["kind"] == "preempted"
            assert word.certain and (stopped or word == slurm_pack.NEVER)


@pytest.mark.skipif(
    "ABLATE_SLOW" not in os.environ, reason="Slurm's limits are minutes: set ABLATE_SLOW"
)
def test_a_time_limit_is_told_before_and_names_itself_afterwards(
    slurm: SlurmLoopback, tmp_path: Path
) -> None:
    """Slurm may warn up to a minute early; the job that heeds it saves its work."""
    with ground_for(tmp_path) as ground:
        ground.patience_seconds = 240.0
        engine, gate = ground.open(), ground.store.root / "gate"
        minute = Resources(seconds=60.0)
        jobs = [pairs(kind, location=str(gate)) for kind in ("wait", "hang")]
        submissions = [ground.prepare(job, resources=minute) for job in jobs]
        handles = [ground.submit(engine, submission) for submission in submissions]
        assert ground.ended(engine, handles[0]).certain
        record = Attempt(submissions[0].folder).exit() or {}
        assert record["failure"]["kind"] == "preempted"
        word = ground.ended(engine, handles[1])
        assert word.certain and Attempt(submissions[1].folder).exit() is None
        failure = verdict(Attempt(submissions[1].folder), word, memory_kills=0)
        assert failure is not None and failure.kind is FailureClass.TIMEOUT


def test_several_accelerators_run_one_process_each(slurm: SlurmLoopback, tmp_path: Path) -> None:
    """By torchrun on one node, which the lent devices are shown to."""
    with ground_for(tmp_path, accelerators="auto") as ground:
        engine = ground.open()
        submission = ground.prepare(pairs("environment"), resources=Resources(devices=2))
        assert ground.ended(engine, ground.submit(engine, submission)).code == 0
        found = shown(submission)
        assert found["WORLD_SIZE"] == "2" and found["CUDA_VISIBLE_DEVICES"] == "0,1"


def test_a_submission_that_may_have_arrived_is_looked_for_before_it_is_repeated(
    slurm: SlurmLoopback, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Slurm takes the job and the answer is lost on the way."""
    flaky = tmp_path / "bin" / "sbatch"
    flaky.parent.mkdir()
    flaky.write_text(
        f'#!/bin/sh\nPATH="{os.environ["PATH"]}" sbatch "$@" >/dev/null\n'
        "echo 'sbatch: error: Batch job submission failed: Socket timed out on send/recv' >&2\n"
        "exit 1\n"
    )
    flaky.chmod(0o755)
    monkeypatch.setenv("PATH", f"{flaky.parent}:{os.environ['PATH']}")
    with ground_for(tmp_path) as ground:
        engine = ground.open()
        handle, _, gate = ground.waiting(engine)
        gate.touch()
        assert ground.ended(engine, handle).code == 0 and starts(gate) == 1


def test_a_refusal_is_said_in_slurms_words(slurm: SlurmLoopback, tmp_path: Path) -> None:
    """With what to correct, and no traceback."""
    with ground_for(tmp_path, partition="nonesuch") as ground:
        engine = ground.open()
        handle = ground.submit(engine, ground.prepare(pairs()))
        with pytest.raises(SurroundingsError) as caught:
            engine.poll([handle], timeout_seconds=5.0)
    message = str(caught.value)
    assert "invalid partition specified: nonesuch" in message and "place file" in message
    assert "\n" not in message


def test_where_no_job_comes_to_life_the_study_is_told_why(
    slurm: SlurmLoopback, tmp_path: Path
) -> None:
    """A store on a disk of one machine, a missing interpreter or a wrong setup look like this."""
    with ground_for(tmp_path, setup=("echo no such module: cuda >&2; exit 1",)) as ground:
        engine = ground.open(slots=4)
        handles = [ground.submit(engine, ground.prepare(pairs(seed=seed))) for seed in range(3)]
        with pytest.raises(SurroundingsError, match="before their first sign of life") as caught:
            for handle in handles:
                ground.ended(engine, handle)
        assert "Do the nodes see" in str(caught.value)


def test_accelerators_are_asked_for_where_the_partition_has_some(slurm: SlurmLoopback) -> None:
    assert SlurmClient().lends_accelerators("main") and SlurmClient().lends_accelerators(None)


@pytest.mark.skipif(missing() is not None, reason=missing() or "")
def test_a_cluster_whose_owner_is_killed_leaves_nothing_and_holds_no_output_open(
    tmp_path: Path,
) -> None:
    """A step of a build that pipes its output must not wait for daemons or jobs."""
    code = (
        "import sys, os; from pathlib import Path;"
        "from ablate.testing.slurm_loopback import SlurmLoopback;"
        "cluster = SlurmLoopback(Path(sys.argv[1])).__enter__();"
        "cluster.run('sbatch', '--output=/dev/null', '--wrap=sleep 600');"
        "print('started', flush=True); os.kill(os.getpid(), 9)"
    )
    folder = tmp_path / "cluster"
    command = [sys.executable, "-c", code, str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.stdout == "started\n" and done.returncode == -signal.SIGKILL
    until(lambda: not list(processes_of(folder)), "every process is gone")
