"""AlpacaEval and MT-Bench: small files by hand, a judge of plain rules, and the real files."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import torch

from ablate.errors import StageError
from ablate.evals.adapter import Generation, SharedModel
from ablate.evals.benchmarks import alpaca_eval, mt_bench
from ablate.evals.benchmarks.judged import spread
from ablate.evals.benchmarks.kind import Finishing, Kind, Source
from ablate.evals.benchmarks.table import KINDS
from ablate.evals.judging.judge import Comparison, Grade, Preference, Question
from ablate.evals.tasks import Item, Scored, Task, run_tasks
from ablate.models.loading import LoadedModel
from ablate.spec.suites import TaskDefinition

NAN = math.nan


@dataclass
class LengthJudge:
    """Finds longer replies better, grades by words, and has no verdict on the word 'mute'."""

    asked: list[Comparison | Question] = field(default_factory=list)
    name: str = "length"

    @property
    def spent(self) -> dict[str, float]:
        return {"requests": float(len(self.asked))}

    def compare(self, comparisons: Sequence[Comparison]) -> list[Preference]:
        self.asked += comparisons
        return [self._preference(comparison) for comparison in comparisons]

    def _preference(self, comparison: Comparison) -> Preference:
        if "mute" in comparison.second:
            return Preference(NAN, reason="HTTP 500")
        longer = len(comparison.second) - len(comparison.first)
        value = 0.5 if longer == 0 else float(longer > 0)
        return Preference(
            value, longer != 0, rationale=("it is longer", ""), repeats=(value, abs(value - 0.25))
        )

    def grade(self, questions: Sequence[Question]) -> list[Grade]:
        self.asked += questions
        return [
            Grade(NAN, reason="HTTP 500")
            if "mute" in question.reply
            else Grade(float(len(question.reply.split())), rationale="counted")
            for question in questions
        ]


def generation(text: str, *, finite: bool = True) -> Generation:
    made = Generation(text)
    made.prompt, made.tokens, made.ended = (1,), (2, 3), True
    made.logprobs = torch.tensor([-1.0, -2.0 if finite else NAN])
    return made


def scored(kind: Kind, item: Item, text: str, *, finite: bool = True) -> Scored:
    made = generation(text, finite=finite)
    return Scored("task", None, "main", item, "d", "p", 0, dict(kind.score(item, made)), made)


def finished(
    kind: Kind, outputs: list[Scored], tmp_path: Path, **given: object
) -> tuple[list[str], dict[str, float]]:
    """Finish outputs; return what was noted and the details by name."""
    notes: list[str] = []
    assert kind.finish is not None
    assert kind.details is not None
    kind.finish(outputs, Finishing(tmp_path, note=notes.append, **given))  # type: ignore[arg-type]
    return notes, {metric.metric: metric.value for metric in kind.details(outputs, "t")}


def source(tmp_path: Path, *, split: str = "test", **rows: list[dict[str, object]]) -> Source:
    for role, lines in rows.items():
        text = "".join(json.dumps(line) + "\n" for line in lines)
        (tmp_path / f"{role}.jsonl").write_text(text)
    task = TaskDefinition(files={role: f"{role}.jsonl" for role in rows})
    return Source("toy", task, tmp_path, split)  # type: ignore[arg-type]


PROMPTS: list[dict[str, object]] = [
    {"prompt_id": 7, "instruction": "Hi", "dataset": "koala", "text_davinci_003": "four"},
    {"instruction": "Ho", "dataset": "koala", "output": "12345"},
    {"prompt_id": 9, "instruction": "He", "dataset": "oasst", "text_davinci_003": ""},
]


def test_prompts_of_either_published_layout_become_items(tmp_path: Path) -> None:
    found = alpaca_eval.items(source(tmp_path, test=PROMPTS))
    assert [(item.id, item.category, item.info["baseline"]) for item in found] == [
        ("alpaca_eval-7", "koala", "four"),
        ("alpaca_eval-9", "oasst", ""),
        ("alpaca_eval-1", "koala", "12345"),
    ]
    assert found[0].messages == ({"role": "user", "content": "Hi"},)


@pytest.mark.parametrize("read", [alpaca_eval.items, mt_bench.items])
def test_judged_benchmarks_have_no_validation_items(
    tmp_path: Path, read: Callable[[Source], list[Item]]
) -> None:
    assert read(source(tmp_path, split="validation")) == []


BAD_PROMPTS = [
    ([{"instruction": "a"}], r":1: a reply to compare with is needed, in 'text_davinci_003' or"),
    ([PROMPTS[0], {"output": "a"}], r":2: column 'instruction' is missing"),
    ([PROMPTS[0], PROMPTS[0]], r":2: item 'alpaca_eval-7' is there twice"),
]


@pytest.mark.parametrize(("rows", "message"), BAD_PROMPTS)
def test_a_prompt_that_cannot_be_read_is_named(
    tmp_path: Path, rows: list[dict[str, object]], message: str
) -> None:
    with pytest.raises(StageError, match=message):
        alpaca_eval.items(source(tmp_path, test=rows))


def test_every_prefix_has_each_subsets_share() -> None:
    subsets = "a" * 6 + "b" * 3
    items = [Item(str(n), (), category=subset) for n, subset in enumerate(subsets)]
    placed = spread(items)
    assert "".join(str(item.category) for item in placed) == "abaabaaba"
    assert [item.id for item in placed if item.category == "b"] == ["6", "7", "8"]


def four_replies(tmp_path: Path) -> list[Scored]:
    """Return a win, a draw, a loss and one that the judge fails on, against replies of 4."""
    items = [Item(f"i{n}", (), info={"baseline": "four"}) for n in range(4)]
    texts = ["longer", "same", "no", "mute"]
    return [scored(alpaca_eval.KIND, item, text) for item, text in zip(items, texts, strict=True)]


def test_replies_are_compared_with_the_files_own(tmp_path: Path) -> None:
    outputs, judge = four_replies(tmp_path), LengthJudge()
    _, found = finished(alpaca_eval.KIND, outputs, tmp_path, judge=judge)
    first = judge.asked[0]
    assert isinstance(first, Comparison)
    assert (first.first, first.second) == ("four", "longer")
    assert [out.scores["acc"] for out in outputs[:3]] == [1.0, 0.5, 0.0]
    assert math.isnan(outputs[3].scores["acc"])
    # Of three verdicts: a win and half a draw. Deviations 1/2, 0, -1/2: sqrt(1/2 / 2 / 3).
    assert found["t_win_rate"] == pytest.approx(50.0)
    assert found["t_win_rate_se"] == pytest.approx(100 * math.sqrt(1 / 12))
    assert found["t_verdicts"] == 3
    assert found["t_judge_failures"] == 1
    assert found["t_draw_share"] == pytest.approx(1 / 3)
    assert found["t_position_consistency"] == pytest.approx(2 / 3)
    # "longer", "same", "no" and "mute" have 16 characters, their counterparts 4 each.
    assert (found["t_length"], found["t_reference_length"]) == (4.0, 4.0)
    # Repeats 1 and 3/4, 1/2 and 1/4, 0 and 1/4: each pair has the variance 1/32.
    assert found["t_judge_repeat_sd"] == pytest.approx(100 * math.sqrt(1 / 32 / 3))
    # Within pairs 1/16 apart, squared; any two of the six answers 65/8 over 30.
    assert found["t_judge_agreement"] == pytest.approx(1 - (1 / 16) / (65 / 8 / 30))
    # A longer reply wins and a shorter one loses: the length tells them apart.
    assert math.isnan(found["t_lc_win_rate"])
    assert math.isnan(found["t_lc_win_rate_se"])


def test_what_the_judge_said_is_kept(tmp_path: Path) -> None:
    outputs = four_replies(tmp_path)
    finished(alpaca_eval.KIND, outputs, tmp_path, judge=LengthJudge())
    assert outputs[0].judged == {"rationale": ["it is longer"], "repeats": [1.0, 0.75]}
    assert outputs[3].judged == {"reason": "HTTP 500"}


def test_the_reference_policys_replies_win_over_the_files(tmp_path: Path) -> None:
    outputs = four_replies(tmp_path)[:2]
    references = {"task/i0": "far longer than that", "task/i1": "s"}
    _, found = finished(
        alpaca_eval.KIND, outputs, tmp_path, judge=LengthJudge(), references=references
    )
    assert [out.scores["acc"] for out in outputs] == [0.0, 1.0]
    assert outputs[1].scores["length_difference"] == 3.0
    assert found["t_reference_length"] == pytest.approx(21 / 2)


def test_a_prompt_without_a_reference_reply_has_no_verdict(tmp_path: Path) -> None:
    outputs, judge = four_replies(tmp_path)[:2], LengthJudge()
    notes, _ = finished(
        alpaca_eval.KIND, outputs, tmp_path, judge=judge, references={"task/i0": "x"}
    )
    assert len(judge.asked) == 1
    assert outputs[1].judged == {"reason": alpaca_eval.NO_REPLY}
    assert notes == [
        "task: 1 of 2 outputs have no verdict of the judge, most often: the reference policy has "
        "no reply to this prompt"
    ]


@pytest.mark.parametrize(("failing", "noted"), [(1, False), (2, True)])
def test_a_judge_that_fails_too_often_makes_the_cell_invalid(
    tmp_path: Path, failing: int, noted: bool
) -> None:
    # 20 outputs: one missing verdict is the 5 % that are borne with.
    texts = ["mute"] * failing + ["fine"] * (20 - failing)
    items = [Item(f"i{n}", (), info={"baseline": "no"}) for n in range(20)]
    outputs = [scored(alpaca_eval.KIND, item, t) for item, t in zip(items, texts, strict=True)]
    notes, _ = finished(alpaca_eval.KIND, outputs, tmp_path, judge=LengthJudge())
    assert notes == (
        ["task: 2 of 20 outputs have no verdict of the judge, most often: HTTP 500"]
        if noted
        else []
    )


def conversation() -> list[Item]:
    return [
        Item(
            "mt_bench-5",
            ({"role": "user", "content": "One?"},),
            category="math",
            cluster="5",
            info={"turn": 1, "next": "Two?", "references": ["1", "2"]},
        )
    ]


@pytest.mark.parametrize("kind", [alpaca_eval.KIND, mt_bench.KIND])
def test_without_a_judge_there_are_no_scores_and_the_cell_is_invalid(
    tmp_path: Path, kind: Kind
) -> None:
    item = Item("i", (), info={"baseline": "x", "turn": 1, "references": []}, category="math")
    outputs = [scored(kind, item, "reply")]
    notes, found = finished(kind, outputs, tmp_path)
    assert notes == ["task: the study names no judge"]
    assert math.isnan(outputs[0].scores["acc"])
    name = "t_rating" if kind is mt_bench.KIND else "t_win_rate"
    assert math.isnan(found[name])


@pytest.mark.parametrize("kind", [alpaca_eval.KIND, mt_bench.KIND])
def test_no_judge_is_asked_about_a_model_without_finite_numbers(tmp_path: Path, kind: Kind) -> None:
    item = Item("i", (), info={"baseline": "x", "turn": 1, "references": []}, category="math")
    outputs, judge = [scored(kind, item, "reply", finite=False)], LengthJudge()
    finished(kind, outputs, tmp_path, judge=judge)
    assert judge.asked == []
    assert math.isnan(outputs[0].scores["acc"])


TURNS: list[dict[str, object]] = [
    {"question_id": 81, "category": "writing", "turns": ["Write.", "Again."]},
    {"question_id": 111, "category": "math", "turns": ["Add.", "More."], "reference": ["x", "y"]},
]
ANSWERS: list[dict[str, object]] = [{"question_id": 111, "choices": [{"turns": ["3", "4"]}]}]


def test_the_second_turn_goes_on_from_the_policys_first_reply(tmp_path: Path) -> None:
    first = mt_bench.items(source(tmp_path, test=TURNS, reference=ANSWERS))[1]
    second = mt_bench.follow_up(scored(mt_bench.KIND, first, "It is 3."))
    assert second is not None
    assert (second.id, second.category, second.cluster) == ("mt_bench-111-2", "math", "111")
    assert [message["content"] for message in second.messages] == ["Add.", "It is 3.", "More."]
    assert [message["role"] for message in second.messages] == ["user", "assistant", "user"]
    assert mt_bench.follow_up(scored(mt_bench.KIND, second, "4")) is None


def test_right_answers_come_from_their_own_file_only(tmp_path: Path) -> None:
    # What the question file has under ``reference`` was never shown to the original's judge.
    with_file = mt_bench.items(source(tmp_path, test=TURNS, reference=ANSWERS))
    assert [item.info["references"] for item in with_file] == [[], ["3", "4"]]
    without = mt_bench.items(source(tmp_path, test=TURNS))
    assert [item.info["references"] for item in without] == [[], []]


def test_the_judge_sees_the_right_answers_to_all_turns_so_far(tmp_path: Path) -> None:
    judge = LengthJudge()
    items = mt_bench.items(source(tmp_path, test=TURNS, reference=ANSWERS))
    outputs = [scored(mt_bench.KIND, item, "one two three") for item in items]
    later = [mt_bench.follow_up(out) for out in outputs]
    outputs += [scored(mt_bench.KIND, item, "mute") for item in later[:1] if item]
    outputs += [scored(mt_bench.KIND, item, "one") for item in later[1:] if item]
    _, found = finished(mt_bench.KIND, outputs, tmp_path, judge=judge)
    references = [q.reference for q in judge.asked if isinstance(q, Question)]
    both = "To the first question:\n3\n\nTo the second question:\n4"
    assert references == [None, "3", None, both]
    # Ratings 3 and 3 in the first turn, none and 1 in the second.
    assert found["t_turn_1"] == 3.0
    assert found["t_turn_2"] == 1.0
    assert found["t_rating"] == pytest.approx(7 / 3)
    assert (found["t_math"], found["t_writing"]) == (2.0, 3.0)
    assert found["t_judge_failures"] == 1
    assert [out.scores["acc"] for out in outputs[:2]] == [3.0, 3.0]


BAD_TURNS = [
    ({"test": [{"question_id": 1, "turns": ["a"], "category": "x"}]}, "'turns' is 1 of them"),
    ({"test": [{"question_id": 1, "turns": "a", "category": "x"}]}, "'turns' is str"),
    ({"test": [{"question_id": 1, "turns": [1, 2], "category": "x"}]}, "is int; a string"),
    ({"test": [{"turns": ["a", "b"], "category": "x"}]}, "'question_id' is NoneType"),
    ({"test": [{"question_id": True, "turns": ["a", "b"]}]}, "'question_id' is bool"),
    ({"test": [{"question_id": 1, "turns": ["a", "b"]}]}, "column 'category' is missing"),
    ({"test": TURNS, "reference": [{"question_id": 1}]}, "'choices' is no list"),
    ({"test": TURNS, "reference": [{"question_id": 1, "choices": [{}]}]}, "'turns' of a choice"),
    ({"test": [TURNS[0], TURNS[0]]}, "item 'mt_bench-81' is there twice"),
]


@pytest.mark.parametrize(("files", "message"), BAD_TURNS)
def test_a_question_that_cannot_be_read_is_named(
    tmp_path: Path, files: dict[str, list[dict[str, object]]], message: str
) -> None:
    with pytest.raises(StageError, match=message):
        mt_bench.items(source(tmp_path, **files))  # type: ignore[arg-type]


def test_the_table_knows_both() -> None:
    assert KINDS["alpaca-eval"] is alpaca_eval.KIND
    assert KINDS["mt-bench"] is mt_bench.KIND


def test_a_policys_own_outputs_are_judged(policy: LoadedModel, tmp_path: Path) -> None:
    model, kind = SharedModel(policy), mt_bench.KIND

    def replies(items: list[Item]) -> list[Scored]:
        task = Task("mt", None, tuple(items), kind.score, "main", max_new_tokens=4)
        return run_tasks([task], model, limit=None)

    outputs = replies(mt_bench.items(source(tmp_path, test=TURNS)))
    outputs += replies([item for out in outputs if (item := mt_bench.follow_up(out))])
    _, found = finished(kind, outputs, tmp_path, judge=LengthJudge())
    assert len(outputs) == 4
    words = [len(str(out.generation).split()) for out in outputs]
    assert found["t_rating"] == pytest.approx(sum(words) / 4)


def test_the_published_prompts_are_read(data_dir: Path) -> None:
    task = TaskDefinition(files={"test": "alpaca_eval/alpaca_eval_prompts.jsonl.gz"})
    found = alpaca_eval.items(Source("alpaca-eval", task, data_dir))
    assert len({item.id for item in found}) == 805
    whole = Counter(item.category for item in found)
    assert whole == {
        "selfinstruct": 252,
        "oasst": 188,
        "koala": 156,
        "helpful_base": 129,
        "vicuna": 80,
    }
    # A tier takes a prefix: each subset's share of 200 is within one of its share of all.
    prefix = Counter(item.category for item in found[:200])
    assert all(abs(prefix[name] - 200 * count / 805) <= 1 for name, count in whole.items())


def test_the_published_conversations_are_read(data_dir: Path) -> None:
    files = {
        "test": "mt_bench/mt_bench_questions.jsonl.gz",
        "reference": "mt_bench/mt_bench_reference_gpt4.jsonl.gz",
    }
    found = mt_bench.items(Source("mt-bench", TaskDefinition(files=files), data_dir))
    assert len(found) == 80
    assert len({item.category for item in found[:8]}) == 8
    answered = Counter(item.category for item in found if item.info["references"])
    assert answered == {"math": 10, "reasoning": 10, "coding": 10}
