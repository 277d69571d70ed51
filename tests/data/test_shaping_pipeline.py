"""From sources to the rows of a data set."""

import json
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ablate.data.hygiene.exposure import Suites
from ablate.data.records import Document, Dropped, Judged, Pair, Prompt, user
from ablate.data.sampling import subsample
from ablate.data.shaping.items import Item, leading
from ablate.data.shaping.ledger import Count, Ledger, Share
from ablate.data.shaping.pipeline import Indexes, Source, shaped
from ablate.data.shaping.select import Wanted
from ablate.data.shaping.spool import Spool
from ablate.errors import StageError
from ablate.spec.shaping import Shaping


def prompts(source: str, *texts: str) -> list[Item]:
    return [Prompt(f"{source}-{n}", user(t), source=source) for n, t in enumerate(texts, 1)]


def ids(items: Iterator[Item]) -> list[str]:
    return [leading(item).id for item in items]


def run(folder: Path, ledger: Ledger, sources: list[Source], **fields: Any) -> list[str]:
    """Return the ids that are kept."""
    wanted = Wanted("mine", fields.pop("seed", 0), fields.pop("examples", None))
    shaping = Shaping(**fields)
    return ids(shaped(sources, shaping, wanted=wanted, ledger=ledger, scratch=folder))


def test_a_plain_data_set_is_every_usable_row(tmp_path: Path) -> None:
    path = tmp_path / "dropped.jsonl"
    items = [*prompts("a", "x", "y"), Dropped(3, "empty_prompt")]
    with Ledger(path) as ledger:
        assert run(tmp_path, ledger, [Source("a", items)]) == ["a-1", "a-2"]
    assert json.loads(path.read_text()) == {"row": 3, "source": "a", "reason": "empty_prompt"}
    assert ledger.read == {"a": 2}
    assert ledger.steps == []


def test_filters_work_in_order_and_every_row_left_out_is_named(tmp_path: Path) -> None:
    path = tmp_path / "dropped.jsonl"
    items = prompts("a", "one two three", "one", "ONE  two three", "three two one")
    filters = [{"length": {"of": "prompt", "min": 2}}, "duplicates"]
    with Ledger(path) as ledger:
        found = run(tmp_path, ledger, [Source("a", items)], filters=filters, examples=1)
    assert found == subsample(["a-1", "a-4"], 1, seed=0, name="x")
    assert ledger.steps == [
        Count("prompt_length", 4, 3),
        Count("duplicates", 3, 2),
        Count("examples", 2, 1),
    ]
    assert [json.loads(line) for line in path.read_text().splitlines()] == [
        {"row": 2, "source": "a", "reason": "filter:prompt_length"},
        {"row": 3, "source": "a", "reason": "filter:duplicates"},
    ]
    assert ledger.dropped == {"filter:prompt_length": 1, "filter:duplicates": 1}


def test_changed_rows_are_counted_and_go_on_changed(tmp_path: Path) -> None:
    pair = Pair("a-1", user("p"), "yes. no", "never", source="a")
    other = Pair("a-2", user("p"), "Yes", "No", source="a")
    ledger = Ledger()
    rows = list(
        shaped(
            [Source("a", [Judged(pair), Judged(other)])],
            Shaping(filters=("truecase",)),  # type: ignore[arg-type]
            wanted=Wanted("a", 0),
            ledger=ledger,
            scratch=tmp_path,
        )
    )
    assert rows[0] == Judged(Pair("a-1", user("p"), "Yes. No", "Never", source="a"))
    assert ledger.steps == [Count("truecase", 2, 2, changed=1)]


def sentences(count: int, seed: int = 0) -> list[str]:
    draw = random.Random(seed)
    letters = "abcdefghijklmnopqrstuvwxyz    "
    return ["".join(draw.choices(letters, k=120)) for _ in range(count)]


def test_near_duplicates_are_found_across_the_parts_of_a_mixture(tmp_path: Path) -> None:
    texts = sentences(50)
    sources = [
        Source("a", prompts("a", *texts)),
        Source("b", prompts("b", *(text.upper() + "!" for text in texts[:20]), *sentences(5, 1))),
    ]
    ledger = Ledger()
    found = run(tmp_path, ledger, sources, filters=["near_duplicates"], mix=["a", "b"])
    assert found == [f"a-{n}" for n in range(1, 51)] + [f"b-{n}" for n in range(21, 26)]
    assert ledger.steps == [Count("near_duplicates", 75, 55), Count("mix", 55, 55)]
    assert ledger.dropped == {"filter:near_duplicates": 20}
    assert ledger.shares == [Share("a", 50, 50, 50), Share("b", 5, 5, 5)]
    assert list(tmp_path.rglob("*.*")) == []


