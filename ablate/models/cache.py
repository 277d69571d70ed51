"""A key-value cache in which each row keeps its keys at its own positions.

Rows start and end at different times. With left padding a row's keys would move with its
neighbours' lengths, and its logits with them in the last bits.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from transformers.cache_utils import Cache

from ablate.models.batching import round_up

CAPACITY_ALIGN = 16
"""Attended lengths are multiples of this: the widest vector of fp32 numbers on a CPU."""


class SlotCache(Cache):  # type: ignore[misc]
    """Keys and values of a fixed number of slots.

    Call `prefill_into` or `decode_at` before each forward pass: they say where `update`, which the
    model calls in every layer, puts the new keys.
    """

    def __init__(self, slots: int, capacity: int) -> None:
        """Make room for ``slots`` rows of ``capacity`` tokens; memory is taken at first use."""
        super().__init__(layers=[])
        self.slots = slots
        self.capacity = round_up(capacity, CAPACITY_ALIGN)
        self._storage: list[Tensor] = []  # per layer (2, slots, heads, capacity, head size)
        self._source = self._target = torch.empty(0, dtype=torch.long)
        self._rows = self._positions = torch.empty(0, dtype=torch.long)
        self._width = 0

    def prefill_into(self, slots: Tensor, source: Tensor) -> None:
        """Let the next pass start sequences: row ``source[i]`` of the pass is kept in slot i."""
        self._target, self._source = slots, source
        self._width = 0

    def decode_at(self, positions: Tensor, width: int) -> None:
        """Let the next pass add one token to the first rows, and attend ``width`` positions."""
        self._positions = positions
        self._rows = torch.arange(len(positions), device=positions.device)
        self._width = width

    def move(self, source: Tensor, target: Tensor) -> None:
        """Copy the contents of some slots over others."""
        for layer in self._storage:
            layer[:, target] = layer[:, source]

    def update(
        self, key_states: Tensor, value_states: Tensor, layer_idx: int, *args: Any, **kwargs: Any
    ) -> tuple[Tensor, Tensor]:
        """Store new keys and values of a layer; return those that the pass attends to."""
        if len(self._storage) <= layer_idx:
            heads, size = key_states.shape[1], key_states.shape[3]
            # Zeros, because what is masked out must still be finite. Under autocast keys leave
            # their rotation in fp32 and values are bf16; attention rounds both to bf16.
            self._storage.append(value_states.new_zeros(2, self.slots, heads, self.capacity, size))
        keys, values = self._storage[layer_idx]
        if self._width == 0:
            length = key_states.shape[2]
            keys[self._target, :, :length] = key_states[self._source].to(keys.dtype)
            values[self._target, :, :length] = value_states[self._source]
            return key_states, value_states
        rows = len(self._rows)
        keys[self._rows, :, self._positions] = key_states[:, :, 0].to(keys.dtype)
        values[self._rows, :, self._positions] = value_states[:, :, 0]
        return keys[:rows, :, : self._width], values[:rows, :, : self._width]

    def get_seq_length(self, layer_idx: int = 0) -> int:
        """Return 0: positions are always given to the model."""
        return 0

    def get_query_offset(self, layer_idx: int = 0) -> int:
        """Return 0: a prefill starts at position 0; decoding brings its own mask."""
        return 0

    def get_mask_sizes(self, query_length: int, layer_idx: int = 0) -> tuple[int, int]:
        """Return the size of a prefill's mask: it attends to its own tokens only."""
        return query_length, 0
