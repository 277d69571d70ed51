"""What a backend other than this library's own cannot train, found before anything trains.

Each rule raises UnresolvedError with the path to blame. What the backend ``trl`` computes a little
differently is no error: `ablate.training.backends.trl_settings` lists it, and the job records it.
"""

from __future__ import annotations

from ablate.spec.commands import wrong_placeholder
from ablate.spec.online import GrpoConfig, OnlineConfig, PolicyGradientConfig, RlooConfig
from ablate.spec.recipes import UnresolvedError
from ablate.spec.stages import RewardModelConfig
from ablate.spec.training import TrainingConfig

TRL_SECTIONS = ("sft", "reward_model", "dpo", "kto", "rloo", "grpo")
"""What the backend ``trl`` trains: the stable trainers of TRL 1.x that this library shares."""


def check_backend(config: TrainingConfig, section: str) -> None:
    """Check that the backend can do what is asked of it, and that a command has its program."""
    if config.divergence is not None and config.backend != "native":
        found = f"watched by the backend 'native' alone, not {config.backend!r}. Leave it out."
        raise UnresolvedError(f"{section}.divergence", found)
    if config.backend == "trl":
        _check_trl(config, section)
    if (config.backend == "command") != bool(config.command):
        found = (
            "the backend 'command' needs `command`: a program and its arguments"
            if config.backend == "command"
            else f"is given, but the backend is {config.backend!r}"
        )
        path = f"{section}.backend" if config.backend == "command" else f"{section}.command"
        raise UnresolvedError(path, f"{found}. Set both or neither.")
    if (wrong := wrong_placeholder(config.command)) is not None:
        raise UnresolvedError(f"{section}.command", f"{wrong} These are what it may stand for.")
    if config.command and not config.command[0].strip():
        raise UnresolvedError(f"{section}.command", "the first argument, the program, is empty.")


def _check_trl(config: TrainingConfig, section: str) -> None:
    if section not in TRL_SECTIONS:
        raise UnresolvedError(f"{section}.backend", _no_trl(section))
    refusals: list[tuple[str, str]] = []
    if config.lora is not None and config.lora.quantization is not None:
        refusals.append(("lora", f"quantization {config.lora.quantization!r}"))
    if isinstance(config, RewardModelConfig):
        if config.objective != "bradley_terry":
            refusals.append(("objective", repr(config.objective)))
        if config.pair_margins:
            refusals.append(("pair_margins", "true"))
    if isinstance(config, PolicyGradientConfig):
        refusals += _online_refusals(config)
    for name, found in refusals:
        message = f"{found}, which the backend 'trl' cannot do here. Change it, or use native."
        raise UnresolvedError(f"{section}.{name}", message)
    if isinstance(config, OnlineConfig) and config.rollouts_per_step % config.batch_size:
        found = f"{config.rollouts_per_step} is no multiple of {section}.batch_size"
        message = f"{found}, {config.batch_size}; TRL's minibatches are equal. Change one."
        raise UnresolvedError(f"{section}.rollouts_per_step", message)


def _online_refusals(config: PolicyGradientConfig) -> list[tuple[str, str]]:
    found: list[tuple[str, str]] = []
    if config.kl_target is not None:
        found.append(("kl_target", f"{config.kl_target}, an adaptive KL coefficient"))
    if config.logprob_temperature not in (None, config.temperature):
        shown = f"{config.logprob_temperature} beside a sampling temperature of"
        found.append(("logprob_temperature", f"{shown} {config.temperature}"))
    own = "k3" if isinstance(config, GrpoConfig) else "k1"
    if config.kl_coef and config.kl_estimator != own:
        found.append(("kl_estimator", f"{config.kl_estimator!r}, but TRL has {own!r}"))
    if isinstance(config, RlooConfig) and config.objective == "reinforce":
        several = config.rollout_epochs > 1 or config.rollouts_per_step > config.batch_size
        if several:
            found.append(("objective", "'reinforce' with several updates of one rollout batch"))
    return found


def _no_trl(section: str) -> str:
    allowed = ", ".join(TRL_SECTIONS)
    if section == "ppo":
        return (
            "TRL has no PPO since 1.13 (huggingface/trl#7020); the backend 'trl' trains "
            f"{allowed}. Use the backend native."
        )
    return f"the backend 'trl' trains {allowed}, not {section}. Use native or command."
