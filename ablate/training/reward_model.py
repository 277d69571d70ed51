"""The reward-model stage: learn from pairs, rankings or ratings, then set the score's scale."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

from torch import Tensor, nn

from ablate.algorithms.attributes import weighted_score
from ablate.models.boundary import Boundary, Row
from ablate.models.loading import new_reward_model, save_model
from ablate.models.logprobs import completion_outputs
from ablate.spec.stages import RewardModelConfig
from ablate.store.workspace import Workspace
from ablate.training.backends.stage import run_elsewhere
from ablate.training.device import pick_device
from ablate.training.examples import count_kept
from ablate.training.learner import Learner, settings_of
from ablate.training.loop import Objective, Pace, train, write_summary
from ablate.training.order import bucketed_batches
from ablate.training.reward_attributes import AttributeObjective, RatingLesson, fold
from ablate.training.reward_pairs import PairLesson, RewardObjective
from ablate.training.reward_rankings import RankingLesson
from ablate.training.reward_scale import Examples, Output, write_scale
from ablate.training.streams import derived_seed
from ablate.training.trainable import Trainable

__all__ = ["RewardObjective", "run"]


class Lesson(Protocol):
    """What a reward model learns from a preference artifact."""

    @property
    def what(self) -> str:
        """What its examples are called."""

    @property
    def outputs(self) -> int:
        """Outputs of the head in training."""

    @property
    def examples(self) -> Examples:
        """All examples, each with its prompt."""

    def rows(self, boundary: Boundary) -> Any:
        """Return the examples as token rows, without those that are too long."""

    def labels(self, rows: Any) -> int:
        """Return the preferences that the rows took to collect."""

    def objective(self, model: Any, rows: Any) -> Objective:
        """Return what is minimized over the rows."""


LESSONS: dict[str, Any] = {
    "bradley_terry": PairLesson,
    "plackett_luce": RankingLesson,
    "attributes": RatingLesson,
}
"""Class by the value of ``objective``."""


def run(workspace: Workspace) -> None:
    """Train a reward model from the ``policy`` input on ``preferences``, then set its scale."""
    assert isinstance(workspace.config, RewardModelConfig)
    config = of_member(workspace.config)
    if config.backend != "native":
        return run_elsewhere(workspace, config)
    device = pick_device()
    lesson: Lesson = LESSONS[config.objective](workspace.inputs, config)
    loaded = new_reward_model(
        workspace.inputs["policy"] / "model",
        layers=config.layers,
        seed=config.seed,
        outputs=lesson.outputs,
        device=device,
    )
    rows = lesson.rows(loaded.boundary)
    kept, total = len(rows.kept), len(lesson.examples)
    count_kept(workspace, lesson.what, kept=kept, total=total)
    workspace.count(preferences=lesson.labels(rows))
    trainable = Trainable.of(loaded, config)
    batches = bucketed_batches(
        rows.lengths(), config.batch_size, epochs=config.epochs, seed=config.seed
    )
    learner = Learner(trainable, settings_of(config, len(batches)))
    objective = lesson.objective(trainable.model, rows)
    train(workspace, learner, objective, batches=batches, pace=Pace.of(config, device))
    summary: dict[str, Any] = {lesson.what: kept, "dropped_long": total - kept}
    output = Output()
    model: nn.Module | None = trainable.model
    if isinstance(objective, AttributeObjective):
        output, further = _weighted(objective)
        summary |= further
    write_scale(workspace, loaded, lesson.examples, device=device, output=output)
    if isinstance(objective, AttributeObjective):
        model = fold(trainable.model, objective.weights)
    if model is not None:
        save_model(model, loaded.tokenizer, workspace.output / "model")
    write_summary(workspace, **summary, steps=len(batches))


def of_member(config: RewardModelConfig) -> RewardModelConfig:
    """Return the configuration with a member's own seed; the first member keeps the stage's."""
    if config.member == 0:
        return config
    return config.model_copy(update={"seed": derived_seed(config.seed, "member", config.member)})


def _weighted(objective: AttributeObjective) -> tuple[Output, dict[str, Any]]:
    """Return how ratings become a score, for the scale and for the summary."""

    def score(rows: Sequence[Row]) -> Tensor:
        return weighted_score(completion_outputs(objective.model, rows), objective.weights)

    numbers = zip(
        objective.names, objective.weights.tolist(), objective.means.tolist(), strict=True
    )
    described = {name: {"weight": weight, "mean": mean} for name, weight, mean in numbers}
    return Output(score, objective.level), {"attributes": described}
