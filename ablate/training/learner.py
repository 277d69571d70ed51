"""One optimizer over one set of weights: what every gradient-descent loop steps with."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from ablate.errors import StageError
from ablate.models.ranks import apart, totals
from ablate.models.sharding import number, spread_like, whole
from ablate.spec.stages import TrainingConfig
from ablate.training.optimizers import OptimizerSettings, new_optimizer
from ablate.training.schedule import LearningRate
from ablate.training.trainable import Trainable


@dataclass(frozen=True)
class Share:
    """What one micro-batch adds to an optimizer step; the shares of a step add up."""

    loss: Tensor  # scalar with a graph
    metrics: Mapping[str, Tensor] = field(default_factory=dict)
    """Scalars without a graph, each already divided by the whole step's denominator."""

    def times(self, weight: float) -> Share:
        """Return the share with everything in it multiplied: by 0 where it only keeps pace."""
        if weight == 1.0:
            return self
        metrics = {name: value * weight for name, value in self.metrics.items()}
        return Share(self.loss * weight, metrics)


def settings_of(
    config: TrainingConfig, steps: int, *, peak: float | None = None
) -> OptimizerSettings:
    """Return a stage's settings for ``steps`` optimizer steps; ``peak`` replaces its rate."""
    rate = LearningRate(
        config.learning_rate if peak is None else peak,
        config.schedule,
        config.warmup_fraction,
        steps,
    )
    return OptimizerSettings(
        rate,
        config.adam_beta1,
        config.adam_beta2,
        config.adam_epsilon,
        config.weight_decay,
        config.max_grad_norm,
        config.optimizer,
    )


class Learner:
    """Trainable weights with their AdamW, schedule and clip.

    Weight decay reaches every trained weight. The second moment's epsilon is torch's, outside the
    bias correction.
    """

    def __init__(self, trainable: Trainable, settings: OptimizerSettings) -> None:
        """Take the weights of ``trainable`` that require gradients."""
        self.trainable = trainable
        self.weights = trainable.named_weights()
        self.settings = settings
        self.step = 0
        """Optimizer steps taken."""
        self.spent: float | None = None
        """Share of a budget that is spent; it rules the schedule where the budget ends a stage."""
        self.optimizer = new_optimizer(list(self.weights.values()), settings)

    def update(self, shares: Iterable[Share]) -> dict[str, float]:
        """Take one step on the summed shares; return loss, grad_norm, learning_rate and metrics.

        Shares are consumed one by one, so that only one micro-batch's graph is alive. Raises
        StageError (``non_finite_loss``) before a step that would spoil the weights.
        """
        self.optimizer.zero_grad(set_to_none=True)
        sums: dict[str, Tensor] = {}
        with self.trainable.noise(self.step), apart():
            for share in shares:
                torch.autograd.backward(share.loss)
                for name, value in {"loss": share.loss.detach(), **share.metrics}.items():
                    sums[name] = sums[name] + value if name in sums else value
        norm = nn.utils.clip_grad_norm_(self.weights.values(), self.settings.max_grad_norm)
        measured = totals(sums)
        measured["grad_norm"] = number(norm)
        self._refuse_non_finite(measured)
        rate, spent = self.settings.rate, self.spent
        measured["learning_rate"] = rate.at(self.step) if spent is None else rate.at_fraction(spent)
        for group in self.optimizer.param_groups:
            group["lr"] = measured["learning_rate"]
        self.optimizer.step()
        self.step += 1
        return measured

    def state(self) -> dict[str, Any]:
        """Return all that an exact resume needs: weights, moments, schedule position.

        Of sharded weights it is whole on rank 0 and empty elsewhere, so that any number of ranks
        can go on from it.
        """
        weights = {name: whole(weight) for name, weight in self.weights.items()}
        optimizer = self.optimizer.state_dict()
        optimizer["state"] = {
            index: {name: _whole(value) for name, value in moments.items()}
            for index, moments in optimizer["state"].items()
        }
        return {"weights": weights, "optimizer": optimizer, "step": self.step}

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Go back to a state; weights are copied into the tensors that exist, which are aligned."""
        with torch.no_grad():
            for name, weight in self.weights.items():
                weight.copy_(spread_like(state["weights"][name], weight))
        weights = list(self.weights.values())
        moments = {
            index: {name: _spread(value, weights[index]) for name, value in of_weight.items()}
            for index, of_weight in state["optimizer"]["state"].items()
        }
        self.optimizer.load_state_dict({**state["optimizer"], "state": moments})
        self.step = state["step"]

    def _refuse_non_finite(self, measured: Mapping[str, float]) -> None:
        for name in ("loss", "grad_norm"):
            if not math.isfinite(measured[name]):
                raise StageError(
                    f"optimizer step {self.step}: {name} is {measured[name]}; it must be finite."
                    " Lower the learning rate, or look at this step's data.",
                    kind="non_finite_loss",
                )


def _whole(value: Any) -> Any:
    """Return a part of an optimizer's state whole; plain numbers are."""
    return whole(value) if isinstance(value, Tensor) else value


def _spread(value: Any, weight: nn.Parameter) -> Any:
    return spread_like(value, weight) if isinstance(value, Tensor) else value
