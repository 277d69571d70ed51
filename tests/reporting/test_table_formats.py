"""Tables as Markdown, LaTeX and CSV: groups, titles over columns, missing fields."""

from __future__ import annotations

import csv
import io
import math
import re

from ablate.reporting.latex import escape, latex_table
from ablate.reporting.markdown import markdown_table, notes_of
from ablate.reporting.table_csv import table_csv
from ablate.reporting.tables import Cell, RowGroup, Table

DASH = "–"
TABLE = Table(
    "made-up",
    "A caption with 100 % & more.",
    ("data_set", "small", "large"),
    (
        (Cell("* SFT"), Cell("56.8", sort=56.75), Cell(DASH, hint="not run")),
        (
            Cell("[web] 50% & more"),
            Cell("57.0", "± 1.2", sort=56.96, low=55.8, high=58.2),
            Cell(""),
        ),
        (Cell("{Δ}"), Cell("+0.2", sort=0.21, slanted=True), Cell(DASH, hint="failed: no_memory")),
        (
            Cell("=1+1"),
            Cell("58.1", sort=58.1, tone="better", strong=True),
            Cell(DASH, hint="not run"),
        ),
    ),
    ("A note.",),
    groups=(RowGroup("", 1), RowGroup("Web", 2), RowGroup("Human", 1)),
    spans=(("", 1), ("GSM8K", 2)),
)


def columns_of(row: str) -> int:
    """Return how many columns a row of a tabular fills."""
    spans = [int(n) for n in re.findall(r"\\multicolumn\{(\d+)\}", row)]
    return len(re.split(r"(?<!\\)&", row)) - len(spans) + sum(spans)


def is_balanced(source: str) -> bool:
    """Whether braces that are no text, and environments, are closed in order."""
    open_braces, open_environments = 0, []
    for token in re.findall(r"\\[{}\\]|\\(?:begin|end)\{\w+\}|[{}]", source):
        if token in ("{", "}"):
            open_braces += 1 if token == "{" else -1
        elif token.startswith(r"\begin"):
            open_environments.append(token[7:-1])
        elif token.startswith(r"\end") and open_environments.pop() != token[5:-1]:
            return False
        if open_braces < 0:
            return False
    return open_braces == 0 and not open_environments


def test_every_row_of_a_latex_table_fills_its_columns_and_all_braces_close() -> None:
    source = latex_table(TABLE)
    body = source[source.index(r"\toprule") : source.index(r"\bottomrule")]
    rows = [line for line in body.splitlines() if line.endswith(r"\\")]
    assert is_balanced(source) and is_balanced(latex_table(TABLE, shaded=True))
    # Titles over columns, titles, two headings, four rows and one line of small print.
    assert [columns_of(row) for row in rows] == [3] * 9


def test_latex_has_groups_rules_and_titles_over_columns() -> None:
    source = latex_table(TABLE)
    assert r"\multicolumn{3}{l}{\textit{Web}} \\" in source
    assert r"\multicolumn{1}{c}{} & \multicolumn{2}{c}{GSM8K} \\" in source
    assert r"\cmidrule(lr){2-3}" in source
    assert source.count(r"\midrule") == 3
    assert r"\textbf{58.1}" in source and r"\textit{+0.2}" in source


def test_latex_is_shaded_only_where_it_is_asked_for() -> None:
    assert "cellcolor" not in latex_table(TABLE)
    assert latex_table(TABLE, shaded=True).count(r"\cellcolor") == 1


def test_a_row_of_latex_never_starts_with_what_a_line_break_would_swallow() -> None:
    assert escape("* SFT") == "{*} SFT"
    assert escape("[web]") == "{[}web]"


def test_why_a_field_is_missing_is_a_letter_and_a_line_below() -> None:
    source = latex_table(TABLE)
    assert source.count(DASH.replace("–", "--") + "$^{a}$") == 2
    assert r"$^{a}$ not run. $^{b}$ failed: no\_memory." in source
    shown = markdown_table(TABLE)
    assert shown.count("–<sup>a</sup>") == 2 and shown.count("–<sup>b</sup>") == 1
    assert notes_of(TABLE) == ["A note.", r"a: not run. b: failed: no\_memory."]


def test_markdown_has_groups_as_rows_and_as_many_fields_in_each() -> None:
    lines = markdown_table(TABLE).splitlines()
    assert lines[0] == r"| data\_set | GSM8K<br>small | GSM8K<br>large |"
    assert "| **Web** |  |  |" in lines
    assert {len(re.split(r"(?<!\\)\|", line)) for line in lines} == {5}


def test_csv_has_the_unrounded_number_beside_what_is_printed() -> None:
    rows = list(csv.DictReader(io.StringIO(table_csv(TABLE))))
    assert [row["group"] for row in rows] == ["", "Web", "Web", "Human"]
    assert rows[1]["GSM8K: small"] == "57.0 (± 1.2)"
    assert float(rows[1]["GSM8K: small: value"]) == 56.96
    assert (float(rows[1]["GSM8K: small: low"]), rows[0]["GSM8K: small: low"]) == (55.8, "")
    assert "GSM8K: large: value" not in rows[0]


def test_csv_never_holds_a_name_that_a_spreadsheet_runs() -> None:
    rows = list(csv.DictReader(io.StringIO(table_csv(TABLE))))
    assert rows[3]["data_set"] == "'=1+1"
    assert rows[2]["GSM8K: small"] == "+0.2"


def test_a_table_without_groups_is_one_block() -> None:
    table = Table("t", "", ("a",), ((Cell("x"),), (Cell("y"),)))
    assert table.blocks == (("", table.rows),)
    assert table_csv(table) == "a\nx\ny\n"
    assert math.isnan(table.rows[0][0].low)
