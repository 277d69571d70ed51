import json
import math
from typing import Any

import pytest
import torch
from training_toys import Toy, metrics, ppo_config, ppo_parts_of

from ablate.errors import StageError
from ablate.models.boundary import Row
from ablate.models.loading import load_policy, load_reward_model, save_model
from ablate.models.logprobs import completion_logprobs
from ablate.spec.stages import LoraConfig, PpoConfig
from ablate.training.experience import score
from ablate.training.online import OnlineLoop, Scored
from ablate.training.rollouts import PromptSet

PPO_METRICS = {
    "reward_raw", "reward_normalized", "kl_per_token", "kl_per_sequence", "kl_coef", "entropy",
    "length_tokens", "ended_fraction", "value_loss", "policy_loss", "clip_fraction",
    "ratio_max_deviation", "gold", "learning_rate",
}  # fmt: skip


def loop_of(toy: Toy, **fields: Any) -> OnlineLoop:
    config = ppo_config(**fields)
    return OnlineLoop(toy.workspace("policy", config), config)


def collected(loop: OnlineLoop, step: int = 0) -> Any:
    return loop.prompts.collect(loop.terms.model, loop.boundary, loop.config, step=step)


def test_ppo_logs_what_it_did_and_counts_what_it_spent(toy: Toy) -> None:
    workspace = toy.run("policy", ppo_config())
    lines = metrics(workspace)
    assert len(lines) == 5
    assert all(PPO_METRICS < set(line) for line in lines)
    assert workspace.counts["reward_calls"] == 5 * 16
    tokens = sum(16 * line["length_tokens"] for line in lines)
    assert workspace.counts["generated_tokens"] == pytest.approx(tokens)
    assert {"rollout", "scoring", "update"} <= set(workspace.timings)
    steps = (workspace.scratch / "timings.jsonl").read_text().splitlines()
    assert [json.loads(line)["step"] for line in steps] == [0, 1, 2, 3, 4]
    assert lines[0]["kl_per_sequence"] == pytest.approx(0.0, abs=1e-4)
    assert lines[-1]["kl_per_sequence_k3"] > 0.0


@pytest.mark.parametrize("temperatures", [(1.0, None), (0.7, None), (0.7, 1.0)])
def test_l5_l2_l3_the_ratio_is_1_before_the_first_update_of_every_batch(
    toy: Toy, temperatures: tuple[float, float | None]
) -> None:
    config = ppo_config(temperature=temperatures[0], logprob_temperature=temperatures[1])
    workspace = toy.run("policy", config)
    assert workspace.numerics["old_logprobs"] == "sampler"
    assert all(line["ratio_max_deviation"] <= 1e-5 for line in metrics(workspace))


def test_l2_the_reference_is_measured_at_the_same_temperature(toy: Toy) -> None:
    loop = loop_of(toy, temperature=0.5)
    rollouts = collected(loop)
    reference = loop.terms.reference_logprobs(rollouts.rows)
    # The policy is still the reference, so every log-ratio is 0 at one common temperature.
    torch.testing.assert_close(reference, rollouts.logprobs, atol=2e-5, rtol=0)


def test_l5_a_sampler_that_disagrees_is_replaced_by_the_training_forward(toy: Toy) -> None:
    parts = ppo_parts_of(toy)
    loop = parts.loop
    rollouts = collected(loop)
    off = rollouts.logprobs + 0.01 * rollouts.mask
    object.__setattr__(rollouts, "logprobs", off)
    scores = score(rollouts, parts.reward, loop.config)
    trusted = parts.update.prepare(Scored(0, rollouts, scores))
    deviation = parts.update.learn(trusted)["ratio_max_deviation"]
    assert deviation == pytest.approx(1 - math.exp(-0.01), rel=1e-2)
    assert not loop.terms.trust_sampler
    inputs = parts.update.prepare(Scored(0, rollouts, scores)).inputs
    assert (inputs.logprobs - off).abs().max() > 0.009


