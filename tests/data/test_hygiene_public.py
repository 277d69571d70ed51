"""What is known to be wrong in public files is found there; numbers were counted by hand or by eye.

The findings between sets are described one by one in reports/data-hygiene/contamination.md.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from ablate.data.converters.table import CONVERTERS
from ablate.data.hygiene.card import Card, CardBuilder
from ablate.data.hygiene.check import Check
from ablate.data.hygiene.exposure import contamination_report
from ablate.data.reading.files import read_rows
from ablate.data.reading.layouts import LAYOUTS, Item, recognize
from ablate.data.records import Document, Dropped, user


def rows(data_dir: Path, name: str) -> Iterator[Item | Dropped]:
    (path,) = data_dir.glob(f"*/{name}.jsonl.gz")
    _, first = next(read_rows(path))
    convert = {**LAYOUTS, **CONVERTERS}[recognize(first.keys(), first)]
    return iter(convert(read_rows(path), name))


def card(data_dir: Path, name: str) -> Card:
    builder = CardBuilder(name)
    for item in rows(data_dir, name):
        builder.add(item)
    return builder.card()


def check(found: Card, name: str) -> Check:
    return next(check for check in found.checks if check.name == name)


def questions(data_dir: Path, name: str, column: str) -> list[Document]:
    (path,) = data_dir.glob(f"*/{name}.jsonl.gz")
    return [Document(str(n), user(row[column]), "any") for n, row in read_rows(path)]


def test_the_dirty_rows_of_hh_are_named(data_dir: Path) -> None:
    found = card(data_dir, "hh_harmless_base_test")

    assert (found.rows, found.dropped) == (2303, {"empty_chosen": 4, "prompts_differ": 5})
    assert check(found, "unusable rows").rows[0] == "row 87: empty_chosen"
    repeated = check(found, "repeated prompts")
    assert len(repeated.rows) == 2 and repeated.value == pytest.approx(2 / 2303)


def test_the_equal_replies_of_the_instruction_set_are_named(data_dir: Path) -> None:
    found = card(data_dir, "rasbt_instruction_preference")

    assert (found.rows, found.dropped) == (1094, {"identical_replies": 6})


def test_the_repeated_rows_of_the_demo_are_named(data_dir: Path) -> None:
    found = check(card(data_dir, "llamafactory_dpo_en_demo"), "repeated rows")

    assert (found.status, len(found.rows)) == ("warn", 5)


def test_longer_replies_are_chosen_in_open_assistant(data_dir: Path) -> None:
    assert check(card(data_dir, "oasst_en_100_pairs"), "length bias").status == "warn"


def test_open_assistant_holds_prompts_of_alpaca_eval(data_dir: Path) -> None:
    training = [
        item for item in rows(data_dir, "oasst_en_100_pairs") if not isinstance(item, Dropped)
    ]
    suites = {
        "alpaca_eval": questions(data_dir, "alpaca_eval_prompts", "instruction"),
        "gsm8k": questions(data_dir, "gsm8k_test", "question"),
    }

    alpaca, gsm8k = contamination_report({"oasst": training}, suites)

    assert sorted(alpaca.best, key=int) == ["338", "352", "357", "377", "468", "471"]
    assert alpaca.count("exact") == 6 and alpaca.rows == 35
    assert not gsm8k.best
