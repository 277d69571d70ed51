"""Which jobs are meant by a cell, and what `ablate ctl` asks for."""

from typing import Any

import pytest

from ablate.cli.ctl_command import _parts, _request
from ablate.cli.main import build_parser
from ablate.cli.steered import Jobs
from ablate.cli.stored import Recorded, RecordedJob, RecordedRun
from ablate.errors import StudyError
from ablate.execution.steering import Verb


def job(name: str, stage: str, **inputs: str) -> RecordedJob:
    return RecordedJob(stage=stage, fingerprint=name, kind=stage, size=1.0, model="", inputs=inputs)


@pytest.fixture
def jobs() -> Jobs:
    """Two cells that share pairs and an SFT model; `ppo` alone has a reward model."""
    plan = [
        job("aa11", "preferences"),
        job("bb22", "sft", data="aa11"),
        job("cc33", "reward_model", data="aa11"),
        job("dd44", "policy", model="bb22"),
        job("dd55", "policy", model="bb22", reward="cc33"),
        job("ee66", "evaluation", policy="dd44"),
        job("ee77", "evaluation", policy="dd55"),
    ]
    runs = [
        RecordedRun(cell="dpo", jobs={"sft": "bb22", "policy": "dd44", "evaluation": "ee66"}),
        RecordedRun(cell="ppo, large", jobs={"policy": "dd55", "evaluation": "ee77"}),
    ]
    return Jobs("toy", Recorded(jobs=plan, runs=runs))


def test_a_cell_stands_for_the_jobs_that_nobody_else_needs(jobs: Jobs) -> None:
    meant = jobs.meant(["ppo, large"])
    assert meant.jobs == ("cc33", "dd55", "ee77")
    assert meant.shared == {"aa11": ("dpo",), "bb22": ("dpo",)}


def test_naming_every_cell_that_shares_a_job_means_that_job_too(jobs: Jobs) -> None:
    meant = jobs.meant(["ppo, large", "dpo"])
    assert len(meant.jobs) == 7 and not meant.shared


def test_a_cell_that_is_tuned_stands_for_its_trials_also_before_it_has_runs() -> None:
    plan = [job("aa11", "sft"), job("bb22", "policy", model="aa11"), job("cc33", "policy")]
    trials = [
        RecordedRun(cell="dpo, trial 0", arm="dpo", jobs={"policy": "bb22"}),
        RecordedRun(cell="dpo, trial 1", arm="dpo", jobs={"policy": "cc33"}),
    ]
    searched = Jobs("toy", Recorded(jobs=plan, runs=trials))
    assert searched.meant(["dpo"]).jobs == ("aa11", "bb22", "cc33")
    chosen = RecordedRun(cell="dpo", jobs={"sft": "aa11"})
    found = Jobs("toy", Recorded(jobs=plan, runs=[*trials, chosen]))
    assert found.meant(["dpo"]).jobs == ("aa11", "bb22", "cc33")
    assert found.meant(["dpo, trial 1"]).jobs == ("cc33",)
    assert found.meant(["dpo, trial 0"]).shared == {"aa11": ("dpo",)}


def test_a_stage_of_a_cell_and_a_fingerprint_name_single_jobs(jobs: Jobs) -> None:
    assert jobs.meant(["dpo/policy"]).jobs == ("dd44",)
    assert jobs.meant(["dpo/sft"]).shared == {"bb22": ("ppo, large",)}
    # Who names the very job means it, shared or not.
    assert jobs.meant(["bb"]).jobs == jobs.meant(["sft-bb22"]).jobs == ("bb22",)
    assert jobs.meant(["dpo"], with_shared=True).jobs == ("aa11", "bb22", "dd44", "ee66")


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("dpi", "Did you mean 'dpo'"),
        ("large", "Did you mean 'ppo, large'"),
        ("dpo/polcy", "Did you mean 'policy'"),
        ("ee", "2 jobs start so"),
        ("", "is no cell or job"),
        ("../dpo", "is no cell or job"),
    ],
)
def test_a_wrong_name_is_refused_with_the_nearest(jobs: Jobs, word: str, message: str) -> None:
    with pytest.raises(StudyError, match=message):
        jobs.meant([word])


def asked(jobs: Jobs, line: str) -> tuple[str | None, Verb, tuple[str, ...], dict[str, Any]]:
    args = build_parser().parse_args(["ctl", *line.split(" ")])
    study, verb, words = _parts(args)
    meant, arguments = _request(args, verb, words=words, jobs=jobs)
    return study, verb, meant.jobs, arguments


def test_words_and_options_come_in_any_order(jobs: Jobs) -> None:
    expected = (None, Verb.RETRY, ("aa11", "bb22", "dd44", "ee66"), {"kind": "out_of_memory"})
    for line in ("retry dpo --class oom", "retry --class oom dpo", "--class oom retry dpo"):
        assert asked(jobs, line) == expected
    assert asked(jobs, "night priority dpo -2") == (
        *("night", Verb.PRIORITY, ("dd44", "ee66")),
        {"level": -2},
    )


def test_the_first_word_may_be_the_study_also_where_it_is_called_like_a_verb(jobs: Jobs) -> None:
    assert asked(jobs, "night pause")[:2] == ("night", Verb.PAUSE)
    assert asked(jobs, "--study stop stop --drain") == ("stop", Verb.STOP, (), {"drain": True})


def test_settings_are_read_with_their_units(jobs: Jobs) -> None:
    arguments = asked(jobs, "set slots=2 until=none budget=1.5gpuh")[3]
    assert arguments == {"slots": 2, "until": None, "budget_seconds": 5400.0}


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("paus", "Did you mean 'pause'"),
        ("night paus", "'night' is not one of"),
        ("pause dpo", "about the whole study"),
        ("cancel", "name what to cancel"),
        ("priority dpo", "CELL and a number"),
        ("priority dpo high", "'high' is no priority"),
        ("set", "slots=2"),
        ("set slot=2", "Did you mean 'slots'"),
        ("set slots=0", "1 to 10000"),
        ("set slots=99999999999", "1 to 10000"),
        ("set until=yesterday", "until: 'yesterday'"),
        ("retry --class oon", "Did you mean 'oom'"),
        ("pause --drain", "--drain belongs to stop"),
    ],
)
def test_a_wrong_wish_is_a_usage_error(jobs: Jobs, line: str, message: str) -> None:
    with pytest.raises(StudyError, match=message):
        asked(jobs, line)
