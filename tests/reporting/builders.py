"""Synthetic studies on disk, in the format that stages leave; every number is drawn from a seed."""

from __future__ import annotations

import json
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from ablate.reporting.records import RunRecord, StudyRecord
from ablate.spec.analysis import Analysis

CATEGORIES = (
    *("factuality", "reasoning", "coding"),
    *("truthfulness", "safety", "instruction_following"),
)
BASE_LOGIT = dict(zip(CATEGORIES, (0.2, -0.4, -1.2, 0.1, 0.0, -0.3), strict=True))
NUMERICS = {
    "machine": "x86_64",
    "processor": "Synthetic CPU",
    "threads": 1,
    "dtype": "float32",
    "versions": {"torch": "2.13.0", "numpy": "2.4.6"},
}


@dataclass(frozen=True)
class Fake:
    """What a synthetic cell is."""

    name: str
    levels: Mapping[str, str]
    gain: float = 0.0
    """Shift of every category's logit over the SFT row."""
    kind: str = "policy"
    parent: str | None = None
    category_gain: Mapping[str, float] | None = None
    kl_coef: float | None = 0.1
    """None: not trained by PPO."""
    rm_logit: float | None = None
    ended: float = 0.98
    output: str = "it is brown ."
    numerics: Mapping[str, Any] | None = None
    status: str | None = None


@dataclass(frozen=True)
class Size:
    """How large the synthetic evaluation is."""

    seeds: int = 3
    items: int = 64
    seed_sd: float = 0.08


def write_json(path: Path, value: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value), encoding="utf-8")


