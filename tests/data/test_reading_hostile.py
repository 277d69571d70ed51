"""Hostile files: refused or skipped with a count, in bounded memory, and nothing in them runs.

Memory is measured in a process of its own, as the growth of its peak while a file is read. A row
has 16 MiB of text at most; with four bytes a character, cut and parsed, it stays below 200 MiB.
"""

import gzip
import io
import json
import pickle
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow  # type: ignore[import-untyped]
import pyarrow.parquet  # type: ignore[import-untyped]
import pytest

from ablate.data.reading.files import read_rows
from ablate.data.reading.json_rows import json_rows
from ablate.data.reading.limits import LIMITS
from ablate.data.reading.memory import headroom
from ablate.data.records import Dropped
from ablate.errors import AblateError, StageError, SurroundingsError

MOST_GROWN = 200 * 2**20
CHILD = """
import json, sys
from pathlib import Path
from ablate.data.reading.files import read_rows
from ablate.data.reading.json_rows import json_rows
from ablate.data.reading.limits import LIMITS
from ablate.data.reading.memory import headroom
from ablate.data.records import Dropped
from ablate.errors import AblateError
path, policy, heavy = sys.argv[1:]
if heavy:
    import pyarrow.parquet
def peak():
    lines = Path("/proc/self/status").read_text().splitlines()
    return 1024 * next(int(line.split()[1]) for line in lines if line.startswith("VmHWM"))
before, rows, dropped, error, kind = peak(), 0, 0, "", ""
try:
    for row in read_rows(Path(path), on_bad_row=policy):
        rows, dropped = rows + 1, dropped + isinstance(row, Dropped)
except AblateError as caught:
    error, kind = str(caught), getattr(caught, "kind", "surroundings")
print(json.dumps([rows, dropped, error, kind, peak() - before]))
"""
on_linux = pytest.mark.skipif(sys.platform != "linux", reason="peak memory is read from /proc")


def read_apart(path: Path, policy: str = "refuse") -> tuple[int, int, str, str, int]:
    """Return rows, dropped ones among them, the error and its kind, and the growth of memory."""
    heavy = "yes" if path.suffix in (".parquet", ".arrow") else ""
    command = [sys.executable, "-c", CHILD, str(path), policy, heavy]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    rows, dropped, error, kind, grown = json.loads(done.stdout)
    return rows, dropped, error, kind, grown