def test_p4_a_value_belongs_to_the_state_before_its_token(toy: Toy) -> None:
    parts = ppo_parts_of(toy)
    loop = parts.loop
    prompt, completion = loop.prompts.ids[0], loop.boundary.completion_ids("sure : apple pear")
    values = parts.update.values([Row(prompt, completion)])[0]
    model: Any = load_reward_model(toy.artifacts["reward_model"] / "model").model
    for t in range(len(completion)):
        state = torch.tensor([prompt + completion[:t]])
        hidden = model.model(state).last_hidden_state[0, -1]
        torch.testing.assert_close(values[t], model.score(hidden)[0], atol=1e-5, rtol=0)


def test_p8_values_start_from_the_reward_model_or_from_zero(toy: Toy) -> None:
    rows = [Row((5, 6), (7, 8))]
    kept = ppo_parts_of(toy).update.values(rows)
    zero = ppo_parts_of(toy, value_init="sft").update.values(rows)
    assert kept.abs().min() > 0.0
    assert zero.abs().max() == 0.0


def test_p8_policy_and_value_model_share_no_weights(toy: Toy) -> None:
    update = ppo_parts_of(toy).update
    policy = {weight.data_ptr() for weight in update.policy_learner.weights.values()}
    assert policy.isdisjoint(w.data_ptr() for w in update.value_learner.weights.values())


def test_l9_reference_and_reward_model_stay_frozen(toy: Toy) -> None:
    parts = ppo_parts_of(toy)
    reference = parts.loop.terms.reference
    assert reference is not None
    frozen = {n: w.clone() for n, w in reference.named_parameters()}
    scores = {n: w.clone() for n, w in parts.reward.model.named_parameters()}
    parts.run()
    assert all(torch.equal(w, frozen[n]) for n, w in reference.named_parameters())
    assert all(torch.equal(w, scores[n]) for n, w in parts.reward.model.named_parameters())
    assert not any(w.requires_grad for w in reference.parameters())
    trained = dict(parts.loop.terms.model.named_parameters())
    assert not torch.equal(
        trained["model.embed_tokens.weight"], frozen["model.embed_tokens.weight"]
    )


def test_the_reference_of_an_adapter_is_the_model_without_it(toy: Toy) -> None:
    parts = ppo_parts_of(toy, lora=LoraConfig(rank=2))
    loop = parts.loop
    assert loop.terms.reference is None
    parts.run()
    rows = collected(loop).rows
    sft = load_policy(toy.artifacts["sft"] / "model").model
    expected = completion_logprobs(sft, rows, grad=False).logprobs
    torch.testing.assert_close(loop.terms.reference_logprobs(rows), expected, atol=1e-6, rtol=0)
    assert (loop.terms.logprobs(rows) - expected).abs().max() > 1e-4
    trained = parts.update.value_learner.weights
    assert any("score" in name for name in trained)
    assert all("lora" in name or "score" in name for name in trained)


def test_without_a_kl_price_ppo_runs_and_still_measures_it(toy: Toy) -> None:
    lines = metrics(toy.run("policy", ppo_config(kl_coef=0.0)))
    assert all(line["kl_coef"] == 0.0 for line in lines)
    assert lines[-1]["kl_per_sequence"] is not None
    assert lines[-1]["kl_per_sequence_k3"] > 0.0


def test_p11_the_adaptive_price_moves_and_the_fixed_one_does_not(toy: Toy) -> None:
    fixed = metrics(toy.run("policy", ppo_config()))
    assert {line["kl_coef"] for line in fixed} == {0.05}
    lines = metrics(toy.run("policy", ppo_config(kl_target=100.0, kl_horizon=160)))
    # The divergence is far below its target: 1 - 0.2 * 16 / 160 a step.
    expected = [0.05 * 0.98**step for step in range(5)]
    assert [line["kl_coef"] for line in lines] == pytest.approx(expected)


@pytest.mark.parametrize(("rule", "final"), [("replace", -3.0), ("subtract", None)])
def test_p2_p3_a_cut_completion_is_penalized(toy: Toy, rule: str, final: float | None) -> None:
    fields: dict[str, Any] = {"missing_eos": rule, "max_new_tokens": 1, "steps": 1}
    line = metrics(toy.run("policy", ppo_config(**fields)))[0]
    cut = 1.0 - line["ended_fraction"]
    assert cut > 0.9
    if final is None:
        final = line["reward_normalized"] - 3.0 * cut
        assert line["reward_final"] == pytest.approx(final, abs=1e-5)
    elif cut == 1.0:
        assert line["reward_final"] == pytest.approx(final)
    else:
        assert line["reward_final"] < -2.0


