"""Reading item scores: equal to what plain JSON gives, in one process and in several."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ablate.errors import SurroundingsError
from ablate.reporting.arms import arm_of
from ablate.reporting.artifacts import Items, ItemTable, MetricRow
from ablate.reporting.item_files import ItemReader, read_table
from ablate.reporting.item_pool import read_tables
from ablate.reporting.records import StudyRecord

LINE: dict[str, Any] = {
    "task": "t",
    "category": "c",
    "doc_id": 1,
    "doc_hash": "h",
    "prompt_hash": "p",
    "mode": "main",
    "sample": 0,
    "scores": {"acc": 1},
}


def written(path: Path, lines: Sequence[Mapping[str, Any] | str]) -> Path:
    texts = [line if isinstance(line, str) else json.dumps(line) + "\n" for line in lines]
    path.write_text("".join(texts), encoding="utf-8")
    return path


def line(doc: object = 1, score: object = 1, **changes: Any) -> dict[str, Any]:
    return {**LINE, "doc_id": doc, "scores": {"acc": score}, **changes}


def items(table: ItemTable) -> Items:
    return table.scores["main", "acc"]["c", "t"]


def plainly(path: Path) -> dict[tuple[str, ...], float]:
    """Every item's mean by mode, score, stratum and key, from json and a dictionary of lists."""
    found: dict[tuple[str, ...], list[float]] = {}
    for text in path.read_text(encoding="utf-8").splitlines():
        one = json.loads(text)
        for name, value in one["scores"].items():
            key = f"{one['doc_hash']}/{one['doc_id']}"
            found.setdefault((one["mode"], name, one["category"], one["task"], key), []).append(
                value
            )
    return {key: math.fsum(values) / len(values) for key, values in found.items()}


def flat(table: ItemTable) -> dict[tuple[str, ...], float]:
    return {
        (*kind, *stratum, key): value
        for kind, by_stratum in table.scores.items()
        for stratum, named in by_stratum.items()
        for key, value in zip(named.keys, named.values.tolist(), strict=True)
    }


def paths_of(study: StudyRecord) -> list[Path]:
    folders = [folder for run in study.runs if (folder := run.folder("evaluation"))]
    return [folder / "samples.jsonl" for folder in folders]


@pytest.mark.parametrize("worth", [0, 1 << 40], ids=["processes", "one process"])
def test_every_item_of_a_study_is_what_plain_json_gives(
    ladder_study: StudyRecord, worth: int
) -> None:
    paths = paths_of(ladder_study)[:4]
    tables = read_tables([(path, {}) for path in paths], worth=worth)
    assert [flat(table) for table in tables] == [plainly(path) for path in paths]
    names = {id(table.scores["sampled", "acc"]["coding", "tiny_coding"].keys) for table in tables}
    assert len(names) == 1  # Held once for all runs.


def test_a_damaged_file_is_named_by_whichever_process_reads_it(tmp_path: Path) -> None:
    good, bad = tmp_path / "good", tmp_path / "bad"
    written(good, [line()])
    written(bad, [line(), "####\n", line()])
    with pytest.raises(SurroundingsError, match=r"bad: cannot be read as JSON lines .*remove"):
        read_tables([(good, {}), (bad, {})], worth=0)


def test_the_half_line_of_a_killed_writer_is_passed_over(tmp_path: Path) -> None:
    whole = json.dumps(line(2), ensure_ascii=False)
    for cut in (len(whole) - 1, 10, 1):
        path = written(tmp_path / "s", [line(1), whole[:cut]])
        assert items(read_table(path, {})).keys == ("h/1",)
    assert items(read_table(written(path, [line(1), whole]), {})).keys == ("h/1", "h/2")
    path.write_bytes(json.dumps(line(1)).encode() + b'\n{"task": "\xe2\x80')  # Half a letter too.
    assert items(read_table(path, {})).keys == ("h/1",)


def test_bytes_that_are_no_text_are_told_like_any_damage(tmp_path: Path) -> None:
    (tmp_path / "s").write_bytes(b'{"task": "\xff"}\n')
    with pytest.raises(SurroundingsError, match="cannot be read as JSON lines"):
        read_table(tmp_path / "s", {})


@pytest.mark.parametrize("score", [None, True, "1", math.nan, [1], {}])
def test_a_score_that_is_no_number_is_undefined(tmp_path: Path, score: object) -> None:
    path = written(tmp_path / "s", [line(1, score), line(2, 1)])
    values = items(read_table(path, {})).values
    assert math.isnan(values[0]) and values[1] == 1


def test_lines_without_scores_or_fields_are_no_items_and_no_crash(tmp_path: Path) -> None:
    lines = [{"task": "t"}, {**LINE, "scores": None}, {**LINE, "scores": [1]}, "[]\n", line(7)]
    assert flat(read_table(written(tmp_path / "s", lines), {})) == {
        ("main", "acc", "c", "t", "h/7"): 1.0
    }


