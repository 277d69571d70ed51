"""Where a study runs, what each job asks of the place, and what is too large for it."""

import argparse
import json
from pathlib import Path
from typing import Any

import pytest

from ablate.cli.main import main
from ablate.cli.output import counted
from ablate.cli.where import Where, cell_levels, where
from ablate.errors import StudyError, SurroundingsError
from ablate.execution.engines.places import LocalPlace, SlurmPlace, open_place
from ablate.plan.build import plan_study
from ablate.plan.capacity import too_large
from ablate.plan.job import Job
from ablate.spec.load import study_from_text

STUDY = """
study: places
base: {model: tiny-instruct, evaluation: {suite: tiny-instruct}}
rows: [sft]
baseline: sft
seeds: 2
grid: {dataset: [human-noisy], algorithm: [dpo]}
"""


def jobs() -> dict[str, Job]:
    """Return one job of each stage."""
    return {job.stage: job for job in plan_study(study_from_text(STUDY)).jobs}


def placed(place: LocalPlace, **changes: Any) -> Where:
    given = {"asked_slots": None, "until": None, "budget_seconds": None, **changes}
    return Where(place, **given)


def arguments(**changes: Any) -> argparse.Namespace:
    given = {"engine": None, "slots": None, "until": None, "budget": None, **changes}
    return argparse.Namespace(**given)


