"""Compare an optimizer step of SFT, reward model and DPO with TRL's, on equal weights and data.

``python scripts/bench/supervised.py [--steps 12] [--vocabularies 8192 50257]``

Our side is the training loop that the stages run (objective, learner, metrics log); TRL's is the
step of its trainer with its own collator, in fp32 without gradient checkpointing, and for DPO with
precomputed reference log-probabilities: both sides have them. The sides take turns, step by step.

Three conditions: ``same`` gives both sides the same random batches of 16 sequences; ``own`` gives
each side the batches it would make of the data (ours sorts buckets by length, TRL's are random)
over one whole epoch; ``uniform`` gives rows of equal length, where nothing can be saved on padding.
"""

from __future__ import annotations

import argparse
import copy
import json
import logging
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import common
import datasets
import torch
import trl
from transformers.utils import logging as transformers_logging

from ablate.algorithms.dpo import PairLogprobs
from ablate.models.boundary import Boundary
from ablate.models.loading import LoadedModel
from ablate.models.logprobs import completion_logprobs
from ablate.spec.stages import DpoConfig, RewardModelConfig, SftConfig
from ablate.store.workspace import Workspace
from ablate.training.examples import PairRows
from ablate.training.learner import Learner, settings_of
from ablate.training.loop import Pace, train
from ablate.training.offline import PairObjective
from ablate.training.order import bucketed_batches, chunks
from ablate.training.reward_model import RewardObjective
from ablate.training.sft import SftObjective
from ablate.training.streams import permutation
from ablate.training.trainable import Trainable

SEQUENCES = 16
WARM_UP = 2
RATE = 1e-5
BETA = 0.1
REQUIRED = {"dpo": 2.5, "reward_model": 1.5, "sft": 1.5}
ON_CPU: dict[str, Any] = {
    "use_cpu": True,
    "bf16": False,
    "gradient_checkpointing": False,
    "report_to": "none",
    "learning_rate": RATE,
    "lr_scheduler_type": "constant",
    "max_grad_norm": 1.0,
    "disable_tqdm": True,
}


@dataclass(frozen=True)
class Case:
    """What is compared."""

    kind: str
    vocabulary: int
    condition: str

    @property
    def batch_size(self) -> int:
        """Examples per step: 16 sequences."""
        return SEQUENCES if self.kind == "sft" else SEQUENCES // 2


class Ours:
    """The objects of a stage."""

    def __init__(self, case: Case, model: Any, rows: PairRows, reference: PairLogprobs) -> None:
        """Put an optimizer on the model's weights."""
        fields: dict[str, Any] = {"learning_rate": RATE, "schedule": "constant"}
        fields |= {"warmup_fraction": 0.0, "max_length": common.CAP, "batch_size": case.batch_size}
        tokenizer = common.tokenizer(case.vocabulary)
        loaded = LoadedModel(model, tokenizer, Boundary(tokenizer))
        trainable = Trainable(loaded, None, seed=0)
        self.objective: Any
        if case.kind == "dpo":
            config: Any = DpoConfig(beta=BETA, **fields)
            self.objective = PairObjective(model, rows, reference, config)
        elif case.kind == "reward_model":
            config = RewardModelConfig(**fields)
            self.objective = RewardObjective(model, rows, config)
        else:
            config = SftConfig(dataset="random", **fields)
            self.objective = SftObjective(model, [*rows.chosen, *rows.rejected])
        self.learner = Learner(trainable, settings_of(config, 1))


