"""The backend ``trl``: a training command like any other, ``python -m ...trl_main JOB``.

It reads ``job.json``, lets a trainer of TRL do the work, and writes what the contract asks for.
"""

from __future__ import annotations

import copy
import importlib
import json
import logging
import math
import os
import sys
import time
import warnings
from importlib import metadata
from pathlib import Path
from typing import Any

import torch
from torch.optim.lr_scheduler import LambdaLR
from transformers import PrinterCallback, TrainerCallback
from transformers.utils import logging as transformers_logging

from ablate.errors import AblateError, StageError
from ablate.models.loading import LoadedModel, load_policy, new_reward_model, save_model
from ablate.spec.offline import DpoConfig, KtoConfig
from ablate.spec.online import OnlineConfig
from ablate.spec.policies import PolicyConfig
from ablate.spec.stages import CONFIG_CLASSES, RewardModelConfig
from ablate.spec.training import TrainingConfig
from ablate.store.workspace import METRICS
from ablate.training.backends.contract import COMPLETE, MODEL, Job, write_result
from ablate.training.backends.trl_data import Schedule, schedule
from ablate.training.backends.trl_reward import TrlReward
from ablate.training.backends.trl_settings import arguments, differences, renamed, trainer_name
from ablate.training.learner import Learner, settings_of
from ablate.training.trainable import Trainable

VERSIONS = ("trl", "transformers", "accelerate", "datasets", "torch")


class Journal(TrainerCallback):  # type: ignore[misc]
    """Writes step metrics, marks checkpoints, and ends a training whose budget is spent."""

    def __init__(self, job: Job, config: TrainingConfig, reward: TrlReward | None) -> None:
        """Take the state of the last checkpoint, if there is one."""
        self.job, self.config, self.reward = job, config, reward
        self.used: list[float] = []
        """Preferences used up to each step."""
        self.marker = Path(job.checkpoint) / COMPLETE
        saved = json.loads(self.marker.read_text()) if self.marker.is_file() else {}
        self.step: int | None = saved.get("step")
        self.lines: list[str] = saved.get("metrics", [])
        if reward is not None:
            reward.tokens, reward.calls = saved.get("tokens", 0), saved.get("calls", 0)

    @property
    def resumed(self) -> str | None:
        """Return the folder of the checkpoint to go on from."""
        folder = Path(self.job.checkpoint) / f"checkpoint-{self.step}"
        return str(folder) if folder.is_dir() else None

    def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **_: Any) -> None:
        """Keep one line a step; raises StageError where the loss is no number."""
        if "loss" not in (logs or {}) or "train_runtime" in logs:
            return
        step = state.global_step - 1
        if not all(math.isfinite(float(logs.get(name, 0.0))) for name in ("loss", "grad_norm")):
            raise StageError(
                f"optimizer step {step}: loss {logs['loss']}, gradient norm "
                f"{logs.get('grad_norm')}; both must be finite. Lower the learning rate.",
                kind="non_finite_loss",
            )
        numbers = {"step": step, **renamed(logs), **self._spent(step)}
        self.lines.append(json.dumps(numbers))

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Stop before the rollouts that would begin beyond the budget."""
        budget = self.config.budget if isinstance(self.config, PolicyConfig) else None
        spent = self._spent(state.global_step - 1)
        if budget is not None and spent.get(f"used_{budget.unit}", 0.0) >= budget.amount:
            control.should_training_stop = True

    def on_save(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Say that a checkpoint is whole, and what belongs to it."""
        saved: dict[str, Any] = {"step": state.global_step, "metrics": self.lines}
        if self.reward is not None:
            saved |= {"tokens": self.reward.tokens, "calls": self.reward.calls}
        partial = self.marker.with_suffix(".partial")
        partial.write_text(json.dumps(saved))
        os.replace(partial, self.marker)

    def write(self, folder: Path) -> None:
        """Write ``metrics.jsonl``."""
        (folder / METRICS).write_text("".join(line + "\n" for line in self.lines))

    def _spent(self, step: int) -> dict[str, float]:
        if self.reward is not None:
            return {
                "used_preferences": 0.0,
                "used_generated_tokens": float(self.reward.tokens),
                "used_reward_calls": float(self.reward.calls),
            }
        return {"used_preferences": self.used[min(step, len(self.used) - 1)]} if self.used else {}


def run(job: Job, keeper: type[Journal]) -> None:
    """Train what the job asks for and write model, metrics and result."""
    started = time.monotonic()
    config = CONFIG_CLASSES[job.config_class].model_validate(job.config)
    assert isinstance(config, TrainingConfig)
    start = load_policy(Path(job.model), device=job.device)
    loaded = _initial(job, config, start)
    settings = copy.deepcopy(loaded.model.config)
    plan = schedule(job, config, start.boundary)
    reward = TrlReward(job, config, start.boundary) if isinstance(config, OnlineConfig) else None
    journal = keeper(job, config, reward)
    journal.used = plan.used_preferences(config.batch_size) if plan.pairs else []
    trainable = Trainable(loaded, config.lora, seed=config.seed)
    trainer = _trainer(job, config, trainable, loaded, plan=plan, journal=journal)
    trainer.train(resume_from_checkpoint=journal.resumed)
    output = Path(job.output)
    loaded.model.config = settings  # TRL's trainers write into it.
    tokenizer = load_policy(Path(job.model)).tokenizer
    save_model(trainable.model.eval(), tokenizer, output / MODEL)
    journal.write(output)
    write_result(
        output,
        status="ok",
        counts={"trained_tokens": plan.tokens} if reward is None else reward.counts(),
        seconds={"training": time.monotonic() - started},
        differences=differences(
            config, uneven=plan.uneven, several_ends=len(start.boundary.end_ids) > 1
        ),
        versions={name: metadata.version(name) for name in VERSIONS},
    )


