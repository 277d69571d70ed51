"""What a table holds is counted and named, whatever its columns are called."""

import math

from ablate.data.survey import Lengths, Survey, row_list, surveyed, type_of


def survey_of(*rows: dict[str, object]) -> Survey:
    survey = Survey()
    assert len(list(surveyed(enumerate(rows, start=1), survey))) == len(rows)
    return survey


def test_types_are_words_of_a_reader():
    message = {"role": "user", "content": "hi"}
    values = ["x", 1, 0.5, True, [message], message, {"a": 1}, ["a", "b"], [["a"], ["b"]], ["a", 1]]
    assert [type_of(value) for value in values] == [
        *("text", "number", "number", "true/false", "messages", "message", "object"),
        *("list of texts", "list of lists", "list"),
    ]


def test_missing_null_and_blank_are_three_things():
    survey = survey_of({"a": "x", "b": 1.0}, {"a": None}, {"a": " ", "b": math.nan})
    a, b = survey.columns["a"], survey.columns["b"]
    assert (a.nulls.count, a.empty.count, survey.absent(a)) == (1, 1, 0)
    assert (b.nulls.rows, survey.absent(b)) == ([3], 1)


def test_repeated_rows_are_named_with_the_row_that_they_repeat():
    one, other = {"a": "x", "b": 1}, {"a": "x", "b": 2}
    assert survey_of(one, other, one, dict(reversed(one.items()))).repeats == [(3, 1), (4, 1)]


def test_values_of_a_column_of_classes_are_counted_and_of_others_not():
    rows = [{"label": "ab"[n % 2], "text": f"text {n}"} for n in range(20)]
    survey = survey_of(*rows)
    found = survey.columns["label"].values
    assert found is not None and {k: v.count for k, v in found.items()} == {"a": 10, "b": 10}
    assert survey.columns["text"].values is None


def test_lengths_have_a_mean_and_quantiles_that_occur():
    # 1 to 20: mean 10.5; the 10th value; the 95th percentile is place ceil(0.95 * 19) = 19 from 0.
    assert Lengths.of(range(1, 21)) == Lengths(20, 10.5, 10, 20, 20)
    assert math.isnan(Lengths.of([]).mean)


def test_draws_written_two_ways_and_nulls_are_counted_and_named():
    rows = [{"preference": value} for value in (2.0, 0, 1.5, None, 0.0, 1)]
    assert list(survey_of(*rows).notes()) == [
        "preference: 3 draws, written 0 2 times (rows 2, 5) and 1.5 1 times (row 3)",
        "preference: 1 null, which are no annotations: row 4",
    ]


def test_another_column_of_numbers_has_no_draws():
    assert list(survey_of({"preference": 0}, {"preference": 5}).notes()) == []


def test_only_the_first_rows_are_named():
    survey = survey_of(*[{"a": None}] * 9)
    assert row_list(survey.columns["a"].nulls) == "rows 1, 2, 3, 4, 5, 6, 7, 8, …"
