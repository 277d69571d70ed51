"""A bound that a study sets, beyond which training counts as diverged."""

from __future__ import annotations

import json
from collections.abc import Mapping

from ablate.errors import StageError
from ablate.spec.training import DivergenceConfig
from ablate.store.workspace import METRICS, Workspace


class Divergence:
    """Counts the steps in a row beyond the bound of the workspace's configuration, if it has one.

    The count is that of the step metrics on disk, which a resume cuts back to its checkpoint: a
    resumed job stops at the same step as an undisturbed one.
    """

    def __init__(self, workspace: Workspace) -> None:
        """Count what is on disk; make it after the checkpoint is loaded."""
        self._rule: DivergenceConfig | None = getattr(workspace.config, "divergence", None)
        self._beyond = 0
        path = workspace.output / METRICS
        if self._rule is not None and path.exists():
            for line in path.read_text(encoding="utf-8").splitlines():
                self._count(json.loads(line).get(self._rule.metric))

    def look(self, step: int, metrics: Mapping[str, float]) -> None:
        """Take note of a step; raises StageError (``diverged``) at the last one in a row.

        Raises StageError (``bad_data``) where the stage has no such metric. NaN is not beyond.
        """
        if (rule := self._rule) is None:
            return
        if rule.metric not in metrics:
            raise StageError(
                f"divergence.metric: {rule.metric!r} is no step metric here; there are "
                f"{', '.join(sorted(metrics))}. Name one of them.",
                kind="bad_data",
            )
        self._count(metrics[rule.metric])
        if self._beyond >= rule.steps:
            raise StageError(
                f"step {step}: {rule.metric} has been above {rule.above:g} for {self._beyond} steps"
                f" in a row, now {metrics[rule.metric]:.4g}. The study sets this bound.",
                kind="diverged",
            )

    def _count(self, value: float | None) -> None:
        rule = self._rule
        beyond = rule is not None and value is not None and value > rule.above
        self._beyond = self._beyond + 1 if beyond else 0
