"""Checks of pairs: which reply is chosen, and what gives it away."""

from __future__ import annotations

import math
import re

from ablate.data.hygiene.check import Check, Rows, Status, not_applicable, percent
from ablate.data.hygiene.views import View
from ablate.data.records import Judged
from ablate.data.shaping.items import plain
from ablate.data.shaping.phrases import REFUSALS
from ablate.stats.estimate import wilson

RIGHT_AT_LEAST = {"ok": 0.95, "warn": 0.5}
"""Smallest shares of scored pairs whose chosen reply scores no lower. Real sets that are built from
scores have 100 %; under half, the set teaches the opposite of its labels."""
LENGTH_LIMIT = 0.6
"""A set in which choosing the longer (or the shorter) reply is right this often teaches length:
HH-RLHF is near 0.5, sets labelled by GPT-4 near 0.6 to 0.7."""
_OPENING = 400
"""Characters of a reply in which a refusal is looked for."""


class LabelDirection:
    """Pairs whose chosen reply the source's own scores put below the rejected one."""

    name = "label direction"

    def __init__(self) -> None:
        """Start without pairs."""
        self._scored = self._undefined = 0
        self._wrong = Rows()

    def add(self, view: View) -> None:
        """Take a row; those without two scores say nothing."""
        pair = view.pair
        if pair is None or pair.chosen_score is None or pair.rejected_score is None:
            return
        if math.isnan(pair.chosen_score) or math.isnan(pair.rejected_score):
            self._undefined += 1
            return
        self._scored += 1
        if pair.chosen_score < pair.rejected_score:
            self._wrong.add(view.id)

    def check(self) -> Check:
        """Return the share of scored pairs that agree with their scores; equal scores agree."""
        unknown = f"; {self._undefined} more have a score that is no number"
        tail = unknown if self._undefined else ""
        if not self._scored:
            return not_applicable(self.name, f"no pair has two scores{tail}")
        right = 1 - self._wrong.count / self._scored
        status: Status = "fail"
        if right >= RIGHT_AT_LEAST["warn"]:
            status = "ok" if right >= RIGHT_AT_LEAST["ok"] and not tail else "warn"
        found = (
            f"in {percent(right)} of {self._scored} pairs the chosen reply scores no lower{tail}"
        )
        return Check(self.name, status, found, right, self._wrong.named())


class LengthBias:
    """How well a reply's length alone tells which one is chosen."""

    name = "length bias"

    def __init__(self) -> None:
        """Start without pairs."""
        self._longer = self._shorter = self._equal = 0
        self._words = [0, 0]

    def add(self, view: View) -> None:
        """Take a row; one without a pair says nothing."""
        if (pair := view.pair) is None:
            return
        chosen, rejected = view.of("chosen"), view.of("rejected")
        if chosen is None or rejected is None or pair.chosen == pair.rejected:
            return
        self._words[0] += chosen.words
        self._words[1] += rejected.words
        self._longer += chosen.words > rejected.words
        self._shorter += chosen.words < rejected.words
        self._equal += chosen.words == rejected.words

    def check(self) -> Check:
        """Return the share of pairs whose chosen reply has more words, equal ones as half a pair.

        This is the area under the ROC curve of the difference in length, and twice its distance
        from a half is the rank-biserial correlation of matched pairs. The interval is Wilson's of
        the pairs of different lengths, with the equal ones added as halves; it takes pairs to be
        independent, which pairs of one prompt are not.
        """
        pairs = self._longer + self._shorter + self._equal
        if not pairs:
            return not_applicable(self.name, "there are no pairs")
        share = (self._longer + self._equal / 2) / pairs
        unequal = self._longer + self._shorter
        low, high = (
            (bound * unequal + self._equal / 2) / pairs if unequal else math.nan
            for bound in wilson(self._longer, unequal)
        )
        certain = low > LENGTH_LIMIT or high < 1 - LENGTH_LIMIT
        found = (
            f"the longer reply is chosen in {percent(share)} of {pairs} pairs (95 % interval "
            f"{percent(low)} to {percent(high)}; rank-biserial {2 * share - 1:+.2f}); on average "
            f"{self._words[0] / pairs:.1f} words are chosen and {self._words[1] / pairs:.1f} "
            "rejected"
        )
        return Check(self.name, "warn" if certain else "ok", found, share)


class Ties:
    """Pairs that the source's own scores do not tell apart."""

    name = "ties"

    def __init__(self) -> None:
        """Start without pairs."""
        self._scored = 0
        self._tied = Rows()

    def add(self, view: View) -> None:
        """Take a row; those without two scores say nothing."""
        pair = view.pair
        if pair is None or pair.chosen_score is None or pair.rejected_score is None:
            return
        self._scored += 1
        if pair.chosen_score == pair.rejected_score:
            self._tied.add(view.id)

    def check(self) -> Check:
        """Return the share of scored pairs with equal scores; any is worth a look."""
        if not self._scored:
            return not_applicable(self.name, "no pair has two scores")
        share = self._tied.count / self._scored
        found = f"{self._tied.count} of {self._scored} pairs have equal scores ({percent(share)})"
        return Check(self.name, "warn" if share else "ok", found, share, self._tied.named())


