"""Weights that a finished study no longer needs, and what happens when they are needed again."""

import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "execution"))

from toy_study import ENTRY_POINTS, LOCAL, OPTIONS, contents, evaluation, pairs, run, training

from ablate.execution.book import JobState
from ablate.plan.job import Job
from ablate.store.gc import GcOptions, sweep, undo
from ablate.store.layout import Store
from ablate.store.pruned import unneeded

HERE = str(Path(__file__).parent)
WEIGHTY = replace(
    OPTIONS,
    entry_points={**ENTRY_POINTS, "sft": "weighty_stages:sft"},
    local=replace(LOCAL, python_path=(*LOCAL.python_path, HERE)),
)
POLICIES = [training(name, pairs()) for name in ("first", "second")]
JOBS = [evaluation(policy) for policy in POLICIES]
DROP = GcOptions(drop_weights=("sft",))


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Store:
    store = Store(tmp_path_factory.mktemp("ran") / "store")
    assert run(store, JOBS, options=WEIGHTY).complete
    return store


@pytest.fixture
def store(ran: Store, tmp_path: Path) -> Store:
    subprocess.run(["cp", "-a", str(ran.root), str(tmp_path / "store")], check=True)
    return Store(tmp_path / "store")


def states(store: Store, jobs: Sequence[Job]) -> dict[str, JobState]:
    """Run the study and return how each job ended."""
    outcome = run(store, jobs, options=WEIGHTY)
    assert outcome.complete
    return dict(outcome.states)


def test_weights_go_and_records_stay(store: Store) -> None:
    sweep(store, DROP)
    for job in POLICIES:
        assert not store.has("sft", job.fingerprint)
        assert store.intact("sft", job.fingerprint) is None
        folder = store.records("sft", job.fingerprint)
        assert folder is not None and folder.parts[-3] == "pruned"
        assert sorted(path.name for path in folder.iterdir()) == ["manifest.json", "metrics.jsonl"]


def test_a_finished_study_stays_finished_without_its_weights(store: Store) -> None:
    sweep(store, DROP)
    assert set(states(store, JOBS).values()) == {JobState.CACHED}
    assert not store.has("sft", POLICIES[0].fingerprint)


def test_a_job_that_needs_dropped_weights_gets_the_same_ones_again(store: Store) -> None:
    before = contents(store)
    sweep(store, DROP)
    more = evaluation(POLICIES[0], seed=9)
    found = states(store, [*JOBS, more])
    assert found[POLICIES[0].fingerprint] is found[more.fingerprint] is JobState.DONE
    assert found[POLICIES[1].fingerprint] is JobState.CACHED
    after = contents(store)
    again = {name: digest for name, digest in after.items() if POLICIES[0].fingerprint in name}
    assert again == {n: d for n, d in before.items() if POLICIES[0].fingerprint in n} != {}
    # The records beside the artifact are of no more use.
    found_now, _ = sweep(store, GcOptions())
    assert [item.name for item in found_now.items if item.kind == "records"] == [
        POLICIES[0].fingerprint
    ]


def test_a_plan_that_grows_by_a_reader_of_dropped_weights_computes_them(store: Store) -> None:
    sweep(store, DROP)
    more = evaluation(POLICIES[0], seed=9)
    outcome = run(store, JOBS, options=replace(WEIGHTY, grow=lambda states: [*JOBS, more]))
    assert outcome.complete and outcome.states[more.fingerprint] is JobState.DONE
    assert outcome.states[POLICIES[0].fingerprint] is JobState.DONE
    assert outcome.states[POLICIES[1].fingerprint] is JobState.CACHED


def test_records_that_are_damaged_cost_a_recompute(store: Store) -> None:
    sweep(store, DROP)
    (store.pruned("sft", POLICIES[0].fingerprint) / "metrics.jsonl").write_text("")
    found = states(store, JOBS)
    assert found[POLICIES[0].fingerprint] is JobState.DONE
    assert found[JOBS[0].fingerprint] is JobState.CACHED


def test_weights_come_back_by_undo_and_their_records_go(store: Store) -> None:
    before = contents(store)
    sweep(store, DROP)
    undo(store)
    assert contents(store) == before
    assert store.records("sft", POLICIES[0].fingerprint) == store.artifact(
        "sft", POLICIES[0].fingerprint
    )
    assert not store.pruned("sft", POLICIES[0].fingerprint).exists()


def test_weights_that_an_unfinished_job_reads_stay(store: Store) -> None:
    store.discard(store.artifact("evaluation", JOBS[0].fingerprint))
    sweep(store, DROP)
    assert store.has("sft", POLICIES[0].fingerprint)
    assert not store.has("sft", POLICIES[1].fingerprint)


def test_dropped_weights_are_needed_through_dropped_ones() -> None:
    # a <- b <- c <- d: all but d are dropped. Where d is there too nothing is needed; where d is
    # missing it needs c, which needs b, which needs a.
    order, inputs = "abcd", {"a": [], "b": ["a"], "c": ["b"], "d": ["c"]}
    assert unneeded(order, inputs, there={"d"}, pruned=set("abc")) == set("abc")
    assert unneeded(order, inputs, there=set(), pruned=set("abc")) == set()
    # An artifact in between ends the need.
    assert unneeded(order, inputs, there={"b"}, pruned={"a", "c"}) == {"a"}
