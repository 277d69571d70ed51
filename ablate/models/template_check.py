"""Checks of a chat template and its tokenizer, before anything is trained through them."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from itertools import pairwise

from jinja2 import TemplateError

from ablate.data.hygiene.check import Check, not_applicable
from ablate.models.boundary import Boundary, Messages

_ASKED: Messages = ({"role": "user", "content": "Name three rivers."},)
_REPLY = "The Rhine, the Elbe and the Oder."
_ANSWERED: Messages = (*_ASKED, {"role": "assistant", "content": _REPLY})
_AGAIN: Messages = (*_ANSWERED, {"role": "user", "content": "And one lake?"})
_SYSTEM: Messages = ({"role": "system", "content": "Answer in few words."}, *_ASKED)


def template_hash(template: str) -> str:
    """Return the SHA-256 of a chat template, to tell whether two runs used the same one."""
    return hashlib.sha256(template.encode()).hexdigest()


def template_checks(boundary: Boundary) -> tuple[Check, ...]:
    """Return what the template and the tokenizer make of short conversations.

    They hold for these conversations only; what a template does with tools, images or other roles
    is not looked at.
    """
    template = str(boundary.tokenizer.chat_template)
    found = [Check("template", "ok", f"SHA-256 {template_hash(template)}")]
    for name, look in _LOOKS.items():
        try:
            found.append(look(name, boundary))
        except TemplateError as error:
            found.append(Check(name, "fail", f"the template refuses the conversation ({error})"))
    return tuple(found)


def _beginning(name: str, boundary: Boundary) -> Check:
    """Check that prompts of one and of two turns begin with one beginning token.

    More of them inside are right where an end token lies between each two, as with Llama 2, whose
    rounds each begin anew, or SmolLM2, whose beginning token opens every message.
    """
    bos = boundary.tokenizer.bos_token_id
    if bos is None:
        return not_applicable(name, "the tokenizer has no beginning token")
    prompts = [boundary.prompt_ids(messages) for messages in (_ASKED, _AGAIN)]
    leading = [_leading(ids, bos) for ids in prompts]
    token = repr(str(boundary.tokenizer.bos_token))
    found = f"prompts begin with {token} {' and '.join(map(str, leading))} times"
    if max(leading) > 1:
        return Check(name, "fail", f"{found}; once is right. Take it out of the template.", 2.0)
    if min(leading) == 0:
        adds = _leading(boundary.tokenizer("x")["input_ids"], bos) > 0
        found += "; the tokenizer adds it to plain text, so models expect it" if adds else ""
        return Check(name, "warn" if adds else "ok", found, 0.0)
    if any(_stray(ids, bos, boundary.end_ids) for ids in prompts):
        return Check(name, "warn", f"{found}, and again with no end token between", 1.0)
    return Check(name, "ok", found, 1.0)


def _second_beginning(name: str, boundary: Boundary) -> Check:
    """Check that tokenizing the rendered text, as other programs do, adds no second beginning."""
    bos = boundary.tokenizer.bos_token_id
    if bos is None:
        return not_applicable(name, "the tokenizer has no beginning token")
    count = _leading(boundary.tokenizer(_rendered(boundary, _ASKED))["input_ids"], bos)
    if count < 2:
        return Check(name, "ok", f"it has {count} when tokenized like other text", float(count))
    found = (
        f"both the template and the tokenizer add one, so text that is rendered first has {count}. "
        "Here prompts are tokenized with the template and have one; other programs that read this "
        "model must be told not to add special tokens"
    )
    return Check(name, "warn", found, float(count))


def _completion_end(name: str, boundary: Boundary) -> Check:
    """Check that a completion ends with one end token, which sampling stops at."""
    ids = boundary.completion_ids(_REPLY)
    count = sum(token in boundary.end_ids for token in ids)
    right = count == 1 and ids[-1] in boundary.end_ids
    text = repr(boundary.tokenizer.decode([boundary.end_id]))
    found = f"a completion has {count} end tokens and ends with {text}"
    return Check(name, "ok" if right else "fail", found, float(count))


def _template_end(name: str, boundary: Boundary) -> Check:
    """Check that the template closes a reply in the history with a token that ends completions."""
    whole = _ids(boundary, _ANSWERED)
    prompt = boundary.prompt_ids(_ASKED)
    if any(token in boundary.end_ids for token in whole[len(prompt) :]):
        return Check(name, "ok", "the template closes it with an end token")
    last = repr(boundary.tokenizer.decode(list(whole[-1:])))
    found = (
        f"the template closes it with {last}, at which sampling does not stop; the model learns "
        "two ways to end. Add the token to the end tokens, or change the template"
    )
    return Check(name, "warn", found)


def _seam(name: str, boundary: Boundary) -> Check:
    """Check that a prompt's tokens stay the same once the reply is there, and the reply's as well.

    Training concatenates prompt and completion; the history of later turns is rendered as a whole.
    """
    prompt, whole = boundary.prompt_ids(_ASKED), _ids(boundary, _ANSWERED)
    if whole[: len(prompt)] != prompt:
        found = "the prompt's tokens are no beginning of the whole conversation's"
        return Check(name, "fail", f"{found}: the template changes what was said")
    reply = boundary.completion_ids(_REPLY)[:-1]
    if whole[len(prompt) : len(prompt) + len(reply)] != reply:
        found = "a reply has other tokens in the history than as a completion, such as a blank more"
        return Check(name, "warn", found)
    return Check(name, "ok", "prompt and reply have the same tokens apart and together")


def _turns(name: str, boundary: Boundary) -> Check:
    """Check that all that was said before is in a later prompt, in order."""
    if lost := _lost(_rendered(boundary, _AGAIN), _AGAIN):
        return Check(name, "fail", f"the template leaves out or moves {', '.join(lost)}")
    return Check(name, "ok", "every message is there, in order")


def _system(name: str, boundary: Boundary) -> Check:
    """Check that the template takes a system prompt."""
    try:
        lost = _lost(_rendered(boundary, _SYSTEM), _SYSTEM)
    except TemplateError as error:
        return Check(name, "warn", f"the template refuses it ({error}); data may have none")
    if lost:
        return Check(name, "warn", "the template leaves it out, so that data with one lose it")
    return Check(name, "ok", "it is there")


_LOOKS: dict[str, Callable[[str, Boundary], Check]] = {
    "beginning token": _beginning,
    "beginning token of rendered text": _second_beginning,
    "end of a completion": _completion_end,
    "end of a reply in the history": _template_end,
    "seam of prompt and completion": _seam,
    "several turns": _turns,
    "system prompt": _system,
}


def _ids(boundary: Boundary, messages: Messages) -> tuple[int, ...]:
    """Return the ids of a whole conversation as the template writes it."""
    ids = boundary.tokenizer.apply_chat_template(
        [dict(message) for message in messages], tokenize=True, return_dict=False
    )
    return tuple(ids)


def _rendered(boundary: Boundary, messages: Messages) -> str:
    text: str = boundary.tokenizer.apply_chat_template(
        [dict(message) for message in messages], tokenize=False, add_generation_prompt=True
    )
    return text


def _leading(ids: Sequence[int], token: int) -> int:
    """Return how many times ids begin with a token."""
    return next((place for place, found in enumerate(ids) if found != token), len(ids))


def _stray(ids: Sequence[int], bos: int, ends: frozenset[int]) -> bool:
    """Return whether any two beginning tokens have no end token between them."""
    places = [place for place, token in enumerate(ids) if token == bos]
    return any(not ends & set(ids[left + 1 : right]) for left, right in pairwise(places))


def _lost(text: str, messages: Messages) -> list[str]:
    """Return the roles of messages that a text does not hold after the ones before them."""
    lost, start = [], 0
    for message in messages:
        found = text.find(message["content"], start)
        if found < 0:
            lost.append(f"a message of the {message['role']}")
        else:
            start = found + len(message["content"])
    return lost
