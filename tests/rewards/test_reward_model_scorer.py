from __future__ import annotations

from pathlib import Path

import pytest
import torch
from reward_toys import WORDS, write_artifact

from ablate.data.records import user
from ablate.rewards.responses import Response, RewardFunction
from ablate.rewards.reward_model import RewardModel

RESPONSES = [
    Response(user("a b"), "c d", True),
    Response(user("a b c d"), "a", True),
    Response(user("b"), "d d d d a", True),
]


def test_a_reward_model_reads_text_so_its_tokens_may_differ(tmp_path: Path) -> None:
    plain = RewardModel(write_artifact(tmp_path / "plain"))
    permuted = RewardModel(write_artifact(tmp_path / "permuted", WORDS[::-1]))
    torch.testing.assert_close(plain.score(RESPONSES), permuted.score(RESPONSES))
    assert plain.row(RESPONSES[0]).completion != permuted.row(RESPONSES[0]).completion


def test_r1_t4_the_score_is_read_at_the_end_token_also_where_padding_has_its_id(
    tmp_path: Path,
) -> None:
    scorer = RewardModel(write_artifact(tmp_path, pad="<eos>"))
    for response, score in zip(RESPONSES, scorer.score(RESPONSES), strict=True):
        row = scorer.row(response)
        assert row.completion[-1] == scorer.boundary.end_id
        states = scorer.model.model(torch.tensor([row.prompt + row.completion]))
        expected = scorer.model.score(states.last_hidden_state[0, -1])[0]
        torch.testing.assert_close(score, expected)


def test_a_score_does_not_depend_on_its_neighbours(tmp_path: Path) -> None:
    scorer = RewardModel(write_artifact(tmp_path))
    together = scorer.score(RESPONSES)
    alone = torch.cat([scorer.score([response]) for response in RESPONSES])
    torch.testing.assert_close(together, alone, atol=1e-6, rtol=0)


def test_t5_a_cut_response_gets_no_end_token(tmp_path: Path) -> None:
    scorer = RewardModel(write_artifact(tmp_path))
    ended = scorer.row(Response(user("a"), "b c", True)).completion
    assert scorer.row(Response(user("a"), "b c", False)).completion == ended[:-1]
    # Nothing but the end token is left to score.
    assert len(scorer.row(Response(user("a"), "", False)).completion) == 1


def test_raw_and_normalized_scores_are_both_there(tmp_path: Path) -> None:
    scorer: RewardFunction = RewardModel(write_artifact(tmp_path, gain=2.0))
    raw = scorer.score(RESPONSES)
    torch.testing.assert_close(scorer.normalized(raw), 2.0 * raw - 1.0)


def test_p12_calls_are_counted(tmp_path: Path) -> None:
    scorer = RewardModel(write_artifact(tmp_path))
    scorer.score(RESPONSES)
    scorer.score(RESPONSES[:1])
    assert scorer.calls == 4


def test_scoring_leaves_no_graph(tmp_path: Path) -> None:
    scorer = RewardModel(write_artifact(tmp_path))
    assert not scorer.score(RESPONSES).requires_grad
    assert not any(weight.requires_grad for weight in scorer.model.parameters())


def test_a_reward_artifact_without_its_scale_is_refused(tmp_path: Path) -> None:
    (write_artifact(tmp_path) / "reward.json").unlink()
    with pytest.raises(FileNotFoundError):
        RewardModel(tmp_path)
