"""What Slurm's words mean, and what is asked of it; no Slurm is needed."""

from dataclasses import replace
from pathlib import Path

import pytest

from ablate.errors import StudyError, SurroundingsError
from ablate.execution.engines.places import SlurmPlace, place_from_text
from ablate.execution.engines.protocol import Resources, State, Submission
from ablate.execution.engines.slurm_client import FIELDS, PASSING, Row, SlurmClient, parse_row
from ablate.execution.engines.slurm_queue import job_name
from ablate.execution.engines.slurm_script import SlurmOptions, Unit, script
from ablate.execution.engines.slurm_words import exit_code, forgotten, is_unrecorded, judge
from ablate.execution.failures import FailureClass
from ablate.execution.watching import verdict
from ablate.store.attempts import Attempt

ROW = Row("7", "ablate-0", "RUNNING", nodes="n1")
SUBMISSION = Submission("0123456789ab/2", Path("/shared/store/attempts/0123456789ab/2"))


def test_only_an_end_that_a_living_node_reported_is_certain() -> None:
    failed = judge(replace(ROW, state="FAILED", status=9), recorded=False)
    assert (failed.state, failed.code, failed.certain) == (State.GONE, -9, True)
    lost = judge(replace(ROW, state="NODE_FAIL", status=0), recorded=False)
    assert (lost.code, lost.certain, lost.blameless) == (None, False, True)
    # Its exit record is a worker's last act, so nothing of it can come any more.
    assert judge(replace(ROW, state="NODE_FAIL"), recorded=True).certain


@pytest.mark.parametrize("state", ["COMPLETING", "SUSPENDED", "RUNNING", "SIGNALING"])
def test_an_attempt_runs_while_its_processes_may_exist(state: str) -> None:
    assert judge(replace(ROW, state=state), recorded=True).state is State.RUNNING


def test_a_job_that_slurm_would_start_again_is_over() -> None:
    held = Row("7", "ablate-0", "PENDING", restarts=1, reason="launch failed requeued held")
    word = judge(held, recorded=False)
    assert (word.state, word.certain, word.blameless) == (State.GONE, False, True)
    first = judge(replace(held, restarts=0), recorded=False)
    assert first.state is State.GONE
    waits = Row("7", "ablate-0", "PENDING", reason="JobHeldUser")
    assert judge(waits, recorded=False).state is State.PENDING


def test_a_status_that_nobody_has_seen_is_unknown() -> None:
    # After scancel Slurm gives 0; the worker has not succeeded.
    assert judge(replace(ROW, state="CANCELLED"), recorded=False).code is None
    assert judge(replace(ROW, state="COMPLETED"), recorded=False).code == 0
    # wait(2): the exit status is in the second byte, a signal in the first.
    assert (exit_code(75 << 8), exit_code(15), exit_code(0x7F)) == (75, -15, None)


def test_a_forgotten_job_is_over_for_certain_only_with_its_record() -> None:
    assert not forgotten(recorded=False, found=None).certain
    assert forgotten(recorded=True, found=None).certain
    told = forgotten(recorded=False, found=replace(ROW, state="TIMEOUT"))
    assert told.certain and "TIMEOUT" in told.reason


def test_a_success_without_a_record_is_waited_for() -> None:
    done = judge(replace(ROW, state="COMPLETED"), recorded=False)
    assert is_unrecorded(done, recorded=False) and not is_unrecorded(done, recorded=True)
    killed = judge(replace(ROW, state="FAILED", status=9), recorded=False)
    assert not is_unrecorded(killed, recorded=False)


@pytest.mark.parametrize(
    ("state", "kind"),
    [
        ("TIMEOUT", FailureClass.TIMEOUT),
        ("OUT_OF_MEMORY", FailureClass.OUT_OF_MEMORY),
        ("PREEMPTED", FailureClass.PREEMPTED),
        ("NODE_FAIL", FailureClass.PREEMPTED),
        ("FAILED", FailureClass.WORKER_LOST),
    ],
)
def test_slurms_reason_decides_the_class_of_a_failure_without_a_record(
    tmp_path: Path, state: str, kind: FailureClass
) -> None:
    word = judge(replace(ROW, state=state, status=9), recorded=False)
    attempt = Attempt(tmp_path / "1")
    failure = verdict(attempt, word, memory_kills=0)
    assert failure is not None and failure.kind is kind


def test_a_line_of_squeue_is_cut_by_its_widths() -> None:
    values = ("12_3", "ablate-0 a", "FAILED", "256", "1", "NonZeroExitCode", "n[1-2]")
    line = "".join(v.ljust(w) for v, w in zip(values, FIELDS.values(), strict=True))
    row = Row("12_3", "ablate-0 a", "FAILED", 256, 1, "NonZeroExitCode", "n[1-2]")
    assert parse_row(line) == row and (row.number, row.task) == (12, 3)
    assert parse_row("slurm_load_jobs error: Unable to contact slurm controller") is None


def test_only_refusals_that_pass_are_tried_again() -> None:
    # As sbatch 22.05 says them.
    assert PASSING.search("Unable to contact slurm controller (connect failure)")
    assert PASSING.search("Socket timed out on send/recv operation")
    assert PASSING.search("Job violates accounting/QOS policy (job submit limit, ...)")
    assert not PASSING.search("Invalid partition name specified")
    assert not PASSING.search("Memory specification can not be satisfied")