def test_the_papers_code_has_ratio_1_at_every_minibatch_and_never_clips(toy: Toy) -> None:
    lines = metrics(toy.run("policy", ppo_config(recompute_old=True, ppo_epochs=3)))
    assert all(line["clip_fraction"] == 0.0 for line in lines)
    assert all(line["ratio_max_deviation"] <= 1e-5 for line in lines)
    textbook = metrics(toy.run("policy", ppo_config(ppo_epochs=3, learning_rate=1e-2)))
    assert max(line["clip_fraction"] for line in textbook) > 0.0


@pytest.mark.parametrize("over", ["batch", "minibatch", "none"])
def test_p6_every_way_to_whiten_trains(toy: Toy, over: str) -> None:
    lines = metrics(toy.run("policy", ppo_config(whiten_advantages=over, whiten_rewards=True)))
    assert all(math.isfinite(line["policy_loss"]) for line in lines)
    if over == "batch":
        # Whitened advantages have mean 0, and the ratio is 1 at first, so losses nearly cancel.
        assert abs(lines[0]["policy_loss"]) < 0.1


def test_long_prompts_are_dropped_and_counted(toy: Toy) -> None:
    everything = toy.workspace("policy", ppo_config())
    OnlineLoop(everything, ppo_config())
    assert everything.counts["dropped_long"] == 0
    config = ppo_config(max_prompt_length=8)
    few = toy.workspace("policy", config)
    loop = OnlineLoop(few, config)
    assert 0 < few.counts["dropped_long"] < 40
    assert all(len(ids) <= 8 for ids in loop.prompts.ids)


def test_prompts_of_the_preference_data_are_taken_once_each(toy: Toy) -> None:
    prompts: PromptSet = loop_of(toy, prompts="dataset", prompts_examples=None).prompts
    assert len(set(prompts.ids)) == len(prompts.ids) <= 48
    few = loop_of(toy, prompts="dataset", prompts_examples=10).prompts
    assert len(few.ids) == 10
    assert all(prompt.world == "tiny-instruct" for prompt in few.prompts)


def test_p15_a_prompt_that_repeats_in_a_step_gets_another_sample(toy: Toy) -> None:
    loop = loop_of(toy, prompts_examples=2, temperature=2.0)
    rollouts = collected(loop)
    assert len({row.prompt for row in rollouts.rows}) == 2
    assert len(set(rollouts.rows)) > 8
    again = collected(loop, step=1)
    assert set(again.rows) != set(rollouts.rows)


def test_p12_an_epoch_is_one_pass_over_the_prompts(toy: Toy) -> None:
    assert loop_of(toy, steps=None, prompts_examples=40).steps == 2
    assert loop_of(toy, steps=None, prompts_examples=40, epochs=3).steps == 6
    assert loop_of(toy, steps=None, prompts_examples=4).steps == 1


def test_a_reward_model_with_other_tokens_scores_but_cannot_be_the_value_model(
    toy: Toy,
) -> None:
    loaded = load_reward_model(toy.artifacts["reward_model"] / "model")
    loaded.tokenizer.add_tokens(["zebra-crossing"])
    loaded.model.resize_token_embeddings(len(loaded.tokenizer), mean_resizing=False)
    foreign = toy.root / "foreign-reward"
    save_model(loaded.model, loaded.tokenizer, foreign / "model")
    (foreign / "reward.json").write_bytes(
        (toy.artifacts["reward_model"] / "reward.json").read_bytes()
    )
    with pytest.raises(StageError, match="value_init: sft"):
        toy.run("policy", ppo_config(), reward_model=foreign)
    run = toy.run("policy", ppo_config(value_init="sft", steps=1), reward_model=foreign)
    assert run.counts["reward_calls"] == 16


def test_ppo_raises_the_reward_it_is_given(toy: Toy) -> None:
    config: PpoConfig = ppo_config(
        steps=12, rollouts_per_step=32, batch_size=16, kl_coef=0.0, learning_rate=1e-2,
        value_learning_rate=1e-2,
    )  # fmt: skip
    lines = metrics(toy.run("policy", config))
    early = sum(line["reward_final"] for line in lines[:3])
    late = sum(line["reward_final"] for line in lines[-3:])
    assert late > early + 1.0
