import pytest

from ablate.spec.names import Files, LocalFile
from ablate.spec.overrides import flatten, merged
from ablate.spec.recipes import UnresolvedError
from ablate.spec.registry import registry
from ablate.spec.resolve import Resolver, resolve
from ablate.spec.stages import DpoConfig, LoraConfig, PpoConfig

PPO = {"model": "tiny-instruct", "algorithm": "ppo", "dataset": "ai-fine"}
DPO = PPO | {"algorithm": "dpo"}
HUB = "o/m@" + "a" * 40


def flat(**mapping):
    found = flatten({key.replace("__", "."): value for key, value in mapping.items()}, ())
    assert found.problems == []
    return found.values


def test_the_preset_of_the_embedded_world_is_complete():
    recipe = resolve(PPO)
    assert (recipe.model.examples, recipe.model.batch_size) == (24_000, 16)
    assert recipe.model.learning_rate == 3e-3
    assert (recipe.sft.examples, recipe.sft.batch_size, recipe.sft.learning_rate) == (
        3000,
        16,
        1e-3,
    )
    assert recipe.sft.dataset == "tiny-demonstrations"
    assert recipe.preferences.examples == 2500
    reward = recipe.reward_model
    assert (reward.epochs, reward.batch_size, reward.learning_rate) == (2, 32, 1e-3)
    assert (reward.schedule, reward.centering_coef, reward.normalize) == ("cosine", 0.01, True)
    policy = recipe.policy
    assert (policy.steps, policy.rollouts_per_step, policy.batch_size) == (32, 128, 32)
    assert (policy.learning_rate, policy.value_learning_rate) == (5e-4, 1e-3)
    assert (policy.kl_coef, policy.gae_lambda, policy.missing_eos_score) == (0.1, 0.95, -3.0)
    assert (policy.whiten_advantages, policy.max_new_tokens) == ("batch", 28)
    assert (policy.temperature, policy.prompts) == (1.0, "dataset")
    dpo = resolve(DPO).policy
    assert (dpo.beta, dpo.learning_rate, dpo.schedule) == (0.1, 5e-4, "cosine")
    assert (dpo.batch_size, dpo.epochs) == (32, 2)
    trained = [recipe.sft, reward, policy, dpo]
    assert {stage.max_length for stage in trained} == {64}
    assert {(stage.adam_beta1, stage.adam_beta2) for stage in trained} == {(0.9, 0.95)}
    assert {stage.weight_decay for stage in trained} == {0.0}


def test_the_paper_s_preset_has_the_released_values():
    paper = registry().presets["ivison-2024"]
    dpo = DpoConfig(**paper["offline"], **paper["dpo"])
    ppo = PpoConfig(**paper["online"], **paper["ppo"])
    assert (dpo.learning_rate, dpo.beta, dpo.epochs, dpo.batch_size) == (5e-7, 0.1, 3, 32)
    assert (ppo.learning_rate, ppo.schedule, ppo.kl_coef) == (1e-6, "constant", 0.05)
    assert (ppo.rollouts_per_step, ppo.batch_size, ppo.temperature) == (512, 64, 0.7)
    assert (ppo.logprob_temperature, ppo.missing_eos_score, ppo.recompute_old) == (1.0, -10.0, True)
    assert (paper["reward_model"]["batch_size"], paper["reward_model"]["epochs"]) == (512, 1)


def test_dpo_has_no_reward_model_and_ppo_has_one():
    assert resolve(DPO).reward_model is None
    assert resolve(DPO).reward_evaluation is None
    assert resolve(PPO).reward_model.layers == 3


@pytest.mark.parametrize(("size", "layers"), [("small", 1), ("medium", 2), ("full", None)])
def test_a_reward_model_s_size_becomes_its_depth(size, layers):
    assert resolve(PPO | flat(reward_model=size)).reward_model.layers == layers


def test_a_reward_model_deeper_than_the_model_is_refused():
    with pytest.raises(UnresolvedError, match="3 layers are asked for; the model has 2"):
        resolve(PPO | flat(model__layers=2))


def test_the_reward_model_trains_on_the_cell_s_data_unless_it_has_its_own():
    assert resolve(PPO).reward_preferences is None
    own = resolve(PPO | {"reward_model.dataset": "human-noisy"})
    assert (own.preferences.dataset, own.reward_preferences.dataset) == ("ai-fine", "human-noisy")
    same = resolve(PPO | {"reward_model.dataset": "ai-fine"})
    assert same == resolve(PPO)