def test_documents_with_equal_ids_are_one_item_whose_score_is_the_mean(tmp_path: Path) -> None:
    lines = [line(1, 0.1), line(1, 0.2), line(1, 0.6), line(2, 1)]
    found = items(read_table(written(tmp_path / "s", lines), {}))
    assert found.keys == ("h/1", "h/2") and found.outputs == (1, 3)
    assert found.values.tolist() == [math.fsum((0.1, 0.2, 0.6)) / 3, 1]


def test_ids_of_more_than_64_bits_stay_apart(tmp_path: Path) -> None:
    big = 2**70
    found = items(read_table(written(tmp_path / "s", [line(big, 0), line(big + 1, 1)]), {}))
    assert found.keys == (f"h/{big}", f"h/{big + 1}") and found.values.tolist() == [0, 1]


def test_a_line_of_a_megabyte_and_separators_inside_texts_are_one_line(tmp_path: Path) -> None:
    text = "\u2028\u2029\x85" + "x" * 1_000_000
    path = tmp_path / "s"
    record = line(1, 1, output=text)
    path.write_text(json.dumps(record, ensure_ascii=False) + "\n", encoding="utf-8")
    assert items(read_table(path, {})).values.tolist() == [1]


def test_other_order_and_other_prompts_are_told_apart_after_the_first_file(tmp_path: Path) -> None:
    reader = ItemReader()
    first, _ = reader.read(written(tmp_path / "a", [line(1, 0), line(2, 1)]), {})
    turned, values = reader.read(written(tmp_path / "b", [line(2, 1), line(1, 0)]), {})
    assert turned is first and values.tolist() == [0, 1]
    other, _ = reader.read(written(tmp_path / "c", [line(1, 0, prompt_hash="q"), line(2, 1)]), {})
    assert other.blocks[0].items.prompts == ("q", "p")


def test_subsets_come_from_the_field_that_is_asked_for(tmp_path: Path) -> None:
    lines = [line(n, 1, subset="ab"[n % 2], era=str(n)) for n in range(4)]
    path = written(tmp_path / "s", lines)
    assert items(read_table(path, {})).subsets == ()
    assert items(read_table(path, {"t": "subset"})).subsets == ("a", "b", "a", "b")
    assert items(read_table(path, {"t": "era"})).subsets == ("0", "1", "2", "3")
    missing = read_table(path, {"t": "nothing"})
    assert items(missing).subsets == () and missing.fields == {"t": frozenset()}


def table_of(values: Sequence[float], **fields: Any) -> dict[tuple[str, str], Items]:
    keys = tuple(map(str, range(len(values))))
    return {("c", "t"): Items(keys, keys, np.array(values, np.float64), **fields)}


ROW = MetricRow("t", "task", 0.5, 4, "higher", "fraction")


def test_declared_subsets_are_strata_whose_weighted_mean_is_the_plain_mean() -> None:
    arm = arm_of([table_of([0, 0, 1, 1], subsets=("a", "a", "b", "b"))], [ROW])
    assert arm is not None and arm.score == 0.5
    assert {name: rows.tolist() for name, rows in arm.strata.items()} == {
        "c/t/a": [[0, 0]],
        "c/t/b": [[1, 1]],
    }
    assert arm.weights == {"c/t/a": 0.5, "c/t/b": 0.5}


def test_a_cluster_that_reaches_over_subsets_keeps_the_task_whole() -> None:
    tied = {"subsets": ("a", "a", "b", "b"), "clusters": ("x", "y", "y", "z")}
    arm = arm_of([table_of([0, 0, 1, 1], **tied)], [ROW])
    assert arm is not None and list(arm.strata) == ["c/t"]
    nested = arm_of([table_of([0, 0, 1, 1], **{**tied, "clusters": ("x", "x", "z", "z")})], [ROW])
    assert nested is not None and nested.clusters == {"c/t/a": ("x", "x"), "c/t/b": ("z", "z")}


def test_items_that_do_not_give_the_stored_score_are_no_arm() -> None:
    assert arm_of([table_of([0, 0, 0, 1])], [ROW]) is None
    assert arm_of([table_of([0, math.nan, 1, 1])], [ROW]) is None


def test_a_stored_reward_is_held_to_its_own_size() -> None:
    """0.008 of a mean reward of 0.5 is another quantity; 1e8 of 1e15 is rounding."""
    assert arm_of([table_of([0, 0, 1, 1])], [replace(ROW, unit="reward", value=0.508)]) is None
    assert arm_of([table_of([0, 0, 1, 1])], [replace(ROW, unit="reward", value=0.50002)])
    huge = [replace(ROW, unit="reward", value=5.0000001e14)]
    assert arm_of([table_of([0, 0, 1e15, 1e15])], huge)