def write_lines(path: Path, rows: Sequence[Mapping[str, object]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


def generator(*key: object) -> np.random.Generator:
    return np.random.default_rng(zlib.crc32(repr(key).encode()))


def write_manifest(folder: Path, stage: str, config: Mapping[str, object], fake: Fake) -> None:
    write_json(
        folder / "manifest.json",
        {
            "schema": 1,
            "fingerprint": folder.name,
            "stage": stage,
            "config_class": stage.title(),
            "config": dict(config),
            "inputs": {},
            "files": {},
            "attempt": 1,
            "engine": "local",
            "study": "synthetic",
            "code": "c0de",
            "started": 1_790_000_000.0,
            "ended": 1_790_000_030.0,
            "wall_seconds": 30.0,
            "numerics": dict(fake.numerics or NUMERICS),
            "timings": {"rollout": 20.0, "update": 8.0},
            "counts": {"generated_tokens": 40_000, "preferences": 2500},
        },
    )


def write_evaluation(folder: Path, fake: Fake, seed: int, size: Size) -> None:
    """Write scores.json and samples.jsonl of one policy; items are the same in every cell."""
    rng = generator("cell", fake.name, seed)
    arm = generator("arm", fake.name)
    shift = 0.0 if fake.kind != "policy" else float(rng.normal(0, size.seed_sd))
    samples: list[dict[str, object]] = []
    for category in CATEGORIES:
        difficulty = generator("items", category).normal(0, 2, size.items)
        gain = fake.gain + (fake.category_gain or {}).get(category, 0.0)
        logit = BASE_LOGIT[category] + difficulty + gain + shift + arm.normal(0, 0.5, size.items)
        for item in range(size.items):
            for mode, sample, sharper in (
                ("sampled", 0, 0.0),
                ("sampled", 1, 0.0),
                ("greedy", 0, 1.2),
            ):
                chance = 1 / (1 + np.exp(-(logit[item] + sharper)))
                right = int(rng.random() < chance)
                samples.append(
                    {
                        "task": f"tiny_{category}",
                        "category": category,
                        "doc_id": item,
                        "doc_hash": f"{category[:3]}{item:04x}",
                        "prompt_hash": f"p{category[:3]}{item:04x}",
                        "mode": mode,
                        "sample": sample,
                        "prompt": f"{category} question {item} ?",
                        "output": fake.output if right else "i am <not> sure",
                        "target": "brown",
                        "scores": {"acc": right, "gold": right + 0.2},
                        "length_tokens": int(6 + 3 * (fake.kind == "policy") + rng.integers(0, 3)),
                        "ended": bool(rng.random() < fake.ended),
                        "kl_nats": float(rng.gamma(2.0, 1.0)),
                    }
                )
    write_lines(folder / "samples.jsonl", samples)
    write_json(folder / "scores.json", {"suite": "tiny-instruct", "metrics": metrics_of(samples)})


def metrics_of(samples: Sequence[Mapping[str, Any]]) -> list[dict[str, object]]:
    rows: list[dict[str, object]] = []

    def add(metric: str, level: str, value: float, unit: str, direction: str = "higher") -> None:
        rows.append(
            {
                "metric": metric,
                "level": level,
                "value": value,
                "n_items": len(
                    {
                        (s["category"], s["doc_id"])
                        for s in samples
                        if level != "category" or s["category"] == metric.removeprefix("greedy_")
                    }
                ),
                "direction": direction,
                "unit": unit,
            }
        )

    for mode, prefix in (("sampled", ""), ("greedy", "greedy_")):
        chosen = [s for s in samples if s["mode"] == mode]
        means = []
        for category in CATEGORIES:
            right = [s["scores"]["acc"] for s in chosen if s["category"] == category]
            means.append(100 * float(np.mean(right)))
            add(prefix + category, "category", means[-1], "percent")
        add(prefix + "average", "average", float(np.mean(means)), "percent")
        add(
            prefix + "gold",
            "diagnostic",
            float(np.mean([s["scores"]["gold"] for s in chosen])),
            "reward",
        )
    sampled = [s for s in samples if s["mode"] == "sampled"]
    kl = float(np.mean([s["kl_nats"] for s in sampled]))
    add("kl_per_sequence_nats", "diagnostic", kl, "nats", "none")
    add(
        "length_tokens",
        "diagnostic",
        float(np.mean([s["length_tokens"] for s in sampled])),
        "tokens",
        "none",
    )
    add(
        "ended_fraction",
        "diagnostic",
        float(np.mean([s["ended"] for s in sampled])),
        "fraction",
        "higher",
    )
    return rows


def write_ppo(folder: Path, fake: Fake, seed: int, steps: int = 32) -> None:
    """Write step metrics; without the KL penalty the proxy keeps rising while gold falls."""
    rng = generator("ppo", fake.name, seed)
    off = fake.kl_coef == 0
    rows = []
    for step in range(1, steps + 1):
        t = step / steps
        kl = (24.0 if off else 3.0) * t + abs(rng.normal(0, 0.2))
        rows.append(
            {
                "step": step,
                "reward_raw": 2.6 * (1 - np.exp(-3 * t)) + rng.normal(0, 0.1),
                "reward_normalized": (2.9 if off else 2.2) * (1 - np.exp(-3 * t))
                + rng.normal(0, 0.1),
                "gold": 0.47
                + (0.45 * t if not off else 0.5 * t - 0.7 * t * t)
                + rng.normal(0, 0.03),
                "kl_per_sequence": kl,
                "kl_per_token": kl / 9,
                "kl_coef": fake.kl_coef,
                "entropy": 1.2 - 0.7 * t + rng.normal(0, 0.03),
                "length_tokens": 6 + 4 * t + rng.normal(0, 0.2),
                "ended_fraction": min(1.0, 0.95 + 0.04 * t + rng.normal(0, 0.005)),
                "value_loss": None if step == 1 else 0.5 * (1 - t),
                "learning_rate": 5e-4,
            }
        )
    write_lines(folder / "metrics.jsonl", rows)


def write_dpo(folder: Path, fake: Fake, seed: int, steps: int = 40) -> None:
    rng = generator("dpo", fake.name, seed)
    rows = []
    for step in range(1, steps + 1):
        t = step / steps
        rows.append(
            {
                "step": step,
                "loss": 0.69 - 0.3 * t + rng.normal(0, 0.02),
                "reward_chosen": -0.5 * t + rng.normal(0, 0.05),
                "reward_rejected": -1.8 * t + rng.normal(0, 0.05),
                "reward_margin": 1.3 * t + rng.normal(0, 0.05),
                "accuracy": 0.5 + 0.25 * t + rng.normal(0, 0.02),
                "gradient_weight": 0.5 - 0.2 * t,
                "grad_norm": 1.0 + rng.normal(0, 0.1),
            }
        )
    write_lines(folder / "metrics.jsonl", rows)


def write_reward_evaluation(folder: Path, fake: Fake, seed: int, pairs: int = 200) -> None:
    rng = generator("rm", fake.name, seed)
    logit = fake.rm_logit or 0.0
    samples: list[dict[str, object]] = []
    for task, drop in (("ordinary", 0.0), ("hard", 0.9)):
        difficulty = generator("pairs", task).normal(0, 1, pairs)
        chance = 1 / (1 + np.exp(-(1.2 + logit - drop + difficulty + rng.normal(0, 0.05))))
        for item in range(pairs):
            right = float(rng.random() < chance[item])
            samples.append(
                {
                    "task": task,
                    "category": CATEGORIES[item % 6],
                    "doc_id": item,
                    "doc_hash": f"{task}{item}",
                    "sample": 0,
                    "mode": "pair",
                    "scores": {"acc": right},
                    "chosen_score": right,
                    "rejected_score": 0.5,
                }
            )
    write_lines(folder / "samples.jsonl", samples)

    def accuracy(task: str) -> float:
        return 100 * float(np.mean([s["scores"]["acc"] for s in samples if s["task"] == task]))  # type: ignore[index]

    rows = [
        ("accuracy", accuracy("ordinary"), "percent"),
        ("accuracy_hard", accuracy("hard"), "percent"),
        *((f"best_of_{n}", 0.47 + 0.1 * np.log2(n) + 0.02 * logit, "reward") for n in (1, 2, 4, 8)),
        ("score_length_correlation", 0.2, "correlation"),
    ]
    metrics = [
        {
            "metric": name,
            "level": "diagnostic",
            "value": value,
            "n_items": pairs,
            "direction": "none" if unit == "correlation" else "higher",
            "unit": unit,
        }
        for name, value, unit in rows
    ]
    write_json(folder / "scores.json", {"suite": "tiny-instruct", "metrics": metrics})


def write_run(root: Path, fake: Fake, seed: int, size: Size) -> RunRecord:
    """Write every artifact of one run and return its record."""
    slug = f"{zlib.crc32(fake.name.encode()):08x}{seed:02d}"
    folders: dict[str, Path | None] = {"evaluation": root / "evaluation" / slug}
    algorithm = fake.levels.get("algorithm")
    if algorithm:
        folders["policy"] = root / "policy" / slug
    if fake.rm_logit is not None:
        folders["reward_evaluation"] = root / "reward_evaluation" / slug
    for role, folder in folders.items():
        assert folder is not None
        folder.mkdir(parents=True)
        write_manifest(folder, role, {"seed": seed, "kl_coef": fake.kl_coef}, fake)
    write_evaluation(root / "evaluation" / slug, fake, seed, size)
    if algorithm == "ppo":
        write_ppo(root / "policy" / slug, fake, seed)
    elif algorithm == "dpo":
        write_dpo(root / "policy" / slug, fake, seed)
    if fake.rm_logit is not None:
        write_reward_evaluation(root / "reward_evaluation" / slug, fake, seed)
    return RunRecord(
        cell=fake.name,
        levels=fake.levels,
        seed=seed,
        run_id=f"run-{slug}",
        parent=fake.parent,
        kind=fake.kind,  # type: ignore[arg-type]
        status=fake.status,
        artifacts=folders,
        fingerprints={role: slug for role in folders},
        missing=None,
    )


def study_of(root: Path, fakes: Sequence[Fake], size: Size, **changes: Any) -> StudyRecord:
    runs = tuple(write_run(root, fake, seed, size) for fake in fakes for seed in range(size.seeds))
    record = StudyRecord(
        name="synthetic",
        question="On the same preference data, does PPO beat DPO?",
        expectation="PPO wins by 0 to 2 points on average.",
        status=None,
        analysis=Analysis(),
        baseline="SFT",
        design="grid",
        cells=tuple(fake.name for fake in fakes),
        runs=runs,
        source_text="study: synthetic\nseeds: 3\n",
        digest="5eed" * 4,
        plan_summary={"jobs": 42, "engine": "local"},
        vary=("reward_model", "policy", "evaluation"),
    )
    return replace(record, **changes)


def ladder(root: Path, size: Size | None = None) -> StudyRecord:
    """Six rungs and the branch without the KL penalty."""
    data = {"dataset": "ai-fine"}
    ppo = {**data, "algorithm": "ppo"}
    names = (
        *("SFT", "+ DPO (noisy human data)", "+ better data", "DPO → PPO"),
        *("+ larger reward model", "+ more prompts"),
    )
    fakes = [
        Fake(names[0], {}, 0.0, kind="sft", kl_coef=None),
        Fake(names[1], {"dataset": "human-noisy", "algorithm": "dpo"}, 0.35, parent=names[0]),
        Fake(names[2], {**data, "algorithm": "dpo"}, 0.75, parent=names[1]),
        Fake(names[3], ppo, 1.0, parent=names[2], rm_logit=0.3),
        Fake(names[4], {**ppo, "reward_model.size": "large"}, 1.0, parent=names[3], rm_logit=0.8),
        Fake(
            names[5],
            {**ppo, "reward_model.size": "large", "prompts": "mixed"},
            1.02,
            parent=names[4],
            category_gain={"reasoning": 0.4},
            rm_logit=0.8,
        ),
        Fake(
            "KL off", {**ppo, "policy.kl_coef": "0"}, -1.5, parent=names[3], kl_coef=0.0, ended=0.9
        ),
    ]
    return study_of(
        root, fakes, size or Size(), name="recipe", design="ladder", branches=("KL off",)
    )


def grid(root: Path, size: Size | None = None, **changes: Any) -> StudyRecord:
    """Base, SFT and four data sets under DPO and PPO, one combination excluded."""
    gains = {"human-noisy": 0.3, "web-narrow": 0.35, "ai-overall": 0.6, "ai-fine": 0.75}
    fakes = [
        Fake("base", {}, -0.8, kind="base", kl_coef=None),
        Fake("SFT", {}, 0.0, kind="sft", kl_coef=None),
    ]
    for dataset, gain in gains.items():
        for algorithm in ("dpo", "ppo"):
            if (dataset, algorithm) == ("web-narrow", "ppo"):
                continue
            levels = {"dataset": dataset, "algorithm": algorithm}
            extra = 0.25 if algorithm == "ppo" else 0.0
            fakes.append(Fake(f"{algorithm} {dataset}", levels, gain + extra))
    return study_of(root, fakes, size or Size(), **changes)


def reward_models(root: Path, size: Size | None = None) -> StudyRecord:
    """Three sizes of reward model on two data sets; accuracy rises, the policies do not."""
    fakes = [Fake("SFT", {}, 0.0, kind="sft", kl_coef=None)]
    for dataset, gain in (("human-noisy", 0.5), ("ai-fine", 0.9)):
        for level, logit in (("small", 0.0), ("medium", 0.4), ("large", 0.9)):
            levels = {"dataset": dataset, "algorithm": "ppo", "reward_model.size": level}
            fakes.append(Fake(f"{dataset}, {level} RM", levels, gain, rm_logit=logit))
    return study_of(root, fakes, size or Size(), name="reward-models")


def change(study: StudyRecord, cell: str, seed: int, **changes: object) -> StudyRecord:
    """Return the study with one run changed."""
    runs = [
        replace(run, **changes) if (run.cell, run.seed) == (cell, seed) else run  # type: ignore[arg-type]
        for run in study.runs
    ]
    return replace(study, runs=tuple(runs))


def unfinished(study: StudyRecord, cell: str, seed: int, reason: str) -> StudyRecord:
    return change(study, cell, seed, missing=reason, artifacts={"evaluation": None})
