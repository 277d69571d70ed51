"""``ablate diff``: what is printed, what is refused, and the JSON document."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
from stored_toys import DPO, ITEMS, stored, write_study

from ablate.cli.diff_text import aligned, cell_lines, clip, study_lines, wrapped
from ablate.cli.main import main
from ablate.reporting.diff import compare_studies
from ablate.reporting.diff_cells import CellOf, compare_cells
from ablate.reporting.opened import record_of
from ablate.store.layout import Store

AS_SFT = {"sft": ITEMS["sft"], DPO: ITEMS["sft"]}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A store with the studies ``one`` and ``two``, which differ in beta; ``new`` never ran."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("ABLATE_STORE", raising=False)
    store = Store(".ablate")
    stored(write_study(tmp_path, "one"), store, AS_SFT)
    stored(write_study(tmp_path, "two", beta=0.5), store, ITEMS)
    stored(write_study(tmp_path, "half", beta=0.7), store, {"sft": ITEMS["sft"]})
    return tmp_path


def test_two_studies_are_told_apart_in_few_lines(folder, capsys):
    assert main(["diff", "one", "two"]) == 0
    said = capsys.readouterr().out
    # 25 points, as tests/reporting/test_diff.py derives them with their interval.
    assert "dpo   50.0  75.0  +25.0 [−77.7, +127.7]   0.495  ? inconclusive" in said
    assert "the same runs in both (1): sft" in said
    assert "policy.beta: 0.1 → 0.5 (dpo)" in said
    assert "policy 0/2" in said and "sft 4/4" in said


def test_two_cells_are_told_apart_with_items_and_configuration(folder, capsys):
    assert main(["diff", "sft", DPO, "--study", "two"]) == 0
    said = capsys.readouterr().out
    assert "Average: 50.0 → 75.0, B − A +25.0 [−77.7, +127.7] points: ? inconclusive" in said
    assert "as in the study (baseline) 0.495; 4 items, 2 seeds a side" in said
    assert "seed 0             2         1      1    1.000" in said
    assert "every seed         1         0" in said
    assert "algorithm: – → dpo" in said


@pytest.mark.parametrize("names", [("one:dpo", "two:dpo"), ("one.yaml:dpo", "two.yaml: dpo")])
def test_cells_of_two_studies_are_named_by_study_and_cell(folder, capsys, names):
    assert main(["diff", *names]) == 0
    said = capsys.readouterr().out
    assert said.startswith("A one: dpo\nB two: dpo\n")
    assert "exploratory; p 0.495" in said and "beta: 0.1 → 0.5" in said


def test_the_document_has_the_columns_of_the_effects_and_no_nan(folder, capsys):
    assert main(["diff", "one", "two", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    (row,) = (row for row in document["effects"] if row["metric"] == "average")
    assert (row["delta"], row["n_seeds"], row["verdict"]) == (25, 2, "inconclusive")
    assert row["shrunken"] is None and document["scores"]["dpo"] == [50, 75]
    assert main(["diff", "one:sft", "one:dpo", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert [flips["only_right"] for flips in document["items"]["seeds"]] == [0, 0]


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["one:dppo", "one:sft"], 2, "Did you mean 'dpo'?"),
        (["dppo", "sft", "--study", "one"], 2, "'dppo' is no cell of study one; cells: 'sft'"),
        (["one", "two:dpo"], 2, "'two:dpo' is a cell, the other a whole study"),
        (["oen", "two"], 3, "stored studies: half, one, two. Did you mean 'one'?"),
        (["half:dpo", "one:dpo"], 3, "no run of cell 'dpo' has a result (not run). Run it first"),
        (["dpo", "sft"], 3, "A cell is written STUDY:CELL, or with --study."),
    ],
)
def test_what_cannot_be_compared_says_what_can(folder, capsys, arguments, code, message):
    assert main(["diff", *arguments]) == code
    assert message in capsys.readouterr().err


def test_a_study_that_never_ran_is_told_what_to_do(folder, capsys):
    path = write_study(folder, "new", beta=0.9)
    path.write_text(path.read_text().replace("rows: [sft]\nbaseline: sft\n", ""))
    assert main(["diff", "one", "new.yaml"]) == 3
    assert "no finished job of study new; results need at least one. Run it first" in (
        capsys.readouterr().err
    )


def test_a_side_that_is_not_finished_is_named(folder, capsys):
    assert main(["diff", "one", "half"]) == 0
    said = capsys.readouterr().out
    assert "no cell of both studies differs and has a result on both sides" in said
    assert "not finished on both sides (1): dpo" in said


@pytest.mark.parametrize("width", [80, 120])
def test_lines_fit_the_terminal_and_are_at_most_40(folder, width):
    """Both studies hold 30 more cells, whose names and reasons are as long as a grid makes them."""
    sides = [record_of(name, Store(".ablate")) for name in ("one", "two")]
    for index, study in enumerate(sides):
        runs, cells = list(study.runs), list(study.cells)
        for number in range(30):
            name = f"human-noisy, ppo, reward_model=small, prompts=mixed, beta={number}"
            cells.append(name)
            runs += [
                replace(run, cell=name, fingerprints={"evaluation": f"{index}{number}{run.seed}"})
                for run in study.runs_of(DPO)
            ]
        sides[index] = replace(study, cells=tuple(cells), runs=tuple(runs))
    short = study_lines(compare_studies(*sides), width, everything=False)
    long = study_lines(compare_studies(*sides), width, everything=True)
    # Short lines leave the names of the factors out.
    named = [f"{'beta=' if width == 120 else ''}{number}" for number in range(30)]
    pair = compare_cells(CellOf(sides[0], sides[0].cells[-1]), CellOf(sides[1], sides[1].cells[-1]))
    cells = cell_lines(pair, width, everything=False)
    assert max(map(len, [*short, *long, *cells])) <= width
    assert len(short) <= 40 and len(cells) <= 40
    assert all(any(f"mixed, {name}" in line for line in long) for name in named)
    assert any("more cells, with larger p; --all shows them" in line for line in short)


def test_names_that_do_not_fit_get_a_line_of_their_own_unless_cut_they_still_differ():
    numbers = ["1.0", "2.0"]
    alike = [(f"{'x' * 30}{end}", numbers) for end in "ab"]
    lines = aligned("cell", ["A", "B"], alike, 30)
    assert lines[1:] == ["x" * 29 + "…", " " * 22 + "1.0  2.0"] * 2
    apart = [(f"{end}{'x' * 30}", numbers) for end in "ab"]
    lines = aligned("cell", ["A", "B"], apart, 30)
    assert lines[1] == "a" + "x" * 18 + "…" + "  1.0  2.0"


def test_text_of_files_stays_on_its_line():
    assert clip("  a\nb\tc\x1b[2Jd\u2028e", 80) == "  a b c [2Jd e"
    assert wrapped("one two three", 9) == ["one two", "  three"]