def bomb(path: Path, start: bytes, filling: bytes, *, size: int, end: bytes = b"") -> Path:
    """Write gzip of ``size`` bytes of a filling, by one member again and again."""
    unit = filling * (2**24 // len(filling))
    member = gzip.compress(unit, 1)
    with open(path, "wb") as file:
        file.write(gzip.compress(start))
        for _ in range(size // len(unit)):
            file.write(member)
        file.write(gzip.compress(end))
    return path


GB2 = 2**31
LONG = [
    ("a.jsonl.gz", b'{"a": 1}\n{"a": "', b"x", 2, "the row is longer than 16777216 bytes"),
    ("a.jsonl.gz", b'{"a": 1}\n', b" ", 2, "the row is longer than"),
    ("a.json.gz", b'[{"a": 1}, {"a": "', b"x", 2, "the row is longer than"),
    ("a.json.gz", b'[{"a": 1}, {"a": "', "🎈".encode(), 2, "the row is longer than"),
    ("a.json.gz", b'[{"a": 1}, ', b"9", 2, "the row is longer than|not valid JSON"),
    ("a.csv.gz", b'a\n1\n"', b"x", 2, "the row is longer than"),
    ("a.csv.gz", b'a\n1\n"', b"x" * 999 + b"\n", 2, "the row is longer than"),
    ("a.csv.gz", b'a\n1\n"', b'""', 2, "the row is longer than"),
    ("a.csv.gz", b"", b"x", 1, "the header is not valid CSV"),
]


@on_linux
@pytest.mark.parametrize(("name", "start", "filling", "row", "reason"), LONG)
def test_a_row_of_2_gb_is_refused_in_bounded_memory(
    tmp_path: Path, name: str, start: bytes, filling: bytes, row: int, reason: str
) -> None:
    path = bomb(tmp_path / name, start, filling, size=GB2)
    assert path.stat().st_size < 2**24
    rows, _, error, kind, grown = read_apart(path)
    assert rows == row - 1 and kind == "bad_data"
    assert error.startswith(f"{path}:{row}: ")
    assert any(part in error for part in reason.split("|"))
    assert grown < MOST_GROWN


@on_linux
def test_a_line_of_256_mb_is_skipped_with_a_count(tmp_path: Path) -> None:
    end = b'"}\n{"a": 3}\n'
    path = bomb(tmp_path / "a.jsonl.gz", b'{"a": 1}\n{"a": "', b"x", size=2**28, end=end)
    rows, dropped, error, _, grown = read_apart(path, "skip")
    assert (rows, dropped, error) == (3, 1, "")
    assert grown < MOST_GROWN


@on_linux
def test_a_sparse_file_of_zeros_after_some_text_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_bytes(b'{"a": 1}\n' * 1000)
    with open(path, "ab") as file:
        file.truncate(GB2)
    rows, _, error, _, grown = read_apart(path)
    assert rows == 1000 and "a.jsonl:1001: the row is longer than" in error
    assert grown < MOST_GROWN


def array_of(row: str) -> str:
    return f'[{{"a": 1}}, {row}]'


AMPLIFIED = [
    '{"a": [' + "[]," * 5_000_000 + "[]]}",
    '{"a": [' + "{}," * 5_000_000 + "{}]}",
    '{"a": [' + '"",' * 5_000_000 + '""]}',
    '{"a": [' + '"\\\\",' * 3_000_000 + '""]}',
    "{" + ",".join(f'"{n}":0' for n in range(1_000_000)) + "}",
]


@on_linux
@pytest.mark.parametrize("row", AMPLIFIED, ids=["lists", "objects", "texts", "escapes", "columns"])
@pytest.mark.parametrize("name", ["a.jsonl", "a.json"])
def test_a_short_row_of_millions_of_values_is_refused_before_it_is_parsed(
    tmp_path: Path, name: str, row: str
) -> None:
    path = tmp_path / name
    path.write_text(array_of(row) if name == "a.json" else f'{{"a": 1}}\n{row}\n')
    rows, _, error, kind, grown = read_apart(path)
    assert (rows, kind) == (1, "bad_data")
    assert f"{name}:2: the row holds more than 262144 values" in error
    assert grown < MOST_GROWN


@on_linux
def test_an_array_of_100_mb_is_read_piece_by_piece(tmp_path: Path) -> None:
    """100,000 rows of 1,000 characters; the smallest piece of it that could be held is 16 MiB."""
    unit = b'{"a": "' + b"x" * 1000 + b'"},'
    path = tmp_path / "a.json"
    with open(path, "wb") as file:
        file.write(b"[")
        for _ in range(100):
            file.write(unit * 1000)
        file.write(b'{"a": ""}]')
    rows, _, error, _, grown = read_apart(path)
    assert (rows, error) == (100_001, "")
    assert grown < 2**24


def test_text_with_many_commas_is_no_row_of_many_values(tmp_path: Path) -> None:
    text = 'a, [b], {c} "quoted\\" ' * 30_000
    row = {"a": text, "b": [text]}
    (tmp_path / "a.jsonl").write_text(json.dumps(row) + "\n")
    (tmp_path / "a.json").write_text(json.dumps([row, row]))
    assert list(read_rows(tmp_path / "a.jsonl")) == [(1, row)]
    assert list(read_rows(tmp_path / "a.json")) == [(1, row), (2, row)]


ARRAYS: list[list[Any]] = [
    [],
    [{}],
    [{"a": "x" * n} for n in range(0, 70_000, 997)],
    [{"a": n, "b": [None, True, {"c": 'é🎈\u2028\\"'}]} for n in range(3000)],
    [{"a": "x" * 200_000}, {"a": 1}, {"a": "\\" * 99_999}, {"b": "é" * 150_001}],
]


@pytest.mark.parametrize("indent", [None, 2])
@pytest.mark.parametrize("rows", ARRAYS, ids=range(len(ARRAYS)))
def test_an_array_cut_at_any_place_gives_its_rows(
    tmp_path: Path, rows: list[Any], indent: int | None
) -> None:
    path = tmp_path / "a.json"
    path.write_text("\ufeff \n" + json.dumps(rows, indent=indent, ensure_ascii=False) + "\n\n")
    assert list(read_rows(path)) == list(enumerate(rows, 1))


class Dribble(io.BufferedReader):
    """A file that gives a few bytes at a time, however many are asked for."""

    def __init__(self, data: bytes, step: int) -> None:
        super().__init__(io.BytesIO(data))
        self.step = step

    def read(self, size: int | None = -1, /) -> bytes:
        return super().read(self.step)


@pytest.mark.parametrize("step", [1, 2, 3, 7])
def test_an_array_that_comes_in_small_pieces_gives_its_rows(step: int) -> None:
    rows = [{"a": -12.5e-3, "b": [True, None, {"c": 'é🎈\u2028\\"'}], "d": n} for n in range(9)]
    text = json.dumps(rows, ensure_ascii=False) + "\n"
    escaped = json.dumps(rows)
    for data in (text.encode(), escaped.encode()):
        assert list(json_rows(Dribble(data, step), LIMITS)) == list(enumerate(rows, 1))


@on_linux
@pytest.mark.parametrize(("name", "start"), [("a.jsonl.gz", b""), ("a.csv.gz", b"a\n")])
def test_a_file_of_empty_lines_is_given_up(tmp_path: Path, name: str, start: bytes) -> None:
    path = bomb(tmp_path / name, start, b"\n", size=GB2)
    rows, _, error, _, grown = read_apart(path)
    assert rows == 0 and "more than 1048576 empty lines follow each other" in error
    assert grown < MOST_GROWN


@pytest.mark.parametrize(
    ("text", "row", "reason"),
    [
        ('[{"a": 1} {"a": 2}]', 1, "'{' after the row; ',' or ']' ends it"),
        ('[{"a": 1}', 1, "the array does not end"),
        ('[{"a": 1}\n', 1, "the end of the file after the row"),
        ('[{"a": 1},', 2, "not valid JSON"),
        ('[{"a": 1},]', 2, "not valid JSON"),
        ('[{"a": 1}] x', 2, "there is more after the array's ']'"),
        ('[{"a": tru}, ' + '{"a": 1},' * 20_000, 1, "not valid JSON"),
        ("[" * 100_000, 1, "not valid JSON (maximum recursion depth"),
        ('[{"a":' + "[" * 100_000, 1, "not valid JSON (maximum recursion depth"),
        ('[{"a": ' + "9" * 1_000_000 + "}]", 1, "not valid JSON (Exceeds the limit"),
    ],
)
def test_a_broken_array_is_named_with_its_row(
    tmp_path: Path, text: str, row: int, reason: str
) -> None:
    path = tmp_path / "a.json"
    path.write_text(text)
    for policy in ("refuse", "skip"):
        with pytest.raises(StageError) as caught:
            list(read_rows(path, on_bad_row=policy))
        assert str(caught.value).startswith(f"{path}:{row}: ") and reason in str(caught.value)


GOOD = '{"a": 1}'
BAD_ROWS = [
    '{"a": ' + "[" * 100_000,
    '{"a": ' + "9" * 1_000_000 + "}",
    '{"a": 1, "a": 2}',
    '{"a": {"b": 1, "b": 2}}',
    '{"a": "\x00"}',
    "7",
    "null",
    "{'a': 1}",
]


@pytest.mark.parametrize("bad", BAD_ROWS, ids=range(len(BAD_ROWS)))
def test_a_malformed_row_is_refused_by_number_or_skipped(tmp_path: Path, bad: str) -> None:
    path = tmp_path / "a.jsonl"
    # The sniffed beginning is text, as in a file with one bad row in a million.
    path.write_text(f"{GOOD}\n" * 1000 + f"{bad}\n{GOOD}\n")
    with pytest.raises(StageError, match=r"a\.jsonl:1001: "):
        list(read_rows(path))
    found = list(read_rows(path, on_bad_row="skip"))
    assert found[1000:] == [Dropped(1001, "malformed"), (1002, {"a": 1})]


def test_a_long_fraction_and_numbers_beyond_the_largest_are_no_crash(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text('{"a": 0.' + "1" * 1_000_000 + '}\n{"a": NaN, "b": -Infinity, "c": 1e999}\n')
    (_, first), (_, second) = read_rows(path)
    assert first["a"] == pytest.approx(1 / 9)
    assert second["a"] != second["a"] and second["c"] == float("inf") == -second["b"]


ENCODED = [
    ("utf-16", "UTF-16"),
    ("utf-16-le", "NUL bytes"),
    ("utf-32", "UTF-16 or UTF-32"),
]


@pytest.mark.parametrize("name", ["a.jsonl", "a.json", "a.csv", "a.jsonl.gz"])
@pytest.mark.parametrize(("encoding", "found"), ENCODED)
def test_text_in_wide_characters_is_refused(
    tmp_path: Path, name: str, encoding: str, found: str
) -> None:
    data = f"[{GOOD}]\n".encode(encoding)
    (tmp_path / name).write_bytes(gzip.compress(data) if name.endswith("gz") else data)
    with pytest.raises(SurroundingsError, match=f"{name}: .*found {found}.* in UTF-8 is needed"):
        list(read_rows(tmp_path / name))


@pytest.mark.parametrize(
    ("name", "good", "bad"),
    [("a.jsonl", b'{"a": "e"}\n', b'{"a": "\xe9"}\n'), ("a.csv", b"e\n", b"\xe9\n")],
)
def test_a_row_in_latin_1_is_named_or_skipped(
    tmp_path: Path, name: str, good: bytes, bad: bytes
) -> None:
    path = tmp_path / name
    path.write_bytes((b"a\n" if name == "a.csv" else b"") + good + bad + good)
    with pytest.raises(StageError, match=rf"{name}:2: .*byte 0xe9 at place \d+ .* is not UTF-8"):
        list(read_rows(path))
    assert list(read_rows(path, on_bad_row="skip")) == [
        (1, {"a": "e"}),
        Dropped(2, "malformed"),
        (3, {"a": "e"}),
    ]


def test_an_array_in_latin_1_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_bytes(b'[{"a": "\xe9"}]')
    with pytest.raises(StageError, match=r"a\.json:1: the text is not UTF-8"):
        list(read_rows(tmp_path / "a.json"))


class Evil:
    """Unpickling this writes a file."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return exec, (f"open({str(self.marker)!r}, 'w').close()",)


@pytest.mark.parametrize("name", ["a.jsonl", "a.json", "a.csv", "a.parquet", "a.arrow"])
@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_a_pickle_with_another_ending_is_never_opened(
    tmp_path: Path, name: str, protocol: int
) -> None:
    marker, path = tmp_path / "marker", tmp_path / name
    path.write_bytes(pickle.dumps(Evil(marker), protocol) + b"\n" * 9)
    if name == "a.csv" and protocol == 0:
        list(read_rows(path, on_bad_row="skip"))  # It is text, and so a header.
    else:
        with pytest.raises(AblateError, match="which is never opened|NUL bytes|not valid"):
            list(read_rows(path))
    assert not marker.exists()


@pytest.mark.parametrize(
    ("data", "found"),
    [(gzip.compress(b"{}"), "gzip data; add .gz"), (b"PK\x03\x04...", "a zip archive")],
)
def test_other_formats_behind_an_ending_of_text_are_named(
    tmp_path: Path, data: bytes, found: str
) -> None:
    (tmp_path / "a.jsonl").write_bytes(data)
    with pytest.raises(SurroundingsError, match=f"found {found}"):
        list(read_rows(tmp_path / "a.jsonl"))


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


def write_arrow(path: Path, table: Any) -> Path:
    with pyarrow.OSFile(str(path), "wb") as file, pyarrow.ipc.new_stream(file, table.schema) as out:
        out.write_table(table)
    return path


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
def test_a_million_columns_of_csv_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text(",".join(map(str, range(1_000_000))) + "\n")
    _, _, error, _, grown = read_apart(path)
    assert "the header is too long: 1000000 columns found; at most 4096 are taken" in error
    assert grown < MOST_GROWN


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
