"""Folders as the library datasets saves them and as the hub lays them out; slices and names."""

import json
import os
from pathlib import Path
from typing import Any

import datasets
import pyarrow  # type: ignore[import-untyped]
import pyarrow.parquet  # type: ignore[import-untyped]
import pytest

from ablate.data.reading.files import read_rows
from ablate.data.reading.folders import split_files
from ablate.data.reading.origin import meets, origin_rows
from ablate.data.records import Dropped
from ablate.errors import AblateError, StageError, SurroundingsError
from ablate.spec.shaping import Origin

ROWS = [{"prompt": f"{n}?", "n": n} for n in range(5)]


def lines(path: Path, rows: list[Any]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def rows_of(folder: Path, **fields: Any) -> list[dict[str, Any]]:
    found = list(origin_rows(Origin(dataset="mine", location=str(folder), **fields)))
    assert [number for number, _ in found] == list(range(1, len(found) + 1))
    return [row for _, row in found]


def test_a_saved_data_set_is_read_with_all_its_files(tmp_path: Path) -> None:
    datasets.Dataset.from_list(ROWS).save_to_disk(tmp_path / "a", num_shards=2)
    assert len(list((tmp_path / "a").glob("*.arrow"))) == 2
    assert rows_of(tmp_path / "a") == ROWS
    first = next(iter(sorted((tmp_path / "a").glob("*.arrow"))))
    assert [row for _, row in read_rows(first)] == ROWS[:3]


def test_a_saved_dictionary_of_splits_gives_the_one_asked_for(tmp_path: Path) -> None:
    parts = {name: datasets.Dataset.from_list(ROWS[:size]) for name, size in (("a", 1), ("b", 2))}
    datasets.DatasetDict(parts).save_to_disk(tmp_path)
    assert rows_of(tmp_path, split="b") == ROWS[:2]
    with pytest.raises(SurroundingsError, match="no split 'train'; found a, b. Set split"):
        rows_of(tmp_path)


@pytest.mark.parametrize("name", ["../secret.arrow", "/etc/passwd", "link.arrow"])
def test_a_saved_data_set_cannot_name_files_outside_its_folder(tmp_path: Path, name: str) -> None:
    folder = tmp_path / "a"
    datasets.Dataset.from_list(ROWS).save_to_disk(folder)
    (folder / "data-00000-of-00001.arrow").rename(tmp_path / "secret.arrow")
    (folder / "link.arrow").symlink_to(tmp_path / "secret.arrow")
    (folder / "state.json").write_text(json.dumps({"_data_files": [{"filename": name}]}))
    with pytest.raises(StageError, match="is outside the folder, where no file is read"):
        rows_of(folder)


LAYOUTS: list[tuple[list[str], str, list[str]]] = [
    (["train.jsonl", "test.jsonl"], "train", ["train.jsonl"]),
    (["train.jsonl", "test.jsonl"], "test", ["test.jsonl"]),
    (["data/train-00000-of-00002.jsonl", "data/train-00001-of-00002.jsonl"], "train", ["*"]),
    (
        ["data/train_prefs-00000-of-00001.jsonl", "data/train_sft-00000-of-00001.jsonl"],
        "train_sft",
        ["data/train_sft-00000-of-00001.jsonl"],
    ),
    (["gsm_train.jsonl", "gsm_test.jsonl"], "train", ["gsm_train.jsonl"]),
    (["dev/a.jsonl", "training/a.jsonl"], "validation", ["dev/a.jsonl"]),
    (["harmless/train.jsonl", "helpful/train.jsonl"], "train", ["*"]),
    (["a.jsonl", "b.jsonl"], "train", ["*"]),
    (["extra/a.jsonl", "b.jsonl"], "extra", ["extra/a.jsonl"]),
]


@pytest.mark.parametrize(("names", "split", "expected"), LAYOUTS)
def test_a_split_is_found_by_the_names_of_files(
    tmp_path: Path, names: list[str], split: str, expected: list[str]
) -> None:
    for name in names:
        lines(tmp_path / name, ROWS)
    (tmp_path / "README.md").write_text("# Rows\n")
    (tmp_path / "dataset_infos.json").write_text("{}")
    found = split_files(tmp_path, subset=None, split=split)
    wanted = names if expected == ["*"] else expected
    assert [path.relative_to(tmp_path).as_posix() for path in found] == sorted(wanted)


@pytest.mark.parametrize(
    ("names", "split", "found"),
    [
        (["train.jsonl", "test.jsonl"], "dev", "found test.jsonl, train.jsonl"),
        (["test.jsonl"], "train", "found test.jsonl"),
        (["data/train_sft-00000-of-00001.jsonl"], "train", "found train_sft"),
    ],
)
def test_a_split_that_is_not_there_is_named(
    tmp_path: Path, names: list[str], split: str, found: str
) -> None:
    for name in names:
        lines(tmp_path / name, ROWS)
    with pytest.raises(SurroundingsError, match=f"there is no split '{split}'; {found}. Set split"):
        split_files(tmp_path, subset=None, split=split)


def test_a_subset_is_a_folder_or_a_configuration(tmp_path: Path) -> None:
    lines(tmp_path / "harmless" / "train.jsonl", ROWS[:1])
    lines(tmp_path / "helpful" / "train.jsonl", ROWS[1:])
    assert rows_of(tmp_path, subset="harmless") == ROWS[:1]
    assert rows_of(tmp_path) == ROWS
    (tmp_path / "README.md").write_text(
        "---\nconfigs:\n"
        "- config_name: kind\n  data_files: helpful/*.jsonl\n"
        "- config_name: all\n  data_files:\n"
        "  - {split: train, path: [harmless/train.jsonl, helpful/train.jsonl]}\n"
        "  - {split: test, path: helpful/train.jsonl}\n---\nText\n"
    )
    assert rows_of(tmp_path, subset="kind") == ROWS[1:]
    assert rows_of(tmp_path, subset="all") == ROWS
    assert rows_of(tmp_path, subset="all", split="test") == ROWS[1:]
    with pytest.raises(SurroundingsError, match="the configurations are kind, all; none is named"):
        rows_of(tmp_path)
    with pytest.raises(SurroundingsError, match="'al' is not one of them. Did you mean 'all'"):
        rows_of(tmp_path, subset="al")
    with pytest.raises(SurroundingsError, match="no split 'dev'; found train, test"):
        rows_of(tmp_path, subset="all", split="dev")


README = "---\nconfigs:\n- config_name: a\n  data_files: {}\n---\n"


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (README.format("../b.jsonl"), "is outside the folder"),
        (README.format("/etc/*.json"), "is outside the folder"),
        (README.format("link.jsonl"), "is outside the folder"),
        (README.format("https://host/a.jsonl"), "is an address; a file is needed"),
        (README.format("c.jsonl"), "matches no file of rows"),
        (README.format("3"), "'data_files' is int"),
        (README.format("[{split: train}]"), "an entry without a path"),
        (README.format("[{split: [a], path: b.jsonl}]"), "a split that is list"),
        ("---\na: [\n---\n", "its front matter is no valid YAML"),
        ("---\na: " + "[" * 2000 + "\n---\n", "its front matter is no valid YAML"),
    ],
)
def test_a_readme_cannot_lead_out_of_its_folder(tmp_path: Path, text: str, reason: str) -> None:
    lines(tmp_path / "b.jsonl", ROWS)
    lines(tmp_path / "a" / "train.jsonl", ROWS)
    (tmp_path / "a" / "link.jsonl").symlink_to(tmp_path / "b.jsonl")
    (tmp_path / "a" / "README.md").write_text(text)
    with pytest.raises(StageError, match=reason):
        rows_of(tmp_path / "a")


