"""Chains of algorithms: which job feeds which."""

from collections.abc import Mapping

from ablate.plan.build import build_plan
from ablate.plan.cells import expand
from ablate.plan.job import Job
from ablate.spec.load import study_from_text


def jobs_of(algorithm: str, **fields: str) -> Mapping[str, Job]:
    """Return the jobs of a one-cell study by role."""
    base = "".join(f", {path}: {value}" for path, value in fields.items())
    text = (
        f"study: s\nbase: {{model: tiny-instruct, dataset: ai-fine{base}}}\n"
        f"cells:\n  chain: {{algorithm: {algorithm}}}\n"
    )
    loaded = study_from_text(text)
    plan = build_plan("s", expand(loaded), seeds=[0], vary=loaded.study.seeds.vary)
    return plan.runs[0].jobs


def inputs(job: Job) -> dict[str, Job]:
    return dict(job.inputs)


def test_every_link_starts_from_the_one_before_and_stays_close_to_it():
    jobs = jobs_of("rejection_sampling -> dpo -> ppo")
    assert [getattr(jobs[role].config, "algorithm", None) for role in (
        "policy_0", "policy_1", "policy"
    )] == ["rejection_sampling", "dpo", "ppo"]  # fmt: skip
    assert inputs(jobs["policy_0"]) == {"policy": jobs["sft"], "samples": jobs["samples_0"]}
    scored = inputs(jobs["samples_0"])
    assert (scored["policy"], scored["reward_model"]) == (jobs["sft"], jobs["reward_model"])
    # DPO reads the log-probabilities of its pairs under what it starts from.
    second = inputs(jobs["policy_1"])
    assert second["policy"] is jobs["policy_0"]
    assert inputs(second["reference"])["policy"] is jobs["policy_0"]
    # Of an online link the reference is the start itself, so no other is named.
    third = inputs(jobs["policy"])
    assert third["policy"] is jobs["policy_1"]
    assert "reference_policy" not in third
    assert inputs(jobs["evaluation"])["policy"] is jobs["policy"]


def test_a_link_can_stay_close_to_sft_instead():
    jobs = jobs_of("dpo -> ppo", **{"ppo.reference": "sft"})
    last = inputs(jobs["policy"])
    assert (last["policy"], last["reference_policy"]) == (jobs["policy_0"], jobs["sft"])
    jobs = jobs_of("rejection_sampling -> dpo", **{"dpo.reference": "sft"})
    last = inputs(jobs["policy"])
    assert last["policy"] is jobs["policy_0"]
    assert inputs(last["reference"])["policy"] is jobs["sft"]


def test_a_link_can_start_from_sft_and_stay_close_to_the_link_before():
    last = (jobs := jobs_of("dpo -> rloo", **{"rloo.initial": "sft"}))["policy"]
    assert inputs(last)["policy"] is jobs["sft"]
    assert inputs(last)["reference_policy"] is jobs["policy_0"]


def test_a_first_link_is_the_same_job_as_the_algorithm_alone():
    chain, alone = jobs_of("dpo -> ppo"), jobs_of("dpo")
    assert chain["policy_0"].fingerprint == alone["policy"].fingerprint
    assert chain["policy"].fingerprint != jobs_of("ppo")["policy"].fingerprint


def test_the_reference_of_a_value_model_from_sft_is_named_inside_a_chain():
    jobs = jobs_of("dpo -> ppo", **{"ppo.value_init": "sft"})
    assert inputs(jobs["policy"])["value_start"] is jobs["sft"]


def test_a_reward_model_from_sft_is_named_inside_a_chain():
    fresh = {"d2po.reward_init": "sft"}
    assert inputs(jobs_of("d2po", **fresh)["policy"]).keys() == {"policy", "preferences"}
    jobs = jobs_of("dpo -> d2po", **fresh)
    assert inputs(jobs["policy"])["policy"] is jobs["policy_0"]
    assert inputs(jobs["policy"])["reward_start"] is jobs["sft"]
