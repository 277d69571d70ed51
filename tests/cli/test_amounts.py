"""Times and budgets as people write them."""

import time
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest

from ablate.cli.amounts import deadline, device_seconds, span
from ablate.errors import StudyError


@pytest.fixture
def berlin(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    # The rule written out, so that no zone files are needed: one hour ahead of UTC, two from the
    # last Sunday of March, 02:00, to the last of October, 03:00.
    monkeypatch.setenv("TZ", "CET-1CEST,M3.5.0,M10.5.0/3")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


def utc(text: str) -> float:
    return datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("2h30m", 9000),
        ("90m", 5400),
        ("90min", 5400),
        ("45s", 45),
        ("1.5h", 5400),
        ("1d 2h", 93600),
    ],
)
def test_a_length_of_time_is_read_with_its_units(text, seconds):
    assert span(text) == seconds


@pytest.mark.parametrize(
    "text", ["", "90", "h", "-5m", "30m2h", "5m5m", "1e9h", "nan", "٣h", "0s", "9999d"]
)
def test_what_is_no_length_of_time_is_refused_by_name(text):
    with pytest.raises(StudyError, match="^pause: "):
        span(text, "pause")


@pytest.mark.parametrize(
    ("text", "hours"), [("40gpuh", 40), ("1.5 GPUh", 1.5), ("90gpum", 1.5), ("90m", 1.5)]
)
def test_a_budget_is_time_of_accelerators(text, hours):
    assert device_seconds(text) == hours * 3600


@pytest.mark.parametrize(
    "text", ["40", "gpuh", "40 gpu", "40gpuh until 8", "-1gpuh", "0gpuh", "9" * 400 + "h"]
)
def test_what_is_no_budget_is_refused(text):
    with pytest.raises(StudyError, match="^--budget: "):
        device_seconds(text, "--budget")


def test_a_time_of_day_is_the_next_one(berlin):
    # 23:00 in Berlin's winter is 22:00 UTC; 08:00 there is 07:00 UTC.
    now = utc("2026-11-21T22:00")
    assert deadline("08:00", now=now) == deadline("8:00", now=now) == utc("2026-11-22T07:00")
    assert deadline("23:30", now=now) == utc("2026-11-21T22:30")
    assert deadline("23:00", now=now) == utc("2026-11-22T22:00")  # not now: it is past


def test_a_time_of_day_counts_the_hour_that_a_change_of_clocks_takes_or_gives(berlin):
    # The night of 29 March 2026 is an hour shorter: 08:00 is 06:00 UTC, not 07:00.
    assert deadline("08:00", now=utc("2026-03-28T22:00")) == utc("2026-03-29T06:00")
    # The night of 25 October 2026 is an hour longer.
    assert deadline("08:00", now=utc("2026-10-24T21:00")) == utc("2026-10-25T07:00")


def test_a_time_that_a_clock_skips_or_shows_twice_is_still_ahead(berlin):
    # 02:30 does not exist on 29 March: half an hour after 02:00, which is 01:00 UTC.
    assert deadline("02:30", now=utc("2026-03-28T22:00")) == utc("2026-03-29T01:30")
    # 02:30 comes twice on 25 October, at 00:30 and 01:30 UTC.
    assert deadline("02:30", now=utc("2026-10-24T22:00")) == utc("2026-10-25T00:30")
    assert deadline("02:30", now=utc("2026-10-25T00:45")) == utc("2026-10-25T01:30")


def test_an_iso_time_keeps_its_zone_and_is_local_without_one(berlin):
    now = utc("2026-11-21T22:00")
    assert deadline("2026-11-22T08:00+00:00", now=now) == utc("2026-11-22T08:00")
    assert deadline("2026-11-22T08:00Z", now=now) == utc("2026-11-22T08:00")
    assert deadline("2026-11-22 08:00", now=now) == utc("2026-11-22T07:00")
    assert deadline("2h30m", now=now) == now + 9000


@pytest.mark.parametrize(
    "text", ["24:00", "8:60", "soon", "2026-11-22", "2026-11-21T20:00Z", "2036-01-01T00:00Z", ""]
)
def test_no_time_ahead_is_refused(text):
    with pytest.raises(StudyError, match="^--until: "):
        deadline(text, "--until", now=utc("2026-11-21T22:00"))