def test_near_equal_replies_count_only_for_rows(tmp_path: Path) -> None:
    prompt, *replies = sentences(5)
    pairs: list[Item] = [
        Judged(Pair("a-1", user(prompt), replies[0], replies[1])),
        Judged(Pair("a-2", user(prompt), replies[2], replies[3])),
        Judged(Pair("a-3", user(prompt), replies[2], replies[3] + ".")),
    ]
    for of, kept in (("prompt", ["a-1"]), ("row", ["a-1", "a-2"])):
        filters = [{"near_duplicates": {"of": of}}]
        assert run(tmp_path, Ledger(), [Source("a", pairs)], filters=filters) == kept


def test_a_data_set_without_rows_passes_every_filter(tmp_path: Path) -> None:
    filters = ["near_duplicates", "duplicates", "refusals"]
    assert run(tmp_path, Ledger(), [Source("a", [])], filters=filters, cap=3) == []


def contaminated_by(*texts: str) -> Indexes:
    """Return suites whose items are some documents."""
    documents = [Document(text, user(text), "") for text in texts]
    return lambda config: Suites({name: documents for name in config.suites})


def test_rows_that_hold_an_item_of_a_suite_are_left_out_wherever_it_is(tmp_path: Path) -> None:
    item = "how many apples does she have left after giving nine of them away"
    pairs: list[Item] = [
        Judged(Pair("a-1", user("p"), "a", "b", source="a")),
        Judged(Pair("a-2", user(f"Say: {item.upper()}?"), "a", "b", source="a")),
        Judged(Pair("a-3", user("p"), "a", item, source="a")),
    ]
    ledger = Ledger()
    rows = shaped(
        [Source("a", pairs), Source("b", prompts("b", "x", item))],
        Shaping(filters=({"contamination": {"suites": ["gsm8k"]}},), mix=("a", "b")),  # type: ignore[arg-type]
        wanted=Wanted("a", 0),
        ledger=ledger,
        scratch=tmp_path,
        indexes=contaminated_by(item),
    )
    assert ids(rows) == ["a-1", "b-1"]
    assert ledger.steps == [Count("contamination", 5, 2), Count("mix", 2, 2)]
    assert ledger.shares == [Share("a", 1, 1, 1), Share("b", 1, 1, 1)]


def test_a_contamination_filter_without_suites_is_a_bug(tmp_path: Path) -> None:
    filters = [{"contamination": {"suites": ["gsm8k"]}}]
    with pytest.raises(ValueError, match="needs its suites"):
        run(tmp_path, Ledger(), [Source("a", [])], filters=filters)


def test_too_few_rows_are_an_error_and_leave_no_file(tmp_path: Path) -> None:
    with pytest.raises(StageError, match="'mine': examples is 3; at most 2 are usable"):
        run(tmp_path, Ledger(), [Source("a", prompts("a", "x", "y"))], examples=3)
    assert list(tmp_path.iterdir()) == []


def test_sources_and_parts_that_differ_in_number_are_a_bug(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="1 sources for 2 parts"):
        run(tmp_path, Ledger(), [Source("a", [])], mix=["a", "b"])


def test_a_stream_is_not_read_ahead(tmp_path: Path) -> None:
    read: list[int] = []

    def endless() -> Iterator[Item]:
        while True:
            read.append(1)
            yield from prompts("a", "x")

    rows = shaped(
        [Source("a", endless())],
        Shaping(filters=("refusals",)),  # type: ignore[arg-type]
        wanted=Wanted("a", 0),
        ledger=Ledger(),
        scratch=tmp_path,
    )
    next(rows)
    next(rows)
    assert len(read) == 2


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.sampled_from("abcdefgh"), max_size=12),
    st.lists(st.sampled_from("abcdefgh"), max_size=12),
    st.randoms(use_true_random=False),
)
def test_which_texts_stay_does_not_depend_on_the_order_of_rows(
    tmp_path_factory: pytest.TempPathFactory, one: list[str], other: list[str], draw: random.Random
) -> None:
    folder = tmp_path_factory.mktemp("scratch")

    def texts(first: list[str], second: list[str]) -> set[str]:
        sources = [Source("a", prompts("a", "z", *first)), Source("b", prompts("b", "y", *second))]
        rows = shaped(
            sources,
            Shaping(filters=("duplicates", {"length": {"of": "prompt", "min": 1}}), mix=("a", "b")),  # type: ignore[arg-type]
            wanted=Wanted("m", 0),
            ledger=Ledger(),
            scratch=folder,
        )
        found = [row.messages[0]["content"] for row in rows if isinstance(row, Prompt)]
        assert len(found) == len(set(found))
        return set(found)

    shuffled = draw.sample(one, len(one)), draw.sample(other, len(other))
    assert texts(one, other) == texts(*shuffled) == {"z", "y", *one, *other}


def test_a_spool_gives_back_what_was_written_in_any_order(tmp_path: Path) -> None:
    items = prompts("a", "x\u2028", "y\n", "z")
    with Spool(tmp_path / "rows.jsonl") as spool:
        for number, item in enumerate(items):
            spool.add(number % 2, item)
        assert list(spool.rows([2, 0, 1])) == [(0, items[2]), (0, items[0]), (1, items[1])]
        assert spool.sizes(3) == [2, 1, 0]
    assert not (tmp_path / "rows.jsonl").exists()