def test_a_data_set_that_nothing_reads_is_no_part_of_the_recipe():
    recipe = resolve(PPO | {"reward_model.dataset": "human-noisy", "prompts": "tiny-mixed"})
    assert recipe.preferences is None
    assert recipe.reward_preferences.dataset == "human-noisy"


def test_a_policy_field_reaches_the_algorithms_that_have_it():
    both = flat(policy__learning_rate=1e-4, policy__beta=0.3, policy__kl_coef=0.2)
    assert (resolve(DPO | both).policy.beta, resolve(DPO | both).policy.learning_rate) == (
        0.3,
        1e-4,
    )
    assert resolve(PPO | both).policy.kl_coef == 0.2
    assert resolve(PPO | both).policy.learning_rate == 1e-4


def test_the_later_of_two_spellings_of_a_field_holds():
    first, second = flat(dpo__beta=0.3), flat(policy__beta=0.4)
    assert resolve(merged(DPO | first, second)).policy.beta == 0.4
    assert resolve(merged(DPO | second, first)).policy.beta == 0.3


def test_adapters_are_set_changed_and_removed():
    rank = merged(DPO, flat(policy={"lora": {"rank": 4}}))
    assert resolve(rank).policy.lora == LoraConfig(rank=4)
    more = merged(rank, flat(policy__lora__alpha=8.0))
    assert resolve(more).policy.lora == LoraConfig(rank=4, alpha=8.0)
    assert resolve(merged(more, flat(policy={"lora": None}))).policy.lora is None
    assert resolve(merged(more, flat(policy={"lora": {}}))).policy.lora == LoraConfig()


def test_no_sft_stage_where_the_study_says_null():
    recipe = resolve(DPO | {"sft": None})
    assert (recipe.sft, recipe.start) == (None, "base")
    assert resolve({"model": "tiny-instruct"}).start == "sft"


def test_a_field_of_sft_brings_the_stage_back():
    back = merged(DPO | {"sft": None}, flat(sft__examples=100))
    assert resolve(back).sft.examples == 100


def test_a_row_has_no_policy_whatever_the_study_trains():
    row = resolve(PPO, start="base")
    assert (row.sft, row.policy, row.preferences, row.reward_model) == (None, None, None, None)


def test_cells_that_agree_on_a_stage_share_its_configuration():
    resolver = Resolver(Files())
    first = resolver.recipe(PPO | flat(policy__kl_coef=0.1))
    second = resolver.recipe(PPO | flat(policy__kl_coef=0.2))
    assert first.reward_model is second.reward_model
    assert first.evaluation is second.evaluation
    assert first.policy is not second.policy


def test_spelling_out_a_default_gives_the_same_object():
    resolver = Resolver(Files())
    plain, spelled = resolver.recipe(DPO), resolver.recipe(DPO | flat(policy__beta=0.1))
    assert plain.policy is spelled.policy


def test_a_hub_model_carries_its_revision_and_needs_a_suite():
    files = Files({("model", HUB): LocalFile(f"hub:{HUB}", "", "hf")})
    hub = DPO | {"model": HUB, "sft": None}
    with pytest.raises(UnresolvedError, match="no suite"):
        resolve(hub, files)
    recipe = resolve(hub | {"evaluation.suite": "tiny-instruct"}, files)
    assert (recipe.model.format, recipe.model.content) == ("hf", f"hub:{HUB}")


def test_an_imported_model_without_demonstrations_says_what_to_set():
    files = Files({("model", HUB): LocalFile(f"hub:{HUB}", "", "hf")})
    with pytest.raises(UnresolvedError, match="or `sft: null` to start from the model"):
        resolve(DPO | {"model": HUB, "evaluation.suite": "tiny-instruct"}, files)


def test_a_minibatch_larger_than_a_step_is_refused():
    with pytest.raises(UnresolvedError, match="256 rollouts per minibatch, but a step has 128"):
        resolve(PPO | flat(ppo__batch_size=256))


@pytest.mark.parametrize("name", sorted(registry().presets))
def test_every_value_of_a_preset_is_one_that_a_study_could_set(name):
    for section, values in registry().presets[name].items():
        family = section in ("offline", "online")
        found = flatten({"policy" if family else section: values}, ())
        wrong = [p.message for p in found.problems]
        assert wrong == []
