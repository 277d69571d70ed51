"""The time left counts what running jobs have done."""

import math
from pathlib import Path

import pytest

from ablate.cli.forecast import FORECAST, Ahead, Forecast, Pace, seconds_left, write_forecast
from ablate.cli.stored import Recorded, RecordedJob
from ablate.store.layout import Store


def test_before_its_first_word_a_job_takes_what_is_expected_less_its_age() -> None:
    assert seconds_left(100.0, Pace(30.0)) == 70.0
    # 20 seconds over time: what is certain is only that it has not ended.
    assert seconds_left(100.0, Pace(120.0)) == pytest.approx(12.0)


def test_a_jobs_own_pace_counts_the_more_the_further_it_is() -> None:
    # Twice as slow as expected: 0.5 done after 100 s. Own pace: 100 s to go; expected: 50 s.
    assert seconds_left(100.0, Pace(100.0, 0.5)) == pytest.approx(0.5 * 100 + 0.5 * 50)
    # 0.9 done after 180 s. Own: 20 s, weight 0.9; expected: 10 s, weight 0.1.
    assert seconds_left(100.0, Pace(180.0, 0.9)) == pytest.approx(0.9 * 20 + 0.1 * 10)
    assert seconds_left(100.0, Pace(300.0, 1.0)) == 0.0


def test_a_job_that_goes_on_from_a_checkpoint_is_not_taken_for_a_fast_one() -> None:
    # It began at 0.8 after 10 s and is at 0.9 after 30 s: 0.1 takes 20 s, half of what was left.
    pace = Pace(30.0, 0.9, first_seconds=10.0, first_fraction=0.8)
    assert seconds_left(100.0, pace) == pytest.approx(0.5 * 20 + 0.5 * 10)


@pytest.fixture
def forecast(tmp_path: Path) -> Forecast:
    return made(tmp_path, Ahead())


def made(tmp_path: Path, ahead: Ahead) -> Forecast:
    """Three jobs in a chain and one alone, each expected to take 10 seconds."""
    store = Store(tmp_path)
    store.study("toy").mkdir(parents=True)
    names = ["a", "b", "c", "d"]
    write_forecast(store, "toy", dict.fromkeys(names, 10.0), slots=2, ahead=ahead)
    jobs = [
        RecordedJob(stage="sft", fingerprint=name, kind="sft", size=1.0, model="", inputs=inputs)
        for name, inputs in zip(names, [{}, {"x": "a"}, {"x": "b"}, {}], strict=True)
    ]
    return Forecast(store, "toy", Recorded(jobs=jobs, runs=[]))


def test_the_rest_takes_as_long_as_its_longest_chain_or_its_work(forecast: Forecast) -> None:
    remaining = {name: forecast.seconds(name) for name in "abcd"}
    assert forecast.left(remaining, slots=2) == 30.0  # the chain; the work is 40 / 2
    assert forecast.left(remaining, slots=1) == 40.0
    assert forecast.left({}, slots=1) == 0.0


def test_what_a_search_will_ask_for_counts_before_it_is_asked_for(tmp_path: Path) -> None:
    found = made(tmp_path, Ahead(jobs=6, runs=2, seconds=60.0))
    assert (found.ahead.jobs, found.ahead.runs) == (6, 2)
    assert found.left({"d": 10.0}, slots=2) == 35.0


def test_jobs_that_ended_correct_what_is_expected_of_their_kind(forecast: Forecast) -> None:
    forecast.learn({"a": 30.0, "d": 0.01}, cached={"d"})
    # `a` took three times as long as expected; what was cached took its time elsewhere.
    assert forecast.seconds("b") == 30.0
    assert math.isnan(forecast.seconds("unknown"))


@pytest.mark.parametrize("ahead", ["[1]", '"x"', '{"jobs": "many", "of": 3}', "null"])
def test_a_damaged_forecast_foretells_nothing(tmp_path: Path, ahead: str) -> None:
    made(tmp_path, Ahead(jobs=6, runs=2, seconds=60.0))
    path = tmp_path / "studies" / "toy" / FORECAST
    path.write_text(f'{{"schema": 1, "slots": 2, "seconds": {{}}, "ahead": {ahead}}}')
    assert Forecast(Store(tmp_path), "toy", Recorded(jobs=[], runs=[])).ahead == Ahead()
