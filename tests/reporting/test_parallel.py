"""Parts of a report that are made in copies of the process."""

from __future__ import annotations

import os
import threading
from functools import partial

import pytest

from ablate.reporting import document
from ablate.reporting.document import document_of
from ablate.reporting.findings import analyse
from ablate.reporting.parallel import in_parallel
from ablate.reporting.records import StudyRecord
from ablate.reporting.sections import effects, scores, sight


def test_results_come_in_order_whoever_makes_them() -> None:
    assert in_parallel([partial(pow, 2, n) for n in range(9)]) == [2**n for n in range(9)]


def test_an_error_of_one_part_is_raised_as_it_is() -> None:
    def fails() -> int:
        raise ValueError("the third")

    with pytest.raises(ValueError, match="the third"):
        in_parallel([lambda: 1, lambda: 2, fails])


def test_what_a_dying_copy_leaves_undone_is_made_here() -> None:
    here = os.getpid()

    def dies() -> int:
        if os.getpid() != here:
            os._exit(9)
        return 1

    assert in_parallel([dies, dies, dies]) == [1, 1, 1]


def test_nothing_is_copied_beside_a_thread() -> None:
    stop = threading.Event()
    thread = threading.Thread(target=stop.wait)
    thread.start()
    try:
        assert set(in_parallel([os.getpid] * 4)) == {os.getpid()}
    finally:
        stop.set()
        thread.join()


def test_a_report_made_in_several_processes_has_the_same_content(
    one_seed_study: StudyRecord, monkeypatch: pytest.MonkeyPatch
) -> None:
    sections = (sight.section, scores.section, effects.section)
    found = analyse(one_seed_study)
    alone = document_of(found, sections)
    monkeypatch.setattr(document, "MANY_RUNS", 1)
    # As text: an undefined number is not equal to its copy.
    assert repr(document_of(found, sections)) == repr(alone)
