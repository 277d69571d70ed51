"""Sequence classifiers that others trained, in a folder of hub layout."""

from __future__ import annotations

import pickle
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import AutoConfig, AutoModelForSequenceClassification, AutoTokenizer

from ablate.errors import SurroundingsError
from ablate.models.loading import why_refused
from ablate.models.sharding import first_place

Encoded = dict[str, Sequence[int]]
"""A row as the model takes it: ``input_ids`` and what else the tokenizer says of them."""
_UNLIMITED = 1 << 30
_SPECIAL = 4
"""Most positions that an encoder's table keeps for padding, as RoBERTa's two are."""


class Classifier:
    """A sequence classifier, which reads rows as they are; a reward model has one output.

    Rows of one forward pass have one length: nothing is padded, so that a score depends neither on
    the rows beside it nor on what the model takes for padding. Nothing is cut and nothing is
    quantized: fp32 on a CPU, the dtype of the file on a GPU, the output in fp32.
    """

    def __init__(
        self, folder: Path, *, labels: int = 1, device: str = "cpu", rows_per_pass: int = 8
    ) -> None:
        """Load a folder; code that comes with it is never run.

        Raises SurroundingsError where it holds no classifier with so many trained outputs.
        """
        self.tokenizer, self._model = _load(folder, labels, device)
        self.names: tuple[str, ...] = tuple(
            str(self._model.config.id2label[place]) for place in range(labels)
        )
        """What the folder calls each output."""
        self.window = _window(self._model.config, self.tokenizer)
        """Tokens that the model can read."""
        # Without a padding token its own pooling takes one row at a time.
        alone = self._model.config.pad_token_id is None
        self._rows_per_pass = 1 if alone else rows_per_pass

    def outputs(self, rows: Sequence[Encoded]) -> Tensor:
        """Return the first output for each row, shape (B,), fp32, on the CPU."""
        return self.logits(rows)[:, 0]

    def logits(self, rows: Sequence[Encoded]) -> Tensor:
        """Return every output for each row, shape (B, labels), fp32, on the CPU."""
        found = torch.zeros(len(rows), len(self.names))
        by_length: dict[int, list[int]] = {}
        for place, row in enumerate(rows):
            by_length.setdefault(len(row["input_ids"]), []).append(place)
        for places in by_length.values():
            for at in range(0, len(places), self._rows_per_pass):
                some = places[at : at + self._rows_per_pass]
                found[some] = self._pass([rows[place] for place in some])
        return found

    def _pass(self, rows: Sequence[Encoded]) -> Tensor:
        device = self._model.device
        names = rows[0].keys()
        batch = {n: torch.tensor([list(row[n]) for row in rows], device=device) for n in names}
        with torch.inference_mode():
            logits: Tensor = self._model(**batch).logits
        return logits.float().cpu()


def _load(folder: Path, labels: int, device: str) -> tuple[Any, Any]:
    if not (folder / "config.json").is_file():
        raise _unusable(folder, "it holds no config.json", labels)
    local: dict[str, Any] = {"local_files_only": True, "trust_remote_code": False}
    try:
        config = AutoConfig.from_pretrained(folder, **local)
        if config.num_labels != labels:
            raise _unusable(folder, f"its model has {config.num_labels} outputs", labels)
        tokenizer = AutoTokenizer.from_pretrained(folder, **local)
        dtype = torch.float32 if first_place(device) == "cpu" else "auto"
        model, report = AutoModelForSequenceClassification.from_pretrained(
            folder,
            config=config,
            dtype=dtype,
            output_loading_info=True,
            weights_only=True,
            **local,
        )
    except (OSError, ValueError, pickle.UnpicklingError) as error:
        raise _unusable(folder, f"it cannot be loaded ({why_refused(error)})", labels) from error
    if report["missing_keys"]:  # transformers draws them at random and goes on.
        lacking = ", ".join(sorted(report["missing_keys"])[:3])
        raise _unusable(folder, f"its weights lack {lacking}", labels)
    return tokenizer, model.to(first_place(device)).eval()


def _window(config: Any, tokenizer: Any) -> int:
    """Return the tokens that model and tokenizer take; an encoder's table may keep some back."""
    table = getattr(config, "max_position_embeddings", _UNLIMITED)
    stated = min(int(tokenizer.model_max_length), _UNLIMITED)
    return stated if stated < table <= stated + _SPECIAL else min(table, stated)


def _unusable(folder: Path, found: str, labels: int) -> SurroundingsError:
    what, outputs = ("reward", "one output") if labels == 1 else ("classifier", f"{labels} outputs")
    return SurroundingsError(
        f"{what} {str(folder)!r}: {found}; a folder in hub layout is needed, with a sequence "
        f"classifier of {outputs} whose weights are all there. Correct the path."
    )
