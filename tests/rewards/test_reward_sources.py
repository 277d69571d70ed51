"""What each source scores, and which one a configuration names."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, get_args

import pytest
import torch
from reward_toys import WORDS, write_artifact, write_unigram
from torch import Tensor

from ablate.data.records import user
from ablate.errors import StageError
from ablate.models.boundary import Boundary
from ablate.models.loading import load_policy
from ablate.rewards.ensemble import Ensemble, Rule
from ablate.rewards.function import FunctionReward
from ablate.rewards.implicit import ImplicitReward
from ablate.rewards.judge import JudgeReward
from ablate.rewards.responses import Response
from ablate.rewards.reward_model import RewardModel
from ablate.rewards.sources import RewardSource, load_reward
from ablate.spec.online import ScoredConfig
from ablate.spec.stages import (
    PpoConfig,
    RewardEvaluationConfig,
    SamplesConfig,
    TwoPhaseDpoConfig,
)
from ablate.store.manifest import Manifest

RESPONSES = [Response(user("a b"), "c d", True), Response(user("b"), "c c c", True)]
POLICY = {"<eos>": 0.2, "a": 0.1, "b": 0.1, "c": 0.5, "d": 0.1}
REFERENCE = {"<eos>": 0.1, "a": 0.2, "b": 0.2, "c": 0.1, "d": 0.4}


class Given:
    """A member whose raw scores are known; normalized, they are ten times as large."""

    boundary: Boundary | None = None

    def __init__(self, *scores: float, window: int = 100) -> None:
        self.scores, self.window, self.calls = torch.tensor(scores), window, 0

    def score(self, responses: Sequence[Response]) -> Tensor:
        self.calls += len(responses)
        return self.scores[: len(responses)]

    def normalized(self, raw: Tensor) -> Tensor:
        return 10.0 * raw

    def fits(self, response: Response) -> bool:
        return len(response.text) < self.window


def with_manifest(folder: Path, **config: Any) -> Path:
    manifest = Manifest(
        fingerprint="f", stage="policy", config_class="DpoConfig", config=config, inputs={},
        files={}, attempt=1, engine="local", study="s", code="c", started=0.0, ended=0.0,
        wall_seconds=0.0,
    )  # fmt: skip
    (folder / "manifest.json").write_text(json.dumps(asdict(manifest)))
    return folder


@pytest.fixture
def implicit_inputs(tmp_path: Path) -> dict[str, Path]:
    policy = with_manifest(write_unigram(tmp_path / "policy", POLICY), beta=0.25)
    return {
        "implicit": policy,
        "implicit_reference": write_unigram(tmp_path / "reference", REFERENCE),
    }


def test_an_implicit_reward_is_the_summed_log_ratio_times_beta(
    implicit_inputs: dict[str, Path],
) -> None:
    reward = load_reward(implicit_inputs, RewardSource("implicit"))
    raw = reward.score(RESPONSES)
    # Ratios of c, d and the end: 5, 1/4 and 2. "c d" is 5 * 1/4 * 2, "c c c" is 5^3 * 2.
    torch.testing.assert_close(raw, torch.tensor([math.log(2.5), math.log(250.0)]))
    torch.testing.assert_close(reward.normalized(raw), 0.25 * raw)  # The policy's own beta.
    assert reward.calls == 2


def test_without_its_reference_an_implicit_reward_is_the_log_probability(
    implicit_inputs: dict[str, Path],
) -> None:
    source = RewardSource("implicit", implicit_reference=False)
    raw = load_reward({"implicit": implicit_inputs["implicit"]}, source).score(RESPONSES)
    expected = [math.log(0.5 * 0.1 * 0.2), math.log(0.5**3 * 0.2)]
    torch.testing.assert_close(raw, torch.tensor(expected))


def test_a_cut_reply_has_no_end_token_to_be_rewarded_for(implicit_inputs: dict[str, Path]) -> None:
    reward = load_reward(implicit_inputs, RewardSource("implicit"))
    raw = reward.score([RESPONSES[0]._replace(ended=False)])
    torch.testing.assert_close(raw, torch.tensor([math.log(1.25)]))


def test_an_implicit_rewards_reference_may_have_other_tokens(tmp_path: Path) -> None:
    reordered = {word: REFERENCE[word] for word in ("d", "c", "<eos>", "b", "a")}
    policy = load_policy(write_unigram(tmp_path / "policy", POLICY) / "model")
    plain, other = (
        ImplicitReward(policy, load_policy(write_unigram(tmp_path / name, chances) / "model"))
        for name, chances in (("plain", REFERENCE), ("other", reordered))
    )
    torch.testing.assert_close(plain.score(RESPONSES), other.score(RESPONSES))


def test_the_beta_of_a_folder_that_no_study_made_is_1(tmp_path: Path) -> None:
    folder = write_unigram(tmp_path, POLICY)
    reward = load_reward(
        {"implicit": folder, "implicit_reference": folder}, RewardSource("implicit")
    )
    raw = reward.score(RESPONSES)
    assert raw.tolist() == reward.normalized(raw).tolist() == [0.0, 0.0]
    assert isinstance(reward, ImplicitReward) and reward.beta == 1.0


def test_an_ensemble_combines_normalized_scores_by_its_rule() -> None:
    # Normalized: 10 and -30 for the first response, 30 and 50 for the second. Variances, dividing
    # by the members: 20^2 and 10^2.
    expected = {
        "mean": [-10.0, 40.0],
        "worst": [-30.0, 30.0],
        "uncertainty": [-10.0 - 0.1 * 400, 40.0 - 0.1 * 100],
    }
    for rule in get_args(Rule):
        members = [Given(1.0, 3.0), Given(-3.0, 5.0)]
        reward = Ensemble(members, rule=rule, uncertainty_coef=0.1)
        raw = reward.score(RESPONSES)
        torch.testing.assert_close(raw, torch.tensor(expected[rule]))
        assert reward.normalized(raw) is raw
        assert reward.calls == 4  # Two responses by two members.


def test_an_ensemble_reads_what_every_member_can_read() -> None:
    reward = Ensemble([Given(0.0, window=100), Given(0.0, window=3)], rule="mean")
    assert [reward.fits(Response(user("a"), text, True)) for text in ("cc", "ccc")] == [True, False]


def test_an_ensemble_of_one_is_refused() -> None:
    with pytest.raises(ValueError, match="two members at least, not 1"):
        Ensemble([Given(0.0)], rule="mean")


def test_members_are_found_by_role_and_may_have_tokenizers_of_their_own(tmp_path: Path) -> None:
    inputs = {
        "reward_model": write_artifact(tmp_path / "0", gain=2.0),
        "reward_model_1": write_artifact(tmp_path / "1", WORDS[::-1]),
        "reward_model_2": write_artifact(tmp_path / "2", gain=0.5),
    }
    reward = load_reward(inputs, RewardSource("reward_model", ensemble="mean"))
    raw = RewardModel(inputs["reward_model"]).score(RESPONSES)
    # All three are the same function of the text; the biases are -1 each.
    torch.testing.assert_close(reward.score(RESPONSES), (2.0 + 1.0 + 0.5) / 3 * raw - 1.0)
    alone = load_reward({"reward_model": inputs["reward_model"]}, RewardSource("reward_model"))
    assert isinstance(alone, RewardModel)


def test_a_judge_and_a_function_are_sources_too(tmp_path: Path) -> None:
    words = "question : , is that right ? no yes a b c d".split()
    folder = write_unigram(tmp_path, dict.fromkeys(words, 1 / len(words)))
    assert isinstance(load_reward({"judge": folder}, RewardSource("judge")), JudgeReward)
    function = load_reward({}, RewardSource("noun-count"))
    assert isinstance(function, FunctionReward)
    assert function.score([Response(user("a"), "dog and cat", True)]).tolist() == [2.0]
    with pytest.raises(StageError, match="reward 'no-such'"):
        load_reward({}, RewardSource("no-such"))


def test_a_configuration_names_its_source() -> None:
    fields: dict[str, Any] = {
        "reward": "noun-count", "reward_origin": "x==1", "ensemble": "worst",
        "uncertainty_coef": 0.7, "implicit_reference": False,
    }  # fmt: skip
    for config in (PpoConfig(**fields), SamplesConfig(**fields), RewardEvaluationConfig(**fields)):
        assert RewardSource.of(config) == RewardSource(**fields)
    assert RewardSource.of(TwoPhaseDpoConfig()) == RewardSource("implicit")


def test_every_field_of_a_source_is_a_field_of_what_is_scored() -> None:
    names = set(RewardSource.__dataclass_fields__)
    for cls in (ScoredConfig, SamplesConfig, RewardEvaluationConfig):
        assert names <= set(cls.model_fields)


def test_what_is_longer_than_the_context_window_does_not_fit(tmp_path: Path) -> None:
    folder = write_unigram(tmp_path, POLICY)
    reward = load_reward(
        {"implicit": folder, "implicit_reference": folder}, RewardSource("implicit")
    )
    # The window is 64: <bos>, one word of prompt, 61 words of reply and the end token.
    lengths = {n: reward.fits(Response(user("a"), "c " * n, True)) for n in (61, 62)}
    assert lengths == {61: True, 62: False}