def test_a_place_is_an_engine_or_a_file(tmp_path: Path) -> None:
    path = tmp_path / "cluster.yaml"
    path.write_text("engine: slurm\npartition: gpu\nhours: 2\ndevices: {policy: 4}\n")
    found = open_place(str(path))
    assert isinstance(found, SlurmPlace)
    assert (found.partition, found.hours, found.devices) == ("gpu", 2.0, {"policy": 4})
    assert open_place("local") == LocalPlace()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("engine: slrum\n", "place.yaml:1:9: engine: 'slrum' is not one of local, ray, slurm."),
        ("engine: slurm\npartion: gpu\n", "place.yaml:2:1: partion: unknown key;"),
        (
            "engine: slurm\ndevices: {polcy: 4}\n",
            "place.yaml:2:11: devices.polcy: 'polcy' is not one of evaluation,",
        ),
        ("engine: local\nslots: 0\n", "place.yaml:2:8: slots: 0"),
        ("engine: local\nhours: soon\n", "place.yaml:2:8: hours: 'soon'"),
        ("- local\n", "place.yaml: not a mapping"),
        ("engine: {local\n", "place.yaml:"),
        ("engine: !!python/object/apply:os.system [ls]\n", "place.yaml:1:9:"),
    ],
)
def test_a_wrong_place_file_is_told_with_line_and_column(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("place.yaml").write_text(text)
    with pytest.raises(StudyError) as error:
        open_place("place.yaml")
    assert message in str(error.value)


def test_a_missing_place_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(SurroundingsError, match="nowhere.yaml: cannot be read"):
        open_place(str(tmp_path / "nowhere.yaml"))


def test_the_environment_names_a_place_where_the_command_line_does_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("ABLATE_ENGINE", "slurm")
    assert where(arguments()).place.engine == "slurm"
    assert where(arguments(engine="local")).place.engine == "local"


def test_preparation_asks_for_no_device_and_training_for_those_of_its_stage() -> None:
    found = placed(LocalPlace(devices={"policy": 4}, slots_per_device=2, hours=1.5))
    asked = {stage: found.resources(job) for stage, job in jobs().items()}
    assert asked["preferences"].devices == 0
    assert (asked["policy"].devices, asked["policy"].shares) == (4, False)
    assert (asked["evaluation"].devices, asked["evaluation"].shares) == (1, True)
    assert asked["policy"].seconds == 5400.0


def test_jobs_that_exceed_the_memory_are_told_by_stage() -> None:
    """Policies take 3 and 5 of 4 bytes, evaluations 9 of an unknown room."""
    by_stage = jobs()
    policies = [job for job in plan_study(study_from_text(STUDY)).jobs if job.stage == "policy"]
    peaks = {policies[0].fingerprint: 3.0, policies[1].fingerprint: 5.0}

    def room(job: Job) -> float | None:
        return 4.0 if job.stage == "policy" else None

    found = list(
        too_large(
            [*policies, by_stage["evaluation"]], room, lambda job: peaks.get(job.fingerprint, 9.0)
        )
    )
    assert [(row.stage, row.fingerprint, row.jobs, row.memory_bytes) for row in found] == [
        ("policy", policies[1].fingerprint, 1, 5.0)
    ]


def test_a_plan_refuses_jobs_that_fit_nowhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The embedded model takes about half a gigabyte, of which the place gives a tenth."""
    monkeypatch.chdir(tmp_path)
    Path("study.yaml").write_text(STUDY)
    Path("small.yaml").write_text("engine: slurm\nmemory_gb: 0.05\n")
    common = ["plan", "study.yaml", "--engine", "small.yaml", "--no-data"]
    assert main(common) == 3
    said = capsys.readouterr().out
    assert "too large: policy-" in said and "the place gives a job 0.05 GB" in said
    assert main([*common, "--any-size"]) == 0


def test_a_run_refuses_them_before_anything_starts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("study.yaml").write_text(STUDY)
    Path("small.yaml").write_text("engine: slurm\nmemory_gb: 0.05\n")
    assert main(["run", "study.yaml", "--engine", "small.yaml"]) == 3
    assert "needs about" in capsys.readouterr().err
    assert not Path(".ablate").exists()


def test_memory_limits_the_jobs_at_a_time() -> None:
    many = placed(LocalPlace())
    assert many.slots([]) >= 1
    assert placed(LocalPlace(slots=7)).slots(jobs().values()) == 7
    assert placed(LocalPlace(slots=7), asked_slots=3).slots(jobs().values()) == 3


def test_a_plan_says_what_fits_before_a_deadline(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("study.yaml").write_text(STUDY)
    common = ["plan", "study.yaml", "--no-data", "--json"]
    assert main([*common, "--until", "200h"]) == 0
    everything = json.loads(capsys.readouterr().out)["fits"]
    assert everything["left_out"] == 0 and len(everything["runs"]) == 4
    less = f"{0.95 * everything['all_device_seconds']:.1f}s"
    assert main([*common, "--budget", less]) == 0
    some = json.loads(capsys.readouterr().out)["fits"]
    assert some["fitting_device_seconds"] <= some["device_seconds"]
    assert some["left_out"] in (1, 2) and some["runs"] == everything["runs"][: -some["left_out"]]


def test_priorities_name_cells_and_raise_their_baselines() -> None:
    cells = {"sft": "sft", "a=b": "sft", "ppo": "sft"}
    assert cell_levels(["a=b"], cells) == {"a=b": 1, "sft": 1}
    assert cell_levels(["a=b=3", "ppo=-1"], cells) == {"a=b": 3, "sft": 3, "ppo": -1}


@pytest.mark.parametrize("given", ["pop", "pop=2", "ppo=high", "=1"])
def test_a_wrong_priority_is_told(given: str) -> None:
    with pytest.raises(StudyError, match="--priority"):
        cell_levels([given], {"ppo": "ppo"})


def test_more_accelerators_than_the_machine_has_are_refused() -> None:
    """Of two devices sft is given 2, policy 4."""
    place = placed(LocalPlace(devices={"policy": 4, "sft": 2}))
    place.__dict__["device_names"] = ("0", "1")
    place.__dict__["_device_memory"] = {}
    (line,) = place.refusals(jobs().values())
    assert line.startswith("policy: the place gives its jobs 4 accelerators; this machine has 2.")


def test_a_misspelt_priority_is_shown_as_it_was_written() -> None:
    cells = {"sft": "sft", "beta=0.1": "sft"}
    for given, found in (("beta=0.11", "'beta=0.11'"), ("beta=0.2=3", "'beta=0.2'"), ("x", "'x'")):
        with pytest.raises(StudyError, match=f"^--priority: {found} is not one of beta=0.1, sft."):
            cell_levels([given], cells)


def test_a_plan_refuses_a_priority_of_no_cell_without_a_deadline_too(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "places.yaml").write_text(STUDY)
    file, store = str(tmp_path / "places.yaml"), str(tmp_path / "store")
    assert main(["plan", file, "--store", store, "--priority", "sfd"]) == 2
    assert "--priority: 'sfd' is not one of" in capsys.readouterr().err


def test_one_is_not_counted_in_the_plural() -> None:
    assert [counted(n, "job") for n in (0, 1, 2)] == ["0 jobs", "1 job", "2 jobs"]
