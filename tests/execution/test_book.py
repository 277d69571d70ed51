"""States, priorities and growth of a study's jobs; pure."""

from toy_study import evaluation, pairs, training

from ablate.execution.book import Book, JobState
from ablate.execution.failures import Failure, FailureClass
from ablate.plan.job import Job

LOST = Failure(FailureClass.WORKER_LOST, "gone")


def ready(book: Book) -> list[Job]:
    return book.ready()


def chain(name: str) -> tuple[Job, Job, Job]:
    """Return data, training and evaluation of one arm."""
    root = pairs(name)
    policy = training(name, root)
    return root, policy, evaluation(policy)


def test_a_higher_priority_raises_what_a_job_waits_for() -> None:
    first, second = chain("first"), chain("second")
    book = Book([first[2], second[2]])
    assert ready(book) == [first[0], second[0]]
    assert book.prioritize([second[2].fingerprint], 1) == [second[2].fingerprint]
    assert ready(book) == [second[0], first[0]]
    book.finish(second[0], JobState.DONE)
    assert ready(book) == [second[1], first[0]]


def test_a_lower_priority_lets_others_go_first_and_can_be_taken_back() -> None:
    first, second = chain("first"), chain("second")
    book = Book([first[2], second[2]])
    book.prioritize([first[0].fingerprint], -1)
    assert ready(book) == [second[0], first[0]]
    book.prioritize([first[0].fingerprint], 0)
    assert ready(book) == [first[0], second[0]]


def test_a_lower_priority_does_not_reach_what_others_wait_for() -> None:
    root = pairs()
    late, early = training("late", root), training("early", root)
    book = Book([late, early])
    book.prioritize([late.fingerprint], -1)
    assert book.levels.get(root.fingerprint, 0) == 0
    book.finish(root, JobState.DONE)
    assert ready(book) == [early, late]


def test_an_unknown_job_takes_no_priority() -> None:
    book = Book([pairs()])
    assert book.prioritize(["nowhere"], 1) == []


def test_further_jobs_find_what_is_done_already() -> None:
    root, policy, score = chain("first")
    book = Book([policy])
    book.finish(root, JobState.DONE)
    book.finish(policy, JobState.DONE)
    assert book.add([score]) == [score]
    assert ready(book) == [score]
    assert book.add([score]) == []


def test_a_further_job_behind_a_failed_one_is_skipped_with_its_reason() -> None:
    root, policy, score = chain("first")
    book = Book([policy])
    book.fail(root, LOST)
    book.add([score])
    assert book.states[score.fingerprint] is JobState.SKIPPED
    assert "worker_lost: gone" in book.skipped[score.fingerprint]


def test_a_revived_job_takes_along_what_was_skipped_for_it() -> None:
    root, policy, score = chain("first")
    book = Book([score])
    book.fail(root, LOST)
    assert book.revive(root.fingerprint) == [root, policy, score]
    assert ready(book) == [root] and not book.failures and not book.skipped
    book.finish(root, JobState.DONE)
    assert ready(book) == [policy]


def test_what_also_waits_for_another_failed_job_stays_skipped() -> None:
    first, second = pairs("first"), pairs("second")
    both = Job("evaluation", evaluation(first).config, (("policy", first), ("reference", second)))
    book = Book([both])
    book.fail(first, LOST)
    book.fail(second, LOST)
    assert book.revive(first.fingerprint) == [first]
    assert book.states[both.fingerprint] is JobState.SKIPPED
    assert second.fingerprint in book.skipped[both.fingerprint]
    assert book.revive(second.fingerprint) == [second, both]


def test_only_a_failed_job_is_revived() -> None:
    book = Book([pairs()])
    assert book.revive(pairs().fingerprint) == []


def test_a_revived_job_without_its_input_is_skipped_until_that_is_revived_too() -> None:
    """Cancelled while it waited; then what it waits for fails, and only it is tried again."""
    root, policy, score = chain("first")
    book = Book([score])
    book.fail(policy, Failure(FailureClass.CANCELLED, "by the user"))
    book.fail(root, LOST)
    assert book.revive(policy.fingerprint) == []
    assert book.states[policy.fingerprint] is JobState.SKIPPED
    assert book.revive(root.fingerprint) == [root, policy, score]
    assert ready(book) == [root]
