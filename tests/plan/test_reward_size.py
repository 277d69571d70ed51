"""How much work a reward model is."""

from ablate.plan.job import Job
from ablate.plan.size import job_size
from ablate.spec.stages import PreferencesConfig, RewardModelConfig


def test_a_reward_model_reads_every_reply_that_its_objective_compares() -> None:
    """100 prompts with 4 replies, 3 epochs: pairs read 2 of the 4, rankings and ratings all."""
    data = Job("preferences", PreferencesConfig(dataset="ai-fine", examples=100, replies=4), ())
    sizes = {
        objective: job_size(
            Job(
                "reward_model",
                RewardModelConfig(objective=objective, epochs=3),
                (("preferences", data),),
            )
        )
        for objective in ("bradley_terry", "plackett_luce", "attributes")
    }
    assert sizes == {"bradley_terry": 600.0, "plackett_luce": 1200.0, "attributes": 1200.0}
