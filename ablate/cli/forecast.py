"""How long what runs will take: by what was expected, and more and more by its own pace."""

from __future__ import annotations

import math
import statistics
from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass, fields

from ablate.cli.stored import Recorded
from ablate.store.files import read_json, write_json
from ablate.store.layout import Store

FORECAST = "forecast.json"
"""In the study's folder: what each job was expected to take when the study was started."""


@dataclass(frozen=True)
class Pace:
    """How far an attempt is, and since when."""

    seconds: float
    """Since it was started."""
    fraction: float | None = None
    """Of the job, done; None before it says so."""
    first_seconds: float = 0.0
    """When it first said how far it was."""
    first_fraction: float = 0.0
    """What it said then: more than nothing where it goes on from a checkpoint."""


def seconds_left(expected: float, pace: Pace) -> float:
    """Return the seconds that an attempt still takes; ``expected`` is for the whole job.

    With a share ``w`` of what was left at its first word done since, the attempt's own pace has
    the weight ``w`` and the expectation the rest: one slow first step says little, and near the
    end nothing else counts. Before its first word an attempt has at least a tenth of its age to
    go, for it is certain only that it has not ended.
    """
    if pace.fraction is None:
        return max(expected - pace.seconds, 0.1 * pace.seconds)
    to_do = 1.0 - pace.fraction
    by_expectation = to_do * expected
    moved = pace.fraction - pace.first_fraction
    if moved <= 0.0 or pace.first_fraction >= 1.0:
        return by_expectation
    own = to_do * (pace.seconds - pace.first_seconds) / moved
    weight = moved / (1.0 - pace.first_fraction)
    return weight * own + (1.0 - weight) * by_expectation


@dataclass(frozen=True)
class Ahead:
    """What a study that tunes is expected to ask for beyond its plan of the moment."""

    jobs: int = 0
    runs: int = 0
    seconds: float = 0.0
    """Of all those jobs, one after the other."""


def write_forecast(
    store: Store, study: str, expected: Mapping[str, float], *, slots: int, ahead: Ahead
) -> None:
    """Write down the seconds expected of each job, for who watches; the study is held."""
    seconds = {name: round(value, 3) for name, value in expected.items()}
    record = {"schema": 1, "slots": slots, "seconds": seconds, "ahead": asdict(ahead)}
    write_json(store.study(study) / FORECAST, record, durable=False)


class Forecast:
    """Seconds of a stored study's jobs: as expected at the start, corrected by what they took."""

    def __init__(self, store: Store, study: str, plan: Recorded) -> None:
        """Read what was expected; nothing is known of jobs that are not in it."""
        record = read_json(store.study(study) / FORECAST)
        record = record if isinstance(record, dict) else {}
        self._expected: dict[str, float] = dict(record.get("seconds") or {})
        self.slots = max(1, int(record.get("slots") or 1))
        ahead = record.get("ahead")
        numbers = ahead if isinstance(ahead, dict) else {}
        jobs, runs, seconds = (_number(numbers.get(field.name)) for field in fields(Ahead))
        self.ahead = Ahead(int(jobs), int(runs), seconds)
        self._alike = {job.fingerprint: (job.stage, job.kind, job.model) for job in plan.jobs}
        self._plan = plan
        self._ratios: dict[tuple[str, str, str], float] = {}

    def learn(self, took: Mapping[str, float], cached: Collection[str]) -> None:
        """Correct by the jobs that ran: the median of taken over expected seconds, among alike."""
        ratios: dict[tuple[str, str, str], list[float]] = {}
        for name, seconds in took.items():
            expected = self._expected.get(name, 0.0)
            if name not in cached and name in self._alike and expected > 0.0:
                ratios.setdefault(self._alike[name], []).append(seconds / expected)
        self._ratios = {key: statistics.median(found) for key, found in ratios.items()}

    def seconds(self, name: str) -> float:
        """Return the seconds of a whole job; NaN where nothing is known."""
        ratio = self._ratios.get(self._alike.get(name, ("", "", "")), 1.0)
        return self._expected.get(name, float("nan")) * ratio

    def left(self, remaining: Mapping[str, float], *, slots: int) -> float:
        """Return the seconds to the end; ``remaining`` has those of every job that is to run.

        The larger of work per slot and the longest chain of jobs: no schedule is shorter, and a
        greedy one is at most twice as long (Graham 1966).
        """
        chains: dict[str, float] = {}
        for job in self._plan.jobs:  # upstream jobs come first
            if job.fingerprint in remaining:
                before = (chains.get(name, 0.0) for name in job.inputs.values())
                chains[job.fingerprint] = remaining[job.fingerprint] + max(before, default=0.0)
        work = sum(remaining.values()) + self.ahead.seconds
        return max(work / slots, max(chains.values(), default=0.0))


def _number(value: object) -> float:
    return value if isinstance(value, int | float) and math.isfinite(value) else 0.0
