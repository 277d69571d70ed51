from __future__ import annotations

import gzip
import json
from dataclasses import replace
from pathlib import Path

from ablate.reporting.browser.sidecar import file_name, write_samples

from .builders import Fake, Size, change, study_of


def test_every_output_of_every_cell_is_in_the_files_of_its_task(tmp_path: Path) -> None:
    fakes = [Fake("SFT", {}, kind="sft"), Fake("PPO <b>", {"algorithm": "ppo"})]
    study = study_of(tmp_path / "data", fakes, Size(seeds=2, items=4))
    shared = study.runs_of("SFT")[0].artifacts
    study = change(study, "SFT", 1, artifacts=shared)  # Both seeds of SFT are one checkpoint.
    files = write_samples(study, tmp_path / "a")
    assert [path.name for path in files][0] == "tiny_factuality.jsonl.gz" and len(files) == 6
    lines = [json.loads(line) for line in gzip.decompress(files[0].read_bytes()).splitlines()]
    # 4 items, 2 sampled and 1 greedy output each; 1 evaluation of SFT, 2 of PPO.
    assert len(lines) == 4 * 3 * 3
    assert {(line["cell"], *line["seeds"]) for line in lines} == {
        ("SFT", 0, 1),
        ("PPO <b>", 0),
        ("PPO <b>", 1),
    }
    again = write_samples(replace(study, name="other"), tmp_path / "b")
    assert [path.read_bytes() for path in again] == [path.read_bytes() for path in files]


def test_a_task_of_any_name_has_a_file_of_its_own() -> None:
    names = [file_name(task) for task in ("mmlu", "../mmlu", "a/b", "a_b", "..", "x" * 300)]
    assert len(set(names)) == 6 and names[0] == "mmlu.jsonl.gz"
    assert all("/" not in name and not name.startswith(".") and len(name) < 120 for name in names)
