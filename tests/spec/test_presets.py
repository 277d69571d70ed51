"""Presets: every value exists, is allowed, has a source, and reaches the algorithms it is for."""

import re
from pathlib import Path

import pytest

from ablate.spec import registry as registry_module
from ablate.spec.recipes import UnresolvedError
from ablate.spec.registry import registry
from ablate.spec.resolve import resolve
from ablate.spec.stages import (
    ALGORITHMS,
    EmbeddedModelConfig,
    EvaluationConfig,
    LabelsConfig,
    PreferencesConfig,
    RewardEvaluationConfig,
    RewardModelConfig,
    SftConfig,
)

SECTIONS = {
    "model": [EmbeddedModelConfig],
    "sft": [SftConfig],
    "preferences": [PreferencesConfig],
    "labels": [LabelsConfig],
    "reward_model": [RewardModelConfig],
    "evaluation": [EvaluationConfig],
    "reward_evaluation": [RewardEvaluationConfig],
    **{name: [cls] for name, cls in ALGORITHMS.items()},
    "offline": [cls for cls in ALGORITHMS.values() if cls.family == "offline"],
    "online": [cls for cls in ALGORITHMS.values() if cls.family == "online"],
}
PRESETS = registry().presets
VALUES = [
    (preset, section, field)
    for preset, sections in PRESETS.items()
    for section, values in sections.items()
    for field in values
]


def recipe(preset, algorithm, **more):
    study = {"model": "tiny-instruct", "preset": preset, "dataset": "ai-fine"}
    study |= {"sft.dataset": "tiny-demonstrations", "evaluation.suite": "tiny-instruct"}
    return resolve(study | {"algorithm": algorithm} | more)


@pytest.mark.parametrize(("preset", "section", "field"), VALUES)
def test_every_value_belongs_to_a_field_that_allows_it(preset, section, field):
    value = PRESETS[preset][section][field]
    having = [cls for cls in SECTIONS[section] if field in cls.model_fields]
    assert having, f"{section} has no field {field}"
    needed = {"dataset": "ai-fine"} if section == "preferences" else {}
    for cls in having:
        made = getattr(cls(**{**needed, field: value}), field)
        if field == "lora":
            assert value.items() <= (made.model_dump() | {"targets": list(made.targets)}).items()
        else:
            assert made == value


@pytest.mark.parametrize(
    "preset", ["ivison-2024", "tulu-2", "tulu-2-qlora", "zephyr", "instructgpt", "d2po"]
)
def test_every_value_of_a_paper_names_its_source(preset):
    text = Path(registry_module.__file__).with_name("registry").joinpath("presets.yaml").read_text()
    block = re.search(rf"^{preset}:\n((?:[ \n].*\n?)+)", text, re.MULTILINE)
    assert block is not None
    lines = block[1].splitlines()
    values = [n for n, line in enumerate(lines) if re.match(r" +\w+: *[^ #]", line)]
    assert values
    for n in values:
        assert "#" in lines[n] or "#" in lines[n - 1], lines[n]


def test_zephyr_is_one_epoch_of_sft_and_three_of_dpo():
    found = recipe("zephyr", "dpo")
    assert (found.sft.schedule, found.sft.batch_size, found.sft.epochs) == ("cosine", 512, 1)
    dpo = found.policy
    assert (dpo.beta, dpo.learning_rate, dpo.batch_size, dpo.epochs) == (0.1, 5e-7, 32, 3)
    assert (dpo.schedule, dpo.warmup_fraction, dpo.max_length) == ("linear", 0.1, 1024)


def test_instructgpt_is_a_reward_model_and_ppo_with_a_small_kl_coefficient():
    found = recipe("instructgpt", "ppo")
    assert (found.sft.epochs, found.sft.learning_rate) == (16, 9.65e-6)
    assert (found.reward_model.learning_rate, found.reward_model.batch_size) == (9e-6, 64)
    ppo = found.policy
    assert (ppo.kl_coef, ppo.gamma, ppo.clip_ratio, ppo.temperature) == (0.02, 1.0, 0.2, 1.0)
    # 256,000 episodes in batches of 512, the first ten of them warming up.
    assert ppo.steps * ppo.rollouts_per_step == 256_000
    assert ppo.warmup_fraction * ppo.steps == 10
    assert (ppo.value_init, ppo.value_learning_rate) == ("reward_model", 9e-6)
    assert ppo.missing_eos_score == 0.0


def test_tulu_2_trains_dpo_long_and_its_qlora_form_trains_adapters_over_4_bits():
    found = recipe("tulu-2", "dpo")
    assert (found.sft.batch_size, found.sft.epochs, found.sft.max_length) == (128, 2, 8192)
    assert (found.policy.beta, found.policy.max_length, found.policy.epochs) == (0.1, 8192, 3)
    qlora = recipe("tulu-2-qlora", "dpo").sft
    assert qlora.lora is not None and qlora.lora.quantization == "nf4"
    assert (qlora.lora.rank, qlora.lora.alpha, qlora.learning_rate) == (64, 16.0, 1e-4)


@pytest.mark.parametrize("algorithm", ["d2po", "online_dpo"])
def test_d2po_s_preset_reaches_both_arms_of_its_comparison(algorithm):
    policy = recipe("d2po", algorithm).policy
    assert (policy.beta, policy.learning_rate, policy.steps) == (0.05, 5e-5, 2000)
    assert policy.rollouts_per_step == policy.samples_per_prompt * policy.batch_size
    if algorithm == "d2po":
        # Sixteen rounds of sixteen labels.
        assert policy.steps // policy.relabel_every_steps == policy.labels_per_round == 16


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_every_algorithm_resolves_under_the_presets_that_are_for_all(algorithm):
    for preset in ("tiny-instruct", "ivison-2024"):
        assert recipe(preset, algorithm).policy.algorithm == algorithm


def test_the_embedded_world_s_rates_are_not_those_of_7b_models():
    rates = {name: recipe("tiny-instruct", name).policy.learning_rate for name in ALGORITHMS}
    assert set(rates.values()) == {5e-4}


def test_adapters_of_a_rank_over_the_width_are_a_mistake_of_the_study():
    assert recipe("tiny-instruct", "dpo", **{"dpo.lora.rank": 64}).policy.lora.rank == 64
    with pytest.raises(UnresolvedError, match="65 is over the model's width of 64") as refused:
        recipe("tiny-instruct", "dpo", **{"dpo.lora.rank": 65})
    assert refused.value.path == "dpo.lora.rank"
