"""What a labelling makes of two replies, and the artifact and the numbers of all of them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from ablate.data.artifacts import CARD, DROPPED, ItemWriter
from ablate.data.hygiene.card import CardBuilder
from ablate.data.records import Dropped, Judged, Pair
from ablate.data.shaping.items import row_number
from ablate.data.shaping.ledger import Ledger
from ablate.errors import StageError
from ablate.models.boundary import Row
from ablate.rewards.responses import Response
from ablate.spec.data import LabelsConfig
from ablate.store.workspace import Workspace
from ablate.training.loop import write_summary


class Compared(NamedTuple):
    """Two replies and their scores; of a row that teaches nothing, the reason alone."""

    better: str = ""
    worse: str = ""
    high: float = 0.0
    low: float = 0.0
    dropped: str = ""
    """Empty for a pair."""


@dataclass
class Tally:
    """What the summary says of the pairs; plain numbers, so that a checkpoint can hold them."""

    pairs: int = 0
    flipped: int = 0
    """The data set preferred the other reply."""
    ties: int = 0
    """Equal scores: the data set's own order is kept."""
    kept_margin: float = 0.0
    """Sum over the pairs that are neither flipped nor ties; on policy, over all."""
    flipped_margin: float = 0.0
    """Sum over the flipped pairs."""
    rejected_cut: int = 0
    """Rejected samples without an end token."""
    logps: list[float] = field(default_factory=lambda: [0.0, 0.0])
    """Summed log-probability of all chosen and all rejected replies under the policy, in nats."""
    tokens: list[int] = field(default_factory=lambda: [0, 0])
    """Tokens of the same, end tokens included."""

    def add(self, scores: tuple[float, float], logps: Sequence[float], rows: Sequence[Row]) -> None:
        """Count a pair; of each argument the first belongs to the reply preferred so far."""
        own, other = scores
        flipped = other > own
        self.pairs += 1
        self.ties += own == other
        self.flipped += flipped
        self.kept_margin += 0.0 if flipped else own - other
        self.flipped_margin += other - own if flipped else 0.0
        for i in (0, 1):
            side = 1 - i if flipped else i
            self.logps[side] += logps[i]
            self.tokens[side] += len(rows[i].completion)

    def summary(self) -> dict[str, float | int | None]:
        """Return counts, shares and means; None where nothing defines one."""
        kept = self.pairs - self.flipped - self.ties
        sides = zip(("_chosen", "_rejected"), self.logps, self.tokens, strict=True)
        return {
            "pairs": self.pairs,
            "kept": kept,
            "flipped": self.flipped,
            "ties": self.ties,
            "flipped_fraction": _ratio(self.flipped, self.pairs),
            "margin_kept": _ratio(self.kept_margin, kept),
            "margin_flipped": _ratio(self.flipped_margin, self.flipped),
            "logp_per_token": _ratio(sum(self.logps), sum(self.tokens)),
            **{f"logp_per_token{side}": _ratio(logp, count) for side, logp, count in sides},
        }


def best_and_worst(responses: Sequence[Response], scores: Sequence[float]) -> tuple[int, int] | str:
    """Return which reply is chosen and which rejected, or why no pair comes of them.

    Among equals the first counts. A reply that was cut is never chosen, since a pair cannot say
    that a reply goes on; as the rejected one it gets an end token that it never gave.
    """
    texts = [response.text for response in responses]
    ended = [i for i, response in enumerate(responses) if response.ended]
    if len(set(texts)) == 1:
        return "identical_replies"
    if not ended:
        return "no_ended_reply"
    best = max(ended, key=lambda i: scores[i])
    worst = min(range(len(scores)), key=lambda i: scores[i])
    if scores[best] <= scores[worst]:
        return "equal_scores"
    if texts[best] == texts[worst]:  # One ended, the other was cut at the same place.
        return "identical_replies"
    if not texts[best].strip():
        return "empty_chosen"
    return (best, worst) if texts[worst].strip() else "empty_rejected"


def write_labelled(
    workspace: Workspace, rows: Iterable[tuple[Pair, Compared]], tally: Tally
) -> None:
    """Write every pair under its row's id, name what is left out, and sum up.

    A row's own replies and scores are replaced by what was compared. Raises StageError
    (``bad_data``) where no pair is left.
    """
    config = workspace.config
    assert isinstance(config, LabelsConfig)
    card = CardBuilder(f"{config.generations} pairs labelled by {config.reward}")
    with Ledger(workspace.output / DROPPED) as ledger, ItemWriter(workspace.output) as writer:
        for pair, compared in rows:
            if compared.dropped:
                row = Dropped(row_number(Judged(pair)), compared.dropped)
                ledger.drop(row, pair.source)
            else:
                item = Judged(_labelled(pair, compared))
                writer.add(item)
                card.add(item)
                ledger.read[pair.source] += 1
    dropped = dict(sorted(ledger.dropped.items()))
    if not tally.pairs:
        raise StageError(
            f"labels: no pair is left; dropped: {dropped}. Look at the limits of length and at the"
            f" reward {config.reward!r}.",
            kind="bad_data",
        )
    (workspace.output / CARD).write_text(card.card(ledger=ledger).to_json(), encoding="utf-8")
    # Where the scorer sees no difference, the data set's own label was spent.
    workspace.count(preferences=tally.ties)
    cut = {"rejected_cut": tally.rejected_cut} if config.generations == "on_policy" else {}
    write_summary(workspace, rows=tally.pairs, dropped=dropped, **tally.summary(), **cut)


def _labelled(pair: Pair, compared: Compared) -> Pair:
    return replace(
        pair,
        chosen=compared.better,
        rejected=compared.worse,
        margin=compared.high - compared.low,
        chosen_score=compared.high,
        rejected_score=compared.low,
    )


def _ratio(total: float, count: float) -> float | None:
    return total / count if count else None
