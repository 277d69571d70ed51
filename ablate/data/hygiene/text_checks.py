"""Checks of rows of every kind: repeats, empty and broken text, turns, lengths, set phrases."""

from __future__ import annotations

import re
from collections import Counter
from itertools import pairwise

from ablate.data.hygiene.check import Check, Rows, not_applicable, over, percent
from ablate.data.hygiene.views import View
from ablate.data.records import Messages
from ablate.data.shaping.items import plain, prompt_key, row_key

REPEATED_ROWS, REPEATED_PROMPTS = 0.0, 0.05
"""Shares of repeats above which they are worth a look. Several pairs of a prompt are common."""
LONGEST_WORDS = 4096
"""More words than this in one text do not fit what models of these studies are trained on."""
SET_OPENING = 0.05
"""Share of replies with one opening above which it looks like a set phrase."""
_OPENING_WORDS = 4
_COUNTED_OPENINGS = 2000
_WRONG = "\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ufffd\ufffe\uffff\ud800-\udfff"
"""Controls, the replacement character, noncharacters and half surrogates."""
_SUSPECT = re.compile(f"[{_WRONG}\u00c2\u00c3\u00e2]")
"""One class of characters, which is ten times as fast to look for as what follows."""
_BROKEN = re.compile(
    # UTF-8 that was read as Latin-1 or Windows-1252: a lead byte and a continuation byte.
    f"[{_WRONG}]|[\u00c2\u00c3][\u0080-\u00bf]"
    "|\u00e2\u20ac[\u0080-\u00bf\u0152\u0153\u2018-\u203a\u2122]"
)


class Repeats:
    """Rows, or prompts, that were there before, up to case and spacing.

    Holds 16 bytes of each different one, some 100 with what Python adds.
    """

    def __init__(self, of: str) -> None:
        """Take ``row`` or ``prompt``."""
        self.name = f"repeated {of}s"
        self._key = row_key if of == "row" else prompt_key
        self._limit = REPEATED_ROWS if of == "row" else REPEATED_PROMPTS
        self._seen: set[bytes] = set()
        self._rows = 0
        self._again = Rows()

    def add(self, view: View) -> None:
        """Take a row."""
        self._rows += 1
        key = self._key(view.item)
        if key in self._seen:
            self._again.add(view.id)
        self._seen.add(key)

    def check(self) -> Check:
        """Return the share of rows that repeat an earlier one."""
        if not self._rows:
            return not_applicable(self.name, "there are no rows")
        share = self._again.count / self._rows
        found = f"{self._again.count} of {self._rows} rows repeat an earlier one ({percent(share)})"
        status = over(share, warn=self._limit)
        return Check(self.name, status, found, share, self._again.named())


class _Share:
    """Counts the rows of which `concerns` is true."""

    name = ""
    said = ""
    """Follows the count: ``3 of 10 rows`` ..."""
    warn = 0.0
    fail = 1.0

    def __init__(self) -> None:
        self._rows = 0
        self._concerned = Rows()

    def concerns(self, view: View) -> bool:
        """Return whether the check looks for rows like this one."""
        raise NotImplementedError

    def add(self, view: View) -> None:
        """Take a row."""
        self._rows += 1
        if self.concerns(view):
            self._concerned.add(view.id)

    def check(self) -> Check:
        """Return the share of the rows concerned."""
        if not self._rows:
            return not_applicable(self.name, "there are no rows")
        share = self._concerned.count / self._rows
        found = f"{self._concerned.count} of {self._rows} rows {self.said} ({percent(share)})"
        status = over(share, warn=self.warn, fail=self.fail)
        return Check(self.name, status, found, share, self._concerned.named())


class EmptyTexts(_Share):
    """Rows with a prompt or a reply without any character that shows."""

    name = "empty texts"
    said = "have an empty prompt or reply"
    fail = 0.5

    def concerns(self, view: View) -> bool:
        """Return whether a text of the row is blank."""
        return any(not text.text.strip() for text in view.texts)


class Turns(_Share):
    """Rows whose conversation is not one of user and assistant in turn, the user first and last."""

    name = "turns"
    said = "have turns that do not alternate from user to user"
    fail = 0.5

    def concerns(self, view: View) -> bool:
        """Return whether a chat template could refuse the row's prompt or misread it."""
        return not alternates(view.prompt)


class SystemPrompts(_Share):
    """Rows with a system prompt; some templates drop or refuse it."""

    name = "system prompts"
    said = "have a system prompt"
    warn = 1.0

    def concerns(self, view: View) -> bool:
        """Return whether any message is the system's."""
        return any(message["role"] == "system" for message in view.prompt)


class BrokenText(_Share):
    """Rows with what a wrong decoding leaves behind, or control characters."""

    name = "broken characters"
    said = "have replacement or control characters, or text decoded as another encoding"
    fail = 0.5

    def concerns(self, view: View) -> bool:
        """Return whether any text of the row is broken."""
        return any(_SUSPECT.search(t.text) and _BROKEN.search(t.text) for t in view.texts)


class ExtremeLengths(_Share):
    """Rows with a text of more than `LONGEST_WORDS` words."""

    name = "extreme lengths"
    said = f"have a text of more than {LONGEST_WORDS} words"

    def concerns(self, view: View) -> bool:
        """Return whether a text of the row is too long for most models' training."""
        return any(text.words > LONGEST_WORDS for text in view.texts)


class Openings:
    """Whether many replies open with the same words, in whatever language.

    A prefix of four words, counted in bounded memory (Misra and Gries 1982): a count may be too
    small by at most one in two thousand replies, and none that matters here is lost.
    """

    name = "openings"

    def __init__(self) -> None:
        """Start without replies."""
        self._replies = 0
        self._counts: Counter[str] = Counter()

    def add(self, view: View) -> None:
        """Take a row."""
        for text in view.texts:
            if text.part == "prompt":
                continue
            self._replies += 1
            words = plain(text.text[:200]).split()
            if len(words) > _OPENING_WORDS:
                self._count(" ".join(words[:_OPENING_WORDS]))

    def _count(self, opening: str) -> None:
        if opening in self._counts or len(self._counts) < _COUNTED_OPENINGS:
            self._counts[opening] += 1
            return
        self._counts = Counter({key: n - 1 for key, n in self._counts.items() if n > 1})

    def check(self) -> Check:
        """Return the share of replies that begin with the commonest four words."""
        if not self._replies:
            return not_applicable(self.name, "there are no replies")
        opening, count = max(
            self._counts.items(), key=lambda pair: (pair[1], pair[0]), default=("", 0)
        )
        share = count / self._replies
        found = f"the commonest opening, {opening!r}, begins {percent(share)} of replies"
        return Check(self.name, over(share, warn=SET_OPENING), found, share)


def alternates(prompt: Messages) -> bool:
    """Return whether user and assistant speak in turn, the user first and last.

    One system message may come before them.
    """
    roles = [message["role"] for message in prompt]
    if roles[:1] == ["system"]:
        roles = roles[1:]
    in_turn = all(left != right for left, right in pairwise(roles))
    return bool(roles) and roles[0] == roles[-1] == "user" and in_turn and "system" not in roles
