"""The page of data sets and the registry say the same, and both name converters that exist."""

import re
from pathlib import Path

import pytest

from ablate.data.converters.table import CONVERTERS
from ablate.data.reading.layouts import LAYOUTS
from ablate.spec.registry import DatasetEntry, PromptsEntry, registry

PAGE = (Path(__file__).parents[2] / "docs" / "datasets.md").read_text(encoding="utf-8")
COLUMNS = ["name", "group", "rows", "licence", "labeller", "from", "layout"]
ENTRIES: dict[str, DatasetEntry | PromptsEntry] = {
    **{f"data set {name}": entry for name, entry in registry().datasets.items()},
    **{f"prompt set {name}": entry for name, entry in registry().prompts.items()},
}
READ = {
    key: entry
    for key, entry in ENTRIES.items()
    if entry.data is not None or entry.hub is not None or getattr(entry, "mix", ())
}
"""Entries that are not generated."""


def tables(first: str) -> list[list[str]]:
    """Return the rows of every table of the page whose first column is called so."""
    found: list[list[str]] = []
    for block in re.findall(r"(?:^\|.*\n)+", PAGE, re.MULTILINE):
        lines = [
            [cell.strip() for cell in line.strip("|\n ").split(" | ")]
            for line in block.splitlines()
        ]
        if lines[0][0] == first:
            found += lines[2:]
    return found


def row_of(name: str, entry: DatasetEntry | PromptsEntry) -> list[str]:
    """Return what the page should say of an entry."""
    source = "mixture"
    if entry.hub is not None:
        source = f"`{entry.hub.id}`"
        source += f", `{entry.hub.split}`" if entry.hub.split != "train" else ""
    elif entry.data is not None:
        source = f"`{Path(entry.data.file).name}`"
    layout = entry.layout or (entry.data.format if entry.data is not None else "")
    return [
        f"`{name}`",
        getattr(entry, "group", ""),
        f"{entry.rows:,}" if entry.rows else "",
        entry.license or (entry.data.license if entry.data is not None else ""),
        getattr(entry, "labeller", ""),
        source,
        f"`{layout}`" if layout else "",
    ]


def test_the_page_has_a_row_for_every_entry_that_is_read() -> None:
    shown = [(row + [""] * len(COLUMNS))[: len(COLUMNS)] for row in tables("name")]
    assert sorted(shown) == sorted(row_of(key.split()[2], entry) for key, entry in READ.items())


def test_the_page_has_a_row_for_every_converter() -> None:
    assert sorted(row[0] for row in tables("layout")) == sorted(f"`{name}`" for name in CONVERTERS)


@pytest.mark.parametrize("key", READ)
def test_an_entry_names_a_layout_that_exists_and_its_terms(key: str) -> None:
    entry = READ[key]
    layout = entry.layout or (entry.data.format if entry.data is not None else None)
    assert layout is None or layout in CONVERTERS or layout in LAYOUTS
    assert (layout is None) == bool(getattr(entry, "mix", ()))
    assert entry.rows
    assert entry.license or (entry.data is not None and entry.data.license)
    if entry.data is not None and entry.layout is not None:
        assert entry.layout == entry.data.format


def test_every_hub_revision_is_a_whole_commit() -> None:
    revisions = {
        entry.hub.id: entry.hub.revision for entry in READ.values() if entry.hub is not None
    }
    assert all(r is None or re.fullmatch("[0-9a-f]{40}", r) for r in revisions.values())
    assert {id_ for id_, revision in revisions.items() if revision is None} == {
        "openai/prm800k",
        "lmsys/chatbot_arena_conversations",
        "lmsys/lmsys-arena-human-preference-55k",
        "tatsu-lab/alpaca_farm",
    }


def test_the_fourteen_sets_have_the_sizes_and_groups_of_table_1() -> None:
    table = {
        "Web": {"shp-2": 500_000, "stack-exchange": 500_000},
        "Human": {
            "prm800k": 6_949,
            "chatbot-arena-2023": 20_465,
            "chatbot-arena-2024": 34_269,
            "alpaca-farm-human": 9_686,
            "capybara": 7_563,
            "hh-rlhf": 158_530,
            "helpsteer": 9_270,
        },
        "Synthetic": {
            "alpaca-farm-gpt4": 19_465,
            "orca-pairs": 12_859,
            "nectar": 180_099,
            "ultrafeedback-overall": 60_908,
            "ultrafeedback-fine": 60_908,
        },
    }
    known = registry().datasets
    found = {g: {name: known[name].rows for name in sets} for g, sets in table.items()}
    assert found == table
    assert all(known[name].group == group for group, sets in table.items() for name in sets)


def test_the_released_splits_add_up_to_the_published_total() -> None:
    rows = [e.rows for name, e in registry().datasets.items() if name.startswith("tulu25-")]
    assert (len(rows), sum(row or 0 for row in rows)) == (28, 2_122_287)


def test_the_mixture_of_table_6_has_its_parts_and_its_size() -> None:
    known = registry().datasets
    rows = {part.dataset: known[part.dataset].rows or 0 for part in known["rm-mixture"].mix}
    # Four sets of 60,908, HelpSteer and PRM800K.
    assert sorted(rows.values()) == [6_949, 9_270, 60_908, 60_908, 60_908, 60_908]
    assert sum(rows.values()) == known["rm-mixture"].rows == 259_851
