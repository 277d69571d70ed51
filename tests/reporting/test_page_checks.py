from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

from ablate.reporting.check_tables import pairing_table, tripwire_table
from ablate.reporting.checks import TRIPWIRES
from ablate.reporting.document import document_of
from ablate.reporting.effect_figures import forest
from ablate.reporting.effect_tables import family_table
from ablate.reporting.findings import analyse
from ablate.reporting.html import render_html
from ablate.reporting.marks import claim_note
from ablate.reporting.methods import methods
from ablate.reporting.sections import scores as scores_section
from ablate.reporting.tables import Table
from ablate.stats.verdicts import Verdict

from .builders import CATEGORIES, change
from .published_builders import published_run, published_study
from .suite_builders import Cellular, suite_study


def fields(table: Table | None, head: str) -> list[str]:
    assert table is not None
    return next([cell.text for cell in row] for row in table.rows if row[0].text == head)


def test_every_tripwire_says_what_it_looked_at_and_what_it_found(tmp_path: Path) -> None:
    cells = {"A": Cellular(), "B": Cellular(), "C": Cellular(invalid=("half are empty",))}
    study = change(suite_study(tmp_path, cells), "B", 1, missing="failed: oom", artifacts={})
    table = tripwire_table(analyse(study))
    assert table is not None
    assert [row[0].text for row in table.rows][: len(TRIPWIRES)] == [w.name for w in TRIPWIRES]
    # B and C are compared with A; the failed run of B and the evaluations of C are one find each.
    failed = fields(table, "runs that failed")
    assert failed[1:3] == ["2 of 2 comparisons", "1"] and "B, seed 1: failed: oom" in failed[3]
    assert fields(table, "evaluations that distrust themselves")[2] == "1"
    assert fields(table, "different items")[1:4] == ["2 of 2 comparisons", "nothing", "–"]
    assert fields(table, "refusals")[1] == "2 of 2 comparisons"


def test_the_pairing_audit_counts_items_and_equal_prompts(tmp_path: Path) -> None:
    study = suite_study(tmp_path, {"A": Cellular(), "B": Cellular()}, items=10)
    folder = study.runs_of("B")[0].folder("evaluation")
    assert folder is not None
    path = folder / "samples.jsonl"
    lines = path.read_text().splitlines()
    lines[0] = lines[0].replace('"prompt_hash": "p000"', '"prompt_hash": "other"')
    del lines[1]
    path.write_text("\n".join(lines) + "\n")
    # 6 tasks of the tree with 10 items; one is gone from B, and one was asked otherwise.
    row = fields(pairing_table(analyse(study)), "B − A")
    assert row == ["B − A", "0, 1", "4", "59", "1", "98.3 %"]


def test_averages_of_different_categories_are_no_effect(tmp_path: Path) -> None:
    """B lacks the last category of A: 50 of two against 50 of three says nothing of either."""
    runs = [published_run(tmp_path, cell, [50.0] * len(CATEGORIES), {}) for cell in "AB"]
    folder = runs[1].folder("evaluation")
    assert folder is not None
    scores = json.loads((folder / "scores.json").read_text())
    scores["metrics"] = [row for row in scores["metrics"] if row["metric"] != CATEGORIES[-1]]
    (folder / "scores.json").write_text(json.dumps(scores))
    found = analyse(published_study(runs, tmp_path, baseline="A"))
    (average,) = found.rows("baseline", "average")
    assert average.verdict is Verdict.INVALID
    assert average.invalid[0].startswith("averages of different categories: ")
    (shared,) = found.rows("baseline", CATEGORIES[0])
    assert not shared.invalid
    # Neither items nor seeds are known, and nothing is left that a forest could draw.
    table = family_table(found, "baseline")
    assert table is not None
    assert [cell.text for cell in table.rows[0][5:7]] == ["–", "–"]
    assert forest(found) is None
    # The dash of B stands at the right, where the number of A above it stands.
    page = render_html(document_of(found, (scores_section.section,)))
    assert '<td class="muted n" title=' in page


def test_what_was_declared_after_results_is_not_called_declared_before_them(tmp_path: Path) -> None:
    runs = [published_run(tmp_path, cell, [50.0] * len(CATEGORIES), {}) for cell in "AB"]
    study = published_study(runs, tmp_path, baseline="A")
    for amended, said in (((), "before the results"), (("x",), "after some results existed")):
        found = analyse(replace(study, amendments=amended))
        assert f"Declared {said}: " in claim_note(found, "baseline")
        assert any(line.startswith(f"Declared {said}: ") for line in methods(found))