class Theirs:
    """A TRL trainer, step by step."""

    def __init__(self, case: Case, model: Any, rows: PairRows, reference: PairLogprobs) -> None:
        """Make the trainer on a one-row data set; the measured batches come from ``rows``."""
        name = {"dpo": "DPO", "reward_model": "Reward", "sft": "SFT"}[case.kind]
        fields = {**ON_CPU, "per_device_train_batch_size": case.batch_size}
        fields |= {"max_length": common.CAP}
        if case.kind == "dpo":
            fields |= {"beta": BETA, "precompute_ref_log_probs": True}
        row = {"prompt": "w1 w2", "chosen": "w3", "rejected": "w4", "completion": "w3"}
        columns = ["prompt", "completion"] if case.kind == "sft" else ["prompt", "chosen"]
        columns += [] if case.kind == "sft" else ["rejected"]
        self.folder = tempfile.TemporaryDirectory()
        self.trainer = getattr(trl, f"{name}Trainer")(
            model=model,
            args=getattr(trl, f"{name}Config")(output_dir=self.folder.name, **fields),
            train_dataset=datasets.Dataset.from_list([row]).select_columns(columns),
            processing_class=common.tokenizer(case.vocabulary),
        )
        self.trainer.create_optimizer_and_scheduler(num_training_steps=1000)
        self.trainer.current_gradient_accumulation_steps = 1
        self.trainer.model.train()
        self.examples = _examples(case.kind, rows, reference)
        self.loss = 0.0

    def step(self, batch: Sequence[int]) -> None:
        """Collate, take the trainer's step, clip, and move the weights."""
        trainer = self.trainer
        inputs = trainer.data_collator([self.examples[i] for i in batch])
        loss = trainer.training_step(trainer.model, inputs)
        trainer.accelerator.clip_grad_norm_(trainer.model.parameters(), 1.0)
        trainer.optimizer.step()
        trainer.lr_scheduler.step()
        trainer.model.zero_grad()
        self.loss = loss.item()


def _examples(kind: str, rows: PairRows, reference: PairLogprobs) -> list[dict[str, Any]]:
    if kind == "sft":
        return [
            {
                "input_ids": [*row.prompt, *row.completion],
                "labels": [-100] * len(row.prompt) + list(row.completion),
            }
            for row in (*rows.chosen, *rows.rejected)
        ]
    sides = list(zip(rows.chosen, rows.rejected, strict=True))
    if kind == "reward_model":
        return [
            {"chosen_ids": [*a.prompt, *a.completion], "rejected_ids": [*b.prompt, *b.completion]}
            for a, b in sides
        ]
    return [
        {
            "prompt_ids": list(a.prompt),
            "chosen_ids": list(a.completion),
            "rejected_ids": list(b.completion),
            "ref_chosen_logps": chosen,
            "ref_rejected_logps": rejected,
        }
        for (a, b), chosen, rejected in zip(
            sides, reference.chosen.tolist(), reference.rejected.tolist(), strict=True
        )
    ]


def batches_of(case: Case, rows: PairRows, steps: int) -> tuple[list[list[int]], list[list[int]]]:
    """Return our batches and theirs, warm-up first."""
    lengths = rows.lengths()
    if case.kind == "sft":
        lengths = [len(r.prompt) + len(r.completion) for r in (*rows.chosen, *rows.rejected)]
    shuffled = chunks(permutation(len(lengths), 0, "bench"), case.batch_size)
    theirs = [*shuffled[:WARM_UP], *shuffled]
    if case.condition != "own":
        return theirs, theirs
    own = bucketed_batches(lengths, case.batch_size, epochs=1, seed=0)
    return [*shuffled[:WARM_UP], *own], theirs


