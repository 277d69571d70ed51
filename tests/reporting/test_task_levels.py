"""Tasks that need a level beside their score: chance, or a band on both sides."""

from __future__ import annotations

from pathlib import Path

from ablate.reporting.effects import score_of
from ablate.reporting.findings import analyse
from ablate.reporting.records import StudyRecord
from ablate.reporting.task_levels import panels_of, task_levels

from . import suite_builders


def test_banded_tasks_come_first_then_those_that_are_not_above_chance(tmp_path: Path) -> None:
    """MMLU is right on 24 % where guessing gets 25; ToxiGen's target is 0.5 to 5 %."""
    cells = {
        "SFT": suite_builders.Cellular(),
        "zephyr": suite_builders.Cellular({"toxigen": 0.44}),
        "broken": suite_builders.Cellular(invalid=["empty"]),
    }
    found = analyse(suite_builders.suite_study(tmp_path, cells))
    panels = panels_of(found)
    assert panels[0].title == "ToxiGen (%) ↓" and panels[0].band == (0.5, 5)
    assert "MMLU (%)" in [panel.title for panel in panels]
    toxic = {level.cell: level for level in panels[0].levels}
    assert set(toxic) == {"SFT", "zephyr"}  # An invalid cell is left out.
    assert toxic["zephyr"].score == score_of(found.evidence, "zephyr", "toxigen")
    assert toxic["zephyr"].start == toxic["SFT"].score.value
    drawing = task_levels(found)
    assert drawing is not None and "zephyr" in drawing.alt and "target band" in drawing.caption


def test_a_study_without_such_tasks_has_no_such_figure(grid_study: StudyRecord) -> None:
    found = analyse(grid_study)
    assert panels_of(found) == []
    assert task_levels(found) is None
