"""A store with a finished study of any size, for `report_time.py`; every number from a seed."""

from __future__ import annotations

import hashlib
import json
import random
import zlib
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ablate.plan.build import Plan, Run, plan_study
from ablate.plan.job import Job
from ablate.spec.load import load_study
from ablate.spec.suites import SuiteDefinition, TaskDefinition
from ablate.store.layout import Store
from ablate.store.manifest import FileEntry, Manifest

STUDY = """study: scale
question: Which of a hundred recipes is better than supervised fine-tuning?
base: {{model: tiny-instruct, evaluation: {{suite: tiny-instruct}}}}
rows: [sft]
baseline: sft
seeds: {seeds}
grid:
  dataset: [human-noisy, ai-overall, ai-fine]
  algorithm: [dpo, ipo, ppo]
  policy.learning_rate: [{rates}]
"""
CELLS_PER_RATE = 9
SHARES = {
    "mmlu": ("factuality", 0.3),
    "tydiqa": ("factuality", 0.1),
    "gsm8k": ("reasoning", 0.15),
    "bbh": ("reasoning", 0.15),
    "humaneval": ("coding", 0.05),
    "truthfulqa": ("truthfulness", 0.1),
    "xstest": ("safety", 0.05),
    "ifeval": ("instruction_following", 0.05),
    "arc-challenge": (None, 0.05),
}
"""Category of each task, and its part of the documents."""
SUBSETS = {"mmlu": 57, "bbh": 27, "truthfulqa": 5}
"""Fixed subsets of tasks that declare strata."""
STEPS = 100
"""Of a training curve."""
WORDS = (
    "the of a question reply answer – because “quoted” line\\nbreak number is not 42 über".split()
)


@dataclass(frozen=True)
class Document:
    """One document of the suite: what its lines share."""

    task: str
    difficulty: float
    before: str
    """Line up to its output."""


def tasks() -> dict[str, TaskDefinition]:
    """Return the suite's tasks."""
    return {
        name: TaskDefinition(
            lm_eval=name,
            category=category,
            strata="category" if name in SUBSETS else "",
            cluster="passage" if name == "tydiqa" else "doc_id",
            promote=category is None,
        )
        for name, (category, _) in SHARES.items()
    }


def documents(items: int) -> Iterator[Document]:
    """Yield the documents, the same ones every time."""
    draw = random.Random(0)
    for task, (category, share) in SHARES.items():
        for number in range(round(items * share)):
            name = f"{task}/{number}"
            digest = hashlib.sha256(name.encode()).hexdigest()
            line = {
                "task": task,
                "category": category,
                "doc_id": name,
                "doc_hash": digest,
                "prompt_hash": hashlib.sha256(digest.encode()).hexdigest(),
                "mode": "main",
                "sample": 0,
                "prompt": " ".join(draw.choices(WORDS, k=draw.randint(20, 40))),
                "target": str(number % 10),
                "chat": True,
            }
            if task in SUBSETS:
                line["subset"] = f"subset {number % SUBSETS[task]}"
            if task == "tydiqa":
                line["cluster"] = f"passage {number // 3}"
            yield Document(task, draw.gauss(0, 2), json.dumps(line, ensure_ascii=False)[:-1])


class Evaluations:
    """Writes the evaluations of all runs."""

    def __init__(self, items: int) -> None:
        """Draw the documents."""
        self.documents = list(documents(items))
        self.difficulty = np.array([one.difficulty for one in self.documents])
        self.names = np.array([one.task for one in self.documents])
        draw = random.Random(1)
        self.outputs = [
            json.dumps(" ".join(draw.choices(WORDS, k=draw.randint(5, 30))), ensure_ascii=False)
            for _ in range(64)
        ]
        self.config = {
            "suite": "scale",
            "split": "test",
            "definition": SuiteDefinition(tasks=tasks()).model_dump(mode="json"),
        }

    def files(self, cell: str, seed: int) -> dict[str, bytes]:
        """Return the files of one evaluation."""
        rng = np.random.default_rng(zlib.crc32(f"{cell} {seed}".encode()))
        gain = np.random.default_rng(zlib.crc32(cell.encode())).normal(0.2, 0.3)
        logit = self.difficulty + gain + rng.normal(0, 0.08)
        count = len(self.documents)
        right = (rng.random(count) < 1 / (1 + np.exp(-logit))).astype(float)
        near = np.round(np.clip(right + rng.normal(0, 0.3, count), 0, 1), 4)
        length = rng.integers(5, 60, count)
        ended = rng.random(count) < 0.98
        lines = [
            f'{one.before}, "output": {self.outputs[(7 * number + size) % 64]}, "scores": '
            f'{{"acc": {acc}, "f1": {f1}}}, "length_tokens": {size}, '
            f'"ended": {"true" if end else "false"}, "kl_nats": null}}\n'
            for number, (one, acc, f1, size, end) in enumerate(
                zip(self.documents, right, near, length, ended, strict=True)
            )
        ]
        rows = self._rows(right, {"length_tokens": length.mean(), "ended_fraction": ended.mean()})
        scores = json.dumps({"suite": "scale", "metrics": rows})
        return {"samples.jsonl": "".join(lines).encode(), "scores.json": scores.encode()}

    def _rows(self, right: Any, more: Mapping[str, float]) -> list[dict[str, object]]:
        means = {name: 100 * float(right[self.names == name].mean()) for name in SHARES}
        counts = Counter(self.names.tolist())
        tree: dict[str, list[str]] = {}
        for name, (category, _) in SHARES.items():
            if category:
                tree.setdefault(category, []).append(name)
        of = {name: float(np.mean([means[task] for task in held])) for name, held in tree.items()}
        rows = [
            _row(name, "category", value, sum(counts[task] for task in tree[name]))
            for name, value in of.items()
        ]
        inside = sum(counts[task] for held in tree.values() for task in held)
        rows.append(_row("average", "average", float(np.mean(list(of.values()))), inside))
        rows += [_row(name, "task", value, counts[name]) for name, value in means.items()]
        for name, value in more.items():
            unit = "fraction" if name.endswith("fraction") else "tokens"
            rows.append(_row(name, "diagnostic", float(value), len(right), unit, "none"))
        return rows


