"""Measure the search for evaluation prompts in training texts, on one thread.

``python scripts/bench/contamination.py [texts] [prompts]`` draws words with Zipf's frequencies,
plants known copies, and prints speed, memory, recall and false alarms; 100,000 texts against
20,000 prompts by default. Training texts have 300 words in the median, prompts 40.
"""

import alone  # isort: skip  (before numpy)

import random
import resource
import sys
import time
from collections.abc import Iterator

import numpy as np

from ablate.data.hygiene.contamination import Index

assert alone.THREADS == 1
VOCABULARY = 50_000
PLANTED_EVERY = 100
WORDS = {"text": 300, "prompt": 40}


def vocabulary() -> list[str]:
    """Return pronounceable words, the frequent ones short, one in twenty with an accent."""
    draw = random.Random(0)
    words = []
    for rank in range(VOCABULARY):
        syllables = 1 + min(3, int(np.log10(rank + 1)))
        parts = (draw.choice("bdfgklmnprst") + draw.choice("aeiou") for _ in range(syllables))
        words.append("".join(parts) + str(rank) * (rank >= 60) + "é" * (draw.random() < 0.05))
    return words


class Writer:
    """Writes texts of random words; the frequency of a word falls with its rank."""

    def __init__(self, seed: int) -> None:
        """Take the seed."""
        self.words = np.array(vocabulary(), dtype=object)
        weights = 1.0 / np.arange(1, VOCABULARY + 1)
        self.cumulative = np.cumsum(weights / weights.sum())
        self.draw = np.random.default_rng(seed)

    def text(self, kind: str) -> str:
        """Return one text of log-normal length."""
        length = max(6, int(WORDS[kind] * self.draw.lognormal(0.0, 0.5)))
        chosen = np.searchsorted(self.cumulative, self.draw.random(length) * 0.999999)
        return " ".join(self.words[chosen])


def planted(writer: Writer, prompts: list[str], count: int, copies: dict[int, int]) -> Iterator:
    """Yield texts; every hundredth holds a prompt in capitals, noted in ``copies``."""
    for place in range(count):
        text = writer.text("text")
        if place % PLANTED_EVERY == 0:
            copies[place] = int(writer.draw.integers(len(prompts)))
            text = f"{text}: “{prompts[copies[place]].upper()}”, {text}"
        yield text


def main() -> None:
    """Print the figures."""
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 100_000
    items = int(sys.argv[2]) if len(sys.argv) > 2 else 20_000
    writer = Writer(1)
    prompts = [writer.text("prompt") for _ in range(items)]
    start = time.process_time()
    index = Index(prompts, [str(place) for place in range(items)])
    built = time.process_time() - start
    copies: dict[int, int] = {}
    spent, found, batch, first, characters = 0.0, [], [], 0, 0
    for text in planted(writer, prompts, count, copies):
        batch.append(text)
        characters += len(text)
        if len(batch) == 2000 or first + len(batch) == count:
            start = time.process_time()
            found += [match._replace(text=match.text + first) for match in index.scan(batch)]
            spent += time.process_time() - start
            first, batch = first + len(batch), []
    pairs = {(match.text, match.item) for match in found}
    recall = sum(pair in pairs for pair in copies.items()) / len(copies)
    false = len(pairs - set(copies.items()))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(
        f"{count} texts ({characters / count:.0f} characters) x {items} prompts: index "
        f"{built:.2f} s; search {spent:.1f} s of one core, {count / spent:.0f} texts/s, so "
        f"500,000 in {500_000 * spent / count / 60:.1f} min; peak {peak:.0f} MB with the "
        f"interpreter; recall {recall:.4f} of {len(copies)} planted, {false} other matches"
    )


if __name__ == "__main__":
    main()
