"""The one token boundary: SFT, reward models, DPO, rollouts and evaluation all cut here.

A prompt is the chat template with the opening of the reply, tokenized once. A completion is the
text of the reply, tokenized by itself, plus the end token. The ids are concatenated, so no merge
crosses the seam and the prompt is always a prefix. Completions are handled by their length; the
padding token never decides anything, because many tokenizers pad with the end token.
"""

from __future__ import annotations

import hashlib
import json
from array import array
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from ablate.errors import SurroundingsError

Messages = Sequence[Mapping[str, str]]
_DECIDING = ("model", "normalizer", "pre_tokenizer", "added_tokens")
"""What of a fast tokenizer decides the ids of a text without special tokens around it."""


class Row(NamedTuple):
    """A prompt with one completion, both as token ids."""

    prompt: tuple[int, ...]
    completion: tuple[int, ...]


class Boundary:
    """Turns messages and replies into token ids and back."""

    end_ids: frozenset[int]
    """Every token that ends a completion."""
    end_id: int
    """The one that closes a completion of a data set."""
    pad_id: int
    """Fills rows; equal to an end token for many tokenizers."""

    def __init__(self, tokenizer: Any, end_ids: Iterable[int] = ()) -> None:
        """Take the end tokens of the generation configuration; the tokenizer's own is added."""
        if tokenizer.eos_token_id is None:
            raise SurroundingsError(
                "tokenizer: it has no end token; a completion must be able to end. "
                "Set eos_token in its tokenizer_config.json."
            )
        if not tokenizer.chat_template:
            raise SurroundingsError(
                "tokenizer: it has no chat template; a prompt is messages. "
                "Set chat_template in the study's model section."
            )
        self.tokenizer = tokenizer
        self.end_id = int(tokenizer.eos_token_id)
        self.end_ids = frozenset({self.end_id, *(int(token) for token in end_ids)})
        pad_id = tokenizer.pad_token_id
        self.pad_id = self.end_id if pad_id is None else int(pad_id)

    def prompt_ids(self, messages: Messages) -> tuple[int, ...]:
        """Return the ids up to where the reply starts, with at most the template's own BOS."""
        # Rendering first and tokenizing the text afterwards would add a second BOS.
        ids = self.tokenizer.apply_chat_template(
            [dict(message) for message in messages],
            add_generation_prompt=True,
            tokenize=True,
            return_dict=False,
        )
        return tuple(ids)

    def completion_ids(self, text: str) -> tuple[int, ...]:
        """Return the ids of a whole reply, the end token included.

        The spelling of a special token inside the text stays text: it cannot end the reply.
        """
        encoded = self.tokenizer(text, add_special_tokens=False, split_special_tokens=True)
        return (*encoded["input_ids"], self.end_id)

    def many_prompt_ids(self, conversations: Sequence[Messages]) -> list[tuple[int, ...]]:
        """Return what `prompt_ids` does of each conversation, several at once.

        Raises ValueError for an empty conversation, as that does.
        """
        if not all(conversations):
            raise ValueError("a prompt needs a message")
        if not conversations:
            return []
        found = self.tokenizer.apply_chat_template(
            [[dict(message) for message in messages] for messages in conversations],
            add_generation_prompt=True,
            tokenize=True,
            return_dict=False,
        )
        return [tuple(ids) for ids in found]

    def many_completion_ids(self, texts: Sequence[str]) -> list[tuple[int, ...]]:
        """Return what `completion_ids` does of each text, several at once."""
        if not texts:
            return []
        encoded = self.tokenizer(list(texts), add_special_tokens=False, split_special_tokens=True)
        return [(*ids, self.end_id) for ids in encoded["input_ids"]]

    @property
    def vocabulary(self) -> int:
        """Return the number that every token id is below."""
        return 1 + max(int(token) for token in self.tokenizer.get_vocab().values())

    def identity(self) -> str:
        """Return a hash of what decides ids: template, vocabulary, merges, special tokens."""
        said: dict[str, Any] = {"template": self.tokenizer.chat_template, "end": self.end_id}
        named = self.tokenizer.special_tokens_map.items()  # A template may name them.
        said["special"] = {name: str(token) for name, token in named if name != "pad_token"}
        backend = getattr(self.tokenizer, "backend_tokenizer", None)
        if backend is None:
            said["vocabulary"] = self.tokenizer.get_vocab()
        else:  # Without what is set in use and changes no id here: truncation and padding.
            whole = json.loads(backend.to_str())
            said |= {name: whole[name] for name in _DECIDING}
        text = json.dumps(said, sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()

    def text(self, completion: Sequence[int]) -> str:
        """Return the reply's text without its end token; other special tokens stay visible."""
        ids = list(completion)
        if ids and ids[-1] in self.end_ids:
            ids.pop()
        text: str = self.tokenizer.decode(
            ids, skip_special_tokens=False, clean_up_tokenization_spaces=False
        )
        return text

    def prompt_key(self, ids: Sequence[int]) -> int:
        """Return a 63-bit hash of the prompt's content, equal in every process."""
        digest = hashlib.blake2b(array("q", ids).tobytes(), digest_size=8).digest()
        return int.from_bytes(digest, "little") >> 1
