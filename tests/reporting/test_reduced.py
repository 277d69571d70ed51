"""Cells that ran out of memory are named, with what was done about it."""

from ablate.reporting.provenance import provenance_of

from .builders import NUMERICS, Fake, Size, study_of

SMALLER = {**NUMERICS, "micro_batch_size": 4, "micro_batch_asked": 16}
ALONE = {**NUMERICS, "micro_batch_size": 1, "micro_batch_asked": 16, "alone": True}


def said(tmp_path, **numerics):
    fakes = [Fake(name, {"algorithm": name}, numerics=given) for name, given in numerics.items()]
    warnings = provenance_of(study_of(tmp_path, fakes, Size(seeds=2, items=4))).warnings
    return [text for text in warnings if "memory" in text and text.startswith("policy")]


def test_a_smaller_micro_batch_is_said_of_the_cells_that_had_it(tmp_path):
    assert said(tmp_path, dpo=None, ppo=SMALLER, kto=SMALLER) == [
        "policy of 'ppo' (seeds 0, 1), 'kto' (seeds 0, 1) ran out of memory and was then run with "
        "micro-batches of 4 instead of 16: the same updates, equal to rounding."
    ]


def test_a_place_of_its_own_is_said_too(tmp_path):
    assert said(tmp_path, ppo=ALONE) == [
        "policy of 'ppo' (seeds 0, 1) ran out of memory and was then run with micro-batches of 1 "
        "instead of 16, with nothing beside it: the same updates, equal to rounding."
    ]


def test_nothing_is_said_where_memory_was_enough(tmp_path):
    assert said(tmp_path, dpo=None) == []
