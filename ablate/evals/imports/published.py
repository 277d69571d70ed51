"""Published numbers as the rows of an evaluation: no samples stand behind them."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping

from ablate.evals.records import Metric
from ablate.evals.tree import Level, mean
from ablate.spec.imported import AVERAGE


def published_metrics(
    scores: Mapping[str, float | None],
    tasks: Mapping[str, float | None],
    errors: Mapping[str, float],
) -> list[Metric]:
    """Return the rows of published scores, in percent; one that is not printed is NaN.

    The average is the mean of the categories where all are numbers, because a printed one is
    rounded and so would every difference be; else it is the printed one.
    """
    values = {name: _number(value) for name, value in scores.items()}
    if not math.isnan(recomputed := _recomputed(values)):
        values[AVERAGE] = recomputed
    rows = [_metric(name, _level(name), value, errors) for name, value in values.items()]
    return rows + [_metric(name, "task", _number(value), errors) for name, value in tasks.items()]


def remarks(scores: Mapping[str, float | None]) -> Iterator[str]:
    """Yield what a reader must see first: a printed average that is not that of its categories.

    Also shares of 1 where percentages are meant: several scores, and none above 1.
    """
    values = {name: _number(value) for name, value in scores.items()}
    known = [value for value in values.values() if not math.isnan(value)]
    if len(known) > 1 and 0 < max(known) <= 1:
        yield f"the largest published score is {max(known):g} percent; 0.5 percent is no half"
    printed, recomputed = values.get(AVERAGE, math.nan), _recomputed(values)
    # Numbers come with one decimal, or all of them whole; half a digit of the average and half a
    # digit of the categories may be rounding.
    digit = 1.0 if all(value.is_integer() for value in values.values()) else 0.1
    if abs(printed - recomputed) > digit + 1e-9:
        yield (
            f"the published average is {printed:.1f}, the mean of the published categories "
            f"{recomputed:.1f}; the mean is shown"
        )


def _recomputed(values: Mapping[str, float]) -> float:
    return mean(value for name, value in values.items() if name != AVERAGE)


def _level(name: str) -> Level:
    return "average" if name == AVERAGE else "category"


def _metric(name: str, level: Level, value: float, errors: Mapping[str, float]) -> Metric:
    return Metric(name, level, value, 0, "higher", "percent", errors.get(name, math.nan))


def _number(value: float | None) -> float:
    return math.nan if value is None else float(value)
