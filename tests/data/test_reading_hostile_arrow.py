"""Parquet and Arrow files that are not what they claim to be, and files that were cut short."""

import gzip
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow  # type: ignore[import-untyped]
import pyarrow.parquet  # type: ignore[import-untyped]
import pytest
from hostile_files import MOST_GROWN, on_linux, read_apart

from ablate.data.reading.files import read_rows
from ablate.data.reading.memory import headroom
from ablate.data.records import Dropped
from ablate.errors import AblateError, StageError


def write_arrow(path: Path, table: Any) -> Path:
    with pyarrow.OSFile(str(path), "wb") as file, pyarrow.ipc.new_stream(file, table.schema) as out:
        out.write_table(table)
    return path


@pytest.mark.parametrize("cut", [10, 100, -1, -9])
@pytest.mark.parametrize("name", ["a.jsonl.gz", "a.json.gz", "a.csv.gz", "a.parquet", "a.arrow"])
def test_a_truncated_file_is_refused(tmp_path: Path, name: str, cut: int) -> None:
    rows = [{"a": str(n)} for n in range(1000)]
    whole = {"a.jsonl.gz": "\n".join(map(json.dumps, rows)), "a.json.gz": json.dumps(rows)}
    text = whole.get(name, "a\n" + "\n".join(row["a"] for row in rows))
    path = tmp_path / name
    if name == "a.parquet":
        pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), path)
    elif name == "a.arrow":
        write_arrow(path, pyarrow.Table.from_pylist(rows))
    else:
        path.write_bytes(gzip.compress(text.encode()))
    data = path.read_bytes()
    path.write_bytes(data[:cut])
    if name == "a.arrow" and cut == -1:
        return  # Nothing is lost with the last byte of the mark of its end.
    with pytest.raises(AblateError, match="not valid|the file cannot be read"):
        list(read_rows(path))


@pytest.mark.parametrize(
    "write", [write_arrow, lambda path, t: pyarrow.parquet.write_table(t, path)]
)
def test_columns_of_one_name_are_refused_in_every_format(
    tmp_path: Path, write: Callable[[Path, Any], Any]
) -> None:
    table = pyarrow.table([pyarrow.array([1]), pyarrow.array([2])], names=["a", "a"])
    path = tmp_path / ("a.arrow" if write is write_arrow else "a.parquet")
    write(path, table)
    with pytest.raises(StageError, match="column 'a' is there twice; once is needed. Rename one."):
        list(read_rows(path))
    (tmp_path / "a.csv").write_text("a,a\n1,2\n")
    with pytest.raises(StageError, match="the header names 'a' twice"):
        list(read_rows(tmp_path / "a.csv"))


@on_linux
def test_a_parquet_footer_of_a_million_columns_is_not_parsed(tmp_path: Path) -> None:
    """A column takes 20 bytes of the footer at least, so a million take more than 16 MiB."""
    path = tmp_path / "a.parquet"
    with open(path, "wb") as file:
        file.write(b"PAR1")
        file.truncate(20_000_004)
        file.seek(0, 2)
        file.write((20_000_000).to_bytes(4, "little") + b"PAR1")
    _, _, error, _, grown = read_apart(path)
    assert "its footer has 20000000 bytes, at most 16777216 are taken" in error
    assert grown < MOST_GROWN


@pytest.mark.parametrize("ending", ["arrow", "parquet"])
def test_more_columns_than_are_taken_are_refused(tmp_path: Path, ending: str) -> None:
    table = pyarrow.table({str(n): [0] for n in range(4097)})
    path = tmp_path / f"a.{ending}"
    if ending == "arrow":
        write_arrow(path, table)
    else:
        pyarrow.parquet.write_table(table, path)
    with pytest.raises(StageError, match="4097 columns found; at most 4096 are taken"):
        list(read_rows(path))


def repeated(length: int, rows: int) -> Any:
    """Return a column whose one long text is stored once."""
    return pyarrow.array(["x" * length]).dictionary_encode().take(pyarrow.array([0] * rows))


def parquet_bombs() -> Iterator[tuple[str, dict[str, Any], str]]:
    yield "texts", {"a": repeated(2**21, 5000)}, "a batch needs more than 536870912 bytes"
    yield "long", {"a": repeated(2**25, 50)}, "needs more than|longer than"
    yield "zeros", {"a": pyarrow.array([b"\0" * 2**20] * 100)}, "bytes claim to hold 10485"
    nulls = pyarrow.ListArray.from_arrays(
        pyarrow.array([0, 20_000_000]), pyarrow.nulls(20_000_000, pyarrow.int8())
    )
    yield "nulls", {"a": nulls}, "more than 262144 values"