def test_a_readme_that_would_spell_out_a_thousand_million_names_does_not(tmp_path: Path) -> None:
    """Each of nine lists holds the one before ten times: 10 ** 9 texts, were they written out."""
    levels = [f"x{n}: &x{n} [{', '.join([f'*x{n - 1}'] * 10)}]" for n in range(1, 10)]
    bomb = "\n".join(["x0: &x0 name", *levels])
    text = f"---\n{bomb}\nconfigs:\n- config_name: *x9\n- config_name: a\n  data_files: '**'\n---\n"
    lines(tmp_path / "deep" / "er" / "rows.jsonl", ROWS)
    (tmp_path / "README.md").write_text(text)
    assert rows_of(tmp_path) == ROWS


def test_a_snapshot_of_the_hubs_cache_links_to_its_blobs(tmp_path: Path) -> None:
    lines(tmp_path / "blobs" / "0a1b", ROWS)
    snapshot = tmp_path / "snapshots" / "c0ffee"
    snapshot.mkdir(parents=True)
    (snapshot / "train.jsonl").symlink_to(Path("..", "..", "blobs", "0a1b"))
    assert rows_of(snapshot) == ROWS


def test_names_from_files_move_no_cursor(tmp_path: Path) -> None:
    """ESC [ 2 J clears a terminal and U+202E turns what follows; an error spells them out."""
    cursed = "\x1b[2J\u202e"
    described = json.dumps({"splits": [cursed]})
    readme = f"---\nconfigs:\n- config_name: {json.dumps(cursed)}\n- config_name: b\n---\n"
    for name, text in (("dataset_dict.json", described), ("README.md", readme)):
        (tmp_path / name).write_text(text)
        with pytest.raises(SurroundingsError, match=r"\\x1b\[2J\\u202e") as caught:
            rows_of(tmp_path)
        assert str(caught.value).isprintable()
        (tmp_path / name).unlink()
    field = pyarrow.field("a", pyarrow.map_(pyarrow.string(), pyarrow.struct({cursed: "int8"})))
    strange = pyarrow.Table.from_pylist([], schema=pyarrow.schema([field]))
    pyarrow.parquet.write_table(strange, tmp_path / "a.parquet")
    with pytest.raises(StageError, match="has type map") as refused:
        rows_of(tmp_path)
    assert str(refused.value).isprintable()


