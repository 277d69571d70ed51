"""MLflow runs found or made by key, so that sending something again adds nothing twice."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

from mlflow import MlflowClient
from mlflow.entities import Metric, Param, RunTag

from ablate.errors import SurroundingsError
from ablate.tracking.flatten import clean_name

KEY = "ablate.key"
"""Tag that identifies an MLflow run of a study."""
PARENT = "mlflow.parentRunId"
METRICS_PER_BATCH = 1000
PARAMS_PER_BATCH = 100
"""Limits of one `log_batch` call in MLflow 3.17."""


class Runs:
    """One study's experiment: runs by key, and what is added to them.

    Every metric carries the start time of its MLflow run, so that one sent twice is the same row.
    """

    def __init__(self, client: MlflowClient, study: str, artifacts: Path | None) -> None:
        """Find or create the experiment; ``artifacts`` None leaves their place to the server."""
        self.client = client
        self.study = study
        self.experiment_id = self._experiment(artifacts)
        self._by_key: dict[str, Any] = {}

    def find(self, key: str) -> Any | None:
        """Return the MLflow run of a key, or None; a double made by a lost answer is deleted."""
        if key not in self._by_key:
            where = f"tags.`{KEY}` = '{clean_name(key)}'"
            found = self.client.search_runs(
                [self.experiment_id], where, order_by=["attributes.start_time ASC"]
            )
            for double in found[1:]:
                self.client.delete_run(double.info.run_id)
            if not found:
                return None
            self._by_key[key] = found[0]
        return self._by_key[key]

    def upsert(self, key: str, name: str, *, start_ms: int) -> Any:
        """Return the MLflow run of a key, created with its tag in one call where it is missing."""
        found = self.find(key)
        if found is None:
            tags = {KEY: clean_name(key), "ablate.study": self.study}
            found = self.client.create_run(self.experiment_id, start_ms, tags, name)
            self._by_key[key] = found
        return found

    def refresh(self, key: str) -> None:
        """Forget what is known of a run, after its tags or parameters changed."""
        self._by_key.pop(key, None)

    def log_params(self, run: Any, params: Mapping[str, str]) -> None:
        """Add the parameters that the run does not have; MLflow's parameters never change."""
        missing = (Param(k, v) for k, v in params.items() if k not in run.data.params)
        for batch in _batches(missing, PARAMS_PER_BATCH):
            self.client.log_batch(run.info.run_id, params=batch)

    def log_metrics(self, run: Any, metrics: Iterable[tuple[int, str, float]]) -> None:
        """Add (step, name, value) triples."""
        at = run.info.start_time
        rows = (Metric(name, value, at, step) for step, name, value in metrics)
        for batch in _batches(rows, METRICS_PER_BATCH):
            self.client.log_batch(run.info.run_id, metrics=batch)

    def set_tags(self, run: Any, tags: Mapping[str, str]) -> None:
        """Set or replace tags."""
        rows = (RunTag(name, value) for name, value in tags.items())
        for batch in _batches(rows, PARAMS_PER_BATCH):
            self.client.log_batch(run.info.run_id, tags=batch)

    def remove_tag(self, run: Any, name: str) -> None:
        """Remove a tag where it is set."""
        if name in run.data.tags:
            self.client.delete_tag(run.info.run_id, name)

    def _experiment(self, artifacts: Path | None) -> str:
        found = self.client.get_experiment_by_name(self.study)
        if found is not None:
            if found.lifecycle_stage != "active":
                raise SurroundingsError(
                    f"MLflow: experiment {self.study!r} is deleted; the study needs an active one."
                    " Restore it, or delete it for good with `mlflow gc`."
                )
            return str(found.experiment_id)
        location = None if artifacts is None else artifacts.resolve().as_uri()
        return str(self.client.create_experiment(self.study, location))


def _batches(items: Iterable[Any], size: int) -> Iterable[Sequence[Any]]:
    iterator = iter(items)
    while batch := list(islice(iterator, size)):
        yield batch