@on_linux
@pytest.mark.parametrize(("name", "columns", "reason"), parquet_bombs(), ids=lambda v: str(v)[:6])
def test_parquet_that_grows_beyond_its_size_is_refused(
    tmp_path: Path, name: str, columns: dict[str, Any], reason: str
) -> None:
    """What a few kilobytes hold: 10 GB, rows of 32 MB, 100 MB in one column, 20 million nulls."""
    path = tmp_path / "a.parquet"
    pyarrow.parquet.write_table(
        pyarrow.table(columns),
        path,
        compression="zstd",
        store_schema=False,  # Else it says that texts are to be left as numbers of a dictionary.
        use_dictionary=name != "zeros",
    )
    assert path.stat().st_size < 2**16
    rows, _, error, kind, grown = read_apart(path)
    assert (rows, kind) == (0, "bad_data") and error.startswith(f"{path}:1: ")
    assert any(part in error for part in reason.split("|")), error
    assert grown < 2**29 + MOST_GROWN


@on_linux
def test_a_ceiling_on_memory_ends_with_its_block() -> None:
    import resource

    before = resource.getrlimit(resource.RLIMIT_AS)
    with pytest.raises(MemoryError), headroom(2**27):
        bytearray(2**28)
    assert resource.getrlimit(resource.RLIMIT_AS) == before
    assert len(bytearray(2**28)) == 2**28


@on_linux
def test_parquet_whose_texts_are_stored_once_is_read_in_small_pieces(tmp_path: Path) -> None:
    """A thousand rows of 1 MiB, of which one is held with its copy."""
    path = tmp_path / "a.parquet"
    pyarrow.parquet.write_table(pyarrow.table({"a": repeated(2**20, 1000)}), path)
    rows, _, error, _, grown = read_apart(path)
    assert (rows, error) == (1000, "")
    assert grown < MOST_GROWN


@on_linux
def test_arrow_that_is_stored_once_and_repeated_is_refused_before_it_is_spelled_out(
    tmp_path: Path,
) -> None:
    path = write_arrow(tmp_path / "a.arrow", pyarrow.table({"a": repeated(2**25, 100_000)}))
    rows, _, error, _, grown = read_apart(path)
    assert rows == 0 and "a.arrow:1: the row is longer than 16777216 bytes" in error
    assert grown < MOST_GROWN


def test_arrow_with_offsets_beyond_its_data_is_refused(tmp_path: Path) -> None:
    path = write_arrow(tmp_path / "a.arrow", pyarrow.table({"a": ["one", "two", "three"]}))
    data = path.read_bytes()
    offsets = b"".join(n.to_bytes(4, "little") for n in (0, 3, 6, 11))
    assert data.count(offsets) == 1
    wrong = b"".join(n.to_bytes(4, "little") for n in (0, 3, 6, 2**30))
    path.write_bytes(data.replace(offsets, wrong))
    with pytest.raises(StageError, match=r"a\.arrow:1: not valid Arrow"):
        list(read_rows(path))


def test_types_that_are_no_rows_of_text_are_refused(tmp_path: Path) -> None:
    ends = pyarrow.RunEndEncodedArray.from_arrays(pyarrow.array([2**30], pyarrow.int32()), ["x"])
    path = write_arrow(tmp_path / "a.arrow", pyarrow.table({"a": ends.slice(0, 5)}))
    with pytest.raises(StageError, match="column 'a' has type run_end_encoded"):
        list(read_rows(path))


def test_a_date_that_python_cannot_hold_is_one_malformed_row(tmp_path: Path) -> None:
    dates = pyarrow.array([0, 2**60, 1], pyarrow.int64()).cast(pyarrow.timestamp("s"))
    path = write_arrow(tmp_path / "a.arrow", pyarrow.table({"a": dates}))
    with pytest.raises(StageError, match=r"a\.arrow:2: a value cannot be read"):
        list(read_rows(path))
    found = list(read_rows(path, on_bad_row="skip"))
    assert found[1] == Dropped(2, "malformed") and len(found) == 3
