"""The public data files as the layouts read them, with counts that their sources state."""

from collections import Counter
from pathlib import Path

import pytest

from ablate.data.converters.table import CONVERTERS
from ablate.data.reading.conversion import converted
from ablate.data.reading.files import read_rows
from ablate.data.reading.layouts import LAYOUTS, Item, recognize
from ablate.data.reading.origin import origin_rows
from ablate.data.records import Demonstration, Dropped, Judged, Prompt
from ablate.spec.shaping import Origin

EXPECTED = {
    "alpaca_eval_prompts": ("prompts", 805),
    "alpaca_eval_v1_gpt4_preferences": ("table", 42665),
    "alpaca_eval_v1_leaderboard": ("table", 102),
    "arc_challenge": ("table", 1172),
    "arc_easy": ("table", 2376),
    "bbh": ("table", 6511),
    "dolly_hhrlhf_small": ("prompt_completion", 1000),
    "finegrained_qa_feedback_dev": ("finegrained_qa", 500),
    "gsm8k_test": ("question_answer", 1319),
    "gsm8k_train": ("question_answer", 7473),
    "hh_harmless_base_test": ("hh", 2312),
    "humaneval": ("prompts", 164),
    "ifeval": ("prompts", 541),
    "llamafactory_dpo_en_demo": ("preferences", 300),
    "llamafactory_kto_en_demo": ("feedback", 300),
    "mbpp": ("table", 974),
    "mmlu_head30": ("table", 1710),
    "judge_prompts": ("table", 8),
    "mt_bench_questions": ("prompts", 80),
    "mt_bench_reference_gpt4": ("table", 30),
    "oasst_en_100_pairs": ("preferences", 754),
    "rasbt_instruction_preference": ("preferences", 1100),
    "self_instruct_seed": ("instances", 175),
    "stack_exchange_paired_tiny": ("better_first", 25),
    "toxigen_prompts_head25": ("prompts", 775),
    "truthfulqa": ("table", 817),
    "xstest": ("prompts", 450),
}
"""Layout and rows of every file; the rows are those of the file's note of provenance."""


def path_of(data_dir: Path, name: str) -> Path:
    [path] = data_dir.glob(f"*/{name}.jsonl.gz")
    return path


def items_of(data_dir: Path, name: str) -> tuple[list[Item], Counter[str]]:
    """Return what the rows of a file say, and what was dropped."""
    path = path_of(data_dir, name)
    found = list(converted(read_rows(path), LAYOUTS[EXPECTED[name][0]], name, where=path))
    dropped = Counter(item.reason for item in found if isinstance(item, Dropped))
    return [item for item in found if not isinstance(item, Dropped)], dropped


def test_every_public_file_is_expected_here(data_dir: Path) -> None:
    found = {path.name.partition(".")[0] for path in data_dir.glob("*/*.jsonl.gz")}
    assert found == EXPECTED.keys()


@pytest.mark.parametrize("name", EXPECTED)
def test_every_public_file_has_a_layout_and_its_rows(data_dir: Path, name: str) -> None:
    rows = list(read_rows(path_of(data_dir, name)))
    layout = recognize(rows[0][1].keys(), rows[0][1])
    assert (layout, len(rows)) == EXPECTED[name]
    assert layout in LAYOUTS or layout in CONVERTERS


def test_the_6_equal_pairs_of_rasbt_are_dropped(data_dir: Path) -> None:
    items, dropped = items_of(data_dir, "rasbt_instruction_preference")
    assert (len(items), dropped) == (1094, {"identical_replies": 6})
    first = items[0]
    assert isinstance(first, Judged) and first.pair is not None
    assert first.pair.id == "rasbt_instruction_preference-1"
    assert first.pair.prompt[0]["content"] == (
        "Evaluate the following phrase by transforming it into the spelling given.\n\n"
        "freind --> friend"
    )


PAIRS = ["llamafactory_dpo_en_demo", "oasst_en_100_pairs", "stack_exchange_paired_tiny"]


@pytest.mark.parametrize("name", PAIRS)
def test_pairs_are_complete_and_answer_a_user(data_dir: Path, name: str) -> None:
    items, dropped = items_of(data_dir, name)
    assert (len(items), dropped) == (EXPECTED[name][1], {})
    for item in items:
        assert isinstance(item, Judged) and item.pair is not None
        assert item.pair.source == name and item.pair.id.startswith(f"{name}-")
        assert item.pair.prompt[-1]["role"] == "user"
        assert item.pair.chosen != item.pair.rejected


def test_the_first_pair_of_stack_exchange_prefers_response_j(data_dir: Path) -> None:
    _, row = next(read_rows(path_of(data_dir, "stack_exchange_paired_tiny")))
    items, _ = items_of(data_dir, "stack_exchange_paired_tiny")
    assert isinstance(items[0], Judged) and items[0].pair is not None
    assert items[0].pair.chosen == row["response_j"]


def test_thumbs_of_llamafactory_are_counted_as_they_are(data_dir: Path) -> None:
    items, _ = items_of(data_dir, "llamafactory_kto_en_demo")
    rows = read_rows(path_of(data_dir, "llamafactory_kto_en_demo"))
    labels = Counter(row["label"] for _, row in rows)
    found: Counter[bool] = Counter()
    for item in items:
        assert isinstance(item, Judged) and item.feedback is not None
        found[item.feedback.liked] += 1
    assert found == labels and len(found) == 2


def test_demonstrations_keep_templates_inputs_and_solutions(data_dir: Path) -> None:
    dolly, _ = items_of(data_dir, "dolly_hhrlhf_small")
    seeds, _ = items_of(data_dir, "self_instruct_seed")
    problems, _ = items_of(data_dir, "gsm8k_train")
    assert [len(found) for found in (dolly, seeds, problems)] == [1000, 175, 7473]
    for found in (dolly, seeds, problems):
        assert all(isinstance(item, Demonstration) and item.completion for item in found)
    assert isinstance(dolly[0], Demonstration) and isinstance(seeds[1], Demonstration)
    assert dolly[0].prompt[0]["content"].endswith("what is kangen water?\n\n### Response:\n")
    assert seeds[1].prompt[0]["content"] == (
        "What is the relation between the given pairs?\n\nNight : Day :: Right : Left"
    )


def test_the_prompts_of_mt_bench_are_first_turns_with_their_category(data_dir: Path) -> None:
    items, _ = items_of(data_dir, "mt_bench_questions")
    assert all(isinstance(item, Prompt) and len(item.messages) == 1 for item in items)
    categories = Counter(item.category for item in items if isinstance(item, Prompt))
    assert len(categories) == 8 and set(categories.values()) == {10}


def test_a_folder_of_public_files_is_read_by_split(data_dir: Path) -> None:
    origin = Origin(dataset="gsm8k", location=str(data_dir / "gsm8k"))
    assert sum(1 for _ in origin_rows(origin)) == 7473
    test = origin.model_copy(update={"split": "test"})
    assert sum(1 for _ in origin_rows(test)) == 1319


def test_a_slice_of_a_public_file_has_the_rows_it_names(data_dir: Path) -> None:
    path = path_of(data_dir, "xstest")
    origin = Origin(dataset="x", location=str(path), where=(("label", ("unsafe",)),))
    assert sum(1 for _ in origin_rows(origin)) == 200
