"""Columns of numbers that grow at the end: in memory, or in a .npy file that is mapped when read.

A .npy file that holds 10^9 numbers is opened in microseconds, and only the pages that are looked at
are ever in memory. Nothing in it is executed: objects are refused.
"""

from __future__ import annotations

import mmap
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.lib import format as npy
from numpy.typing import DTypeLike, NDArray

SUFFIX = ".npy"


class Column(Protocol):
    """Numbers of one type, one dimension."""

    def append(self, values: NDArray[Any]) -> None:
        """Add numbers at the end."""

    def close(self) -> None:
        """Finish the column: nothing can be added any more. A second time nothing happens."""

    def read(self) -> NDArray[Any]:
        """Return all numbers, read-only."""


MakeColumn = Callable[[str, DTypeLike], Column]
"""Returns the new, empty column of a name and type."""


class MemoryColumn:
    """A column that is never written to a disk."""

    def __init__(self, name: str, dtype: DTypeLike) -> None:
        """Start with no numbers."""
        self._dtype = np.dtype(dtype)
        self._bytes = bytearray()

    def append(self, values: NDArray[Any]) -> None:
        """Add numbers at the end."""
        self._bytes += np.ascontiguousarray(values, dtype=self._dtype).tobytes()

    def close(self) -> None:
        """Change nothing: the numbers are where they are read."""

    def read(self) -> NDArray[Any]:
        """Return all numbers, read-only."""
        found: NDArray[Any] = np.frombuffer(self._bytes, dtype=self._dtype)
        found.flags.writeable = False
        return found


class FileColumn:
    """A column in a .npy file (format 1.0, little-endian): the same numbers, the same bytes."""

    def __init__(self, path: Path, dtype: DTypeLike) -> None:
        """Create the file, which must not exist."""
        self._path = path
        self._dtype = np.dtype(dtype).newbyteorder("<")
        self._count = 0
        self._file = open(path, "xb")
        self._header()
        self._start = self._file.tell()

    def append(self, values: NDArray[Any]) -> None:
        """Add numbers at the end."""
        self._file.write(np.ascontiguousarray(values, dtype=self._dtype).tobytes())
        self._count += len(values)

    def close(self) -> None:
        """Write how many numbers there are."""
        if self._file.closed:
            return
        self._file.seek(0)
        self._header()
        # NumPy leaves room in the header for every length, so that a file can grow.
        if self._file.tell() != self._start:
            raise RuntimeError("the header of a .npy file changed its size")
        self._file.close()

    def read(self) -> NDArray[Any]:
        """Return all numbers, read-only, from the file."""
        return MappedColumn(self._path).values

    def _header(self) -> None:
        described = {
            "descr": npy.dtype_to_descr(self._dtype),
            "fortran_order": False,
            "shape": (self._count,),
        }
        npy.write_array_header_1_0(self._file, described)


class MappedColumn:
    """The numbers of a .npy file, mapped into memory and read-only."""

    def __init__(self, path: Path) -> None:
        """Map the file; raise ValueError where it is not one whole column of numbers."""
        with open(path, "rb") as file:
            if npy.read_magic(file) != (1, 0):
                raise ValueError("it is not of .npy format 1.0")
            shape, _, dtype = npy.read_array_header_1_0(file)
            start = file.tell()
            if dtype.hasobject or len(shape) != 1:
                raise ValueError(f"it holds {dtype} of shape {shape}, not a column of numbers")
            self._map = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        expected = start + shape[0] * dtype.itemsize
        if len(self._map) != expected:
            raise ValueError(f"it has {len(self._map)} bytes; its header says {expected}")
        self.values: NDArray[Any] = np.frombuffer(
            self._map, dtype=dtype, count=shape[0], offset=start
        )
        """All numbers."""

    def release(self) -> None:
        """Let go of the pages that were looked at; the next look reads them again."""
        # A page stays in the process's memory until it is told otherwise, so that one pass over
        # the file would end with all of it resident.
        if hasattr(self._map, "madvise"):
            self._map.madvise(mmap.MADV_DONTNEED)
