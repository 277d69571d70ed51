"""``ablate data`` and the data of a plan, as a user types and reads them."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest

from ablate.cli.main import main
from ablate.cli.plan_data import PlannedData, PlannedSet

QUESTION = "how many legs has a spider if nobody has taken one of them away"


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("ABLATE_DATA_DIR", raising=False)
    monkeypatch.setenv("COLUMNS", "120")
    return tmp_path


def write(name: str, *rows: dict[str, object]) -> str:
    text = "".join(json.dumps(row) + "\n" for row in rows)
    if name.endswith(".gz"):
        Path(name).write_bytes(gzip.compress(text.encode()))
    else:
        Path(name).write_text(text)
    return name


def pair(n: int, **changes: object) -> dict[str, object]:
    return {"prompt": f"ask {n}", "chosen": f"good {n}", "rejected": f"bad {n}", **changes}


def pairs() -> str:
    """Write six rows: two faulty, one an exact duplicate of the first."""
    rows = [pair(1), pair(2), pair(3, chosen=" "), pair(4, rejected="good 4"), pair(1), pair(5)]
    return write("pairs.jsonl", *rows)


def document(capsys: pytest.CaptureFixture[str], *arguments: str) -> dict[str, object]:
    assert main(["data", *arguments, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert isinstance(found, dict)
    return found


def test_the_list_names_every_set_within_the_terminal(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "70")
    assert main(["data"]) == 0
    text = capsys.readouterr().out
    assert "ai-fine" in text and "tiny-mixed" in text and "hh-harmless" in text
    assert max(map(len, text.splitlines())) <= 70


def test_the_list_says_which_sets_are_not_here(capsys):
    listed = {one["name"]: one for one in document(capsys)["datasets"]}
    assert listed["ai-fine"]["here"] == "yes"
    assert listed["hh-harmless"]["here"] == "no"
    assert "ABLATE_DATA_DIR" in listed["hh-harmless"]["reason"]
    assert listed["hh-harmless"]["kinds"] == ["preferences", "reward_evaluation", "prompts"]


def test_rows_left_out_are_counted_and_named(capsys):
    (one,) = document(capsys, pairs())["sets"]
    assert (one["rows"], one["kept"], one["layout"]) == (6, 4, "preferences")
    assert one["dropped"] == {
        "empty_chosen": {"count": 1, "rows": [3]},
        "identical_replies": {"count": 1, "rows": [4]},
    }
    assert one["duplicates"] == [[5, 1]]


def test_the_page_of_a_set_has_counts_columns_lengths_checks_and_an_example(capsys):
    assert main(["data", pairs()]) == 0
    text = capsys.readouterr().out
    assert "rows: 6 read, 4 usable, 2 left out" in text
    assert "1  empty_chosen: row 3" in text and "exact duplicates: 1 rows: 5 (= 1)" in text
    assert "rejected      4  words" in text and "repeated rows: 1 of 4" in text
    assert "chosen: good 1" in text


def test_a_terminal_is_not_moved_by_what_a_row_says(capsys):
    main(["data", write("x.jsonl", pair(1, chosen="\x1b[2Jgone \u202e evil"))])
    text = capsys.readouterr().out
    assert "\x1b[2J" not in text and "\u202e" not in text and "<U+001B>" in text


def test_filters_are_tried_and_counted_before_and_after(capsys):
    (one,) = document(capsys, pairs(), "--filters", "duplicates,{length: {min: 9}}")["sets"]
    steps = [(s["step"], s["before"], s["after"]) for s in one["shaping"]["steps"]]
    # Rows 1, 2, 5 and 6 are usable, 5 repeats 1; no reply has nine words.
    assert steps == [("duplicates", 4, 3), ("reply_length", 3, 0)]
    assert one["dropped"]["filter:duplicates"]["rows"] == [5]


def test_columns_may_have_other_names(capsys):
    name = write("x.jsonl", {"q": "ask", "good": "yes", "bad": "no"})
    (one,) = document(capsys, name, "--columns", "prompt=q,chosen=good,rejected=bad")["sets"]
    assert (one["kind"], one["kept"]) == ("preferences", 1)


def test_pairs_may_be_looked_at_as_prompts(capsys):
    (one,) = document(capsys, pairs(), "--kind", "prompts")["sets"]
    # Of the four usable rows one repeats the prompt of another.
    assert (one["kind"], one["kept"]) == ("prompts", 3)


def test_every_row_left_out_is_listed_on_demand(capsys):
    main(["data", pairs(), "--dropped"])
    text = capsys.readouterr().out
    assert "pairs row 3: empty_chosen\npairs row 4: identical_replies\n" in text


def test_a_table_has_columns_values_and_notes_but_no_kind(capsys):
    rows = [{"model": "m", "preference": value} for value in (1, 2, 0, 1.5, None)]
    (one,) = document(capsys, write("x.jsonl.gz", *rows))["sets"]
    assert (one["kind"], one["rows"], one["kept"]) == (None, 5, 0)
    assert one["notes"][0].startswith("preference: 2 draws, written 0 1 times (row 3) and 1.5")
    assert one["notes"][1].endswith("row 5")


def test_a_file_whose_first_row_has_no_columns_is_a_table(capsys):
    """Nothing tells a layout there; used as pairs it is refused by its row."""
    Path("bare.jsonl").write_text('{}\n{"prompt": "a", "chosen": "b", "rejected": "c"}\n')
    assert main(["data", "./bare.jsonl"]) == 0
    said = capsys.readouterr().out
    assert "no layout of training data" in said
    assert "rows: 2 read" in said
    assert main(["data", "./bare.jsonl", "--kind", "preferences"]) == 3
    assert "bare.jsonl:1: the row has no columns" in capsys.readouterr().err


def test_what_a_set_holds_of_another_is_counted_with_the_rows(capsys):
    training = write("a.jsonl", pair(1), pair(2, chosen=f"well, {QUESTION}? eight"))
    suite = write("b.jsonl", {"prompt": QUESTION}, {"prompt": "a question of nobody else here"})
    found = document(capsys, training, "--against", suite)["contamination"]
    ((one),) = found
    assert (one["items"], one["exact"], one["ngram"], one["rows"]) == (2, 1, 0, 1)
    (finding,) = one["findings"]
    assert (finding["row"], finding["item"], finding["side"]) == ("a-2", "b-1", "reply")


def test_all_sets_are_compared_with_all(capsys):
    one, other = write("a.jsonl", pair(1)), write("b.jsonl", {"prompt": QUESTION})
    found = document(capsys, one, other, "--all-against-all")["contamination"]
    assert len(found) == 4


def test_a_suite_that_is_here_is_compared_and_another_is_named(capsys):
    found = document(capsys, pairs(), "--against", "suites")
    assert [one["evaluation"] for one in found["contamination"]] == ["suite tiny-instruct"]
    assert any("real-chat" in note for note in found["notes"])


STUDY = """
study: own
base: {model: tiny-instruct, preferences.examples: null, sft.dataset: shown, sft.examples: null}
baseline: sft
rows: [sft]
seeds: 1
datasets:
  mine: {dataset: ./pairs.jsonl, filters: [duplicates], cap: 10, labeller: people}
  shown: {dataset: ./shown.jsonl}