@pytest.mark.parametrize("hidden", [".ipynb_checkpoints", "__pycache__"])
def test_what_the_hash_of_a_folder_leaves_out_is_not_read(tmp_path: Path, hidden: str) -> None:
    """Else a change of the rows would leave the fingerprint of what is made of them as it was."""
    lines(tmp_path / "train.jsonl", ROWS[:2])
    lines(tmp_path / hidden / "train-checkpoint.jsonl", ROWS)
    (tmp_path / "data").symlink_to(tmp_path / hidden)
    assert rows_of(tmp_path) == ROWS[:2]
    readme = "---\nconfigs:\n- {config_name: default, data_files: '%s'}\n---\n"
    (tmp_path / "README.md").write_text(readme % "**/*.jsonl")
    assert rows_of(tmp_path) == ROWS[:2]
    (tmp_path / "README.md").write_text(readme % "data/*.jsonl")
    with pytest.raises(StageError, match="is hidden, where no file is read"):
        rows_of(tmp_path)


def test_the_script_of_a_data_set_never_runs(tmp_path: Path) -> None:
    folder, marker = tmp_path / "mine", tmp_path / "marker"
    folder.mkdir()
    script = f"open({str(marker)!r}, 'w').close()\n"
    for name in ("mine.py", "__init__.py", "train.py"):
        (folder / name).write_text(script)
    with pytest.raises(SurroundingsError, match="scripts are never run"):
        rows_of(folder)
    lines(folder / "train.jsonl", ROWS)
    assert rows_of(folder) == ROWS
    assert not marker.exists()


def test_a_pipe_in_a_folder_or_in_place_of_a_file_does_not_block(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "train.jsonl")
    for path in (tmp_path, tmp_path / "train.jsonl"):
        with pytest.raises(SurroundingsError, match="it is a pipe, socket or device"):
            rows_of(path)


def test_slices_and_names_are_applied_to_the_files_columns(tmp_path: Path) -> None:
    path = lines(tmp_path / "a.jsonl", [{"text": f"{n}?", "kind": "xy"[n % 2]} for n in range(4)])
    origin = Origin(dataset="a", location=str(path), columns=(("prompt", "text"),))
    sliced = origin.model_copy(update={"where": (("kind", ("y",)),)})
    expected = [(2, {"kind": "y", "prompt": "1?"}), (4, {"kind": "y", "prompt": "3?"})]
    assert list(origin_rows(sliced)) == expected
    by_our_name = origin.model_copy(update={"where": (("prompt", ("3?",)),)})
    assert list(origin_rows(by_our_name)) == expected[1:]
    for field, name in (("where", ("kinds", ("y",))), ("columns", ("prompt", "kinds"))):
        wrong = Origin(dataset="a", location=str(path)).model_copy(update={field: (name,)})
        with pytest.raises(StageError, match="a.jsonl:1: column 'kinds' is missing; the columns"):
            list(origin_rows(wrong))


@pytest.mark.parametrize(
    ("value", "allowed", "expected"),
    [
        ("a", ("a", "b"), True),
        ("1", (1,), True),
        ("1.5", (1.5,), True),
        (1, ("1",), False),
        (True, (1,), False),
        (1, (True,), False),
        (True, (True,), True),
        ("True", (True,), True),
        (None, (None,), True),
        (["a"], ("a",), False),
        (2.0, (2,), True),
    ],
)
def test_a_value_meets_a_slice(value: Any, allowed: tuple[Any, ...], expected: bool) -> None:
    assert meets(value, allowed) is expected


def test_numbers_run_on_over_files_also_where_rows_are_skipped(tmp_path: Path) -> None:
    lines(tmp_path / "a.jsonl", [{"n": 1}, 7])
    lines(tmp_path / "b.jsonl", [8, {"n": 2}])
    origin = Origin(dataset="mine", location=str(tmp_path))
    assert list(origin_rows(origin, on_bad_row="skip")) == [
        (1, {"n": 1}),
        Dropped(2, "malformed"),
        Dropped(3, "malformed"),
        (4, {"n": 2}),
    ]
    with pytest.raises(StageError, match=r"a\.jsonl:2: found int"):
        list(origin_rows(origin))


def test_every_error_about_a_missing_place_is_ours(tmp_path: Path) -> None:
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    for place in ("nothing.jsonl", "loop", "loop/a.jsonl"):
        with pytest.raises(AblateError):
            rows_of(tmp_path / place)


def test_parquet_keeps_nested_columns(tmp_path: Path) -> None:
    rows = [{"messages": [{"role": "user", "content": "Why?"}], "n": None}]
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), tmp_path / "train.parquet")
    assert rows_of(tmp_path) == rows
