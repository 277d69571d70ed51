"""The tables of the world, its prompts, splits and tokenizer."""

import hashlib
import json
import zlib
from collections import Counter
from pathlib import Path

import pytest
from transformers import AutoTokenizer

from ablate.data.records import user
from ablate.data.streams import Draws, generator, spread_draw
from ablate.data.tiny import words
from ablate.data.tiny.catalogue import TaskSampler, all_tasks, evenly, split_of, tasks_of
from ablate.data.tiny.conduct import ListTask
from ablate.data.tiny.knowledge import ClaimTask
from ablate.data.tiny.preferences import LABELLERS, evaluation_pairs, preferences
from ablate.data.tiny.sets import corpus, demonstrations, documents, prompts
from ablate.data.tiny.skills import execute
from ablate.data.tiny.tasks import CATEGORIES
from ablate.data.tiny.tokenizer import SPECIALS, build_tokenizer, vocabulary


def test_prompts_are_as_many_as_their_parts_multiply_to() -> None:
    frames = 12
    sums = sum(min(5, a + b) for a in range(1, 7) for b in range(1, 7))
    assert Counter(task.category for task in all_tasks().values()) == {
        "factuality": 24 * 5 * frames,
        "reasoning": 6 * 6 * sums,
        "truthfulness": 24 * 5 * frames + 24 * 6 * frames,
        "coding": 3 * (6**3 + 6**4),
        "safety": 60 * 4 * frames,
        "instruction_following": (8 * 9 + 2 * 3 * 27) * frames,
    }


def test_the_weights_of_a_category_sum_to_1() -> None:
    for category in CATEGORIES:
        total = sum(t.weight for t in all_tasks().values() if t.category == category)
        assert total == pytest.approx(1.0)


def test_facts_cover_twelve_animals_with_six_values_each_and_a_false_misconception() -> None:
    assert len(words.ANIMALS) == len(words.UNKNOWN_ANIMALS) == 12
    assert not set(words.ANIMALS) & set(words.UNKNOWN_ANIMALS)
    for (_, attribute), (value, misconception) in words.FACTS.items():
        assert value != misconception
        assert {value, misconception} <= set(words.VALUES[attribute])
    for attribute, values in words.VALUES.items():
        true = {value for (_, a), (value, _) in words.FACTS.items() if a == attribute}
        assert true == set(values)


def test_every_verb_is_harmful_with_some_things_only() -> None:
    for verb in words.VERBS:
        harmful = [thing for v, thing in words.HARMFUL if v == verb]
        assert 0 < len(harmful) < len(words.THINGS)
    assert set(words.HARMFUL) <= {(v, t) for v in words.VERBS for t in words.THINGS}


def test_claims_are_true_35_percent_on_purpose_and_a_sixth_of_the_rest_by_chance() -> None:
    claims = [t for t in all_tasks().values() if isinstance(t, ClaimTask)]
    true = sum(t.weight for t in claims if t.value == t.claimed)
    assert true / sum(t.weight for t in claims) == pytest.approx(0.35 + 0.65 / 6)


def test_an_unknown_operation_is_refused() -> None:
    with pytest.raises(ValueError, match="'sort' is not one of reverse, rotate, upper"):
        execute("sort", ("p", "q"))


def test_the_test_split_is_an_eighth_by_crc32_and_the_splits_are_disjoint() -> None:
    seen: dict[str, str] = {}
    for split in ("train", "validation", "test"):
        for category_tasks in tasks_of(split).values():
            for task in category_tasks:
                assert task.prompt not in seen
                seen[task.prompt] = split
                assert (zlib.crc32(task.prompt.encode()) % 8 == 0) == (split == "test")
    assert seen.keys() == all_tasks().keys()


