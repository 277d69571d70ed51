"""Every algorithm that samples, on the toy."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from training_toys import Toy, dpo_config, metrics, ppo_config, ppo_parts_of

from ablate.spec import stages
from ablate.spec.config import Config
from ablate.spec.policies import Budget
from ablate.spec.stages import LoraConfig
from ablate.store.workspace import Workspace
from ablate.training.d2po import D2poUpdate, Discriminator, _first_reward
from ablate.training.experience import score
from ablate.training.online import OnlineLoop, Scored
from ablate.training.policy_gradient import PolicyGradientUpdate
from ablate.training.ranked import extremes
from ablate.training.rejection_sampling import pick
from ablate.training.samples import SAMPLES, mean_score, read_samples

SAMPLING: dict[str, Any] = {
    "prompts": "tiny-mixed", "prompts_examples": 40, "steps": 4, "rollouts_per_step": 16,
    "batch_size": 8, "learning_rate": 1e-3, "max_new_tokens": 12, "max_prompt_length": 32,
    "max_length": 64, "temperature": 1.0, "missing_eos_score": -3.0, "checkpoint_every_steps": 4,
}  # fmt: skip
CRITIC_FREE: dict[str, Config] = {
    "reinforce": stages.ReinforceConfig(**SAMPLING),
    "rloo": stages.RlooConfig(**SAMPLING),
    "rloo-clipped": stages.RlooConfig(**SAMPLING, objective="clipped", rollout_epochs=2),
    "grpo": stages.GrpoConfig(**SAMPLING, rollout_epochs=2),
    "dr-grpo": stages.GrpoConfig(
        **SAMPLING, scale_rewards=False, loss_normalization="constant", kl_coef=0.0
    ),
}


RANKED: dict[str, Config] = {
    "online_dpo": stages.OnlineDpoConfig(**{**SAMPLING, "batch_size": 4}, samples_per_prompt=4),
    "iterative_dpo": stages.IterativeDpoConfig(
        **{**SAMPLING, "batch_size": 4}, rounds=4, prompts_per_round=8, epochs_per_round=2
    ),
    "iterative-first": stages.IterativeDpoConfig(
        **{**SAMPLING, "batch_size": 4}, rounds=4, prompts_per_round=8, round_reference="first"
    ),
    "self_rewarding": stages.SelfRewardingConfig(
        **{**SAMPLING, "batch_size": 8}, rounds=3, prompts_per_round=8, judge_learning_rate=1e-3
    ),
    "d2po": stages.D2poConfig(
        **{**SAMPLING, "batch_size": 4}, relabel_every_steps=2, labels_per_round=4
    ),
    "two_phase_dpo": stages.TwoPhaseDpoConfig(**{**SAMPLING, "batch_size": 4}),
    "d2po-fresh": stages.D2poConfig(
        **{**SAMPLING, "batch_size": 4}, labels_per_round=8, reward_init="sft",
        select="confidence", relabel_every_steps=None,
    ),
}  # fmt: skip


@pytest.fixture(scope="module", autouse=True)
def implicit_reward(toy: Toy) -> Iterator[None]:
    """Give the toy a DPO policy as an implicit reward."""
    trained = toy.run("policy", dpo_config(epochs=1)).output
    toy.artifacts |= {"implicit": trained, "implicit_reference": toy.artifacts["sft"]}
    yield
    for role in ("implicit", "implicit_reference"):
        del toy.artifacts[role]


def weights(workspace: Workspace) -> dict[str, torch.Tensor]:
    return dict(load_file(workspace.output / "model" / "model.safetensors"))


def same(first: Workspace, second: Workspace) -> bool:
    one, other = weights(first), weights(second)
    return one.keys() == other.keys() and all(torch.equal(one[n], other[n]) for n in one)


def killed_and_resumed(toy: Toy, config: Config) -> Workspace:
    """Return the run of a stage that was killed after its first checkpoint."""
    killed = toy.workspace("policy", config)

    def stop(event: Any) -> None:
        if event["event"] == "checkpoint":
            raise KeyboardInterrupt

    killed.report = stop
    with pytest.raises(KeyboardInterrupt):
        toy.resume(killed)
    resumed = toy.successor(killed)
    toy.resume(resumed)
    return resumed


@pytest.mark.parametrize("name", CRITIC_FREE)
def test_a_policy_gradient_trains_counts_and_resumes_exactly(toy: Toy, name: str) -> None:
    config = CRITIC_FREE[name]
    workspace = toy.run("policy", config)
    lines = metrics(workspace)
    assert len(lines) == 4
    assert all(math.isfinite(line["policy_loss"]) for line in lines)
    assert all(line["ratio_max_deviation"] <= 1e-5 for line in lines)
    assert lines[-1]["used_reward_calls"] == workspace.counts["reward_calls"] == 4 * 16
    assert lines[-1]["used_generated_tokens"] == workspace.counts["generated_tokens"]
    resumed = killed_and_resumed(toy, config)
    assert same(resumed, workspace)
    assert metrics(resumed) == lines


@pytest.mark.parametrize("name", RANKED)
def test_ranked_samples_train_and_resume_exactly(toy: Toy, name: str) -> None:
    config = RANKED[name].model_copy(update={"checkpoint_every_steps": 1})
    workspace = toy.run("policy", config)
    lines = metrics(workspace)
    rounds = [line for line in lines if "tied_fraction" in line]
    assert len(rounds) == getattr(config, "rounds", 4)
    assert [line["step"] for line in lines] == list(range(len(lines)))
    assert all(0.0 <= line["tied_fraction"] <= 1.0 for line in rounds)
    if name != "self_rewarding":  # Before the first update every pair has margin 0.
        assert rounds[0]["gradient_weight"] == pytest.approx(0.5, abs=0.2)
    resumed = killed_and_resumed(toy, config)
    assert same(resumed, workspace)
    assert metrics(resumed) == lines


def test_d2po_counts_every_label_it_buys(toy: Toy) -> None:
    workspace = toy.run("policy", RANKED["d2po"])
    # Two rounds, at steps 0 and 2, of four labels each.
    assert workspace.counts["preferences"] == 8
    assert [line["used_preferences"] for line in metrics(workspace)] == [4, 4, 8, 8]
    once = toy.run("policy", RANKED["d2po-fresh"])
    assert [line["used_preferences"] for line in metrics(once)] == [8, 8, 8, 8]


def test_d2po_labels_more_pairs_than_a_step_has_prompts(toy: Toy) -> None:
    fewer, more = (
        toy.run(
            "policy", RANKED["d2po-fresh"].model_copy(update={"labels_per_round": n, "steps": 1})
        )
        for n in (8, 20)
    )
    assert more.counts["preferences"] == 20
    # The step has 8 prompts; 12 more are sampled twice, and scored twice for their margins.
    assert more.counts["reward_calls"] - fewer.counts["reward_calls"] == 12 * 2
    assert more.counts["generated_tokens"] > fewer.counts["generated_tokens"]


def test_d2po_labels_no_pair_twice_where_prompts_come_up_again(toy: Toy) -> None:
    """Eight prompts, all in the batch: the next eight are the same ones in another order."""
    fields = {"prompts_examples": 8, "labels_per_round": 16, "steps": 1}
    config: Any = RANKED["d2po-fresh"].model_copy(update=fields)
    workspace = toy.workspace("policy", config)
    reward = _first_reward(workspace, config, device="cpu")
    discriminator = Discriminator(workspace, config, reward, reward)
    bought: list[Any] = []
    discriminator.buy = lambda pairs, margins, step: bought.extend(pairs) or {}  # type: ignore
    loop = OnlineLoop(workspace, config)
    update = D2poUpdate(loop, config, discriminator)
    rollouts = loop.prompts.collect(loop.terms.model, loop.boundary, config, step=0)
    update.prepare(Scored(0, rollouts, score(rollouts, reward, config)))
    texts = {(a.conversation, a.text, b.text) for a, b in bought}
    assert len({prompt for prompt, _, _ in texts}) == 8
    assert len(bought) == 16 == len(texts)


def test_d2po_s_new_reward_model_starts_from_sft_also_where_the_policy_does_not(toy: Toy) -> None:
    later = toy.artifacts["implicit"]
    workspace = toy.workspace(
        "policy", RANKED["d2po-fresh"], policy=later, reward_start=toy.artifacts["sft"]
    )
    config: Any = workspace.config
    body = dict(_first_reward(workspace, config, device="cpu").model.named_parameters())
    sft, trained = (
        load_file(folder / "model" / "model.safetensors")
        for folder in (toy.artifacts["sft"], later)
    )
    name = "model.layers.0.mlp.up_proj.weight"
    assert torch.equal(body[name], sft[name]) and not torch.equal(body[name], trained[name])


def test_p14_the_best_and_the_worst_make_a_pair_and_ties_make_none() -> None:
    scores = torch.tensor([[1.0, 3.0, 2.0], [0.5, 0.5, 0.5], [2.0, 2.0, -1.0]])
    best, worst, differ = extremes(scores)
    assert best.tolist() == [1, 0, 0]
    assert worst.tolist() == [0, 0, 2]
    assert differ.tolist() == [True, False, True]


@pytest.mark.parametrize("name", CRITIC_FREE)
def test_policy_gradients_are_the_same_however_a_minibatch_is_split(toy: Toy, name: str) -> None:
    config: Any = CRITIC_FREE[name]
    found = []
    for size in (None, 3):
        split = config.model_copy(update={"micro_batch_size": size, "steps": 1})
        found.append(metrics(toy.run("policy", split))[0])
    whole, cut = found
    assert cut["policy_loss"] == pytest.approx(whole["policy_loss"], rel=1e-4, abs=1e-6)
    assert cut["grad_norm"] == pytest.approx(whole["grad_norm"], rel=1e-4)


def pg_update(toy: Toy, config: Any) -> tuple[OnlineLoop, PolicyGradientUpdate, Any]:
    workspace = toy.workspace("policy", config)
    loop = OnlineLoop(workspace, config)
    reward = ppo_parts_of(toy).reward
    return loop, PolicyGradientUpdate(loop.terms, config, steps=loop.steps), reward


def test_p13_a_group_of_rloo_is_the_samples_of_one_prompt(toy: Toy) -> None:
    config: Any = CRITIC_FREE["rloo"]
    loop, update, reward = pg_update(toy, config)
    rollouts = loop.prompts.collect(loop.terms.model, loop.boundary, config, step=0)
    prompts = [row.prompt for row in rollouts.rows]
    assert [len(set(prompts[i : i + 4])) for i in range(0, 16, 4)] == [1, 1, 1, 1]
    batch = update.prepare(Scored(0, rollouts, score(rollouts, reward, config)))
    grouped = rollouts.grouped(batch.samples.advantages)
    # Each is r_i minus the mean of the others, so a group's advantages cancel.
    torch.testing.assert_close(grouped.sum(dim=1), torch.zeros(4), atol=1e-5, rtol=0)


def test_cut_completions_can_be_left_out_of_the_loss(toy: Toy) -> None:
    fields: dict[str, Any] = {"max_new_tokens": 1, "truncated": "mask", "steps": 2}
    config = stages.RlooConfig(**{**SAMPLING, **fields})
    workspace = toy.run("policy", config)
    before = load_file(toy.artifacts["sft"] / "model" / "model.safetensors")
    ended = [line["ended_fraction"] for line in metrics(workspace)]
    if max(ended) == 0.0:  # Nothing ended within one token, so nothing was learned.
        assert all(torch.equal(w, before[n]) for n, w in weights(workspace).items())
    assert metrics(workspace)[-1]["trained_tokens"] == pytest.approx(16 * ended[-1])


@pytest.mark.parametrize("whitened", ["batch", "minibatch"])
def test_ppo_can_leave_cut_completions_out_of_the_loss(toy: Toy, whitened: str) -> None:
    fields: dict[str, Any] = {"max_new_tokens": 6, "steps": 2, "whiten_advantages": whitened}
    lines = metrics(toy.run("policy", ppo_config(truncated="mask", **fields)))
    assert 0.0 < lines[0]["ended_fraction"] < 1.0
    # 16 completions were sampled, and those that were cut are not among the trained tokens.
    assert 0 < lines[0]["trained_tokens"] < 16 * lines[0]["length_tokens"]


def test_l8_divergence_counts_completions_that_no_loss_sees(toy: Toy) -> None:
    """Each of the 16 completions is 0.5 nats a token away, the cut ones too."""
    parts = ppo_parts_of(toy, truncated="mask", max_new_tokens=6)
    loop = parts.loop
    rollouts = loop.prompts.collect(loop.terms.model, loop.boundary, loop.config, step=0)
    scored = Scored(0, rollouts, score(rollouts, parts.reward, loop.config))
    batch = parts.update.prepare(scored)
    inputs = replace(batch.inputs, reference=batch.inputs.logprobs - 0.5)
    found = parts.update.learn(replace(batch, inputs=inputs))
    assert 0 < inputs.mask.sum() < rollouts.tokens
    assert found["kl_per_sequence"] == pytest.approx(0.5 * rollouts.tokens / 16, rel=1e-5)
    assert found["kl_per_token"] == pytest.approx(0.5, rel=1e-5)


def test_p11_a_batch_pays_the_price_that_is_logged_and_the_next_one_the_adapted(toy: Toy) -> None:
    """At the start the KL is 0, below any target: the next price is (1 - 0.2 * 16 / 16) times 0.5.

    k2 of a log-ratio of 0.5 is 0.125 at each token, so the loss without advantages is 0.0625.
    """
    config: Any = stages.GrpoConfig(
        **SAMPLING, kl_coef=0.5, kl_estimator="k2", kl_target=1.0, kl_horizon=16
    )
    loop, update, reward = pg_update(toy, config)
    rollouts = loop.prompts.collect(loop.terms.model, loop.boundary, config, step=0)
    batch = update.prepare(Scored(0, rollouts, score(rollouts, reward, config)))
    assert (batch.metrics["kl_coef"], update.price.coef) == (0.5, pytest.approx(0.4))
    samples = batch.samples._replace(advantages=torch.zeros(16))
    apart = replace(batch, samples=samples, reference=samples.logprobs - 0.5)
    shares = update._shares(apart, range(16), update._totals(apart, range(16)), [])
    assert sum(share.loss.item() for share in shares) == pytest.approx(0.0625, rel=1e-3)


def test_a_budget_of_tokens_ends_the_stage_and_rules_the_schedule(toy: Toy) -> None:
    budget = Budget(unit="generated_tokens", amount=400.0)
    config = stages.RlooConfig(**{**SAMPLING, "steps": 100, "schedule": "linear"}, budget=budget)
    workspace = toy.run("policy", config)
    lines = metrics(workspace)
    used = [line["used_generated_tokens"] for line in lines]
    assert used[-1] >= 400.0 > used[-2]
    rates = [line["learning_rate"] for line in lines]
    # Warm-up of a tenth is over after the first step; then the rate falls with what is spent.
    expected = [1e-3 * (1.0 - (spent / 400.0 - 0.1) / 0.9) for spent in used[:-1]]
    assert rates[0] == pytest.approx(1e-4)
    assert rates[1:] == pytest.approx(expected)


def test_a_value_head_on_the_policy_trains_with_it_and_leaves_no_trace(toy: Toy) -> None:
    for lora in (None, LoraConfig(rank=2)):
        workspace = toy.run("policy", ppo_config(value_init="shared", lora=lora))
        lines = metrics(workspace)
        assert all(math.isfinite(line["value_loss"]) for line in lines)
        assert lines[0]["ratio_max_deviation"] <= 1e-5
        before = load_file(toy.artifacts["sft"] / "model" / "model.safetensors")
        after = weights(workspace)
        assert after.keys() == before.keys()
        assert not all(torch.equal(w, before[n]) for n, w in after.items())


def test_p3_a_cut_completion_may_be_worth_what_its_last_state_is_worth(toy: Toy) -> None:
    parts = ppo_parts_of(toy, truncated="bootstrap", max_new_tokens=1)
    loop = parts.loop
    rollouts = loop.prompts.collect(loop.terms.model, loop.boundary, loop.config, step=0)
    scored = Scored(0, rollouts, score(rollouts, parts.reward, loop.config))
    inputs = parts.update.prepare(scored).inputs
    assert inputs.bootstrap is not None
    cut = ~rollouts.ended
    assert inputs.final[cut].abs().max() == 0.0
    assert inputs.bootstrap[rollouts.ended].abs().sum() == 0.0
    assert inputs.bootstrap[cut].abs().min() > 0.0


def sampled(toy: Toy, **fields: Any) -> Workspace:
    names = {"prompts", "prompts_examples", "max_new_tokens", "max_prompt_length", "max_length",
             "temperature", "missing_eos_score"}  # fmt: skip
    shared = {name: value for name, value in SAMPLING.items() if name in names}
    return toy.run("samples", stages.SamplesConfig(**{**shared, "samples_per_prompt": 4, **fields}))


def imitation(**fields: Any) -> stages.RejectionSamplingConfig:
    own = {"samples_per_prompt": 4, "batch_size": 8, "epochs": 2, **fields}
    return stages.RejectionSamplingConfig(**{**SAMPLING, **own})


def test_rejection_sampling_imitates_the_best_of_n_and_its_control_a_random_one(toy: Toy) -> None:
    samples = sampled(toy)
    assert samples.counts["reward_calls"] == 4 * 40
    groups = read_samples(samples.output)
    best, control = (pick(groups, imitation(pick=rule)) for rule in ("best", "random"))
    assert len(best) == len(control)
    assert mean_score([best]) > mean_score([control])
    for sample in best:
        group = [s for s in groups[sample.prompt] if s.ended]
        assert sample.score == max(s.score for s in group)
    overall = pick(groups, imitation(keep="overall"))
    assert len(overall) == len(best)
    assert mean_score([overall]) >= mean_score([best])
    config = imitation()
    workspace = toy.run("policy", config, samples=samples.output)
    assert metrics(workspace)[-1]["loss"] < metrics(workspace)[0]["loss"]


def test_sampling_that_was_interrupted_ends_with_the_same_bytes(toy: Toy) -> None:
    whole = sampled(toy, prompts_examples=80)
    config = whole.config
    killed = toy.workspace("samples", config)

    def stop(event: Any) -> None:
        if event["event"] == "checkpoint":
            raise KeyboardInterrupt

    killed.report = stop
    with pytest.raises(KeyboardInterrupt):
        toy.resume(killed)
    resumed = toy.successor(killed)
    toy.resume(resumed)
    assert (resumed.output / SAMPLES).read_bytes() == (whole.output / SAMPLES).read_bytes()
    assert resumed.counts == whole.counts


ADAPTED: dict[str, Config] = {
    "ppo": stages.PpoConfig(**SAMPLING),
    **{name: CRITIC_FREE[name] for name in ("reinforce", "rloo", "grpo")},
    **{name: config for name, config in RANKED.items() if "-" not in name},
    "rejection_sampling": imitation(),
}


@pytest.mark.parametrize("name", ADAPTED)
def test_an_adapter_alone_is_trained_and_merged(toy: Toy, name: str) -> None:
    # Rank 2 on the two projections that adapters take by default; nothing else may change.
    update: dict[str, Any] = {"lora": LoraConfig(rank=2), "steps": 2}
    if name in ("iterative_dpo", "self_rewarding"):
        update |= {"rounds": 2}
    config = ADAPTED[name].model_copy(update=update)
    inputs = {"samples": sampled(toy).output} if name == "rejection_sampling" else {}
    workspace = toy.run("policy", config, **inputs)
    before = load_file(toy.artifacts["sft"] / "model" / "model.safetensors")
    after = weights(workspace)
    assert after.keys() == before.keys()
    changed = {n for n, weight in after.items() if not torch.equal(weight, before[n])}
    targets = LoraConfig().targets
    assert changed and all(any(f"{target}." in n for target in targets) for n in changed)