grid: {dataset: [mine], algorithm: [dpo]}
"""


def study() -> str:
    pairs()
    write("shown.jsonl", *({"prompt": f"ask {n}", "completion": f"so {n}"} for n in range(3)))
    Path("own.yaml").write_text(STUDY)
    return "own.yaml"


def test_definitions_of_a_study_are_named(capsys):
    (one,) = document(capsys, "mine", "--study", study())["sets"]
    # Four usable rows, one of them a duplicate, are fewer than the cap of ten.
    assert one["kept"] == 3
    both = document(capsys, "--study", "own.yaml")["sets"]
    assert [one["name"] for one in both] == ["mine", "shown"]


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["nothere.jsonl"], 2, "no such file or folder"),
        (["ai-fin"], 2, "Did you mean 'ai-fine'?"),
        (["hh-harmless"], 3, "ABLATE_DATA_DIR"),
        (["owner/name@main"], 2, "of 40 digits"),
        (["ai-fine", "--columns", "prompt=q"], 2, "generated and not read"),
        (["pairs.jsonl", "--filters", "refusal"], 2, "'refusal' is not one of"),
        (["pairs.jsonl", "--filters", "length: {mx: 3}"], 2, "Did you mean 'max'?"),
        (["pairs.jsonl", "--filters", "["], 2, "cannot be read"),
        (["pairs.jsonl", "--columns", "prompt"], 2, "no OURS=THEIRS"),
        (
            ["pairs.jsonl", "--columns", "prompt=wrong"],
            3,
            "column 'wrong' is missing; the columns are",
        ),
        (["pairs.jsonl", "--layout", "pairs"], 3, "'pairs' is not one of"),
        (["empty"], 3, "empty"),
        (["own.yaml"], 2, "--study own.yaml"),
        (["--against", "pairs.jsonl"], 2, "no data set is named"),
        (["text.txt"], 3, ".txt"),
        (["broken.jsonl"], 3, "broken.jsonl:2"),
    ],
)
def test_a_mistake_is_one_message_and_no_traceback(capsys, arguments, code, said):
    study()
    Path("empty").mkdir()
    Path("text.txt").write_text("hello")
    Path("broken.jsonl").write_text('{"prompt": "a"}\n{"prompt": \n')
    assert main(["data", *arguments]) == code
    error = capsys.readouterr().err
    assert said in error and "Traceback" not in error


def test_one_wrong_set_does_not_hide_the_others(capsys):
    assert main(["data", pairs(), "nothere.jsonl"]) == 2
    captured = capsys.readouterr()
    assert "6 read" in captured.out and "nothere" in captured.err


def test_a_plan_says_what_its_data_hold(capsys):
    assert main(["plan", study()]) == 0
    text = capsys.readouterr().out
    assert "duplicates 4 → 3" in text
    assert "mine: 3 rows are fewer than the cap of 10" in text
    assert "WARN unusable rows: 2 of 6 rows were left out" in text


def test_a_plan_of_data_that_cannot_be_used_says_so_and_exits_with_3(capsys):
    path = study()
    Path("shown.jsonl").write_text('{"prompt": "a", "completion": 5}\n')
    assert main(["plan", path]) == 3
    assert "shown: FAIL" in capsys.readouterr().out


def test_a_plan_says_nothing_about_data_on_demand(capsys):
    assert main(["plan", study(), "--no-data", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["data"] is None


def test_generated_sets_are_read_by_a_plan_on_demand_only(capsys):
    Path("s.yaml").write_text(
        "study: s\nbase: {model: tiny-instruct, dataset: ai-fine}\nbaseline: sft\nrows: [sft]\n"
        "seeds: 1\ngrid: {algorithm: [dpo]}\n"
    )
    assert main(["plan", "s.yaml", "--json"]) == 0
    assert {one["card"] for one in json.loads(capsys.readouterr().out)["data"]["sets"]} == {None}
    assert main(["plan", "s.yaml", "--data", "--json"]) == 0
    sets = json.loads(capsys.readouterr().out)["data"]["sets"]
    assert {one["dataset"]: one["card"]["rows"] for one in sets} == {
        "ai-fine": 2500,
        "tiny-demonstrations": 3000,
    }


def test_a_judge_that_labelled_the_data_is_named(capsys):
    Path("s.yaml").write_text(
        "study: s\nbase: {model: tiny-instruct, ppo.reward: judge, ppo.value_init: sft}\n"
        "baseline: null\nseeds: 1\ndatasets:\n"
        "  mine: {dataset: ai-fine, labeller: Tiny Instruct}\n"
        "grid: {dataset: [mine, human-noisy], algorithm: [ppo]}\n"
    )
    assert main(["plan", "s.yaml", "--json"]) == 0
    (note,) = json.loads(capsys.readouterr().out)["data"]["notes"]
    assert note == (
        "mine was labelled by Tiny Instruct, and tiny-instruct judges in mine, ppo: the judge "
        "agrees with itself."
    )


@pytest.mark.parametrize(("algorithm", "code"), [("kto", 0), ("dpo", 3)])
def test_a_plan_refuses_thumbs_for_what_learns_from_pairs(capsys, algorithm, code):
    Path("thumbs.jsonl").write_text('{"prompt": "a", "completion": "b", "label": true}\n')
    Path("s.yaml").write_text(
        "study: s\nbase: {model: tiny-instruct, dataset: ./thumbs.jsonl}\n"
        f"grid: {{algorithm: [{algorithm}]}}\n"
    )
    assert main(["plan", "s.yaml"]) == code
    assert ("but dpo learns from pairs" in capsys.readouterr().out) == (code == 3)


@pytest.mark.parametrize(("seen", "word"), [(0, None), (2, "WARN"), (3, "FAIL")])
def test_a_plan_fails_where_a_suite_is_no_measurement_any_more(seen, word):
    # More than 2 % of a suite's documents in the training data.
    record = {"suite": "s", "split": "test", "documents": 100, "exact": seen, "ngram": 0}
    one = PlannedSet("mine", "preferences", "f", 1, contamination=[record])
    said = [line for line in PlannedData([one], [], []).lines() if "contamination" in line]
    assert [f"{word} contamination" in line for line in said] == ([True] if word else [])
