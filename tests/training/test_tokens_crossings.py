"""KTO's mismatched completions, as numbers in flat arrays."""

import numpy as np
import pytest
import torch

from ablate.models.boundary import Row
from ablate.training.kto import CrossedSums, crossing_keys, crossings_of

ROWS = [Row((prompt,), (prompt, reply)) for prompt, reply in ((1, 5), (2, 6), (3, 7), (1, 8))]
BATCHES = [[0, 1], [2, 3, 1], [1, 0]]


def test_each_crossing_of_a_schedule_is_there_once_in_order() -> None:
    expected = sorted({crossing for batch in BATCHES for crossing in crossings_of(ROWS, batch)})
    assert [divmod(key, 4) for key in crossing_keys(ROWS, BATCHES).tolist()] == expected


def test_sums_are_found_by_crossing_and_by_no_other() -> None:
    """Of 4 rows, (0, 3) is key 3, (2, 1) is 9 and (3, 0) is 12."""
    sums = CrossedSums(np.array([3, 9, 12]), torch.tensor([0.5, -1.5, 2.0]), rows=4)
    assert dict(sums) == {(0, 3): 0.5, (2, 1): -1.5, (3, 0): 2.0}
    assert len(sums) == 3
    assert (2, 1) in sums
    for absent in ((0, 0), (2, 2), (3, 3)):
        assert absent not in sums
        with pytest.raises(KeyError):
            sums[absent]
