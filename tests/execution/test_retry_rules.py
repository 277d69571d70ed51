"""What follows each class of failure, and when a study stops; pure."""

import pytest
from toy_study import evaluation, pairs, training

from ablate.errors import StudyError
from ablate.execution.engines.protocol import Observation, Resources, State
from ablate.execution.failures import Failure, FailureClass, failure_class
from ablate.execution.fuse import EARLY_SECONDS, Fall, blown
from ablate.execution.retry import Decision, Ending, decide, next_resources, was_exclusive
from ablate.execution.stalling import Stall
from ablate.execution.warden import Patience, offence
from ablate.execution.watching import Running, verdict
from ablate.plan.job import Job
from ablate.spec.config import Config
from ablate.spec.stages import EvaluationConfig, SftConfig
from ablate.store.attempts import Attempt

MEMORY = Failure(FailureClass.OUT_OF_MEMORY, "did not fit")
PATIENCE = Patience(stale=60, hung=1800, idle=43200, stop=60)


def ending(kind: str, config: Config | None = None, **fields: object) -> Ending:
    return Ending(Failure(FailureClass(kind), ""), config or EvaluationConfig(), **fields)  # type: ignore[arg-type]


def after(kind: str, config: Config | None = None, **fields: object) -> Decision:
    return decide(ending(kind, config, **fields), retries=3)


def test_out_of_memory_halves_then_takes_the_place_alone_then_fails() -> None:
    large, small = SftConfig(batch_size=8), SftConfig(batch_size=8, micro_batch_size=1)
    assert after("out_of_memory", large).next.startswith("tried again with micro-batch 4")
    assert after("out_of_memory", small).next == "tried again with nothing else beside it"
    last = after("out_of_memory", small, exclusive=True)
    assert not last.retried
    assert last.next == "given up: it had the place to itself with micro-batch 1"


def test_a_stage_without_micro_batches_goes_straight_to_a_place_of_its_own() -> None:
    assert after("out_of_memory").retried
    assert not after("out_of_memory", exclusive=True).retried


def request(asked: Resources, config: Config) -> dict[str, object]:
    return {"resources": vars(asked), "config": config.model_dump(mode="json")}


def test_after_out_of_memory_a_job_never_shares_again() -> None:
    asked = Resources(devices=1, shares=True)
    former = request(asked, SftConfig(batch_size=8))
    first = next_resources(asked, former, failure=MEMORY)
    assert (first.shares, first.alone) == (False, False)
    later = next_resources(asked, request(first, SftConfig(batch_size=8)), failure=None)
    assert (later.shares, later.alone) == (False, False)


def test_what_cannot_be_made_smaller_gets_its_place_alone_and_keeps_it() -> None:
    asked = Resources(devices=1, shares=True)
    smallest = SftConfig(batch_size=8, micro_batch_size=1)
    for config in (smallest, EvaluationConfig()):
        alone = next_resources(asked, request(asked, config), failure=MEMORY)
        assert (alone.shares, alone.alone) == (False, True)
        assert next_resources(asked, request(alone, config), failure=None) == alone
    lost = Failure(FailureClass.WORKER_LOST, "")
    assert next_resources(asked, request(asked, smallest), failure=lost) == asked


def test_a_whole_device_is_exclusive_and_a_shared_machine_is_not() -> None:
    whole, shared = Resources(devices=1), Resources(devices=1, shares=True)
    on_device, on_cores = {"numerics": {"cuda": "13.0"}}, {"numerics": {"device": "cpu"}}
    assert was_exclusive({"resources": vars(whole)}, on_device)
    assert not was_exclusive({"resources": vars(shared)}, on_device)
    assert not was_exclusive({"resources": vars(whole)}, on_cores)
    assert was_exclusive({"resources": vars(Resources(alone=True))}, None)


@pytest.mark.parametrize("kind", ["worker_lost", "hung"])
def test_unlucky_jobs_are_tried_again_three_times_in_a_row(kind: str) -> None:
    decisions = [after(kind, fruitless=number) for number in (1, 2, 3, 4)]
    assert [decision.retried for decision in decisions] == [True, True, True, False]
    assert all(decision.costs for decision in decisions[:3])
    further = after(kind, fruitless=0, further=True)
    assert further.retried and not further.costs


def test_a_time_limit_is_met_again_only_by_who_got_no_further() -> None:
    assert after("timeout", further=True).retried
    assert not after("timeout").retried


@pytest.mark.parametrize(
    "kind", ["non_finite_loss", "diverged", "bad_data", "surroundings", "bug", "cancelled"]
)
def test_what_would_happen_again_is_not_tried_again(kind: str) -> None:
    assert not after(kind).retried


def test_an_engine_that_speaks_of_a_time_limit_ended_the_job_for_it(tmp_path: object) -> None:
    folder = tmp_path / "attempts" / "0123456789abcdef" / "1"  # type: ignore[operator]
    for words in ("TIMEOUT", "the time limit of the partition"):
        gone = Observation(State.GONE, 0, False, words, blameless=True)
        failure = verdict(Attempt(folder), gone, memory_kills=0)
        assert failure is not None and failure.kind is FailureClass.TIMEOUT


