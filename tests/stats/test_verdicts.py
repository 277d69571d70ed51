from __future__ import annotations

import math
import subprocess
import sys

import pytest

from ablate.stats.estimate import Claim, Estimate, from_error
from ablate.stats.verdicts import Direction, Verdict, decide


def effect(value: float, error: float) -> Estimate:
    return from_error(value, error, degrees=math.inf, sizes=(400, 3), claim=Claim.RECIPE)


@pytest.mark.parametrize(
    ("value", "error", "expected"),
    [
        (3.0, 0.5, Verdict.BETTER),
        (-3.0, 0.5, Verdict.WORSE),
        (0.5, 0.1, Verdict.TRIVIAL),  # 90 % interval .336 to .664: not 0, but below 1 point.
        (0.1, 0.3, Verdict.EQUIVALENT),  # 90 % interval -.39 to .59.
        (1.0, 0.9, Verdict.INCONCLUSIVE),
    ],
)
def test_verdict_of_an_effect_with_a_margin_of_one_point(
    value: float, error: float, expected: Verdict
) -> None:
    found = effect(value, error)
    assert decide(found, found.p_value, margin=1.0) is expected


def test_the_adjusted_p_decides_and_not_the_plain_interval() -> None:
    found = effect(2.0, 0.9)
    assert found.low > 0
    assert decide(found, 0.2, margin=1.0) is Verdict.INCONCLUSIVE


@pytest.mark.parametrize(
    ("direction", "expected"), [("higher", Verdict.BETTER), ("lower", Verdict.WORSE)]
)
def test_direction_turns_better_into_worse(direction: Direction, expected: Verdict) -> None:
    assert decide(effect(3.0, 0.5), 0.001, margin=1.0, direction=direction) is expected


def test_an_effect_without_interval_is_inconclusive_whatever_its_size() -> None:
    lonely = Estimate(40.0, math.nan, math.nan)
    assert decide(lonely, math.nan, margin=1.0) is Verdict.INCONCLUSIVE


def test_a_tripwire_or_an_undefined_number_is_invalid() -> None:
    assert decide(effect(3.0, 0.1), 0.0, margin=1.0, invalid=True) is Verdict.INVALID
    assert decide(effect(math.nan, 0.1), math.nan, margin=1.0) is Verdict.INVALID


def test_without_a_margin_nothing_is_equivalent() -> None:
    assert decide(effect(0.0, 0.01), 1.0, margin=math.nan) is Verdict.INCONCLUSIVE


def test_every_verdict_has_its_own_symbol() -> None:
    assert len({verdict.symbol for verdict in Verdict}) == len(Verdict)


def test_power_and_effects_load_without_scipy() -> None:
    code = (
        "import sys, ablate.stats.power, ablate.stats.crossed, ablate.stats.verdicts;"
        "print([m for m in ('scipy', 'pandas', 'torch', 'matplotlib') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
