"""Rankings, ratings and margins: of the embedded world and of files."""

import json
from collections import Counter
from dataclasses import replace
from itertools import permutations
from pathlib import Path
from typing import Any

import pytest

from ablate.data.making import Wish, loaded
from ablate.data.making import make as run
from ablate.data.preferences import read_pairs, read_rankings, read_rated_replies
from ablate.data.records import Judged
from ablate.data.streams import Draws
from ablate.data.tiny.catalogue import TaskSampler, evenly
from ablate.data.tiny.preferences import LABELLERS
from ablate.data.tiny.rankings import judged, noisy_order, rated
from ablate.errors import StageError
from ablate.spec.registry import registry
from ablate.spec.shaping import Origin
from ablate.spec.stages import PreferencesConfig
from ablate.store.workspace import Workspace


def workspace(folder: Path, **fields: Any) -> Workspace:
    output, scratch = folder / "output", folder / "scratch"
    output.mkdir(parents=True)
    scratch.mkdir()
    return Workspace("preferences", PreferencesConfig(**fields), {}, output, scratch)


def written(folder: Path, *rows: dict[str, Any]) -> Path:
    path = folder / "mine.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def test_orders_are_as_likely_as_mallows_model_says() -> None:
    """With flip 1/4 the odds are 1/3, so an order with d swapped pairs has weight 3 ** -d.

    Three replies: 0 swaps once, 1 twice, 2 twice, 3 once: total 1 + 2/3 + 2/9 + 1/27 = 52/27.
    """
    draws = Draws(0, "test")
    found = Counter(tuple(noisy_order(3, 0.25, draws)) for _ in range(20_000))
    for order in permutations(range(3)):
        swaps = sum(order.index(i) > order.index(j) for i in range(3) for j in range(i + 1, 3))
        expected = 3.0**-swaps / (52 / 27)
        assert found[order] / 20_000 == pytest.approx(expected, abs=0.01)


def test_two_replies_change_places_as_often_as_a_pair_is_flipped() -> None:
    draws = Draws(1, "test")
    flipped = sum(noisy_order(2, 0.3, draws) == [1, 0] for _ in range(20_000))
    assert flipped / 20_000 == pytest.approx(0.3, abs=0.01)


def test_a_labeller_without_errors_ranks_by_its_score() -> None:
    assert noisy_order(5, 0.0, Draws(0, "test")) == [0, 1, 2, 3, 4]


@pytest.mark.parametrize("name", LABELLERS)
def test_the_terms_of_a_labellers_score_are_its_ratings(name: str) -> None:
    labeller = LABELLERS[name]
    task = TaskSampler("train", evenly(labeller.categories)).draw(Draws(2, "test"))
    right = task.right(Draws(0, "body"))
    text = f"sure : {right} hope that helps"
    # Correct 100, opener 10, closer 20, each times the gold weight in hundredths.
    gold = labeller.gold_weight / 100
    words = {"length": labeller.length_weight / 100 * len(text.split())}
    expected = {"correctness": gold, "politeness": 0.3 * gold, "conciseness": 0.0}
    expected |= words if labeller.length_weight else {}
    terms = {name: points / 10_000 for name, points in labeller.terms(task, text).items()}
    assert terms == pytest.approx(expected)
    assert labeller.score(task, text) == pytest.approx(10_000 * sum(expected.values()))
    assert list(terms) == list(registry().datasets[name].attributes)


def test_a_mistaken_rating_is_that_of_another_reply() -> None:
    """Of two replies, one right and one wrong, 30 % of the right one's ratings are the other's."""
    labeller = LABELLERS["human-noisy"]
    task = TaskSampler("train", evenly(labeller.categories)).draw(Draws(2, "test"))
    replies = [task.right(Draws(0, "body")), "basically nonsense"]
    draws = Draws(3, "ratings")
    found = [next(rated(labeller, task, replies, draws))["correctness"] for _ in range(5000)]
    assert set(found) == {0.0, 0.5}
    assert found.count(0.0) / 5000 == pytest.approx(0.3, abs=0.02)


def test_rankings_have_distinct_scores_and_a_pair_with_its_margin() -> None:
    rows, dropped = judged("ai-fine", 3, 300, replies=4)
    assert set(dropped) <= {"tie", "too_few_different_replies"} and dropped["tie"] > 0
    other = Counter[int]()
    for row in rows:
        assert row.ranking is not None and row.pair is not None and row.labels == 3
        replies = row.ranking.replies
        assert len(set(replies)) == 4
        assert row.pair.chosen == replies[0] and row.pair.rejected in replies[1:]
        other[replies.index(row.pair.rejected)] += 1
        assert [item.reply for item in row.rated] == list(replies)
        assert row.pair.margin is not None and row.pair.margin >= 0.03
        assert row.pair.prompt == row.ranking.prompt == row.rated[0].prompt
    assert set(other) == {1, 2, 3} and min(other.values()) > 70  # 100 of each are expected.


def test_a_smaller_set_of_rankings_begins_a_larger_one() -> None:
    small, large = (judged("web-narrow", 1, size, replies=3)[0] for size in (20, 50))
    assert large[:20] == small


