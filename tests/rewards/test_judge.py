from __future__ import annotations

from pathlib import Path

import pytest
import torch
from reward_toys import write_unigram

from ablate.data import tiny
from ablate.data.records import Pair, user
from ablate.errors import StageError
from ablate.models.boundary import Boundary
from ablate.models.loading import load_policy
from ablate.rewards.judge import (
    RATING,
    VERDICTS,
    YES_NO,
    JudgeReward,
    JudgeTemplate,
    judge_examples,
    template_for,
)
from ablate.rewards.responses import Response

WORDS = "question : , is that right ? owl river".split()
RESPONSE = Response(user("say owl 3 times"), "owl owl owl", True)


def judge(folder: Path, chances: dict[str, float], **options: JudgeTemplate) -> JudgeReward:
    rest = (1 - sum(chances.values())) / len(WORDS)
    loaded = load_policy(write_unigram(folder, {**dict.fromkeys(WORDS, rest), **chances}) / "model")
    return JudgeReward(loaded, **options)


def test_the_score_is_the_expected_value_of_the_verdict(tmp_path: Path) -> None:
    reward = judge(tmp_path, {"no": 0.1, "yes": 0.3})
    # Among the verdicts alone: yes has .3 / (.1 + .3).
    raw = reward.score([RESPONSE, RESPONSE._replace(text="river")])
    torch.testing.assert_close(raw, torch.tensor([0.75, 0.75]))
    torch.testing.assert_close(reward.normalized(raw), raw)
    assert reward.calls == 2


def test_a_rating_is_expected_on_its_own_scale_and_normalized_to_one(tmp_path: Path) -> None:
    template = JudgeTemplate("{prompt} : {reply}", (("1", 1.0), ("2", 2.0), ("5", 5.0)))
    reward = judge(tmp_path, {"1": 0.05, "2": 0.05, "5": 0.1}, template=template)
    raw = reward.score([RESPONSE])
    torch.testing.assert_close(raw, torch.tensor([0.25 * 1 + 0.25 * 2 + 0.5 * 5]))
    torch.testing.assert_close(reward.normalized(raw), torch.tensor([(3.25 - 1) / 4]))


def test_a_judge_reads_prompt_and_reply(tmp_path: Path) -> None:
    assert YES_NO.messages(RESPONSE) == user(
        "question : say owl 3 times , owl owl owl , is that right ?"
    )
    turns = ({"role": "user", "content": "hi {reply}"}, {"role": "assistant", "content": "ho"})
    text = RATING.messages(Response((*turns, *user("and ?")), "no {prompt}", True))[0]["content"]
    assert "user: hi {reply}\n\nassistant: ho\n\nuser: and ?\n" in text
    assert "### Reply\nno {prompt}\n" in text  # Braces of a text are text.


def test_tiny_instruct_is_asked_in_its_own_words() -> None:
    boundary = Boundary(tiny.build_tokenizer())
    assert template_for(boundary) is YES_NO
    unknown = boundary.tokenizer.unk_token_id
    for document in tiny.documents("validation"):
        response = Response(document.messages, document.target or "", True)
        assert unknown not in boundary.prompt_ids(YES_NO.messages(response))
    assert all(unknown not in boundary.completion_ids(word) for word, _ in YES_NO.verdicts)


def test_an_open_vocabulary_is_asked_for_a_rating(tmp_path: Path) -> None:
    words = RATING.text.replace("{prompt}", "").replace("{reply}", "").split()
    chances = dict.fromkeys([*words, *VERDICTS], 0.001)
    loaded = load_policy(write_unigram(tmp_path, chances) / "model")
    assert template_for(loaded.boundary) is RATING


def test_a_judge_without_the_words_is_a_job_error(tmp_path: Path) -> None:
    loaded = load_policy(write_unigram(tmp_path, {"owl": 1.0}) / "model")
    with pytest.raises(StageError, match="reward 'judge'.*no tokens for the words") as caught:
        JudgeReward(loaded)
    assert caught.value.kind == "bad_data"


def test_a_pair_teaches_the_best_and_the_worst_verdict() -> None:
    pair = Pair("id", user("say owl 1 times"), "owl", "river", "instruction_following")
    good, bad = judge_examples(pair, YES_NO)
    assert (good.completion, bad.completion) == ("yes", "no")
    assert good.prompt == user("question : say owl 1 times , owl , is that right ?")
    assert bad.prompt == user("question : say owl 1 times , river , is that right ?")
    assert good.category == pair.category
    assert (RATING.best, RATING.worst) == ("5", "1") and {"5", "1", "yes", "no"} <= set(VERDICTS)


def test_a_judge_leaves_its_model_open_to_training(tmp_path: Path) -> None:
    chances = dict.fromkeys([*WORDS, "yes", "no"], 0.1)
    loaded = load_policy(write_unigram(tmp_path, chances) / "model")
    assert not JudgeReward(loaded).score([RESPONSE]).requires_grad
    assert all(weight.requires_grad for weight in loaded.model.parameters())
