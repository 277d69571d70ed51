"""A comparison whose sides were trained by different programs says so."""

from __future__ import annotations

import json
from pathlib import Path

from ablate.reporting.checks import inspect
from ablate.reporting.contrasts import Contrast
from ablate.reporting.evidence import Evidence
from ablate.reporting.records import StudyRecord

from .builders import Fake, Size, study_of

CONTRAST = Contrast("baseline", "ppo", "dpo", "ppo - dpo")


def study(folder: Path, *, levels: tuple[dict[str, str], dict[str, str]]) -> StudyRecord:
    """Return a study of two cells, the first of which TRL has trained."""
    fakes = [
        Fake("dpo", levels[0], kl_coef=None),
        Fake("ppo", levels[1], kl_coef=None),
    ]
    record = study_of(folder, fakes, Size(seeds=2, items=12))
    for run in record.runs_of("dpo"):
        path = (run.folder("policy") or folder) / "manifest.json"
        manifest = json.loads(path.read_text())
        manifest["config"]["backend"] = "trl"
        path.write_text(json.dumps(manifest))
    return record


def warnings(record: StudyRecord, contrast: Contrast = CONTRAST) -> list[str]:
    found = inspect(Evidence(record), contrast, "gold_reward", [0, 1])
    return [warning for warning in found.warnings if "backend" in warning]


def test_sides_trained_by_different_backends_are_confounded(tmp_path: Path) -> None:
    record = study(tmp_path, levels=({"algorithm": "dpo"}, {"algorithm": "ppo"}))
    assert warnings(record) == ["confounded: backend (policy: native and trl)"]


def test_equal_backends_are_not_confounded(tmp_path: Path) -> None:
    record = study(tmp_path, levels=({"algorithm": "dpo"}, {"algorithm": "ppo"}))
    assert warnings(record, Contrast("baseline", "dpo", "dpo", "dpo - dpo")) == []


def test_a_backend_that_is_all_that_differs_is_the_effect_itself(tmp_path: Path) -> None:
    one = {"algorithm": "dpo", "dpo.backend": "trl"}
    other = {"algorithm": "dpo", "dpo.backend": "native"}
    assert warnings(study(tmp_path, levels=(one, other))) == []
