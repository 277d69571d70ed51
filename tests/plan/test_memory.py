"""The memory estimate: its parts by hand, and the limits that it shares with the code."""

import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM

from ablate.data import tiny
from ablate.models import batching, logprobs, sampling
from ablate.models.boundary import Row
from ablate.models.loading import LoadedModel
from ablate.plan import memory
from ablate.plan.job import Job
from ablate.plan.memory import block_activations, shape_of_job, stage_memory
from ablate.spec.shapes import ModelShape
from ablate.spec.stages import (
    D2poConfig,
    DpoConfig,
    EmbeddedModelConfig,
    ImportedModelConfig,
    LoraConfig,
    PpoConfig,
    PreferencesConfig,
    RewardModelConfig,
    SftConfig,
)
from ablate.training.trainable import Trainable

SHAPE = ModelShape(
    layers=2, width=8, vocabulary=100, intermediate=16, query=8, keys=4, bytes_per_weight=2
)
# Two blocks of 2 x 8 x 8 (query, output), 2 x 8 x 4 (key, value) and 3 x 8 x 16, and embeddings.
BLOCK, PARAMETERS = 128 + 64 + 384, 2 * (128 + 64 + 384) + 800
LORA = LoraConfig(rank=2)
# Rank 2 on q and o (8 + 8 each) and on k and v (8 + 4 each), in two blocks.
ADAPTERS = 2 * 2 * (16 + 16 + 12 + 12)
MODEL = Job("model", ImportedModelConfig(format="hf", content="sha", shape=SHAPE))
PAIRS = Job("preferences", PreferencesConfig(dataset="ai-fine"))


def sft(**fields):
    config = SftConfig(batch_size=4, max_length=10, **fields)
    return Job("sft", config, (("model", MODEL),))


def reward_model(**fields):
    inputs = (("policy", sft()), ("preferences", PAIRS))
    return Job("reward_model", RewardModelConfig(batch_size=4, max_length=10, **fields), inputs)


def test_a_full_model_takes_sixteen_bytes_a_weight_and_its_activations():
    found = stage_memory(sft())
    assert (found.weights, found.gradients) == (4 * PARAMETERS, 4 * PARAMETERS)
    assert (found.moments, found.frozen) == (8 * PARAMETERS, 0)
    # 40 tokens; 8 x 8 + 2 x 4 + 4 x 16 numbers in each of two blocks; three times the logits.
    assert found.working == 40 * 4 * 2 * (64 + 8 + 64) + 3 * 4 * 40 * 100
    assert found.total == found.runtime + 16 * PARAMETERS + found.working


def test_moments_in_8_bits_take_two_bytes_and_their_scales():
    found = stage_memory(sft(optimizer="adamw_8bit"))
    assert found.moments == pytest.approx((2 + 2 * 4 / 256) * PARAMETERS)


def test_an_adapter_leaves_gradients_and_moments_to_itself_and_is_merged_at_the_end():
    found = stage_memory(sft(lora=LORA))
    assert found.gradients == 4 * ADAPTERS and found.moments == 8 * ADAPTERS
    assert found.weights == 4 * PARAMETERS + 4 * ADAPTERS
    long = stage_memory(sft(lora=LORA, activation_checkpointing=True))
    assert found.working > long.working >= 4 * PARAMETERS


def test_on_a_gpu_frozen_weights_have_their_file_s_size_or_four_bits():
    plain = stage_memory(sft(lora=LORA), device="cuda")
    assert plain.runtime == 0 and plain.weights == 2 * PARAMETERS + 4 * ADAPTERS
    small = stage_memory(sft(lora=LoraConfig(rank=2, quantization="nf4")), device="cuda")
    # 4 bits, 8 for each 64 weights, and 32 for each 256 of those; embeddings stay in bf16.
    body = 2 * BLOCK * (0.5 + 1 / 64 + 4 / 16_384)
    assert small.weights == pytest.approx(body + 2 * 800 + 4 * ADAPTERS)


def test_a_micro_batch_and_recomputed_blocks_shrink_activations_alone():
    full, micro = stage_memory(sft()), stage_memory(sft(micro_batch_size=1))
    assert micro.working == full.working / 4 and micro.total - micro.working == (
        full.total - full.working
    )
    again = stage_memory(sft(activation_checkpointing=True))
    # The inputs of two blocks, and one block's insides.
    assert again.working == 40 * 4 * (2 * 8 + 136) + 3 * 4 * 40 * 100