def test_the_train_split_asks_for_every_fact_request_and_operation() -> None:
    # CRC-32 is linear, so a hold-out by it could leave out a whole pattern.
    train = " | ".join(t.prompt for tasks in tasks_of("train").values() for t in tasks)
    for template in words.FACT_TEMPLATES:
        for animal in (*words.ANIMALS, *words.UNKNOWN_ANIMALS):
            for attribute in words.VALUES:
                assert template.format(animal=animal, attribute=attribute) in train
    for verb in words.VERBS:
        for thing in words.THINGS:
            assert f"{verb} the {thing}" in train
    for operation in words.OPERATIONS:
        assert f"run {operation} [" in train


def texts_of_everything() -> list[tuple[str, str]]:
    found = [(d.prompt[0]["content"], d.completion) for d in corpus(0, 3000)]
    for name in LABELLERS:
        for pair in preferences(name, 0, 500)[0]:
            found += [(pair.prompt[0]["content"], text) for text in (pair.chosen, pair.rejected)]
    for pair in evaluation_pairs("hard", 0, 600):
        found.append((pair.prompt[0]["content"], pair.rejected))
    return found


def test_training_data_uses_train_prompts_only() -> None:
    used = [d.prompt for d in corpus(1, 4000) + demonstrations(1)]
    used += [pair.prompt for name in LABELLERS for pair in preferences(name, 1, 1000)[0]]
    used += [p.messages for name in ("tiny-mixed", "tiny-reasoning") for p in prompts(name, 1)]
    assert {split_of(prompt[0]["content"]) for prompt in used} == {"train"}


def test_evaluation_uses_the_prompts_of_its_split_only() -> None:
    assert {split_of(d.messages[0]["content"]) for d in documents("test")} == {"test"}
    validation = {split_of(d.messages[0]["content"]) for d in documents("validation")}
    assert validation == {"validation"}
    pairs = evaluation_pairs("ordinary", 0, 60) + evaluation_pairs("hard", 0, 60)
    assert {split_of(pair.prompt[0]["content"]) for pair in pairs} == {"test"}


def test_documents_are_distinct_and_as_many_for_every_category() -> None:
    for found, size in ((documents("validation"), 64), (documents("test"), 128)):
        assert Counter(d.category for d in found) == dict.fromkeys(CATEGORIES, size)
        assert len({d.messages[0]["content"] for d in found}) == len({d.id for d in found})
        assert len({d.id for d in found}) == len(found)


def test_the_target_of_a_document_is_a_correct_answer() -> None:
    for document in documents("test"):
        assert document.target is not None
        assert all_tasks()[document.messages[0]["content"]].accepts(document.target.split())


def test_documents_hold_every_kind_of_task_in_its_share() -> None:
    for split, size in (("validation", 64), ("test", 128)):
        found = [all_tasks()[d.messages[0]["content"]] for d in documents(split)]
        claims = sum(isinstance(task, ClaimTask) for task in found)
        lists = sum(isinstance(task, ListTask) for task in found)
        refusals = sum(d.target == words.REFUSAL for d in documents(split))
        # A half each by design; which prompts a split holds shifts that by up to a tenth.
        assert all(abs(count - size / 2) <= size / 10 for count in (claims, lists, refusals))


def test_a_spread_draw_gives_neighbours_their_share() -> None:
    # Ten options of weight 1 and five of weight 2: half of ten choices from either group.
    chosen = spread_draw([1.0] * 10 + [2.0] * 5, 10, generator(0, "test"))
    assert len(set(chosen)) == 10
    assert sum(index < 10 for index in chosen) == 5
    assert set(range(10, 15)) <= set(chosen)


def test_a_spread_draw_of_too_many_is_refused() -> None:
    with pytest.raises(ValueError, match="3 choices spread over 4 options are not distinct"):
        spread_draw([1.0, 1.0, 1.0, 2.0], 3, generator(0, "test"))


def test_tokenizer_has_its_special_tokens_first_and_keeps_the_words() -> None:
    tokenizer = build_tokenizer()
    assert tokenizer.convert_tokens_to_ids(list(SPECIALS)) == [0, 1, 2, 3, 4]
    assert (tokenizer.pad_token_id, tokenizer.bos_token_id, tokenizer.eos_token_id) == (0, 1, 2)
    assert len(tokenizer) == len(vocabulary()) == len(set(vocabulary()))


