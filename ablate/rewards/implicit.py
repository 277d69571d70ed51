"""The reward that a policy trained by direct preference optimization implies."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor

from ablate.models.loading import LoadedModel, load_policy
from ablate.models.logprobs import completion_logprobs
from ablate.rewards.reading import Reader
from ablate.rewards.responses import Response
from ablate.store.manifest import read_manifest


class ImplicitReward:
    """``beta * log(pi(y|x) / pi_ref(y|x))``: equation 5 of Rafailov et al. 2023, arXiv:2305.18290.

    Without its partition term, which is the same for all replies to a prompt: scores of different
    prompts do not compare, and the scale is beta's. Log-probabilities are sums over the reply's
    tokens, the end token included, at temperature 1. Each model reads the text by its own
    tokenizer.
    """

    def __init__(
        self, policy: LoadedModel, reference: LoadedModel | None, *, beta: float = 1.0
    ) -> None:
        """Take the trained policy; without a reference the score is its log-probability alone."""
        self.boundary, self.reader = policy.boundary, Reader(policy)
        self.beta = beta
        self.calls = 0
        """Responses scored so far."""
        self._policy = policy
        self._reference = reference
        self._reference_reader = None if reference is None else Reader(reference)
        for loaded in (policy, reference):
            if loaded is not None:
                loaded.model.requires_grad_(False)

    def score(self, responses: Sequence[Response]) -> Tensor:
        """Return the log-ratios, shape (B,), in nats and without beta."""
        self.calls += len(responses)
        scores = _logprob(self._policy, self.reader, responses)
        if self._reference is not None and self._reference_reader is not None:
            scores = scores - _logprob(self._reference, self._reference_reader, responses)
        return scores

    def normalized(self, raw: Tensor) -> Tensor:
        """Return ``beta * raw``.

        On this scale a KL coefficient equal to beta has the DPO policy itself as its optimum.
        Neither centred nor of unit variance: a sample of the reference has a mean below 0.
        """
        return self.beta * raw

    def fits(self, response: Response) -> bool:
        """Return whether a response fits into the context window of both models."""
        readers = (self.reader, self._reference_reader)
        return all(reader.fits(response) for reader in readers if reader is not None)


def load_implicit(
    inputs: Mapping[str, Path], *, with_reference: bool, device: str
) -> ImplicitReward:
    """Return the reward of the inputs ``implicit`` and, if asked for, ``implicit_reference``."""
    policy = load_policy(inputs["implicit"] / "model", device=device)
    reference = None
    if with_reference:
        reference = load_policy(inputs["implicit_reference"] / "model", device=device)
    return ImplicitReward(policy, reference, beta=recorded_beta(inputs["implicit"]))


def recorded_beta(artifact: Path) -> float:
    """Return the beta that a policy was trained with; 1 for a folder that no study made."""
    manifest = read_manifest(artifact)
    return 1.0 if manifest is None else float(manifest.config.get("beta", 1.0))


def _logprob(loaded: LoadedModel, reader: Reader, responses: Sequence[Response]) -> Tensor:
    if not responses:
        return torch.zeros(0)
    rows = [reader.row(response) for response in responses]
    return completion_logprobs(loaded.model, rows, grad=False).logprobs.sum(dim=1)
