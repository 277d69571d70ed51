"""Log-probabilities of a policy in training and of what it stays close to."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from ablate.models.boundary import Row
from ablate.models.loading import LoadedModel, load_policy
from ablate.models.logprobs import completion_logprobs
from ablate.models.lora import without_adapters
from ablate.models.ranks import world_size
from ablate.spec.online import OnlineConfig
from ablate.store.workspace import Workspace
from ablate.training.device import autocast
from ablate.training.rollouts import Rollouts, logprob_temperature
from ablate.training.trainable import Trainable

RATIO_TOLERANCE = 1e-5
"""Before the first update of a rollout batch the ratio is 1 up to this much rounding."""


class PolicyTerms:
    """The policy, its frozen reference, and one temperature for both."""

    def __init__(
        self, workspace: Workspace, loaded: LoadedModel, config: OnlineConfig, *, device: str
    ) -> None:
        """Open ``loaded`` to training, and load the reference that is not the policy itself."""
        self.config, self.device = config, device
        self.temperature = logprob_temperature(config)
        self.reference: nn.Module | None = None
        """Frozen; None where it is the policy without its adapter."""
        folder = workspace.inputs.get("reference_policy")
        if folder is not None or config.lora is None:
            folder = folder or workspace.inputs["policy"]
            frozen = load_policy(folder / "model", device=device).model.requires_grad_(False)
            self.reference = frozen.to("cpu") if config.reference_offload else frozen
        self.trainable = Trainable.of(loaded, config)
        self.trust_sampler = device == "cpu"
        """Whether the sampler's log-probabilities are the training forward's but for rounding."""

    @property
    def model(self) -> nn.Module:
        """The policy."""
        return self.trainable.model

    def logprobs(self, rows: Sequence[Row], *, grad: bool = False) -> Tensor:
        """Return the policy's log-probabilities of completion tokens, (B, T)."""
        with autocast(self.device):
            return completion_logprobs(self.model, rows, grad=grad, **self._limits(grad)).logprobs

    def reference_logprobs(self, rows: Sequence[Row]) -> Tensor:
        """Return the reference's log-probabilities of completion tokens, (B, T)."""
        with autocast(self.device), self._reference() as model:
            return completion_logprobs(model, rows, grad=False, **self._limits(False)).logprobs

    def sampled_logprobs(self, rollouts: Rollouts) -> Tensor:
        """Return the log-probabilities under which a batch was sampled, (B, T).

        The sampler's own, unless they were once found to differ from the training forward's.
        """
        if self.trust_sampler:
            return rollouts.logprobs.to(self.device)
        return self.logprobs(rollouts.rows)

    def note_deviation(self, deviation: float) -> None:
        """Stop trusting the sampler once a ratio that must be 1 is not."""
        if deviation > RATIO_TOLERANCE:
            self.trust_sampler = False

    def _limits(self, grad: bool) -> dict[str, Any]:
        limit = None if grad else self.config.micro_batch_size
        return {"temperature": self.temperature, "micro_batch": limit}

    @contextmanager
    def _reference(self) -> Iterator[nn.Module]:
        """Lend the reference, on the device while it is in use."""
        if self.reference is None:
            with without_adapters(self.model) as model:
                yield model
            return
        # A part of the reference on each of several devices stays where it is.
        alone = world_size() == 1
        offloaded = self.config.reference_offload and self.device != "cpu" and alone
        if offloaded:
            self.reference.to(self.device)
        try:
            yield self.reference
        finally:
            if offloaded:
                self.reference.to("cpu")
                torch.cuda.empty_cache()