def test_the_artifact_of_a_ranked_world_holds_all_three_files(tmp_path: Path) -> None:
    job = workspace(tmp_path, dataset="human-noisy", examples=30, replies=4, seed=2)
    run(job)
    rows, _ = judged("human-noisy", 2, 30, replies=4)
    # The stage adds the data set that a row comes from.
    source = {"source": "human-noisy"}
    assert read_pairs(job.output) == [replace(row.pair, **source) for row in rows]
    assert read_rankings(job.output) == [replace(row.ranking, **source) for row in rows]
    assert read_rated_replies(job.output) == [
        replace(item, **source) for row in rows for item in row.rated
    ]
    assert job.counts == {"preferences": 90}  # Three choices rank four replies.
    summary = json.loads((job.output / "summary.json").read_text())
    assert (summary["rows"], summary["rankings"], summary["attributes"]) == (30, 30, 120)


def test_two_replies_leave_the_artifact_as_it_was(tmp_path: Path) -> None:
    job = workspace(tmp_path, dataset="ai-fine", examples=20)
    run(job)
    assert sorted(path.name for path in job.output.iterdir()) == [
        "card.json",
        "dropped.jsonl",
        "pairs.jsonl",
        "summary.json",
    ]
    line = json.loads((job.output / "pairs.jsonl").read_text().splitlines()[0])
    assert list(line) == ["id", "prompt", "chosen", "rejected", "category", "world", "source"]
    assert read_rankings(job.output) == [] and read_rated_replies(job.output) == []


def test_a_file_may_say_margins_rankings_and_ratings(tmp_path: Path) -> None:
    path = written(
        tmp_path,
        {"prompt": "a", "chosen": "x", "rejected": "y", "margin": 1.5},
        {"prompt": "a", "chosen": "x", "rejected": "y", "attributes": [{"help": 4}, {"help": 1}]},
        {"prompt": "a", "ranking": ["x", "y", "z"], "category": "chat"},
        {"prompt": "a", "completion": "x", "attributes": {"help": 3, "length": None}},
    )
    job = workspace(tmp_path, dataset="mine", content="x", location=str(path))
    run(job)
    margin, rated_pair, of_ranking = read_pairs(job.output)
    assert (margin.margin, rated_pair.margin) == (1.5, None)
    assert of_ranking.chosen == "x" and of_ranking.rejected in ("y", "z")
    [ranking] = read_rankings(job.output)
    assert (ranking.id, ranking.replies, ranking.category) == ("mine-3", ("x", "y", "z"), "chat")
    ratings = [(r.id, r.reply, r.attributes) for r in read_rated_replies(job.output)]
    assert ratings == [
        ("mine-2", "x", {"help": 4.0}), ("mine-2", "y", {"help": 1.0}),
        ("mine-4", "x", {"help": 3.0}),
    ]  # fmt: skip
    assert job.counts == {"preferences": 1 + 1 + 2 + 1}


def rows_of(path: Path) -> tuple[list[Any], Any]:
    origin = Origin(dataset=path.name, location=str(path), layout="preferences")
    return loaded(origin, Wish("preferences"))


def test_a_table_of_text_may_have_margins(tmp_path: Path) -> None:
    path = tmp_path / "mine.csv"
    path.write_text("prompt,chosen,rejected,margin\na,x,y,0.25\na,x,z,\n")
    rows, _ = rows_of(path)
    assert [row.pair.margin for row in rows if row.pair is not None] == [0.25, None]


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ({"ranking": ["x", "x", "y"]}, "identical_replies"),
        ({"ranking": ["x", " ", "y"]}, "empty_reply"),
        ({"completion": "", "attributes": {"help": 1}}, "empty_reply"),
        ({"prompt": " ", "ranking": ["x", "y"]}, "empty_prompt"),
        (
            {"prompt": [{"role": "assistant", "content": "hi"}], "ranking": ["x", "y"]},
            "no_reply_to_a_user",
        ),
        (
            {
                "ranking": [
                    [{"role": "user", "content": who}, {"role": "assistant", "content": "x"}]
                    for who in "ab"
                ]
            },
            "prompts_differ",
        ),
    ],
)
def test_useless_rankings_are_dropped_and_counted(
    tmp_path: Path, row: dict[str, Any], reason: str
) -> None:
    assert rows_of(written(tmp_path, {"prompt": "a", **row})) == ([], {reason: 1})


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"ranking": ["x"]}, "column 'ranking' is no list of two or more replies"),
        ({"ranking": ["x", 3]}, r"column 'ranking\[1\]' is int"),
        ({"chosen": "x", "rejected": "y", "margin": "wide"}, "column 'margin' is 'wide'; a finite"),
        ({"chosen": "x", "rejected": "y", "margin": float("inf")}, "column 'margin' is inf"),
        ({"ranking": ["x", "y"], "attributes": [{}]}, "'attributes' is list; a list of 2 objects"),
        ({"completion": "x"}, "column 'attributes' is NoneType; an object of numbers"),
        ({"completion": "x", "attributes": {"help": "much"}}, "'help' is 'much'; a finite number"),
    ],
)
def test_malformed_judgements_are_refused_with_their_row(
    tmp_path: Path, row: dict[str, Any], message: str
) -> None:
    with pytest.raises(StageError, match=message) as caught:
        rows_of(written(tmp_path, {"prompt": "a", **row}))
    assert caught.value.kind == "bad_data" and "mine.jsonl:1" in str(caught.value)


def test_a_row_costs_as_many_preferences_as_it_took() -> None:
    rows, _ = judged("ai-fine", 0, 1, replies=5)
    [row] = rows
    assert row.labels == 4
    assert Judged(row.pair).labels == 1
    assert Judged(rated=row.rated).labels == 5