def test_users_name_classes_as_they_speak() -> None:
    words = {"oom": "out_of_memory", "lost": "worker_lost", "hang": "hung", "bug": "bug"}
    assert {word: failure_class(word).value for word in words} == words
    with pytest.raises(StudyError, match="--class: 'omm' is not one of .* Did you mean 'oom'"):
        failure_class("omm")


# A stall is looked at every second unless a test says otherwise.


def stepping(seconds_a_step: int, *, steps: int, total: int = 1000) -> Stall:
    stall = Stall()
    for second in range(seconds_a_step * steps + 1):
        stall.look(second // seconds_a_step, total, None, now=float(second))
    return stall


def stand_still(stall: Stall, seconds: int, *, done: int, total: int = 1000) -> Stall:
    start = stall._last or 0.0
    for second in range(1, seconds + 1):
        stall.look(done, total, None, now=start + second)
    return stall


def test_a_jobs_own_steps_say_how_long_it_may_stand_still() -> None:
    # 20 times the longest step: 200 s a step make 4000 s, and 2 s a step the 1800 s of everybody.
    slow, quick = stepping(200, steps=5), stepping(2, steps=50)
    assert slow.limit(hung_seconds=1800, idle_seconds=43200) == 4000
    assert quick.limit(hung_seconds=1800, idle_seconds=43200) == 1800


def test_who_stands_still_is_warned_of_first_and_killed_later() -> None:
    stall = stand_still(stepping(2, steps=50), 599, done=50)
    limits = {"hung_seconds": 1800.0, "idle_seconds": 43200.0}
    assert not stall.warns(**limits)
    stand_still(stall, 1, done=50)
    assert stall.warns(**limits)
    running = Running.__new__(Running)
    running.resources, running.began, running.stall = Resources(), 0.0, stall
    running.pulse = pulse = running_pulse()
    assert pulse.silent_seconds == 0.0
    assert offence(running, 0.0, PATIENCE) is None
    stand_still(stall, 1200, done=50)
    blamed = offence(running, 0.0, PATIENCE)
    assert blamed == Failure(
        FailureClass.HUNG,
        "no progress for 30 min at step 50 of 1,000; none before took more than 2.0 s",
    )


def running_pulse():  # type: ignore[no-untyped-def]
    from ablate.execution.watching import Pulse

    return Pulse()


def test_a_token_or_a_line_in_the_log_is_a_sign_of_work() -> None:
    stall = stand_still(stepping(2, steps=50), 1000, done=50)
    stall.look(50, 1000, (7.0, 100), now=(stall._last or 0.0) + 1)
    assert stall.still_seconds == 0.0


def test_jobs_without_steps_of_their_own_get_the_long_limit() -> None:
    limits = {"hung_seconds": 1800.0, "idle_seconds": 43200.0}
    loading = stand_still(Stall(), 5000, done=0, total=0)
    parts = stepping(2, steps=3, total=3)  # an evaluation's three parts are no steps
    over = stand_still(stepping(2, steps=1000), 5000, done=1000)  # writes what it has made
    assert {stall.limit(**limits) for stall in (loading, parts, over)} == {43200}


def test_the_controllers_own_absence_is_no_standing_still() -> None:
    stall = stepping(2, steps=50)
    stall.look(50, 1000, None, now=36_000.0)
    assert stall.still_seconds <= 5.0 + 2.0


def fall(job: Job, number: int = 0, *, seconds: float = 1.0) -> Fall:
    return Fall(job, Failure(FailureClass.BUG, f"KeyError: {number}"), seconds)


def test_three_cells_that_fail_early_and_alike_blow_the_fuse() -> None:
    alike = [fall(training(name), number) for number, name in enumerate("abc")]
    reason = "sft jobs of 3 cells failed early and alike, and none succeeded: KeyError: 2"
    assert blown(alike, frozenset(), fuse=3) == reason
    assert not blown(alike, frozenset({"sft"}), fuse=3)
    assert not blown(alike[:2], frozenset(), fuse=3)


def test_one_cell_that_fails_with_every_seed_does_not_blow_it() -> None:
    base = pairs(seed=1)
    seeds = [fall(evaluation(training("a", base, seed=seed), seed=seed)) for seed in range(5)]
    assert not blown(seeds, frozenset(), fuse=2)
    other = fall(evaluation(training("b", pairs(seed=2))))
    assert blown([*seeds, other], frozenset(), fuse=2)


def test_late_or_different_or_cancelled_jobs_do_not_blow_it() -> None:
    cells = [training(name) for name in "abc"]
    assert not blown([fall(job, seconds=EARLY_SECONDS) for job in cells], frozenset(), fuse=3)
    different = [Fall(job, Failure(FailureClass.BUG, job.config.dataset), 1.0) for job in cells]  # type: ignore[attr-defined]
    assert not blown(different, frozenset(), fuse=2)
    cancelled = Failure(FailureClass.CANCELLED, "cancelled by the user")
    assert not blown([Fall(job, cancelled, 1.0) for job in cells], frozenset(), fuse=2)


def test_a_place_that_starts_nothing_is_not_asked_for_ever() -> None:
    decisions = [after("preempted", unborn=number) for number in (0, 1, 19, 20)]
    assert [found.retried for found in decisions] == [True, True, True, False]
    assert decisions[-1].next == "given up: taken away 20 times before it began"
