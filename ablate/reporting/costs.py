"""What every run spent: preferences, generated tokens, reward calls and seconds."""

from __future__ import annotations

from collections.abc import Mapping

from ablate.plan.build import Run
from ablate.plan.job import Job
from ablate.reporting.inventory import Inventory
from ablate.spec.policies import PolicyConfig
from ablate.store.manifest import Manifest

UNITS: Mapping[str, str] = {
    "preferences": "preferences",
    "generated_tokens": "generated tokens",
    "reward_calls": "reward calls",
    "seconds": "seconds",
}
"""Budgets that arms are compared on, and how tables call them."""
_SPENDING = ("reward_model", "reference", "labels", "samples", "policy")
"""Stages whose cost is the arm's own; base model and SFT come before every arm."""


def spent_by(run: Run, inventory: Inventory) -> dict[str, float]:
    """Return a run's spending by unit; empty while any of its training jobs is missing.

    Shared jobs count in full for every run that uses them: what the arm would cost alone. A label
    counts once however many stages and epochs read it, and gold labels that are bought while
    training are added.
    """
    jobs = {job.fingerprint: job for job in run.jobs.values() if job.stage in _SPENDING}
    found: dict[str, Manifest] = {}
    for fingerprint, job in jobs.items():
        manifest = inventory.manifest(job.stage, fingerprint)
        if manifest is None:
            return {}
        found[fingerprint] = manifest
    total = dict.fromkeys(UNITS, 0.0)
    for manifest in found.values():
        for unit in ("generated_tokens", "reward_calls"):
            total[unit] += manifest.counts.get(unit, 0.0)
        total["seconds"] += seconds_of(manifest)
    total["preferences"] = _labels(list(jobs.values()), found, inventory)
    return total


def seconds_of(manifest: Manifest) -> float:
    """Return the wall seconds of a job, those before the checkpoint that it resumed from included.

    The wall time is of the last attempt alone, while activities are counted on from a checkpoint.
    What a command says of its own activities is a part of ``command``.
    """
    timings = manifest.timings.items()
    counted = sum(seconds for name, seconds in timings if not name.startswith("command_"))
    return max(manifest.wall_seconds, counted)


def _labels(jobs: list[Job], found: Mapping[str, Manifest], inventory: Inventory) -> float:
    """Return the labels of every data set that a job learns from, and those bought later.

    Pairs that are labelled in the study cost no label of their data set, but for the ties that keep
    theirs; these are counted where nothing else learns from the data set.
    """
    data: dict[str, Job] = {}
    made: dict[str, Job] = {}
    bought = 0.0
    for job in jobs:
        config = job.config
        reads = not isinstance(config, PolicyConfig) or config.reads_pairs
        source = dict(job.inputs).get("preferences")
        if reads and source is not None and job.stage in ("reward_model", "policy"):
            (made if source.stage == "labels" else data)[source.fingerprint] = source
        elif isinstance(config, PolicyConfig) and not config.reads_pairs:
            bought += found[job.fingerprint].counts.get("preferences", 0.0)
    for key, job in made.items():
        if dict(job.inputs)["preferences"].fingerprint not in data:
            bought += found[key].counts.get("preferences", 0.0)
    manifests = (inventory.manifest("preferences", key) for key in data)
    return bought + sum(m.counts.get("preferences", 0.0) for m in manifests if m is not None)
