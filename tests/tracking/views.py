"""What each tracker has, read back with the tracker's own reader and said in the same words."""

from __future__ import annotations

import json
import math
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mlflow import MlflowClient
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins.hparams import api_pb2, metadata
from wandb.util import get_core_path

from ablate.tracking.flatten import clean_name
from ablate.tracking.targets import target

Rows = list[tuple[int, float | None]]


@dataclass
class Seen:
    """A study as a tracker shows it; undefined numbers are None, so that equal is equal."""

    jobs: dict[str, dict[str, Rows]] = field(default_factory=dict)
    """Step metrics by fingerprint and name, sorted."""
    missing: set[str] = field(default_factory=set)
    """Stages of jobs that are marked as gone."""
    scores: dict[int, dict[str, float | None]] = field(default_factory=dict)
    """Final scores by the seed of a run."""
    ended: dict[int, bool] = field(default_factory=dict)
    """Whether an ended run ended well, by seed."""
    levels: dict[int, dict[str, str]] = field(default_factory=dict)
    beta: dict[int, float] = field(default_factory=dict)
    """One resolved number of each run's configuration."""


def number(value: float | str) -> float | None:
    found = float(value)
    return None if math.isnan(found) else round(found, 6)


def in_mlflow(store: Path) -> Seen:
    client, seen = MlflowClient(target("mlflow", store, "s").address), Seen()
    experiment = client.get_experiment_by_name("s")
    for run in client.search_runs([experiment.experiment_id]):
        tags, params = run.data.tags, run.data.params
        if fingerprint := tags.get("ablate.fingerprint"):
            assert fingerprint not in seen.jobs, "a double"
            names = [name for name in run.data.metrics if "/" not in name]
            seen.jobs[fingerprint] = {name: _rows(client, run, name) for name in names}
            if "ablate.artifact_missing" in tags:
                seen.missing.add(tags["ablate.stage"])
            continue
        seed = int(tags["ablate.seed"])
        assert seed not in seen.scores, "a double"
        seen.scores[seed] = {name: number(value) for name, value in run.data.metrics.items()}
        seen.levels[seed] = {
            name.removeprefix("factor."): value
            for name, value in params.items()
            if name.startswith("factor.")
        }
        seen.beta[seed] = float(params["policy.beta"])
        if run.info.status != "RUNNING":
            seen.ended[seed] = run.info.status == "FINISHED"
    return seen


def _rows(client: MlflowClient, run: Any, name: str) -> Rows:
    history = client.get_metric_history(run.info.run_id, name)
    return sorted((row.step, number(row.value)) for row in history)


def in_tensorboard(store: Path) -> Seen:
    seen = Seen()
    root = store / "tensorboard" / "s"
    for folder in sorted({path.parent for path in root.rglob("events.out.tfevents.*")}):
        read = accumulated(folder)
        tags = read.Tags()
        about = {path.name.split(".", 4)[-1] for path in folder.iterdir() if path.is_file()}
        if folder.name.startswith("seed-"):
            seed = int(folder.name.split("-")[1])
            _read_session(seen, seed, read)
        elif "missing" in about:
            seen.missing.add(folder.name.split("-")[0])
            seen.jobs[folder.name.rpartition("-")[2]] = {}
        elif "job" in about:
            fingerprint = folder.name.rpartition("-")[2]
            assert fingerprint not in seen.jobs, "a double"
            seen.jobs[fingerprint] = {tag: scalars(read, tag) for tag in tags["scalars"]}
    return seen


def accumulated(folder: Path) -> EventAccumulator:
    read = EventAccumulator(str(folder), size_guidance={"scalars": 0})
    read.Reload()
    return read


def scalars(read: EventAccumulator, tag: str) -> Rows:
    return [(event.step, number(event.value)) for event in read.Scalars(tag)]


def _read_session(seen: Seen, seed: int, read: EventAccumulator) -> None:
    content = {tag: read.SummaryMetadata(tag) for tag in read.Tags()["tensors"]}
    rows = {name: scalars(read, name) for name in read.Tags()["scalars"]}
    assert all(len(found) == 1 for found in rows.values()), "a double"
    seen.scores[seed] = {name: found[0][1] for name, found in rows.items()}
    start = metadata.parse_session_start_info_plugin_data(
        content[metadata.SESSION_START_INFO_TAG].plugin_data.content
    )
    seen.levels[seed] = {
        name.removeprefix("factor."): value.string_value
        for name, value in start.hparams.items()
        if name.startswith("factor.")
    }
    seen.beta[seed] = start.hparams["policy.beta"].number_value
    if metadata.SESSION_END_INFO_TAG in content:
        end = metadata.parse_session_end_info_plugin_data(
            content[metadata.SESSION_END_INFO_TAG].plugin_data.content
        )
        seen.ended[seed] = end.status == api_pb2.STATUS_SUCCESS


def in_wandb(store: Path) -> Seen:
    seen = Seen()
    for folder in sorted((store / "wandb" / "s").glob("offline-run-*")):
        records = list(wandb_records(folder))
        run = next(record["run"] for record in records if record["type"] == "run")
        config = run["config"]["update"]
        exits = [record["exit"]["exit_code"] for record in records if record["type"] == "exit"]
        assert len(exits) == 1, "a folder that W&B never finished"
        assert run["run_group"] == "s"
        if run["job_type"] != "run":
            _read_wandb_job(seen, run, records)
            continue
        seed = config["ablate"]["seed"]
        assert seed not in seen.scores, "a double"
        summary = _summary(records)
        seen.scores[seed] = {name: number(v) for name, v in summary.items() if "/" in name}
        seen.ended[seed] = exits == [0]
        seen.levels[seed], seen.beta[seed] = config["factor"], config["policy"]["beta"]
    return seen


def _read_wandb_job(seen: Seen, run: dict[str, Any], records: list[dict[str, Any]]) -> None:
    facts = run["config"]["update"]["ablate"]
    assert facts["fingerprint"] not in seen.jobs, "a double"
    rows: dict[str, Rows] = {}
    for record in records:
        if record["type"] == "history":
            item = record["history"]["item"]
            for name in sorted(item.keys() - {"_runtime", "_step", "_timestamp"}):
                rows.setdefault(name, []).append((item["_step"], number(item[name])))
    seen.jobs[facts["fingerprint"]] = rows
    if facts.get("artifact_missing"):
        seen.missing.add(run["job_type"])


def wandb_records(folder: Path) -> Iterator[dict[str, Any]]:
    """Yield every record of an offline run, as W&B's own inspector prints it."""
    (file,) = folder.glob("*.wandb")
    command = [get_core_path(), "leet", "inspect", "--no-observability", "--json"]
    done = subprocess.run(
        [*command, "--run-file", str(file), str(folder.parent)],
        capture_output=True,
        text=True,
        check=True,
    )
    yield from map(json.loads, done.stdout.splitlines())


def _summary(records: list[dict[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for record in records:
        if record["type"] == "summary":
            found.update(record["summary"]["update"])
    return {name: value for name, value in found.items() if not name.startswith("_")}


VIEWS: dict[str, Callable[[Path], Seen]] = {
    "mlflow": in_mlflow,
    "tensorboard": in_tensorboard,
    "wandb": in_wandb,
}


def cleaned(rows: dict[str, Rows]) -> dict[str, Rows]:
    """Metrics under the names that trackers take."""
    return {clean_name(name): found for name, found in rows.items()}
