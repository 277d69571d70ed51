"""The sample browser in Chromium: counts of all items, links, keys, and hostile text."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from scipy.stats import binomtest

from ablate.reporting.records import StudyRecord
from ablate.reporting.sections import effects, samples, sight

from .builders import CATEGORIES, Fake, Size, study_of, write_lines
from .chromium import CHROMIUM, Chromium, browser
from .page_builders import page_of
from .published_builders import published_run, published_study

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed")
Line = dict[str, Any]
SECTIONS = (sight.section, samples.section)
SCRIPT = "<script>window.hacked = 1; alert(1)</script>"
HOSTILE = (
    SCRIPT,
    "</script><img src=x onerror='window.hacked = 2'>",
    "<!-- <script>",
    "one\u2028two\u2029three",
    "\u202edrowkcab",
    "nul\0byte",
    "half \ud800 pair",
    "javascript:window.hacked=3",
    "x" * 1_000_000,
    "https://example.org/pixel.png",
)
NAME = "PPO \"'><script>window.hacked = 4</script>"


@pytest.fixture(scope="module")
def chromium() -> Iterator[Chromium]:
    with browser() as page:
        yield page


def pair(root: Path, *, name: str = "PPO", items: int = 20, seeds: int = 3) -> StudyRecord:
    levels = {"dataset": "a", "algorithm": "ppo"}
    fakes = [Fake("SFT", {}, kind="sft", kl_coef=None), Fake(name, levels, 1.0)]
    return study_of(root, fakes, Size(seeds=seeds, items=items, seed_sd=0.5))


def rewritten(study: StudyRecord, change: Callable[[int, Line], Line]) -> None:
    """Write every output anew; ``change`` takes its place in the file and its line."""
    for run in study.runs:
        path = lines_of(run.folder("evaluation"))
        lines = [json.loads(text) for text in path.read_text().splitlines()]
        write_lines(path, [change(place, line) for place, line in enumerate(lines)])


def lines_of(folder: Path | None) -> Path:
    assert folder is not None
    return folder / "samples.jsonl"


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> tuple[StudyRecord, Path]:
    root = tmp_path_factory.mktemp("plain")
    study = pair(root / "data")
    return study, page_of(study, root, *SECTIONS)


def greedy(study: StudyRecord, cell: str, seed: int, task: str) -> dict[str, bool]:
    """Return which items the greedy outputs of a run have right."""
    run = next(run for run in study.runs_of(cell) if run.seed == seed)
    lines = map(json.loads, lines_of(run.folder("evaluation")).read_text().splitlines())
    chosen = [line for line in lines if line["mode"] == "greedy" and line["task"] == task]
    return {f"{line['doc_hash']}/{line['doc_id']}": bool(line["scores"]["acc"]) for line in chosen}


def buckets(page: Chromium) -> dict[str, int]:
    counts: dict[str, str] = page.run(
        "Object.fromEntries([...document.querySelectorAll('.buckets button')]"
        ".map((b) => [b.dataset.bucket, b.querySelector('b').textContent]))"
    )
    return {name: int(count) for name, count in counts.items()}


def test_the_outcomes_are_the_mcnemar_table_of_all_items(
    chromium: Chromium, plain: tuple[StudyRecord, Path]
) -> None:
    study, page = plain
    chromium.open(page.as_uri())
    a, b = (greedy(study, cell, 0, "tiny_factuality") for cell in ("SFT", "PPO"))
    found = buckets(chromium)
    assert found[""] == 20
    assert found["a"] == sum(a[key] and not b[key] for key in a)
    assert found["b"] == sum(b[key] and not a[key] for key in a)
    assert found["both"] == sum(a[key] and b[key] for key in a)
    assert found["neither"] == sum(not a[key] and not b[key] for key in a)
    expected = binomtest(found["b"], found["a"] + found["b"]).pvalue
    said = chromium.run("document.querySelector('.verdict').textContent")
    assert f"p = {expected:.3f}" in said and "these two checkpoints" in said
    # Bonett and Price: (only B + 1 - only A - 1) / (items + 2).
    difference = 100 * (found["b"] - found["a"]) / 22
    assert f"{difference:+.1f} percentage points".replace("-", "\N{MINUS SIGN}") in said


def test_flips_are_counted_where_every_seed_agrees(
    chromium: Chromium, plain: tuple[StudyRecord, Path]
) -> None:
    study, page = plain
    chromium.open(page.as_uri())
    sides = [
        [greedy(study, cell, seed, "tiny_factuality") for seed in range(3)]
        for cell in ("SFT", "PPO")
    ]
    expected = sum(
        all(not one[key] for one in sides[0]) and all(one[key] for one in sides[1])
        for key in sides[0][0]
    )
    assert expected > 0 and buckets(chromium)["fb"] == expected
    chromium.run("document.querySelector('[data-bucket=fb]').click()")
    shown = chromium.run("document.querySelectorAll('ol.items button').length")
    assert shown == expected
    assert chromium.run("document.querySelector('.strip').textContent") == (
        "seed 0 ✗seed 1 ✗seed 2 ✗"
    )


def test_exchanging_the_cells_turns_the_table_round(
    chromium: Chromium, plain: tuple[StudyRecord, Path]
) -> None:
    chromium.open(plain[1].as_uri())
    before, said = buckets(chromium), chromium.run("document.querySelector('.verdict').textContent")
    chromium.run("[...document.querySelectorAll('.controls button')][0].click()")
    after = buckets(chromium)
    assert (after["a"], after["b"]) == (before["b"], before["a"])
    turned = chromium.run("document.querySelector('.verdict').textContent")
    assert said.split(" p = ")[1] == turned.split(" p = ")[1] and said != turned


def test_keys_step_and_the_address_is_a_link_to_the_item(
    chromium: Chromium, plain: tuple[StudyRecord, Path]
) -> None:
    chromium.open(plain[1].as_uri())
    chromium.run("document.querySelector('.steps button').focus()")
    chromium.press("ArrowRight")
    chromium.run("document.querySelector('#browser select').focus()")
    here = chromium.run("location.hash")
    current = "document.querySelector('ol.items [aria-current]').dataset.key"
    key = chromium.run(current)
    second = chromium.run("document.querySelectorAll('ol.items button')[1].dataset.key")
    assert key == second
    assert here == f"#tiny_factuality/{quote(key, safe='')}/SFT/PPO"
    other = chromium.run("document.querySelectorAll('ol.items button')[4].dataset.key")
    link = f"#tiny_factuality/{quote(other, safe='')}/PPO/SFT"
    chromium.open(plain[1].as_uri() + link)
    assert chromium.run(current) == other
    assert chromium.run("document.querySelector('.side h4').textContent").startswith("A: PPO")


@pytest.mark.parametrize(
    ("left", "right", "only_left", "only_right"),
    [
        ("the cat sat", "the dog sat", ["cat "], ["dog "]),
        ("same words", "same  words", [], []),
        ("", "all new", [], ["all new"]),
        ("a b c d e", "b c x e", ["a ", "d "], ["x "]),
        ("猫が好き", "犬が好き", ["猫"], ["犬"]),
    ],
)
def test_words_of_one_side_only_are_marked(
    chromium: Chromium,
    plain: tuple[StudyRecord, Path],
    left: str,
    right: str,
    only_left: list[str],
    only_right: list[str],
) -> None:
    if chromium.run("typeof wordDiff") != "function":
        chromium.open(plain[1].as_uri())
    found = chromium.run(f"wordDiff({json.dumps(left)}, {json.dumps(right)})")
    assert ["".join(text for text, _ in side) for side in found] == [left, right]
    marked = [[text for text, only in side if only] for side in found]
    assert marked == [only_left, only_right]


def test_hostile_text_is_shown_and_does_nothing(chromium: Chromium, tmp_path: Path) -> None:
    study = pair(tmp_path / "data", name=NAME, seeds=1)
    study = replace(study, name=SCRIPT, question=HOSTILE[1] + "\0\u202e", source_text=HOSTILE[2])

    def hostile(place: int, line: Line) -> Line:
        text = HOSTILE[line["doc_id"] % len(HOSTILE)]
        return line | {"output": text, "prompt": text[:50], "target": text[:50]}

    rewritten(study, hostile)
    page = page_of(study, tmp_path, *SECTIONS)
    assert page.stat().st_size < 5_000_000
    chromium.open(page.as_uri())
    shown = ""
    for place in range(20):
        chromium.run(f"document.querySelectorAll('ol.items button')[{place}].click()")
        shown += chromium.run("document.querySelector('.item').textContent")
    for text in (
        *HOSTILE[:3],
        "one<U+2028>two<U+2029>three",
        "<U+202E>drowkcab",
        "nul<U+0000>byte",
    ):
        assert text in shown, text
    assert "half <U+D800> pair" in shown and "javascript:window.hacked=3" in shown
    assert "Cut here; the output has 1,000,000 characters." in shown
    assert chromium.run("window.hacked === undefined && document.scripts.length") == 2
    assert chromium.run("document.querySelectorAll('img, iframe, object').length") == 0
    assert NAME in chromium.run("document.querySelector('#browser select').textContent")
    assert chromium.asked() == []
    seen = ("Page.javascriptDialogOpening", "Log.entryAdded", "Runtime.exceptionThrown")
    assert chromium.said(*seen) == []
    assert "\u202e" not in page.read_text() and "\0" not in page.read_text()


def test_without_scripts_a_few_examples_stay(plain: tuple[StudyRecord, Path]) -> None:
    text = plain[1].read_text()
    static = text[text.index('<div id="browser">') :]
    static = static[: static.index("</div>")]
    assert static.count("<details") == 6 and "(wrong)" in static and "(right)" in static


def test_a_long_name_breaks_and_covers_no_number(chromium: Chromium, tmp_path: Path) -> None:
    runs = [published_run(tmp_path, cell, [50.0] * len(CATEGORIES), {}) for cell in "AB"]
    runs[1] = replace(runs[1], cell="N" * 300)
    study = published_study(runs, tmp_path / "data", baseline="A")
    page = page_of(study, tmp_path / "page", effects.section)
    chromium.open(page.as_uri(), width=320)
    heads = "[...document.querySelectorAll('tbody th')]"
    assert chromium.run(f"{heads}.length") > 0
    assert chromium.run(f"{heads}.every(one => one.scrollWidth <= one.clientWidth)")