def test_a_machine_without_slurm_says_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(SurroundingsError, match=r"sbatch, squeue, scancel, srun not found on PATH"):
        SlurmClient()


def test_job_names_differ_between_stores() -> None:
    other = replace(SUBMISSION, folder=Path("/elsewhere/attempts/0123456789ab/2"))
    assert job_name(SUBMISSION).endswith("-0123456789ab-2")
    assert job_name(SUBMISSION) != job_name(other)


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Put an srun on PATH: submitit makes scripts only where there is one."""
    program = tmp_path / "bin" / "srun"
    program.parent.mkdir()
    program.write_text("#!/bin/sh\nexit 1\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:/usr/bin:/bin")
    return tmp_path


def lines(programs: Path, units: list[Unit], **options: object) -> list[str]:
    text = script("name", units, options=SlurmOptions(**options), folder=programs)  # type: ignore[arg-type]
    return text.splitlines()


def test_a_script_asks_for_what_the_attempt_needs(programs: Path) -> None:
    asked = Resources(devices=1, seconds=4 * 3600.0)
    unit = Unit((replace(SUBMISSION, resources=asked, priority=-3),), devices=1)
    found = lines(
        programs, [unit], partition="gpu", account="lab", memory_gb=32, threads=4,
        accelerators="gpu:a100", options={"constraint": "nvlink", "signal": "USR1@5"},
        setup=("module load cuda",), python="/env/bin/python",
    )  # fmt: skip
    for line in (
        "--job-name=name", "--partition=gpu", "--account=lab", "--time=240", "--nodes=1",
        "--cpus-per-task=4", "--gres=gpu:a100:1", "--constraint=nvlink", "--no-requeue",
        "--nice=300", "--signal=B:TERM@300",
    ):  # fmt: skip
        assert f"#SBATCH {line}" in found
    # 32 GB in mebibytes: 32e9 / 2**20 = 30517.6.
    assert "#SBATCH --mem=30518M" in found
    assert "submitit.core" not in "\n".join(found), "which would unpickle a function"
    assert found.index('[ "${SLURM_RESTART_COUNT:-0}" = 0 ] || exit 75') + 1 == (
        found.index("module load cuda")
    )
    folder = SUBMISSION.folder
    worker = f"/env/bin/python -m ablate.execution.worker {folder} >>{folder}/log.txt 2>&1"
    assert f"0) exec {worker} ;;" in found
    assert not [line for line in found if "CUDA_VISIBLE_DEVICES" in line]


def test_the_warning_leaves_a_short_job_most_of_its_time(programs: Path) -> None:
    # A tenth of 10 minutes; Slurm rounds limits up to minutes.
    unit = Unit((replace(SUBMISSION, resources=Resources(seconds=590.0)),), devices=0)
    found = lines(programs, [unit])
    assert "#SBATCH --signal=B:TERM@59" in found and "#SBATCH --time=10" in found
    assert "export CUDA_VISIBLE_DEVICES=''" in found


def test_equal_units_become_one_array_and_a_pack_one_job(programs: Path) -> None:
    other = replace(SUBMISSION, name="ba9876543210/1", folder=Path("/shared/store/x/1"))
    singles = [Unit((item,), devices=0) for item in (SUBMISSION, other)]
    found = lines(programs, singles)
    assert "#SBATCH --array=0-1%2" in found
    assert [line[:7] for line in found if line[1:7] == ") exec"] == ["0) exec", "1) exec"]
    # Two with an estimate of 1 GiB each: 2 x (1.2 x 1024 + 1024) MiB = 4505.6 MiB.
    sized = replace(SUBMISSION, resources=Resources(memory_bytes=float(2**30)))
    packed = lines(programs, [Unit((sized, other), devices=0)], pack=2, threads=2)
    assert "#SBATCH --cpus-per-task=4" in packed and "#SBATCH --mem=4506M" in packed
    assert [line for line in packed if "slurm_pack --slots 2 --threads 2" in line]


def test_a_job_that_needs_a_node_to_itself_asks_for_it(programs: Path) -> None:
    unit = Unit((replace(SUBMISSION, resources=Resources(alone=True)),), devices=0)
    assert "#SBATCH --exclusive" in lines(programs, [unit])


def test_accounting_is_asked_where_it_answers_and_left_alone_where_it_does_not(
    programs: Path,
) -> None:
    for name in ("sbatch", "squeue", "scancel"):
        (programs / "bin" / name).symlink_to(programs / "bin" / "srun")
    sacct = programs / "bin" / "sacct"
    sacct.write_text("#!/bin/sh\necho 'ablate-0|CANCELLED by 1000|0:15|n2'\n")
    sacct.chmod(0o755)
    assert SlurmClient().ended("7") == Row("7", "ablate-0", "CANCELLED", 15, nodes="n2")
    sacct.write_text("#!/bin/sh\necho Slurm accounting storage is disabled >&2\nexit 1\n")
    assert SlurmClient().ended("7") is None


def test_options_that_a_job_depends_on_are_refused_in_a_place_file() -> None:
    text = b"engine: slurm\noptions: {constraint: a100, job_name: mine}\n"
    with pytest.raises(StudyError, match=r"'job_name' is set by ablate; leave it out"):
        place_from_text(text, name="cluster.yaml")
    place = place_from_text(text.replace(b"job_name", b"qos"), name="cluster.yaml")
    assert isinstance(place, SlurmPlace) and place.options == {"constraint": "a100", "qos": "mine"}
