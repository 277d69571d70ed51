"""Rounds, rungs, failures and winners by hand; and that replaying a search gives its trials."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
from collections.abc import Mapping

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ablate.plan.searching import ReadScore, Score, Search, Trial, TrialState
from ablate.spec.tune import Tune
from ablate.spec.tune_space import Dimension

RATE = Dimension("policy.learning_rate", (), 1e-6, 1e-3, log=True)
SPACE = (RATE, Dimension("dpo.beta", (0.03, 0.1, 0.3)), Dimension("p.e", (), 1, 4, whole=True))
STATES = TrialState


def tune(trials: int = 12, **fields: object) -> Tune:
    return Tune.model_validate({"trials": trials, "search": {"dpo.beta": [1, 2]}, **fields})


def search(trials: int = 12, **fields: object) -> Search:
    return Search(tune(trials, **fields), SPACE, identity="an arm")


def quality(trial: Trial, rung: int) -> Score:
    """Best at a learning rate of 3e-5 and three epochs; the same on every rung."""
    rate, epochs = trial.values["policy.learning_rate"], trial.values["p.e"]
    assert isinstance(rate, float) and isinstance(epochs, int)
    return Score(-abs(math.log(rate / 3e-5)) - 0.1 * abs(epochs - 3))


def known(scores: Mapping[tuple[int, int], float]) -> ReadScore:
    def read(trial: Trial, rung: int) -> Score | None:
        value = scores.get((trial.number, rung))
        return None if value is None else Score(value)

    return read


def fates(found: Search) -> list[tuple[dict[str, object], TrialState, int]]:
    return [(dict(trial.values), trial.state, len(trial.scores)) for trial in found.trials]


def test_a_round_is_asked_for_whole_and_the_next_when_all_of_it_is_known() -> None:
    found = search(10, parallel=4)
    assert len(found.trials) == 4
    found.advance(known({(0, 0): 1.0, (1, 0): 1.0, (3, 0): 1.0}))
    assert len(found.trials) == 4 and not found.is_done
    found.advance(known({(number, 0): 1.0 for number in range(4)}))
    assert [trial.number for trial in found.running] == [4, 5, 6, 7]
    # The last round has the two that are left of ten.
    found.advance(known({(number, 0): 1.0 for number in range(8)}))
    assert [trial.number for trial in found.running] == [8, 9]


def test_every_value_lies_in_its_space_and_has_its_field_s_type() -> None:
    found = search(40, parallel=40)
    for trial in found.trials:
        rate, beta, epochs = trial.values.values()
        assert isinstance(rate, float) and 1e-6 <= rate <= 1e-3
        assert float(f"{rate:.5e}") == rate  # Six digits: no more than every machine agrees on.
        assert beta in (0.03, 0.1, 0.3) and type(epochs) is int and 1 <= epochs <= 4
    assert {trial.values["p.e"] for trial in found.trials} == {1, 2, 3, 4}


def test_half_of_a_round_goes_on_to_each_rung() -> None:
    # Four trials, two shorter rungs, half kept: 4, 2, 1. The first rung ranks 2 and 0 on top, the
    # second 0 above 2, so 0 alone is trained in full.
    rungs = {"keep": 0.5, "rungs": [{"policy.epochs": 1}, {"policy.epochs": 2}]}
    found = search(4, parallel=4, prune=rungs)
    first = {(0, 0): 5.0, (1, 0): 3.0, (2, 0): 9.0, (3, 0): 4.0}
    found.advance(known(first))
    assert [trial.number for trial in found.running] == [0, 2] and found.rung == 1
    found.advance(known(first | {(0, 1): 8.0, (2, 1): 7.0}))
    assert [trial.number for trial in found.running] == [0] and found.rung == 2
    found.advance(known(first | {(0, 1): 8.0, (2, 1): 7.0, (0, 2): 1.0}))
    states = [trial.state for trial in found.trials]
    assert states == [STATES.FINISHED, STATES.PRUNED, STATES.PRUNED, STATES.PRUNED]
    assert found.winner is found.trials[0]


def test_a_third_of_three_is_one_and_of_two_still_one() -> None:
    # floor(3 x 0.34) = 1; floor(2 x 0.34) = 0, but one goes on at least.
    found = search(5, parallel=3, prune={"keep": 0.34, "rungs": [{"policy.epochs": 1}]})
    every = {(number, 0): float(number) for number in range(5)}
    found.advance(known(every | {(2, 1): 0.0}))
    assert [trial.number for trial in found.running] == [4]


def test_a_failed_trial_spends_its_share_of_the_budget() -> None:
    # Two of four fail on the first rung. Two may go on, as in every other round, and do; the
    # failed ones are not replaced.
    found = search(4, parallel=4, prune={"rungs": [{"policy.epochs": 1}]})
    first = {(0, 0): math.nan, (1, 0): 1.0, (2, 0): math.inf, (3, 0): 2.0}
    found.advance(known(first))
    assert [trial.number for trial in found.running] == [1, 3]
    found.advance(known(first | {(1, 1): 6.0, (3, 1): math.nan}))
    failed = [trial.number for trial in found.trials if trial.state is STATES.FAILED]
    assert found.is_done and failed == [0, 2, 3]
    assert found.winner is found.trials[1]


def test_ties_go_to_the_earlier_trial() -> None:
    found = search(4, parallel=4, prune={"rungs": [{"policy.epochs": 1}]})
    found.advance(known({(number, 0): 1.0 for number in range(4)} | {(0, 1): 2.0, (1, 1): 2.0}))
    assert found.winner is found.trials[0]


def test_a_lower_score_wins_where_lower_is_better() -> None:
    found = search(2, parallel=2)
    found.advance(lambda trial, rung: Score(float(trial.number), lower=True))
    assert found.winner is found.trials[0]


def test_an_arm_all_of_whose_trials_fail_has_no_winner_and_ends() -> None:
    found = search(6, parallel=2, sampler="tpe")
    found.advance(lambda trial, rung: Score(math.nan, reason="diverged"))
    assert found.is_done and found.winner is None and len(found.trials) == 6
    assert found.trials[5].reason == "diverged"


SAMPLERS = ("random", "tpe", "qmc")
PRUNE = {"keep": 0.5, "rungs": [{"policy.epochs": 1}]}


@pytest.mark.parametrize("sampler", SAMPLERS)
@settings(max_examples=10, deadline=None)
@given(order=st.permutations(range(24)), stops=st.integers(0, 24))
def test_a_replay_after_any_prefix_goes_on_with_the_same_trials(
    sampler: str, order: list[int], stops: int
) -> None:
    """Results become known in any order; after some of them everything starts anew."""
    fields = {"parallel": 4, "sampler": sampler, "startup": 4, "prune": PRUNE}
    whole = search(12, **fields)
    whole.advance(quality)
    assert whole.is_done
    there: set[tuple[int, int]] = set()

    def read(trial: Trial, rung: int) -> Score | None:
        return quality(trial, rung) if (trial.number, rung) in there else None

    found = search(12, **fields)
    for step, position in enumerate(order):
        if step == stops:
            found = search(12, **fields)  # Killed: nothing but the results is left.
        there.add((position % 12, position // 12))
        found.advance(read)
    assert fates(found) == fates(whole)
    assert found.winner is not None and whole.winner is not None
    assert found.winner.number == whole.winner.number


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_more_trials_begin_with_those_there_were(sampler: str) -> None:
    few, many = (search(n, parallel=4, sampler=sampler, startup=4) for n in (8, 16))
    few.advance(quality)
    many.advance(quality)
    assert [t.values for t in few.trials] == [t.values for t in many.trials[:8]]


def test_tpe_learns_from_values_and_random_does_not() -> None:
    def later(sampler: str, best: float) -> list[object]:
        found = search(12, parallel=4, sampler=sampler, startup=4)
        found.advance(lambda t, _: Score(-abs(math.log(float(str(t.values[RATE.path])) / best))))
        return [trial.values for trial in found.trials[8:]]

    assert later("tpe", 2e-6) != later("tpe", 5e-4)
    assert later("random", 2e-6) == later("random", 5e-4)


def test_what_the_arm_computes_and_the_declared_seed_decide_what_is_tried() -> None:
    def values(identity: str = "an arm", **fields: object) -> list[object]:
        return [t.values for t in Search(tune(**fields), SPACE, identity=identity).trials]

    assert values() == values()
    assert values() != values("another arm") and values() != values(seed=1)


REPLAY = """
import json
from ablate.plan.searching import Score, Search
from ablate.spec.tune import Tune
from ablate.spec.tune_space import Dimension
space = [Dimension(name, (), 0.1, 1.0) for name in ("a.x", "b.y", "c.z")]
tune = Tune.model_validate(
    {"trials": 12, "sampler": "tpe", "startup": 4, "search": {"dpo.beta": [1, 2]}}
)
found = Search(tune, space, identity="x")
found.advance(lambda trial, rung: Score(sum(trial.values.values())))
asked = json.dumps([trial.values for trial in found.trials])
"""


def test_another_process_asks_for_the_same_trials() -> None:
    # Its names hash to another order: sets and dictionaries of a library must not matter.
    here: dict[str, str] = {}
    exec(REPLAY, here)
    environment = {**os.environ, "PYTHONHASHSEED": "7"}
    code = [sys.executable, "-c", f"{REPLAY}\nprint(asked)"]
    there = subprocess.run(code, env=environment, capture_output=True, check=True)
    assert json.loads(there.stdout) == json.loads(here["asked"])
