import json
import math
from pathlib import Path

import pytest

from ablate.errors import StudyError
from ablate.evals.imports.published import published_metrics, remarks
from ablate.evals.records import write_published
from ablate.plan.build import plan_study
from ablate.reporting.artifacts import read_scores
from ablate.spec.factors import UNUSED
from ablate.spec.load import load_study

TABLE_2 = {"a": 55.3, "b": 47.8, "c": 42.4, "d": 56.2, "e": 92.0, "f": 46.7}
"""DPO on StackExchange of Ivison et al. 2024; the mean of the six is 340.4 / 6 = 56.7333."""


def test_the_average_is_that_of_the_categories_and_not_the_printed_one() -> None:
    rows = {row.metric: row for row in published_metrics({**TABLE_2, "average": 56.7}, {}, {})}
    assert rows["average"].value == pytest.approx(340.4 / 6)
    assert rows["average"].level == "average" and rows["a"].level == "category"


def test_a_category_that_is_not_printed_leaves_the_printed_average() -> None:
    rows = {row.metric: row for row in published_metrics({"a": 50.0, "b": None}, {}, {})}
    assert math.isnan(rows["b"].value) and "average" not in rows
    scores = {"a": 50.0, "b": None, "average": 61.0}
    assert published_metrics(scores, {}, {})[-1].value == 61.0


def test_a_printed_average_that_is_no_mean_of_its_categories_is_told() -> None:
    assert not list(remarks({**TABLE_2, "average": 56.7}))
    assert "57.9" in next(remarks({**TABLE_2, "average": 57.9}))
    assert not list(remarks({"a": 56, "b": 66, "average": 61}))
    assert not list(remarks({"average": None}))
    assert "percent" in next(remarks({"a": 0.56, "b": 0.65}))
    assert not list(remarks({"a": 0.6}))  # one small score may be a percentage
    assert not list(remarks({"a": 56, "b": 65, "average": 61}))  # 60.5 is 61 to the whole


def test_single_benchmarks_and_errors_are_rows_and_the_source_stays_beside_them(
    tmp_path: Path,
) -> None:
    rows = published_metrics({"a": 50.0}, {"gsm8k": 53.0}, {"a": 0.4})
    write_published(tmp_path, rows, source="A paper, Table 9")
    found = read_scores(tmp_path)
    assert found.source == "A paper, Table 9"
    assert found.rows["a"].standard_error == 0.4
    assert math.isnan(found.rows["gsm8k"].standard_error) and found.rows["gsm8k"].level == "task"
    assert "standard_error" not in json.loads((tmp_path / "scores.json").read_text())["metrics"][1]


STUDY = """study: s
imported:
  one: {{source: A paper, scores: {{average: 50}}, levels: {{dataset: x}}}}
  two: {{{row}}}
"""


def problem(folder: Path, row: str) -> str:
    path = folder / "s.yaml"
    path.write_text(STUDY.format(row=row))
    with pytest.raises(StudyError) as raised:
        plan_study(load_study(path))
    return str(raised.value)


def test_published_rows_alone_are_a_study(tmp_path: Path) -> None:
    path = tmp_path / "s.yaml"
    path.write_text(STUDY.format(row="source: A paper, scores: {average: 51}, after: one"))
    plan = plan_study(load_study(path))
    assert [cell.name for cell in plan.cells] == ["one", "two"]
    assert [job.stage for job in plan.jobs] == ["imported", "imported"]
    assert plan.cells[0].levels == {"dataset": "x"} and plan.cells[1].levels == {"dataset": UNUSED}
    assert plan.cells[1].parent == "one"


@pytest.mark.parametrize(
    ("row", "found"),
    [
        ("scores: {average: 51}", "without a source"),
        ("source: A paper", "neither files nor scores"),
        ("source: A paper, files: x.csv, scores: {average: 51}", "files and published scores"),
        ("source: A paper, scores: {a: 51}, errors: {b: 1}", "no score beside it"),
        ("source: A paper, scores: {a: 51}, after: onee", "Did you mean 'one'?"),
        ("source: A paper, scores: {a: high}", "number"),
        ("source: A paper, scores: {a: true}", "true is not a number"),
        ("source: A paper, scores: {a: 155}", "155 is out of range; it must be at most 100"),
        ("source: A paper, tasks: {a: -4}", "-4 is out of range; it must be at least 0"),
        ("source: A paper, scores: {a: 5}, tasks: {a: 4}", "'a' is among the scores too"),
        ("source: A paper, scores: {a: 5}, after: two", "'two' comes after this row itself"),
        (
            "source: A, scores: {a: 5}, after: b}\n  b: {source: A, scores: {a: 5}, after: two",
            "'b' comes after this row itself",
        ),
    ],
)
def test_mistakes_of_published_rows_are_told(tmp_path: Path, row: str, found: str) -> None:
    assert found in problem(tmp_path, row)


@pytest.mark.parametrize(
    ("analysis", "found"),
    [
        ("primary: averag", "analysis.primary: 'averag' is not one of average"),
        ("primary: gold", "analysis.primary: 'gold' is not one of average"),
        ("margins: {avreage: 3}", "analysis.margins.avreage: 'avreage' is not one of average"),
    ],
)
def test_an_analysis_of_published_rows_names_their_metrics(
    tmp_path: Path, analysis: str, found: str
) -> None:
    row = "source: A paper, scores: {average: 51}}\nanalysis: {" + analysis
    assert found in problem(tmp_path, row)
