"""The other side of `ppo.py`: TRL 1.12.0's PPO trainer, one step for each line on standard input.

Run by `ppo.py` in a process of its own, with that release's folder first on the path.
"""

from __future__ import annotations

import json
import logging
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import alone
import datasets
import numpy as np
import torch
import trl
import trl.experimental.ppo.ppo_trainer as module
from transformers import (
    AutoModelForCausalLM,
    AutoModelForSequenceClassification,
    AutoTokenizer,
    TrainerCallback,
)
from trl.experimental.ppo import PPOConfig, PPOTrainer

ANSWERS = sys.stdout
"""Whatever else prints goes to standard error."""


class Steps(TrainerCallback):  # type: ignore[misc]
    """Waits for a line before each step, and answers with what the step took."""

    def __init__(self) -> None:
        """Nothing is measured yet."""
        self.marks: dict[str, tuple[float, float]] = {}
        self.tokens = 0

    def wait(self) -> None:
        """Block until the next step is asked for."""
        if not sys.stdin.readline():
            raise SystemExit(0)
        self.mark("start")

    def mark(self, name: str) -> None:
        """Remember both clocks."""
        self.marks[name] = (time.process_time(), time.perf_counter())

    def on_step_end(self, *args: Any, **kwargs: Any) -> None:
        """Answer and wait."""
        self.mark("end")
        spans = {
            "rollout": ("start", "generated"),
            "scoring": ("generated", "whitened"),
            "update": ("whitened", "end"),
            "step": ("start", "end"),
        }
        answer: dict[str, Any] = {"tokens": self.tokens}
        for name, (first, last) in spans.items():
            pairs = zip(self.marks[first], self.marks[last], strict=True)
            answer[name] = dict(zip(("cpu", "wall"), (b - a for a, b in pairs), strict=True))
        print(json.dumps(answer), file=ANSWERS, flush=True)
        self.wait()


def watch(steps: Steps) -> None:
    """Mark where generation ends and where the last whitening, so the scoring, ends."""
    generate, whiten = module.batch_generation, module.masked_whiten

    def generated(*args: Any, **kwargs: Any) -> Any:
        result = generate(*args, **kwargs)
        steps.tokens = result[1].shape[0] * result[1].shape[1]
        steps.mark("generated")
        return result

    def whitened(*args: Any, **kwargs: Any) -> Any:
        result = whiten(*args, **kwargs)
        steps.mark("whitened")
        return result

    module.batch_generation, module.masked_whiten = generated, whitened


def main() -> None:
    """Train until standard input ends."""
    task = json.loads(sys.argv[1])
    sys.stdout = sys.stderr
    logging.disable(logging.WARNING)
    torch.set_num_threads(alone.THREADS)
    assert trl.__version__ == "1.12.0", trl.__version__
    tokenizer = AutoTokenizer.from_pretrained(task["policy"], padding_side="left")

    def load(kind: Any, folder: str) -> Any:
        model = kind.from_pretrained(folder, dtype=torch.float32)
        model.get_input_embeddings().padding_idx = None
        return model

    steps = Steps()
    watch(steps)
    rows = [{"input_ids": ids} for ids in json.loads(Path(task["prompt_ids"]).read_text())]
    with tempfile.TemporaryDirectory() as folder:
        config = PPOConfig(
            output_dir=folder,
            use_cpu=True,
            bf16=False,
            gradient_checkpointing=False,
            report_to="none",
            save_strategy="no",
            disable_tqdm=True,
            logging_steps=1 << 30,
            num_sample_generations=0,
            seed=0,
            learning_rate=task["learning_rate"],
            lr_scheduler_type="constant",
            # One optimizer step a minibatch: accumulation would skip all but the last.
            per_device_train_batch_size=task["rollouts"],
            gradient_accumulation_steps=1,
            num_mini_batches=task["rollouts"] // task["minibatch"],
            num_ppo_epochs=1,
            local_rollout_forward_batch_size=task["rollouts"],
            total_episodes=task["rollouts"] * 10_000,
            response_length=task["max_new_tokens"],
            stop_token="eos",
            missing_eos_penalty=1.0,
            temperature=1.0,
            kl_coef=task["kl_coef"],
        )
        np.random.seed(0)
        trainer = PPOTrainer(
            args=config,
            processing_class=tokenizer,
            model=load(AutoModelForCausalLM, task["policy"]),
            ref_model=load(AutoModelForCausalLM, task["policy"]),
            reward_model=load(AutoModelForSequenceClassification, task["reward"]),
            value_model=load(AutoModelForSequenceClassification, task["reward"]),
            train_dataset=datasets.Dataset.from_list(rows),
            eval_dataset=datasets.Dataset.from_list(rows[: task["rollouts"]]),
            callbacks=[steps],
        )
        steps.wait()
        trainer.train()


if __name__ == "__main__":
    main()
