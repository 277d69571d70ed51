"""A loaded model with the weights that a stage trains: all of them, or an adapter's."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn

from ablate.models.loading import LoadedModel
from ablate.models.lora import apply_lora
from ablate.models.ranks import rank
from ablate.models.recompute import recompute_activations
from ablate.models.sharding import spread
from ablate.spec.stages import LoraConfig, TrainingConfig
from ablate.training.streams import derived_seed


class Trainable:
    """A model in evaluation mode, so without dropout, whose chosen weights take gradients."""

    def __init__(
        self, loaded: LoadedModel, lora: LoraConfig | None, *, seed: int, recompute: bool = False
    ) -> None:
        """Open all weights to training, or add an adapter and open only that (and a head).

        Trained weights are fp32, frozen ones keep their dtype. With ``recompute`` blocks compute
        their activations again in the backward pass.
        """
        if lora is None:
            self.model: nn.Module = loaded.model.requires_grad_(True).float()
        else:
            self.model = apply_lora(loaded.model, lora, seed=derived_seed(seed, "lora"))
        if recompute:  # After peft, which would let the embeddings ask for gradients.
            recompute_activations(self.model)
        spread(self.model)
        self.seed = seed
        self.dropouts = _adapter_dropouts(self.model)

    @classmethod
    def of(cls, loaded: LoadedModel, config: TrainingConfig) -> Trainable:
        """Return a model with the weights that a stage's configuration trains."""
        recompute = config.activation_checkpointing
        return cls(loaded, config.lora, seed=config.seed, recompute=recompute)

    def named_weights(self) -> dict[str, nn.Parameter]:
        """Return the weights that take gradients, tied ones once."""
        return {n: p for n, p in self.model.named_parameters() if p.requires_grad}

    @contextmanager
    def noise(self, step: int) -> Iterator[None]:
        """Switch the adapter's dropout on, where it has any, drawn from (seed, step) alone."""
        if not self.dropouts:
            yield
            return
        with torch.random.fork_rng():
            # Ranks have rows of their own, so they need noise of their own.
            ranks = (rank(),) if rank() else ()
            torch.manual_seed(derived_seed(self.seed, "dropout", step, *ranks))
            for module in self.dropouts:
                module.train()
            try:
                yield
            finally:
                for module in self.dropouts:
                    module.eval()


def _adapter_dropouts(model: nn.Module) -> list[nn.Module]:
    return [
        module
        for name, module in model.named_modules()
        if isinstance(module, nn.Dropout) and "lora_dropout" in name and module.p > 0
    ]
