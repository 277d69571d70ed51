"""What an Arrow array becomes as Python objects, known before it is converted."""

from __future__ import annotations

from typing import Any


def strange_type(kind: Any) -> str:
    """Return the part of a type that cannot be measured before it is converted, or ``""``."""
    from pyarrow import types  # type: ignore[import-untyped]

    if types.is_dictionary(kind):
        return strange_type(kind.value_type)
    if types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind):
        return strange_type(kind.value_type)
    if types.is_struct(kind):
        return next(filter(None, (strange_type(field.type) for field in kind)), "")
    texts = types.is_string(kind) or types.is_large_string(kind)
    raw = types.is_binary(kind) or types.is_large_binary(kind)
    return "" if texts or raw or types.is_primitive(kind) or types.is_null(kind) else str(kind)


def size_of(array: Any) -> tuple[int, int]:
    """Return how many values an array holds, at all depths, and the bytes of its texts."""
    from pyarrow import compute, types

    kind, count = array.type, len(array)
    if types.is_dictionary(kind):
        if types.is_nested(kind.value_type):
            return count * (1 + size_of(array.dictionary)[0]), count * size_of(array.dictionary)[1]
        if types.is_primitive(kind.value_type) or types.is_null(kind.value_type):
            return count, 0
        lengths = compute.take(compute.binary_length(array.dictionary), array.indices)
        return count, compute.sum(lengths).as_py() or 0
    if types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind):
        values, length = size_of(array.flatten())
        return count + values, length
    if types.is_struct(kind):
        parts = [size_of(part) for part in array.flatten()]
        return count + sum(part[0] for part in parts), sum(part[1] for part in parts)
    if types.is_primitive(kind) or types.is_null(kind):
        return count, 0
    return count, compute.sum(compute.binary_length(array)).as_py() or 0