class IdenticalReplies:
    """Pairs whose two replies are the same, up to case and spacing."""

    name = "identical replies"

    def __init__(self) -> None:
        """Start without pairs."""
        self._pairs = 0
        self._same = Rows()

    def add(self, view: View) -> None:
        """Take a row; one without a pair says nothing."""
        if (pair := view.pair) is None:
            return
        self._pairs += 1
        rejected = view.of("rejected")
        # Replies of different lengths differ, which spares most pairs the comparison.
        if rejected is None or (
            rejected.words == view.texts[1].words and plain(pair.chosen) == plain(pair.rejected)
        ):
            self._same.add(view.id)

    def check(self) -> Check:
        """Return the share of pairs with one reply twice; any is worth a look."""
        if not self._pairs:
            return not_applicable(self.name, "there are no pairs")
        share = self._same.count / self._pairs
        found = f"{self._same.count} of {self._pairs} pairs hold the same reply twice"
        return Check(self.name, "warn" if share else "ok", found, share, self._same.named())


class Refusals:
    """How often each side opens by refusing or by speaking as a language model."""

    name = "refusals"

    def __init__(self) -> None:
        """Start without replies."""
        self._seen = dict.fromkeys(_PARTS, 0)
        self._refused = dict.fromkeys(_PARTS, 0)
        self._rows = Rows()

    def add(self, view: View) -> None:
        """Take a row."""
        refused = [t.part for t in view.texts if t.part in self._seen and _refuses(t.text)]
        for text in view.texts:
            if text.part in self._seen:
                self._seen[text.part] += 1
        for part in refused:
            self._refused[part] += 1
        if set(_LIKED) & set(refused):
            self._rows.add(view.id)

    def check(self) -> Check:
        """Return the share of replies to be learnt that refuse; over 5 % is worth a look.

        Phrases of English alone are known; `Openings` sees set words of any language.
        """
        shares = {part: self._refused[part] / n for part, n in self._seen.items() if n}
        if not shares:
            return not_applicable(self.name, "there are no replies")
        learnt = sum(self._seen[part] for part in _LIKED)
        value = sum(self._refused[part] for part in _LIKED) / learnt if learnt else math.nan
        found = ", ".join(f"{percent(share)} of {part} replies" for part, share in shares.items())
        status: Status = "warn" if value > 0.05 else "ok"
        return Check(self.name, status, f"{found} open so", value, self._rows.named())


_LIKED = ("chosen", "liked", "completion", "reply")
_PARTS = (*_LIKED, "rejected", "disliked")
_WORD = re.compile(r"\w+")


def _telling(phrase: str) -> str:
    """Return the longest word of a phrase, the last one of equals: ``ai`` of ``as an ai``."""
    words: list[str] = _WORD.findall(phrase)
    return max(reversed(words), key=len)


_PHRASES = {
    word: re.compile(
        "|".join(
            rf"(?<!\w){re.escape(phrase)}(?!\w)" for phrase in REFUSALS if _telling(phrase) == word
        )
    )
    for word in map(_telling, REFUSALS)
}
"""By a word that each phrase holds: most replies have none of the words, and are not searched."""


def _refuses(reply: str) -> bool:
    opening = plain(reply[:_OPENING]).replace("\u2019", "'")
    found = _PHRASES.keys() & set(_WORD.findall(opening))
    return any(_PHRASES[word].search(opening) for word in found)


class MixedKinds:
    """Whether pairs and thumbs stand together: what learns from the one does not see the other."""

    name = "pairs and thumbs"

    def __init__(self) -> None:
        """Start without rows."""
        self._pairs = 0
        self._thumbs = Rows()

    def add(self, view: View) -> None:
        """Take a row."""
        self._pairs += view.pair is not None
        if isinstance(view.item, Judged) and view.item.feedback is not None:
            self._thumbs.add(view.id)

    def check(self) -> Check:
        """Return how many rows are of the rarer kind."""
        thumbs = self._thumbs.count
        if not self._pairs and not thumbs:
            return not_applicable(self.name, "there are neither")
        if not self._pairs or not thumbs:
            return Check(self.name, "ok", "all rows are of one kind", 0.0)
        found = (
            f"{thumbs} thumbs beside {self._pairs} pairs: algorithms on pairs and new labels leave "
            "the thumbs out, and kto leaves out the pairs"
        )
        share = min(thumbs, self._pairs) / (thumbs + self._pairs)
        return Check(self.name, "warn", found, share, self._thumbs.named())
