"""A small study's events."""

from __future__ import annotations

from ablate.tracking.events import JobCommitted, RunStarted, run_key

CELL = "dpo -> ppo [ai-fine]"
RUNS = {seed: run_key(CELL, seed, ["aaaa", f"bbb{seed}"]) for seed in (0, 1)}


def started(seed: int) -> RunStarted:
    params = {"policy": {"beta": 0.1, "lora": None, "targets": ["q", "v"]}}
    return RunStarted(RUNS[seed], CELL, seed, params, {"algorithm": "dpo"})


def committed(stage: str, fingerprint: str, folder: str, *seeds: int) -> JobCommitted:
    return JobCommitted(
        stage=stage,
        fingerprint=fingerprint,
        attempt=2,
        artifact=folder,
        manifest=f"{folder}/manifest.json",
        config={"beta": 0.1, "seed": 0},
        inputs={"model": "0123"},
        used_by=tuple(RUNS[seed] for seed in seeds),
        seconds=2.5,
    )
