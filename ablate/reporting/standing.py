"""Where a comparison stands among the looks that its study declares."""

from __future__ import annotations

from dataclasses import dataclass

from ablate.stats.sequential import Look


@dataclass(frozen=True)
class Standing:
    """The look whose seeds count for a comparison, and whether it goes on."""

    look: Look
    is_reached: bool
    """Whether its runs have ended; only before the first look they may not have."""
    is_open: bool = False
    """Whether it was inconclusive and another look follows."""

    def said(self, alpha: float) -> str:
        """Say where the comparison stands, with the level of its look."""
        counts = self.look.looks.counts
        at = f"look {self.look.number} of {len(counts)} ({self.look.seeds} seeds"
        if not self.is_reached:
            return f"{at}) not reached: no verdict yet"
        ended = f"{at}, level {self.look.level(alpha):.2g})"
        if self.is_open:
            return f"inconclusive at {ended}; its cells get {counts[self.look.number]} seeds"
        return f"stopped at {ended}"

    def counts(self, seed: int) -> bool:
        """Return whether a run enters: a later one was never part of this look."""
        return seed < self.look.seeds
