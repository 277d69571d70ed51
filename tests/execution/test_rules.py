"""The pure parts: the death rule, retries, the order of jobs."""

import errno
from pathlib import Path

import pytest
from toy_study import evaluation, pairs, study, training

from ablate.errors import StageError, SurroundingsError
from ablate.execution.book import Book, JobState
from ablate.execution.engines.protocol import Observation, State
from ablate.execution.failures import Failure, FailureClass, classify
from ablate.execution.retry import micro_batch, next_config
from ablate.execution.stages import ENTRY_POINTS, preload_for
from ablate.execution.watching import Pulse, is_dead
from ablate.spec.stages import CONFIG_CLASSES, SftConfig

LOST = Failure(FailureClass.WORKER_LOST, "vanished")
MEMORY = Failure(FailureClass.OUT_OF_MEMORY, "did not fit")


def silent(seconds: float) -> Pulse:
    """Return a pulse watched every second that has not changed for so long."""
    pulse = Pulse()
    for second in range(int(seconds) + 1):
        pulse.look(0, float(second))
    return pulse


def test_an_uncertain_engine_needs_a_stale_heartbeat_to_agree() -> None:
    gone = Observation(State.GONE)
    assert not is_dead(gone, silent(59), stale_seconds=60)
    assert is_dead(gone, silent(60), stale_seconds=60)


def test_a_stale_heartbeat_alone_is_not_death() -> None:
    assert not is_dead(Observation(State.RUNNING), silent(10_000), stale_seconds=60)


def test_a_reaped_process_is_dead_whatever_its_heartbeat() -> None:
    assert is_dead(Observation(State.GONE, certain=True), silent(0), stale_seconds=60)


def test_the_controllers_own_absence_is_not_a_workers_silence() -> None:
    pulse = Pulse()
    pulse.look(1, 0.0)
    pulse.look(1, 36_000.0)  # the controller was frozen for ten hours
    assert pulse.silent_seconds == 5.0
    pulse.look(2, 36_001.0)
    assert pulse.silent_seconds == 0.0


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (MemoryError(), FailureClass.OUT_OF_MEMORY),
        (
            RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: 1 bytes"),
            FailureClass.OUT_OF_MEMORY,
        ),
        (StageError("nan", kind="non_finite_loss"), FailureClass.NON_FINITE_LOSS),
        (StageError("empty", kind="bad_data"), FailureClass.BAD_DATA),
        (SurroundingsError("no such model"), FailureClass.SURROUNDINGS),
        (OSError(errno.ENOSPC, "No space left on device"), FailureClass.DISK_FULL),
        (Exception("IoError(No space left, os error 28)"), FailureClass.DISK_FULL),
        (KeyError("x"), FailureClass.BUG),
        (StageError("?", kind="unheard of"), FailureClass.BUG),
    ],
)
def test_errors_have_classes(error: Exception, kind: FailureClass, tmp_path: Path) -> None:
    assert classify(error, tmp_path).kind is kind


def test_torchs_own_out_of_memory_error_is_known_without_importing_torch(tmp_path: Path) -> None:
    import torch

    assert classify(torch.OutOfMemoryError("CUDA"), tmp_path).kind is FailureClass.OUT_OF_MEMORY


def test_micro_batches_halve_until_one_and_the_update_stays_the_same() -> None:
    asked = SftConfig(batch_size=4)
    sizes, former = [], asked.model_dump()
    for _ in range(3):
        config = next_config(asked, former, failure=MEMORY)
        sizes.append(micro_batch(config))
        former = config.model_dump()
        assert former["batch_size"] == 4
    assert sizes == [2, 1, 1]


def test_a_smaller_micro_batch_is_kept_after_another_kind_of_failure() -> None:
    former = SftConfig(batch_size=4, micro_batch_size=2).model_dump()
    assert micro_batch(next_config(SftConfig(batch_size=4), former, failure=LOST)) == 2


def test_jobs_become_ready_in_the_plans_order_when_their_inputs_are_there() -> None:
    root = pairs()
    first, second = training("first", root), training("second", root)
    book = Book([evaluation(first), evaluation(second)])
    assert book.ready() == [root]
    book.start(root)
    assert book.ready() == []
    book.finish(root, JobState.DONE)
    assert book.ready() == [first, second]
    book.start(second)
    book.finish(second, JobState.DONE)
    assert book.ready() == [first, evaluation(second)]


def test_a_shared_job_is_one_job() -> None:
    assert len(Book(study(seeds=3)).jobs) == 1 + 3 * 2 * 2


def test_a_failure_reaches_everything_downstream_once() -> None:
    root = pairs()
    book = Book(study(seeds=2))
    skipped = book.fail(root, LOST)
    assert len(skipped) == 8 and not book.ready()
    assert set(book.states.values()) == {JobState.FAILED, JobState.SKIPPED}


def test_every_stage_has_an_entry_point_and_its_module_is_preloaded() -> None:
    modules = preload_for(ENTRY_POINTS, ENTRY_POINTS)
    assert {entry.partition(":")[0] for entry in ENTRY_POINTS.values()} <= set(modules)
    assert "transformers.models.llama.modeling_llama" in modules and "lm_eval" in modules


def test_evaluation_libraries_are_preloaded_only_for_evaluation() -> None:
    assert "lm_eval" not in preload_for(["sft", "policy"], ENTRY_POINTS)


def test_every_configuration_survives_the_way_through_a_request() -> None:
    config = SftConfig(learning_rate=3e-4, micro_batch_size=2)
    again = CONFIG_CLASSES["SftConfig"].model_validate(config.model_dump(mode="json"))
    assert again == config
