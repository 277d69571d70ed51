"""Imported per-sample results: what lm-eval itself writes, small files by hand, hostile ones."""

from __future__ import annotations

import csv
import gzip
import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from lm_eval.api.model import LM
from lm_eval.evaluator import evaluate
from lm_eval.loggers import EvaluationTracker
from lm_eval.tasks import TaskManager

from ablate.errors import AblateError
from ablate.evals.imports.importing import Imported, imported, write_imported
from ablate.evals.imports.lm_eval_samples import choice_logprobs, task_of
from ablate.evals.imports.output import Selection
from ablate.evals.imports.stage import run
from ablate.evals.records import content_hash
from ablate.reporting.artifacts import read_scores
from ablate.reporting.item_files import read_table
from ablate.spec.evaluation import ImportedConfig
from ablate.spec.suites import SuiteDefinition, TaskDefinition

from .artifacts import Stage

NAN = math.nan


def metrics(found: Imported) -> dict[str, float]:
    return {metric.metric: metric.value for metric in found.metrics}


def scores(found: Imported, name: str = "acc") -> list[float]:
    return [line["scores"][name] for line in found.lines]  # type: ignore[index]


def write_jsonl(path: Path, rows: Sequence[Mapping[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def write_csv(path: Path, rows: Sequence[Mapping[str, Any]]) -> Path:
    with open(path, "w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return path


# lm-eval's own files


class Longest(LM):  # type: ignore[misc]
    """Finds shorter choices likelier, has NaN for the word 'bad', and repeats the prompt."""

    def loglikelihood(self, requests: list[Any]) -> list[tuple[float, bool]]:
        return [
            (NAN if "bad" in request.args[0] else -float(len(request.args[1])), False)
            for request in requests
        ]

    def loglikelihood_rolling(self, requests: list[Any]) -> list[float]:
        raise NotImplementedError

    def generate_until(self, requests: list[Any]) -> list[str]:
        return [f"It is {request.args[0]}" for request in requests]


class Documents(list[dict[str, Any]]):
    """What lm-eval needs of a data set."""

    @property
    def features(self) -> dict[str, None]:
        return dict.fromkeys(self[0])


QUESTIONS = [{"q": "12", "gold": 0}, {"q": "7", "gold": 1}, {"q": "bad", "gold": 0}]


def write_lm_eval_files(folder: Path) -> dict[str, dict[str, float]]:
    """Run lm-eval on two tasks and let it save its samples; return its own results."""
    common: dict[str, Any] = {
        "custom_dataset": lambda **_: {"test": Documents(QUESTIONS)},
        "test_split": "test",
        "doc_to_text": lambda doc: doc["q"],
    }
    number = {"function": "regex", "regex_pattern": r"(\d+|bad)"}
    first = {"function": "take_first"}
    metric = {"aggregation": "mean", "higher_is_better": True}
    compared = {
        "task": "compared",
        "output_type": "multiple_choice",
        "doc_to_choice": lambda doc: ["a", "longer"],
        "doc_to_target": lambda doc: doc["gold"],
        "metric_list": [{"metric": "acc", **metric}],
    }
    generated = {
        "task": "generated_cot",
        "output_type": "generate_until",
        "doc_to_target": lambda doc: doc["q"],
        "metric_list": [{"metric": "exact_match", **metric}],
        "generation_kwargs": {"until": []},
        "filter_list": [
            {"name": "strict", "filter": [first]},
            {"name": "flexible", "filter": [number, first]},
        ],
    }
    tasks = [common | compared, common | generated]
    results = evaluate(
        Longest(), TaskManager(include_defaults=False).load(tasks), bootstrap_iters=0
    )
    tracker = EvaluationTracker(output_path=str(folder))
    tracker.general_config_tracker.model_name_sanitized = "model"
    tracker.date_id = "2026-01-02T03-04-05.678901"
    for name, samples in results["samples"].items():
        tracker.save_results_samples(name, samples)
    return dict(results["results"])


@pytest.fixture(scope="module")
def lm_eval_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("lm_eval")
    results = write_lm_eval_files(folder)
    # lm-eval itself counts the document without finite numbers as right.
    assert results["compared"]["acc,none"] == pytest.approx(2 / 3)
    assert results["generated_cot"]["exact_match,flexible"] == 1.0
    return folder


def test_files_that_lm_eval_wrote_become_one_output_a_document(lm_eval_folder: Path) -> None:
    found = imported(lm_eval_folder)
    assert found.format == "lm-eval"
    assert [(line["task"], line["doc_id"]) for line in found.lines] == [
        (task, doc_id) for task in ("compared", "generated_cot") for doc_id in "012"
    ]
    line = found.lines[3]
    assert line["prompt"] == "12"
    assert line["output"] == "It is 12"
    assert line["target"] == "12"
    # lm-eval's own hashes, so that imported and evaluated documents are the same ones.
    assert line["doc_hash"] == found.lines[0]["doc_hash"]
    assert len(str(line["prompt_hash"])) == 64


def test_the_first_filter_counts_and_all_of_them_are_kept(lm_eval_folder: Path) -> None:
    found = imported(lm_eval_folder)
    assert metrics(found)["generated_cot"] == 0.0
    assert found.lines[3]["scores"] == {
        "acc": 0.0,
        "exact_match,strict": 0.0,
        "exact_match,flexible": 1.0,
    }


def test_a_suite_says_which_filter_counts_and_which_tasks(lm_eval_folder: Path) -> None:
    task = TaskDefinition(lm_eval="generated_cot", filter="flexible", category="math")
    found = imported(lm_eval_folder, selection=Selection({"gsm": task}))
    assert {line["task"] for line in found.lines} == {"gsm"}
    assert {line["category"] for line in found.lines} == {"math"}
    assert metrics(found) == {"math": 100.0, "average": 100.0, "gsm": 100.0, "empty_fraction": 0.0}


def test_a_task_that_the_files_lack_leaves_the_average_undefined(lm_eval_folder: Path) -> None:
    tasks = {
        "generated_cot": TaskDefinition(filter="flexible", category="math"),
        "bbh": TaskDefinition(category="math"),
    }
    found = metrics(imported(lm_eval_folder, selection=Selection(tasks)))
    assert found["generated_cot"] == 100.0
    assert math.isnan(found["bbh"])
    assert math.isnan(found["math"])
    assert math.isnan(found["average"])


def test_a_document_without_finite_numbers_has_no_score(lm_eval_folder: Path) -> None:
    tasks = {"compared": TaskDefinition(category="knowledge")}
    found = imported(lm_eval_folder, selection=Selection(tasks))
    assert scores(found)[:2] == [1.0, 0.0]
    assert math.isnan(scores(found)[2])
    assert math.isnan(metrics(found)["compared"])
    assert found.lines[1]["logprobs"] == (-2.0, -7.0)
    assert found.invalid == (
        "1 outputs came from numbers that are not finite: the checkpoint is broken",
    )
    assert found.alarms == ("compared: 1 of 3 outputs have no score",)


@pytest.mark.parametrize(
    ("task", "message"),
    [
        (
            TaskDefinition(filter="flexibel"),
            "no filter 'flexibel'; strict, flexible are there. Did",
        ),
        (TaskDefinition(metric="exact_mach"), "no metric 'exact_mach'; exact_match are there. Did"),
    ],
)
def test_a_filter_or_metric_that_is_not_there_is_named(
    lm_eval_folder: Path, task: TaskDefinition, message: str
) -> None:
    with pytest.raises(AblateError, match=message):
        imported(lm_eval_folder, selection=Selection({"generated_cot": task}))


def test_several_tasks_under_one_name_are_its_subsets(lm_eval_folder: Path) -> None:
    selection = Selection(names={"*": "everything"})
    found = imported(lm_eval_folder, selection=selection)
    assert {line["task"] for line in found.lines} == {"everything"}
    assert [line["subset"] for line in found.lines] == ["compared"] * 3 + ["generated_cot"] * 3
    assert len({line["doc_id"] for line in found.lines}) == 6


def test_what_is_written_is_what_reports_read(lm_eval_folder: Path, tmp_path: Path) -> None:
    tasks = {"generated_cot": TaskDefinition(filter="flexible", category="math")}
    found = imported(lm_eval_folder, selection=Selection(tasks))
    write_imported(tmp_path, found, suite="offline")
    assert read_scores(tmp_path).rows["average"].value == 100.0
    table = read_table(tmp_path / "samples.jsonl", {})
    items = table.scores["main", "acc"]["math", "generated_cot"]
    assert items.values.tolist() == [1.0, 1.0, 1.0]


def test_broken_numbers_can_be_written(lm_eval_folder: Path, tmp_path: Path) -> None:
    write_imported(tmp_path, imported(lm_eval_folder), suite="")
    lines = [json.loads(line) for line in (tmp_path / "samples.jsonl").read_text().splitlines()]
    assert lines[2]["logprobs"] == [None, None]
    record = json.loads((tmp_path / "scores.json").read_text())
    assert record["invalid"]
    assert record["alarms"]


def sample(**given: object) -> dict[str, object]:
    base = {"doc_id": 0, "resps": [["x"]], "filtered_resps": ["x"], "doc": {}, "acc": 1}
    return base | given


def test_lines_of_older_versions_without_filter_or_metrics_are_read(tmp_path: Path) -> None:
    rows = [sample(arguments=[["Q", {}]]), sample(doc_id=1, acc=0, acc_stderr=NAN)]
    found = imported(write_jsonl(tmp_path / "samples_arc_easy.jsonl", rows))
    assert metrics(found)["arc_easy"] == 50.0
    assert found.lines[0]["prompt"] == "Q"
    assert found.lines[0]["doc_hash"] == content_hash({})


def test_scores_that_are_lists_are_no_scores(tmp_path: Path) -> None:
    row = sample(metrics=["acc", "by_instruction"], by_instruction=[True, False])
    found = imported(write_jsonl(tmp_path / "samples_ifeval.jsonl", [row]))
    assert found.lines[0]["scores"] == {"acc": 1.0, "acc,none": 1.0}


def test_a_score_that_is_nan_is_undefined_and_counted(tmp_path: Path) -> None:
    rows = [sample(), sample(doc_id=1, acc=NAN)]
    found = imported(write_jsonl(tmp_path / "samples_x.jsonl", rows))
    assert math.isnan(metrics(found)["x"])
    assert found.alarms == ("x: 1 of 2 outputs have no score",)


@pytest.mark.parametrize(
    ("name", "task"),
    [
        ("samples_gsm8k_cot_2024-07-01T10-11-12.345678.jsonl", "gsm8k_cot"),
        ("samples_mmlu_2024-07-01T10-11-12.jsonl", "mmlu"),
        ("samples_bbh.jsonl", "bbh"),
        ("renamed.jsonl", "renamed"),
    ],
)
def test_the_task_is_in_the_name_of_the_file(name: str, task: str) -> None:
    assert task_of(Path(name)) == task


@pytest.mark.parametrize(
    ("responses", "expected"),
    [
        ([["-5.69", "False"], ["-1.0", "True"]], (-5.69, -1.0)),
        ([["-inf", "False"]], (-math.inf,)),
        (["text"], None),
        ([["18", "19"]], None),
        ([["x", "True"]], None),
        ([], None),
        (None, None),
    ],
)
def test_log_probabilities_are_told_from_texts(responses: Any, expected: Any) -> None:
    assert choice_logprobs(responses) == expected


BAD_SAMPLES = [
    ([sample(), sample()], "document '0' is there twice after filter 'none'"),
    ([sample(doc_hash="a"), sample(filter="b", doc_hash="c")], "another one than in an earlier"),
    ([sample(), {"doc_id": 1}], r":2: filtered_resps, resps are missing"),
    ([sample(doc_id=[1])], "'doc_id' is list; a printable text"),
    ([sample(doc_id="\x1b[2J")], "'doc_id' is .*; a printable text"),
    ([sample(acc="no")], "no metric 'acc'; none that is one number"),
    ([sample(acc=55.0)], "the score of task 'x' is 55; 0 to 1 is allowed"),
    ([sample(resps=[["\ud800"]])], "no valid Unicode"),
    ([sample(doc={"q": "\ud800"})], "document '0': the document cannot be hashed"),
    ([sample(doc_hash="\x1b[2J")], "document '0': 'doc_hash' is .*; a printable text"),
    ([sample() | {"\x1b[2J": 1}], "the name of a metric is .*; a printable text"),
    ([sample(acc=10**400)], "metric 'acc' is an integer of more than 256 bits"),
]


@pytest.mark.parametrize(("rows", "message"), BAD_SAMPLES)
def test_a_line_of_lm_eval_that_cannot_be_taken_is_named(
    tmp_path: Path, rows: list[dict[str, object]], message: str
) -> None:
    with pytest.raises(AblateError, match=message):
        imported(write_jsonl(tmp_path / "samples_x.jsonl", rows))


def test_two_runs_in_one_folder_are_refused(tmp_path: Path) -> None:
    for day in ("01", "02"):
        write_jsonl(tmp_path / f"samples_x_2024-07-{day}T10-11-12.jsonl", [sample()])
    with pytest.raises(AblateError, match=r"07-01.* and .*07-02.*: document '0' .*is there twice"):
        imported(tmp_path)


# AlpacaEval's annotations


def annotation(**given: object) -> dict[str, object]:
    return {"instruction": "Hi", "preference": 2.0, "output_1": "ab", "output_2": "abcd"} | given


def test_annotations_are_read_from_an_array_or_from_lines(tmp_path: Path) -> None:
    rows = [annotation(), annotation(instruction="Ho", preference=1.5)]
    (tmp_path / "a.json").write_text(json.dumps(rows))
    found = imported(tmp_path / "a.json")
    assert found.lines == imported(write_jsonl(tmp_path / "a.jsonl", rows)).lines
    assert (found.format, scores(found)) == ("alpaca-eval", [1.0, 0.5])
    assert scores(found, "length_difference") == [2.0, 2.0]
    # (1 + 1/2) / 2; deviations of 1/4: sqrt(1/8 / 2).
    assert metrics(found)["alpaca-eval"] == 75.0
    assert metrics(found)["alpaca-eval_win_rate_se"] == pytest.approx(25.0)


def test_annotations_of_one_prompt_have_one_name_in_every_file(tmp_path: Path) -> None:
    first = imported(write_jsonl(tmp_path / "a.jsonl", [annotation(), annotation(instruction="b")]))
    second = imported(write_jsonl(tmp_path / "b.jsonl", [annotation(output_2="other")]))
    for name in ("doc_id", "doc_hash"):
        assert first.lines[0][name] == second.lines[0][name]


def test_a_prompt_without_annotation_is_left_out_and_counted(tmp_path: Path) -> None:
    rows = [annotation(), annotation(instruction="b", preference=None)]
    found = imported(write_jsonl(tmp_path / "a.jsonl", rows))
    assert metrics(found)["alpaca-eval"] == 100.0
    assert metrics(found)["alpaca-eval_judge_failures"] == 1.0
    assert found.alarms == ("alpaca-eval: 1 of 2 outputs have no score",)


def test_leaves_of_a_suite_share_the_annotations(tmp_path: Path) -> None:
    files = {"test": "x"}
    tasks = {
        "raw": TaskDefinition(kind="alpaca-eval", files=files, category="Chat"),
        "controlled": TaskDefinition(kind="alpaca-eval", files=files, metric="lc_win_rate"),
        "gsm8k": TaskDefinition(),
    }
    # Equal lengths throughout: there is a rate, and none at equal lengths.
    rows = [annotation(output_2="cd"), annotation(instruction="b", output_2="ef", preference=1)]
    found = metrics(imported(write_jsonl(tmp_path / "a.jsonl", rows), selection=Selection(tasks)))
    assert found["raw"] == found["Chat"] == 50.0
    assert math.isnan(found["controlled"])
    assert math.isnan(found["gsm8k"])


BAD_ANNOTATIONS = [
    ([annotation(preference=7)], None, ":1: preference 7.0; 1 to 2, and 0 for a draw"),
    ([{"prompt_id": {"a": "\ud800"}, "preference": 1}], None, "the document cannot be hashed"),
    ([{"prompt_id": {"a": 1}, "preference": 1}], None, "column 'prompt_id' is dict"),
    ([annotation(preference="x")], None, "column 'preference' is 'x'"),
    ([annotation(model="a"), annotation(model="b")], None, ":2: .*several models, 'a', 'b'; one"),
    ([annotation(model="gpt4")], "gpt5", "no reply is of model 'gpt5'; 'gpt4' are there. Did you"),
    ([annotation(), annotation()], None, "document 'alpaca_eval-.*' .*is there twice"),
    ([annotation(output_2=3, len_2="x", output_1=None, len_1="x")], None, "'len_1' is 'x'"),
]


@pytest.mark.parametrize(("rows", "model", "message"), BAD_ANNOTATIONS)
def test_an_annotation_that_cannot_be_taken_is_named(
    tmp_path: Path, rows: list[dict[str, object]], model: str | None, message: str
) -> None:
    with pytest.raises(AblateError, match=message):
        imported(write_jsonl(tmp_path / "a.jsonl", rows), selection=Selection(model=model))


def test_the_published_annotations_of_one_model_are_a_cell(data_dir: Path) -> None:
    path = data_dir / "alpaca_eval" / "alpaca_eval_v1_gpt4_preferences.jsonl.gz"
    found = imported(path, selection=Selection(model="tulu-2-dpo-70b"))
    assert len(found.lines) == 805
    leaderboard = path.with_name("alpaca_eval_v1_leaderboard.jsonl.gz")
    with gzip.open(leaderboard, "rt") as file:
        row = next(r for line in file if (r := json.loads(line))["model"] == "tulu-2-dpo-70b")
    assert metrics(found)["alpaca-eval"] == pytest.approx(row["win_rate"], abs=1e-6)
    error = metrics(found)["alpaca-eval_win_rate_se"]
    assert error == pytest.approx(row["standard_error"], abs=1e-6)


# Tables of scores


ROWS: list[dict[str, object]] = [
    {"task": "a", "doc_id": "1", "score": 1, "category": "X", "output": "yes", "length_tokens": 3},
    {"task": "a", "doc_id": "2", "score": 0, "category": "X", "output": " ", "length_tokens": 5},
    {"task": "b", "doc_id": "1", "score": 0.5, "category": "Y", "output": "", "length_tokens": 1},
]


@pytest.mark.parametrize("write", [write_csv, write_jsonl])
def test_a_table_of_scores_becomes_categories_and_an_average(tmp_path: Path, write: Any) -> None:
    path = write(tmp_path / ("s.csv" if write is write_csv else "s.jsonl"), ROWS)
    found = imported(path)
    assert found.format == "table"
    assert scores(found) == [1.0, 0.0, 0.5]
    # Two of the three outputs are empty but for white space.
    assert metrics(found) == {
        **{"X": 50.0, "Y": 50.0, "average": 50.0, "a": 50.0, "b": 50.0},
        **{"length_tokens": 3.0, "empty_fraction": pytest.approx(2 / 3)},
    }
    assert found.lines[0]["length_tokens"] == 3
    assert found.lines[0]["mode"] == "main"


def test_the_direction_and_unit_of_the_suite_count(tmp_path: Path) -> None:
    tasks = {
        "a": TaskDefinition(category="Safety", direction="lower"),
        "b": TaskDefinition(unit="points"),
    }
    rows = [{**ROWS[0], "score": 0.25}, {**ROWS[2], "score": 8.5}]
    found = metrics(imported(write_jsonl(tmp_path / "s.jsonl", rows), selection=Selection(tasks)))
    assert (found["a"], found["Safety"], found["b"]) == (25.0, 75.0, 8.5)


def test_an_empty_score_is_undefined(tmp_path: Path) -> None:
    rows = [ROWS[0], {**ROWS[1], "score": ""}, {**ROWS[2], "score": "NaN"}]
    found = imported(write_csv(tmp_path / "s.csv", rows))
    assert math.isnan(metrics(found)["a"])
    assert found.alarms == (
        "a: 1 of 2 outputs have no score",
        "b: 1 of 1 outputs have no score",
    )


def test_one_seed_of_several_is_taken_where_it_is_said(tmp_path: Path) -> None:
    rows = [{**ROWS[0], "seed": 0}, {**ROWS[0], "seed": 1, "score": 0}]
    path = write_csv(tmp_path / "s.csv", rows)
    assert scores(imported(path, selection=Selection(seed="1"))) == [0.0]
    with pytest.raises(AblateError, match=r"s\.csv:2: the rows are of several seeds, 0, 1; one is"):
        imported(path)
    with pytest.raises(AblateError, match="no row has seed '2'; 0, 1 are there"):
        imported(path, selection=Selection(seed="2"))


def test_samples_of_one_document_are_averaged_by_who_reads_them(tmp_path: Path) -> None:
    rows = [{**ROWS[0], "sample": number} for number in (0, 1)]
    found = imported(write_csv(tmp_path / "s.csv", rows))
    assert [line["sample"] for line in found.lines] == [0, 1]
    assert next(m.n_items for m in found.metrics if m.metric == "a") == 1


BAD_TABLES = [
    ([{"task": "a", "doc_id": 1, "scores": 1}], "'score' is missing;.* Did you mean 'scores'?"),
    ([{"task": "a", "Doc_id": 1, "score": 1}], "'doc_id' is missing;.* Did you mean 'doc_id'?"),
    ([{**ROWS[0], "outputs": "x"}], None),
    ([{"task": "a", "doc_id": 1, "score": 1, "outputs": ""}], "'outputs' .* mean 'output'?"),
    ([{"task": "a", "doc_id": 1, "score": 1, "prompt_id": ""}], None),
    ([{**ROWS[0], "score": 55}], "the score of task 'a' is 55; 0 to 1 is allowed.* by 100"),
    ([{**ROWS[0], "score": "high"}], "column 'score' is 'high'; a number, or nothing"),
    ([{**ROWS[0], "score": math.inf}], "column 'score' is inf"),
    ([{**ROWS[0], "score": [1]}], "column 'score' is list"),
    ([{**ROWS[0], "doc_id": ""}], "column 'doc_id' is ''"),
    ([{**ROWS[0], "length_tokens": -1}], "'length_tokens' is -1; a count is needed"),
    ([{**ROWS[0], "sample": 0.5}], "'sample' is 0.5; a count is needed"),
    ([ROWS[0], {**ROWS[1], "category": "Y"}], "task 'a': its rows are in several categories, X, Y"),
    ([{**ROWS[0], "category": "\x1b[2J"}], "column 'category' is .*; a printable text"),
    ([{**ROWS[0], "category": "average"}], "'average': a metric of ours has the name"),
    ([{**ROWS[0], "task": "length_tokens"}], "'length_tokens': a metric of ours has the name"),
    ([ROWS[0], ROWS[0]], "document '1' of task 'a' is there twice"),
]


@pytest.mark.parametrize(("rows", "message"), BAD_TABLES)
def test_a_table_that_cannot_be_taken_is_refused_with_the_nearest_name(
    tmp_path: Path, rows: list[dict[str, object]], message: str | None
) -> None:
    path = write_jsonl(tmp_path / "s.jsonl", rows)
    if message is None:
        assert len(imported(path).lines) == 1
        return
    with pytest.raises(AblateError, match=message):
        imported(path)


# What is no such file


def test_what_is_of_no_format_is_refused_and_said(tmp_path: Path) -> None:
    path = write_jsonl(tmp_path / "x.jsonl", [{"prompt": "a"}])
    with pytest.raises(
        AblateError, match=r"neither a line of lm-eval.* columns task, doc_id, score"
    ):
        imported(path)
    with pytest.raises(AblateError, match="column 'task' is missing; the columns are 'prompt'"):
        imported(path, format="table")
    with pytest.raises(AblateError, match="'tabel' is not one of .*Did you mean 'table'?"):
        imported(path, format="tabel")


def test_files_without_rows_or_outputs_are_refused(tmp_path: Path) -> None:
    with pytest.raises(AblateError, match="the file holds no rows"):
        imported(write_jsonl(tmp_path / "x.jsonl", []))
    path = write_jsonl(tmp_path / "s.jsonl", ROWS)
    with pytest.raises(AblateError, match="no outputs of mmlu; 'a', 'b' of the format table is"):
        imported(path, selection=Selection({"mmlu": TaskDefinition()}))


def test_a_folder_without_lm_evals_files_is_refused(tmp_path: Path) -> None:
    write_jsonl(tmp_path / "s.jsonl", ROWS)
    (tmp_path / "samples_link.jsonl").symlink_to(tmp_path / "s.jsonl")
    with pytest.raises(AblateError, match=r"no files samples_\*\.jsonl are below"):
        imported(tmp_path)


def test_a_row_that_is_no_json_is_named(tmp_path: Path) -> None:
    path = write_jsonl(tmp_path / "s.jsonl", ROWS)
    path.write_text(path.read_text() + "{broken\n")
    with pytest.raises(AblateError, match=r"s\.jsonl:4: not valid JSON"):
        imported(path)


# The stage


def test_an_imported_cell_is_averaged_by_the_studys_suite(stage: Stage, tmp_path: Path) -> None:
    tasks = {"a": TaskDefinition(lm_eval="a", category="X", direction="lower")}
    config = ImportedConfig(
        files="theirs",
        suite="offline",
        definition=SuiteDefinition(tasks=tasks),
        location=str(write_csv(tmp_path / "s.csv", ROWS)),
    )
    workspace = stage("imported", config, {})
    run(workspace)
    found = read_scores(workspace.output)
    assert found.suite == "offline"
    assert found.rows["X"].value == found.rows["average"].value == 50.0
    assert "b" not in found.rows