def _initial(job: Job, config: TrainingConfig, start: LoadedModel) -> LoadedModel:
    if not isinstance(config, RewardModelConfig):
        return start
    return new_reward_model(
        Path(job.model), layers=config.layers, seed=config.seed, device=job.device
    )


def _trainer(
    job: Job,
    config: TrainingConfig,
    trainable: Trainable,
    loaded: LoadedModel,
    *,
    plan: Schedule,
    journal: Journal,
) -> Any:
    """Return TRL's trainer of the configuration, with our optimizer, schedule, ids and order."""
    import trl
    from datasets import Dataset

    name = trainer_name(config)
    learner = Learner(trainable, settings_of(config, plan.steps))
    rate = learner.settings.rate
    scheduler = LambdaLR(
        learner.optimizer, lambda step: rate.at(min(step, plan.steps - 1)) / rate.peak
    )
    extra: dict[str, Any] = {}
    if isinstance(config, (KtoConfig, OnlineConfig)):
        extra = _reference(job, config, loaded)
    if journal.reward is not None:
        extra["reward_funcs"] = journal.reward.score
    data = Dataset.from_list(plan.examples).select(plan.order)
    trainer = getattr(trl, f"{name}Trainer")(
        model=trainable.model,
        args=getattr(trl, f"{name}Config")(**arguments(job, config, steps=plan.steps)),
        train_dataset=_placeholder() if isinstance(config, (DpoConfig, KtoConfig)) else data,
        processing_class=_tokenizer(loaded, config, plan),
        callbacks=[journal],
        optimizers=(learner.optimizer, scheduler),
        **extra,
    )
    # These two trainers tokenize what they are given, by rules of their own: they get text first
    # and then the ids in its place, which their collators take as they are.
    trainer.train_dataset = data
    trainer.remove_callback(PrinterCallback)  # The journal has it all.
    return trainer


def _placeholder() -> Any:
    from datasets import Dataset

    rows = [{"prompt": "a", "chosen": " a", "rejected": " b"} for _ in range(2)]
    return Dataset.from_list(rows)


def _reference(job: Job, config: TrainingConfig, loaded: LoadedModel) -> dict[str, Any]:
    """Let the trainer find the reference: the folder in the model's configuration, or a model."""
    assert job.reference is not None
    if config.lora is not None:
        if job.reference != job.model:
            raise StageError(
                "backend trl: an adapter's reference is what it started from, but this link of the "
                "chain has another. Set reference: previous, remove lora, or use native.",
                kind="bad_data",
            )
        return {}
    if isinstance(config, KtoConfig):
        return {"ref_model": load_policy(Path(job.reference), device=job.device).model}
    loaded.model.config._name_or_path = job.reference
    return {}


def _tokenizer(loaded: LoadedModel, config: TrainingConfig, plan: Schedule) -> Any:
    """Return the tokenizer; a reward model's padding is a token that its data does not hold.

    transformers finds the last token of a row as the last one that is no padding, so padding with
    the end token would score the token before it.
    """
    tokenizer = copy.deepcopy(loaded.tokenizer)
    if isinstance(config, RewardModelConfig):
        sides = ("chosen_ids", "rejected_ids")
        used = {token for row in plan.examples for side in sides for token in row[side]}
        if tokenizer.pad_token_id is None or tokenizer.pad_token_id in used:
            free = next((i for i in range(len(tokenizer)) if i not in used), None)
            if free is None:
                raise StageError("backend trl: every token occurs in the data; none can pad.")
            tokenizer.pad_token = tokenizer.convert_ids_to_tokens(free)
    return tokenizer


def serve(path: Path, keeper: type[Journal] = Journal) -> None:
    """Train the job in a file, and write down how it went; ``keeper`` keeps the journal."""
    job = Job.read(path)
    torch.set_num_threads(job.threads)
    try:
        _check_version()
        run(job, keeper)
    except AblateError as error:
        kind = error.kind if isinstance(error, StageError) else "bug"
        write_result(Path(job.output), status="failed", message=str(error), kind=kind)


def main() -> int:
    """Train the job named on the command line; return the exit status."""
    logging.basicConfig(level=logging.WARNING, stream=sys.stderr)
    # Names that transformers will drop are TRL's, and nothing that a study's author can change.
    warnings.simplefilter("ignore", FutureWarning)
    transformers_logging.disable_progress_bar()
    importlib.import_module("datasets").disable_progress_bars()
    serve(Path(sys.argv[1]))
    return 0


def _check_version() -> None:
    version = metadata.version("trl")
    if int(version.partition(".")[0]) != 1:
        raise StageError(
            f"backend trl: trl {version}; trl >= 1.0, < 2 is needed. "
            "Install it: pip install 'ablate-studies[trl]'.",
            kind="bug",
        )


if __name__ == "__main__":
    raise SystemExit(main())
