"""A study in a store as `ablate run` leaves it, with scores that a test writes down."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from ablate.plan.build import Plan, plan_study
from ablate.spec.load import load_study
from ablate.store.files import sha256, tree_files
from ablate.store.layout import Store
from ablate.store.manifest import FileEntry, Manifest

Scores = Mapping[str, Sequence[Sequence[float]]]
"""By cell: for each seed the scores of its items, 0 to 1."""

STUDY = """\
study: {name}
base: {{model: tiny-instruct, dataset: ai-fine, policy.beta: {beta}}}
rows: [sft]
baseline: sft
seeds: 2
grid: {{algorithm: [dpo]}}
"""
DPO = "dpo"
ITEMS: Scores = {"sft": [[1, 0, 0, 1], [1, 0, 1, 0]], DPO: [[1, 1, 1, 0], [1, 1, 1, 0]]}
"""Means 50 and 75. Of the four items the second is right in `DPO` alone under both seeds."""


def write_study(folder: Path, name: str, beta: float = 0.1) -> Path:
    """Write a study of SFT and one DPO arm; return its file."""
    path = folder / f"{name}.yaml"
    path.write_text(STUDY.format(name=name, beta=beta))
    return path


def stored(file: Path, store: Store, scores: Scores, suite: str = "toy") -> Plan:
    """Commit the evaluations and policies of the cells given; keep the file under its name."""
    plan = plan_study(load_study(file))
    folder = store.study(plan.study)
    folder.mkdir(parents=True)
    (folder / "study.yaml").write_bytes(file.read_bytes())
    (folder / "plan.json").write_text("{}")
    for run in plan.runs:
        if run.cell.name not in scores:
            continue
        for role in ("policy", "evaluation"):
            if role in run.jobs:
                job = run.jobs[role]
                target = store.artifact(job.stage, job.fingerprint)
                if target.exists():
                    continue
                target.mkdir(parents=True)
                if role == "evaluation":
                    write_evaluation(target, scores[run.cell.name][run.seed], suite)
                commit(target, job.stage, job.config.model_dump(mode="json"))
    return plan


def write_evaluation(folder: Path, items: Sequence[float], suite: str = "toy") -> None:
    """Write the scores and samples of one category with one task."""
    value = 100 * sum(items) / len(items)
    metrics = [
        {
            "metric": name,
            "level": level,
            "value": value,
            "n_items": len(items),
            "direction": "higher",
            "unit": "percent",
        }
        for name, level in (("sums", "category"), ("average", "average"))
    ]
    (folder / "scores.json").write_text(json.dumps({"suite": suite, "metrics": metrics}))
    lines = [
        {
            "task": "toy_sums",
            "category": "sums",
            "doc_id": number,
            "doc_hash": f"{suite}{number}",
            "prompt_hash": f"p{suite}{number}",
            "mode": "sampled",
            "sample": 0,
            "prompt": f"{number} + 1 ?",
            "output": "two",
            "target": "two",
            "scores": {"acc": score},
            "length_tokens": 1,
            "ended": True,
        }
        for number, score in enumerate(items)
    ]
    (folder / "samples.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))


def commit(folder: Path, stage: str, config: Mapping[str, object]) -> None:
    """Write the manifest of what a folder holds."""
    files = {
        name: FileEntry(path.stat().st_size, sha256(path))
        for name, path in tree_files(folder).items()
    }
    record = Manifest(
        fingerprint=folder.name, stage=stage, config_class=stage.title(), config=config, inputs={},
        files=files, attempt=1, engine="local", study="toy", code="c0de" * 16, started=0.0,
        ended=1.0, wall_seconds=1.0, numerics={"versions": {"torch": "2.13.0"}},
    )  # fmt: skip
    (folder / "manifest.json").write_text(json.dumps(record.as_json()))
