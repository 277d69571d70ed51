"""Whether a job that lives still moves; pure.

A hang shows as steps that stop while the heartbeat goes on. How long is too long depends on the
job: its own steps so far are the measure, and no job is judged by one that has taken none.
"""

from __future__ import annotations

from dataclasses import dataclass

LONGEST_GAP_SECONDS = 5.0
"""More than this between two looks is the controller's own absence, not the job's."""
STEPS_NEEDED = 3
"""Before a job's own steps say how long a step may take."""
FEWEST_STEPS = 10
"""Of a job whose steps are alike; the few parts of an evaluation, say, are not."""
FACTOR = 20.0
"""Times its longest step so far that a job may stand still: checkpoints and evaluations come in
between, and a shared file system can be slow."""
WARNED_AFTER = 1 / 3
"""Share of the limit after which a note is made."""


@dataclass
class Stall:
    """How long a job has stood still, on a clock that stops while nobody looks."""

    still_seconds: float = 0.0
    """Since the last sign of work: a step, a token, a line in the log."""
    longest_seconds: float = 0.0
    """Longest step so far."""
    steps: int = 0
    """Steps seen."""
    _done: int = 0
    _total: int = 0
    _signs: object = None
    _since_step: float = 0.0
    _last: float | None = None

    def look(self, done: int, total: int, signs: object, *, now: float) -> None:
        """Take note at monotonic time ``now`` of the steps and of other ``signs`` of work."""
        gap = 0.0 if self._last is None else min(now - self._last, LONGEST_GAP_SECONDS)
        self._last = now
        self.still_seconds += gap
        self._since_step += gap
        if done != self._done:
            # What comes before the first step is loading and not a step.
            if self.steps:
                self.longest_seconds = max(self.longest_seconds, self._since_step)
            self.steps += 1
            self._since_step = 0.0
        if (done, total, signs) != (self._done, self._total, self._signs):
            self.still_seconds = 0.0
        self._done, self._total, self._signs = done, total, signs

    @property
    def paced(self) -> bool:
        """Whether the job is in the midst of steps that tell how long the next may take."""
        midst = FEWEST_STEPS <= self._total and self._done < self._total
        return midst and self.steps >= STEPS_NEEDED

    def limit(self, *, hung_seconds: float, idle_seconds: float) -> float:
        """Return the seconds of standing still after which the job counts as hung.

        At least ``hung_seconds`` for a job with steps of its own; ``idle_seconds`` for one that
        shows none, or is done with them.
        """
        return max(hung_seconds, FACTOR * self.longest_seconds) if self.paced else idle_seconds

    def warns(self, *, hung_seconds: float, idle_seconds: float) -> bool:
        """Tell whether somebody should know that the job stands still."""
        limit = self.limit(hung_seconds=hung_seconds, idle_seconds=idle_seconds)
        soft = limit * WARNED_AFTER if self.paced else min(limit, hung_seconds)
        return self.still_seconds >= soft

    def words(self) -> str:
        """Say how long the job has stood still, and what it took before."""
        still = f"no progress for {self.still_seconds / 60:.0f} min"
        if not self.paced:
            return still
        return f"{still} at step {self._done:,} of {self._total:,}; none before took more than " + (
            f"{self.longest_seconds:.1f} s"
        )
