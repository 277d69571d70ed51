"""Our configuration in TRL's words, and what its words cannot say.

TRL is configured, never subclassed. Optimizer, schedule, order of the data, token ids and reference
log-probabilities are ours, handed to TRL's trainers; losses, sampling and the loop are TRL's.
"""

from __future__ import annotations

from typing import Any

from ablate.spec.offline import DpoConfig, KtoConfig
from ablate.spec.online import GrpoConfig, OnlineConfig, PolicyGradientConfig, RlooConfig
from ablate.spec.stages import RewardModelConfig, SftConfig
from ablate.spec.training import TrainingConfig
from ablate.training.backends.contract import Job

NAMES = {
    "rewards/chosen": "reward_chosen",
    "rewards/rejected": "reward_rejected",
    "rewards/margins": "reward_margin",
    "rewards/accuracies": "accuracy",
    "logps/chosen": "logp_chosen",
    "logps/rejected": "logp_rejected",
    "completions/mean_length": "length",
    "mean_reward": "score_mean",
    "reward": "reward_final",
}
"""Our names of TRL's metrics that mean the same; others keep theirs."""
_TRL_LOSS = {"sequence": "grpo", "token": "bnpo", "constant": "dr_grpo"}
"""TRL's name of each normalization of the GRPO loss."""


def trainer_name(config: TrainingConfig) -> str:
    """Return the stem of TRL's trainer and configuration classes."""
    names = {
        SftConfig: "SFT",
        RewardModelConfig: "Reward",
        DpoConfig: "DPO",
        KtoConfig: "KTO",
        RlooConfig: "RLOO",
        GrpoConfig: "GRPO",
    }
    return names[type(config)]


def arguments(job: Job, config: TrainingConfig, *, steps: int) -> dict[str, Any]:
    """Return the fields of TRL's configuration for ``steps`` optimizer steps."""
    micro = micro_batch(config)
    shared: dict[str, Any] = {
        "output_dir": job.checkpoint,
        "use_cpu": job.device == "cpu",
        "bf16": job.device == "cuda",
        "fp16": False,
        "gradient_checkpointing": config.activation_checkpointing,
        "per_device_train_batch_size": micro,
        "gradient_accumulation_steps": config.batch_size // micro,
        "max_steps": steps,
        "max_grad_norm": config.max_grad_norm,
        "learning_rate": config.learning_rate,
        "seed": job.seed % 2**32,
        "report_to": "none",
        "disable_tqdm": True,
        "logging_strategy": "steps",
        "logging_steps": 1,
        "logging_nan_inf_filter": False,
        "save_strategy": "steps",
        "save_steps": saved_every(config),
        "save_total_limit": 2,
        "dataloader_pin_memory": False,
        "push_to_hub": False,
    }
    return {**shared, **_own(config)}


def _own(config: TrainingConfig) -> dict[str, Any]:
    ordered = {"train_sampling_strategy": "sequential"}
    match config:
        case SftConfig():
            return {**ordered, "max_length": None, "packing": False, "shuffle_dataset": False}
        case RewardModelConfig():
            centering = config.centering_coef or None
            return {
                **ordered,
                "max_length": None,
                "disable_dropout": False,
                "center_rewards_coefficient": centering,
            }
        case DpoConfig():
            return {
                **ordered,
                "max_length": None,
                "disable_dropout": False,
                "loss_type": ["sigmoid"],
                "beta": config.beta,
                "label_smoothing": config.label_smoothing,
                "precompute_ref_log_probs": True,
            }
        case KtoConfig():
            return {
                **ordered,
                "max_length": None,
                "disable_dropout": False,
                "loss_type": "kto",
                "beta": config.beta,
                "desirable_weight": config.desirable_weight,
                "undesirable_weight": config.undesirable_weight,
            }
        case RlooConfig() | GrpoConfig():
            return _online(config)
    raise TypeError(f"backend trl: {type(config).__name__} is not what it trains")