def run_case(case: Case, steps: int) -> dict[str, Any]:
    """Measure one comparison; the sides alternate within our own training loop."""
    count = steps * case.batch_size // (2 if case.kind == "sft" else 1)
    data = common.pairs(count, case.vocabulary, uniform=case.condition == "uniform")
    rows = PairRows(data.chosen, data.rejected, list(range(count)))
    make = common.scalar_model if case.kind == "reward_model" else common.policy
    model = make(case.vocabulary)
    reference = _reference(case, model, rows)
    theirs = Theirs(case, copy.deepcopy(model), rows, reference)
    ours = Ours(case, model, rows, reference)
    our_batches, their_batches = batches_of(case, rows, steps)
    mine, other = common.Series(), common.Series()
    losses: list[float] = []
    clock = common.Clock()

    def take_turns(event: Mapping[str, Any]) -> None:
        nonlocal clock
        mine.steps.append(clock.spent())
        start = common.Clock()
        theirs.step(their_batches[event["done"] - 1])
        other.steps.append(start.spent())
        losses.append(theirs.loss)
        clock = common.Clock()

    with tempfile.TemporaryDirectory() as folder:
        for name in ("output", "scratch"):
            (Path(folder) / name).mkdir()
        workspace = Workspace(
            "policy",
            SftConfig(dataset="random"),
            {},
            Path(folder) / "output",
            Path(folder) / "scratch",
            report=take_turns,
        )
        pace = Pace("cpu", checkpoint_every=1 << 30)
        clock = common.Clock()
        train(workspace, ours.learner, ours.objective, batches=our_batches, pace=pace)
        first = _first_loss(Path(folder) / "output")
    del mine.steps[:WARM_UP], other.steps[:WARM_UP]
    lengths = [len(row.prompt) + len(row.completion) for row in (*rows.chosen, *rows.rejected)]
    return {
        "kind": case.kind,
        "vocabulary": case.vocabulary,
        "parameters": common.parameters(model),
        "condition": case.condition,
        "batch_size": case.batch_size,
        "median_tokens": sorted(lengths)[len(lengths) // 2],
        "padding": round(_padding(rows, case, their_batches[WARM_UP:]), 3),
        "first_loss": {"ours": first, "theirs": losses[0]},
        "required": REQUIRED[case.kind] if case.condition != "uniform" else 1.0,
        **common.compared(mine, other),
    }


def _reference(case: Case, model: Any, rows: PairRows) -> PairLogprobs:
    """Return reference log-probabilities, made up around the policy's where DPO needs them."""
    if case.kind != "dpo":
        return PairLogprobs(torch.zeros(0), torch.zeros(0))
    sums = completion_logprobs(model, [*rows.chosen, *rows.rejected], grad=False).logprobs.sum(1)
    return PairLogprobs(*(sums + 0.1 * torch.sin(torch.arange(len(sums)))).chunk(2))


def _first_loss(folder: Path) -> float:
    line = (folder / "metrics.jsonl").read_text().splitlines()[0]
    loss: float = json.loads(line)["loss"]
    return loss


def _padding(rows: PairRows, case: Case, batches: Sequence[Sequence[int]]) -> float:
    """Return which part of a batch that is padded to its longest row is padding."""
    flat = [*rows.chosen, *rows.rejected]
    real = padded = 0
    for batch in batches:
        chosen = [flat[i] for i in batch] if case.kind == "sft" else rows.of(batch)
        lengths = [len(row.prompt) + len(row.completion) for row in chosen]
        real += sum(lengths)
        padded += max(lengths) * len(lengths)
    return 1.0 - real / padded


def line(result: dict[str, Any]) -> str:
    """Return one row of the printed table."""
    cpu, wall = result["cpu"], result["wall"]
    by_step = cpu["ratio_by_step"]
    return (
        f"{result['kind']:12} {result['vocabulary']:6d} {result['condition']:8}"
        f"{result['padding']:5.0%}{cpu['ours_seconds']['median']:8.3f}"
        f"{cpu['theirs_seconds']['median']:8.3f}{cpu['ratio_of_sums']:7.2f}"
        f"  {by_step['median']:5.2f} [{by_step['q1']:.2f}, {by_step['q3']:.2f}]"
        f"{wall['ratio_of_sums']:7.2f}{result['required']:6.1f}"
        f"  {'yes' if cpu['ratio_of_sums'] >= result['required'] else 'NO'}"
    )


def main() -> None:
    """Run the comparisons, print a table, write ``results/supervised.json``."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=12)
    parser.add_argument("--vocabularies", type=int, nargs="+", default=[8192, 50257])
    parser.add_argument("--kinds", nargs="+", default=["dpo", "reward_model", "sft"])
    parser.add_argument("--conditions", nargs="+", default=["same", "own", "uniform"])
    parser.add_argument("--name", default="supervised", help="of the JSON in results/")
    options = parser.parse_args()
    logging.disable(logging.WARNING)
    transformers_logging.disable_progress_bar()
    datasets.disable_progress_bars()
    setting = common.environment()
    print(
        f"{'':12} {'words':>6} {'batches':8}{'pad':>5}{'ours s':>8}{'TRL s':>8}{'ratio':>7}"
        f"  {'by step [quartiles]':19}{'wall':>7}{'need':>6}  met"
    )
    results = []
    for kind in options.kinds:
        for vocabulary in options.vocabularies:
            for condition in options.conditions:
                results.append(run_case(Case(kind, vocabulary, condition), options.steps))
                print(line(results[-1]), flush=True)
    common.write(options.name, {**setting, "results": results})


if __name__ == "__main__":
    main()