def test_every_text_of_the_world_survives_the_tokenizer() -> None:
    tokenizer = build_tokenizer()
    texts = {text for both in texts_of_everything() for text in both}
    texts |= set(all_tasks())
    for text in sorted(texts):
        ids = tokenizer.encode(text)
        assert tokenizer.unk_token_id not in ids
        assert tokenizer.decode(ids) == text


def test_sequences_are_at_most_18_tokens_of_prompt_and_20_of_reply() -> None:
    # <bos>, <sep> and <eos> included.
    assert max(len(prompt.split()) + 2 for prompt in all_tasks()) == 18
    assert max(len(d.completion.split()) + 1 for d in corpus(0, 24_000)) == 20


def test_chat_template_renders_bos_prompt_sep() -> None:
    tokenizer = build_tokenizer()
    chat = list(user("list 3 fruits"))
    text = tokenizer.apply_chat_template(chat, tokenize=False, add_generation_prompt=True)
    assert text == "<bos> list 3 fruits <sep>"
    expected = [1, *tokenizer.convert_tokens_to_ids(["list", "3", "fruits"]), 3]
    assert tokenizer(text, add_special_tokens=False)["input_ids"] == expected


def test_chat_template_and_tokenizer_take_foreign_conversations() -> None:
    tokenizer = build_tokenizer()
    chat = [
        {"role": "system", "content": "red"},
        {"role": "user", "content": "Bonjour red"},
        {"role": "assistant", "content": "yes"},
        {"role": "user", "content": "blue"},
    ]
    text = tokenizer.apply_chat_template(chat, tokenize=False)
    assert text == "<bos> red <sep> Bonjour red <sep> yes <eos> blue <sep>"
    assert tokenizer.encode("Bonjour red")[0] == tokenizer.unk_token_id


def test_tokenizer_survives_saving(tmp_path: Path) -> None:
    tokenizer = build_tokenizer()
    tokenizer.save_pretrained(tmp_path)
    loaded = AutoTokenizer.from_pretrained(tmp_path)
    for prompt in list(all_tasks())[::500]:
        chat = list(user(prompt))
        assert loaded.apply_chat_template(chat) == tokenizer.apply_chat_template(chat)
    assert loaded.decode(loaded.encode("sure : yes")) == "sure : yes"


def test_category_weights_set_the_shares_of_drawn_prompts() -> None:
    draws = Draws(0, "test")
    sampler = TaskSampler("train", {**evenly(), "coding": 5.0})
    shares = Counter(sampler.draw(draws).category for _ in range(10_000))
    # 5 of 10 parts; four standard errors are 0.02.
    assert abs(shares["coding"] / 10_000 - 0.5) < 0.02


def test_identity_of_the_generated_data_is_pinned() -> None:
    # A new value here means that stored artifacts hold other data than the code now makes.
    made = [
        [[d.prompt, d.completion, d.category] for d in corpus(0, 1000)],
        [[d.prompt, d.completion, d.category] for d in demonstrations(0, 1000)],
        [[p.prompt, p.chosen, p.rejected] for p in preferences("human-noisy", 0, 500)[0]],
        [[p.prompt, p.chosen, p.rejected] for p in evaluation_pairs("hard", 0, 60)],
        [p.messages for p in prompts("tiny-mixed", 0, 600)],
        [[d.messages, d.target] for d in documents("test")],
        list(vocabulary()),
    ]
    digests = [hashlib.sha256(json.dumps(part).encode()).hexdigest()[:12] for part in made]
    assert digests == [
        "60dd61b49357",
        "d420870d057f",
        "29ed6e6ec778",
        "944bafbcc009",
        "d84f161f6742",
        "6a68428d4a16",
        "5c3a85ed8e6a",
    ]