def _online(config: RlooConfig | GrpoConfig) -> dict[str, Any]:
    fields: dict[str, Any] = {
        "num_generations": config.samples_per_prompt,
        "generation_batch_size": config.rollouts_per_step,
        "num_iterations": config.rollout_epochs,
        "max_completion_length": config.max_new_tokens,
        "temperature": config.temperature,
        "top_p": 1.0,
        "top_k": 0,
        "repetition_penalty": 1.0,
        "beta": config.kl_coef,
        "epsilon": config.clip_ratio,
        "mask_truncated_completions": config.truncated == "mask",
        "shuffle_dataset": False,
        "disable_dropout": False,
        "use_vllm": False,
        "log_completions": False,
        "remove_unused_columns": False,
    }
    if isinstance(config, RlooConfig):
        return {**fields, "normalize_advantages": config.whiten_advantages}
    return {
        **fields,
        "scale_rewards": "group" if config.scale_rewards else "none",
        "loss_type": _TRL_LOSS[config.loss_normalization],
        "importance_sampling_level": "token",
    }


def micro_batch(config: TrainingConfig) -> int:
    """Return the examples of one forward pass: a divisor of the batch, all where none is asked.

    KTO's baseline and the minibatches of online methods need the whole batch at once.
    """
    wanted = config.micro_batch_size or config.batch_size
    whole = isinstance(config, (KtoConfig, OnlineConfig)) or config.batch_size % wanted
    return config.batch_size if whole else min(wanted, config.batch_size)


def updates_per_rollout(config: TrainingConfig) -> int:
    """Return the optimizer steps that one rollout batch is used for; 1 for offline methods."""
    if not isinstance(config, (RlooConfig, GrpoConfig)):
        return 1
    return config.rollout_epochs * (config.rollouts_per_step // config.batch_size)


def saved_every(config: TrainingConfig) -> int:
    """Return the optimizer steps between checkpoints, never in the middle of a rollout batch."""
    unit = updates_per_rollout(config)
    return -(-config.checkpoint_every_steps // unit) * unit


def differences(config: TrainingConfig, *, uneven: bool, several_ends: bool) -> list[str]:
    """Return where TRL's training departs from what the native one does with these fields.

    ``uneven`` says that the data does not fill whole batches, ``several_ends`` that the model
    knows more than one end token.
    """
    found = []
    if uneven:
        found.append(
            "batches: an epoch's last batch is filled from the next epoch, not left smaller"
        )
    if config.micro_batch_size not in (None, micro_batch(config)):
        found.append("micro_batch_size: not applied, the whole batch is one forward pass")
    if config.lora is not None and config.lora.dropout > 0:
        found.append("lora.dropout: drawn from the global generator, not from the step's own")
    if isinstance(config, KtoConfig):
        found.append("kto: mismatched completions beyond max_length count in the KL baseline")
    if isinstance(config, PolicyGradientConfig):
        found += [
            "sampling: transformers' generate and the global generator, not our sampler",
            "old log-probabilities: recomputed by TRL, never the sampler's",
        ]
        if config.budget is not None:
            found.append("budget: the schedule, and the longest training, go by steps")
        if several_ends:
            found.append("end tokens: only the tokenizer's own ends a completion")
    if isinstance(config, RlooConfig):
        found.append("rloo: the clipped ratio of whole sequences, 1 at each rollout's only update")
        if config.whiten_advantages:
            found.append("whiten_advantages: TRL adds 1e-4 to the standard deviation")
    if isinstance(config, GrpoConfig) and config.scale_rewards:
        found.append("scale_rewards: the group's sample standard deviation plus 1e-4")
    return found


def renamed(logged: dict[str, Any]) -> dict[str, float]:
    """Return TRL's numbers of one step under our names; times and the epoch are left out."""
    return {
        NAMES.get(name, name): float(value)
        for name, value in logged.items()
        if isinstance(value, (int, float)) and name not in ("epoch", "step_time", "num_tokens")
    }