def _row(
    name: str, level: str, value: float, items: int, unit: str = "percent", way: str = "higher"
) -> dict[str, object]:
    fields = ("metric", "level", "value", "n_items", "unit", "direction")
    return dict(zip(fields, (name, level, value, items, unit, way), strict=True))


def curve(algorithm: str, rng: np.random.Generator) -> bytes:
    """Return the step metrics of one training."""
    online = ("reward_normalized", "gold", "kl_per_sequence", "length_tokens", "entropy")
    offline = ("loss", "reward_margin", "accuracy", "reward_chosen", "reward_rejected")
    names = online if algorithm == "ppo" else offline
    values = rng.normal(size=(STEPS, len(names))).cumsum(axis=0)
    rows = [
        {"step": step, **dict(zip(names, map(float, row), strict=True))}
        for step, row in enumerate(values, 1)
    ]
    return "".join(json.dumps(row) + "\n" for row in rows).encode()


def make(root: Path, *, rates: int, seeds: int, items: int) -> tuple[Path, int]:
    """Write a study file and a store with all its artifacts; return the file and the runs."""
    root.mkdir(parents=True, exist_ok=True)
    study = root / "scale.yaml"
    shown = ", ".join(f"{number + 1}e-5" for number in range(rates))
    study.write_text(STUDY.format(seeds=seeds, rates=shown), encoding="utf-8")
    plan = plan_study(load_study(study, ()))
    store = Store(root / "store")
    store.create()
    _write_all(plan, store, Evaluations(items))
    return study, len(plan.runs)


def _write_all(plan: Plan, store: Store, evaluations: Evaluations) -> None:
    written: set[str] = set()
    for run in plan.runs:
        for job in run.jobs.values():
            if job.fingerprint in written:
                continue
            written.add(job.fingerprint)
            files = _files(run, job, evaluations)
            config = evaluations.config if job.stage == "evaluation" else {"backend": "native"}
            _commit(store.artifact(job.stage, job.fingerprint), job, files, config)


def _files(run: Run, job: Job, evaluations: Evaluations) -> dict[str, bytes]:
    if job.stage == "evaluation":
        return evaluations.files(run.cell.name, run.seed)
    rng = np.random.default_rng(zlib.crc32(job.fingerprint.encode()))
    if job.stage == "policy":
        return {"metrics.jsonl": curve(run.cell.levels["algorithm"], rng)}
    if job.stage == "reward_evaluation":
        rows = [_row("accuracy", "diagnostic", 70.0, 200)]
        return {"scores.json": json.dumps({"suite": "scale", "metrics": rows}).encode()}
    return {}


def _commit(folder: Path, job: Job, files: Mapping[str, bytes], config: Mapping[str, Any]) -> None:
    folder.mkdir(parents=True)
    entries = {}
    for name, content in files.items():
        (folder / name).write_bytes(content)
        entries[name] = FileEntry(len(content), hashlib.sha256(content).hexdigest())
    manifest = Manifest(
        fingerprint=job.fingerprint,
        stage=job.stage,
        config_class=type(job.config).__name__,
        config=config,
        inputs={role: other.fingerprint for role, other in job.inputs},
        files=entries,
        attempt=1,
        engine="local",
        study="scale",
        code="0" * 16,
        started=1.79e9,
        ended=1.79e9 + 30,
        wall_seconds=30.0,
        numerics={"machine": "x86_64", "threads": 1, "versions": {"torch": "2.13.0"}},
        timings={"update": 20.0},
        counts={"generated_tokens": 40_000.0, "preferences": 2_500.0},
    )
    (folder / "manifest.json").write_text(json.dumps(asdict(manifest)), encoding="utf-8")