def test_pairs_are_two_rows_and_offline_policies_have_no_reference_in_memory():
    inputs = (("policy", sft()), ("preferences", PAIRS))
    pairs = Job("policy", DpoConfig(batch_size=4, max_length=10), inputs)
    assert stage_memory(pairs).working == 2 * stage_memory(sft()).working
    assert stage_memory(pairs).frozen == 0


def test_ppo_holds_reference_reward_models_and_a_value_model_of_the_reward_model_s_depth():
    scorer, other = reward_model(layers=1), reward_model(layers=1, member=1)
    inputs = {"policy": sft(), "preferences": PAIRS, "reward_model": scorer}
    one = stage_memory(Job("policy", PpoConfig(), tuple(inputs.items())))
    shallow = PARAMETERS - BLOCK
    assert one.moments == 8 * (PARAMETERS + shallow)
    assert one.frozen == 4 * (PARAMETERS + shallow)
    two = stage_memory(Job("policy", PpoConfig(), (*inputs.items(), ("reward_model_1", other))))
    assert two.frozen == one.frozen + 4 * shallow
    adapted = stage_memory(Job("policy", PpoConfig(lora=LORA), tuple(inputs.items())))
    assert adapted.frozen == 4 * shallow  # the reference is the policy without its adapter
    shared = stage_memory(Job("policy", PpoConfig(value_init="shared"), tuple(inputs.items())))
    assert shared.moments == 8 * PARAMETERS


@pytest.mark.parametrize("every", [None, 4])
def test_d2po_trains_all_weights_of_its_reward_model_also_beside_an_adapter(every):
    """Labels before the first step alone (None) train it too; of the reference the base serves."""
    inputs = {"policy": sft(), "preferences": PAIRS, "reward_model": reward_model()}
    config = D2poConfig(lora=LORA, relabel_every_steps=every)
    found = stage_memory(Job("policy", config, tuple(inputs.items())))
    assert found.gradients == 4 * (ADAPTERS + PARAMETERS)
    assert found.moments == 8 * (ADAPTERS + PARAMETERS)
    assert found.weights == 4 * (PARAMETERS + ADAPTERS + PARAMETERS)
    assert found.frozen == 0


def test_the_embedded_model_s_shape_is_its_configuration():
    base = Job("model", EmbeddedModelConfig())
    shape = shape_of_job(base)
    # Three blocks of 4 x 64 x 64 and 3 x 64 x 192, and 184 words.
    assert shape is not None and shape.parameters == 3 * (16_384 + 36_864) + 184 * 64
    assert stage_memory(PAIRS).total == memory.RUNTIME_BYTES


def test_limits_are_those_of_the_code_that_computes():
    assert memory.HEAD_ELEMENTS == logprobs.HEAD_ELEMENTS
    assert memory.CACHE_BYTES == sampling.CACHE_BYTES
    assert memory.MAX_TOKENS == batching.MAX_TOKENS
    assert abs(memory.EMBEDDED_VOCABULARY - len(tiny.build_tokenizer())) <= 8


@pytest.mark.parametrize("adapted", [False, True])
def test_activations_of_a_block_are_those_that_a_graph_keeps(adapted):
    """Two and four blocks of a Llama differ by two blocks' activations."""

    def held(layers):
        model = LlamaForCausalLM(
            LlamaConfig(
                vocab_size=64, hidden_size=64, intermediate_size=192, num_hidden_layers=layers,
                num_attention_heads=4, num_key_value_heads=2,
            )
        )  # fmt: skip
        trainable = Trainable(LoadedModel(model, None, None), lora, seed=0)
        weights = {w.untyped_storage().data_ptr() for w in trainable.model.parameters()}
        kept = {}

        def keep(tensor):
            storage = tensor.untyped_storage()
            if storage.data_ptr() not in weights:
                kept[storage.data_ptr()] = (storage.nbytes(), tensor)
            return tensor

        rows = [Row(tuple(range(n, n + 32)), tuple(range(32))) for n in range(4)]
        with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
            logprobs.completion_logprobs(trainable.model, rows, grad=True)
        return sum(size for size, _ in kept.values()) / 4 / (4 * 64)

    lora = LoraConfig(rank=1) if adapted else None
    shape = ModelShape(layers=1, width=64, vocabulary=64, intermediate=192, query=64, keys=32)
    counted = block_activations(shape, frozen=adapted)
    assert (held(4) - held(2)) / 2 == pytest.approx(counted, rel=0.05)
