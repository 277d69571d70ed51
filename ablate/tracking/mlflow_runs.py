"""MLflow runs found or made by key, so that sending something again adds nothing twice."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
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
ROWS_PER_BATCH = 1000
PARAMS_PER_BATCH = 100
"""Limits of one `log_batch` call in MLflow 3.17: of everything, and of parameters and of tags."""


class Runs:
    """One study's experiment: runs by key, and what is added to them.

    Every metric carries the start time of its MLflow run, so that one sent twice is the same row.
    """

    def __init__(self, client: MlflowClient, study: str, artifacts: Path | None) -> None:
        """Find or create the experiment; ``artifacts`` None leaves their place to the server."""
        self.client = client
        self.study = study
        # Of an experiment that is new nothing has to be looked for.
        self._is_new = False
        self.experiment_id = self._experiment(artifacts)
        self._by_key: dict[str, Any] = {}

    def find(self, key: str) -> Any | None:
        """Return the MLflow run of a key, or None; a double made by a lost answer is deleted."""
        if key not in self._by_key:
            if self._is_new:
                return None
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

    def upsert(
        self, key: str, name: str, *, start_ms: int, tags: Mapping[str, str] | None = None
    ) -> Any:
        """Return the MLflow run of a key, created with its tags in one call where it is missing.

        ``tags`` are only set of a run that is created.
        """
        found = self.find(key)
        if found is None:
            every = {**(tags or {}), KEY: clean_name(key), "ablate.study": self.study}
            found = self.client.create_run(self.experiment_id, start_ms, every, name)
            self._by_key[key] = found
        return found

    def add(
        self,
        run: Any,
        *,
        params: Mapping[str, str] | None = None,
        tags: Mapping[str, str] | None = None,
        metrics: Iterable[tuple[int, str, float]] = (),
    ) -> None:
        """Add what the run does not have, in as few calls as the limits allow.

        Metrics are (step, name, value). Parameters never change in MLflow, tags may.
        """
        new = {k: v for k, v in (params or {}).items() if k not in run.data.params}
        other = {k: v for k, v in (tags or {}).items() if run.data.tags.get(k) != v}
        at = run.info.start_time
        rows = [Param(name, value) for name, value in new.items()]
        marks = [RunTag(name, value) for name, value in other.items()]
        values = iter(Metric(name, value, at, step) for step, name, value in metrics)
        while True:
            some, rows = rows[:PARAMS_PER_BATCH], rows[PARAMS_PER_BATCH:]
            few, marks = marks[:PARAMS_PER_BATCH], marks[PARAMS_PER_BATCH:]
            batch = list(islice(values, ROWS_PER_BATCH - len(some) - len(few)))
            if not (some or few or batch):
                break
            self.client.log_batch(run.info.run_id, metrics=batch, params=some, tags=few)
        run.data.params.update(new)
        run.data.tags.update(other)

    def remove_tag(self, run: Any, name: str) -> None:
        """Remove a tag where it is set."""
        if name in run.data.tags:
            self.client.delete_tag(run.info.run_id, name)
            del run.data.tags[name]

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
        self._is_new = True
        return str(self.client.create_experiment(self.study, location))
