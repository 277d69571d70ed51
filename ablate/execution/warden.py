"""Ends attempts that live and should not: out of time, silent, or standing still."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from ablate.execution.engines.protocol import Engine
from ablate.execution.failures import Failure, FailureClass
from ablate.execution.watching import GIVE_LONGER, Running


@dataclass(frozen=True)
class Patience:
    """How long an attempt may go without what, in seconds."""

    stale: float
    """Without a beat before a note is made."""
    hung: float
    """Without a beat, or standing still between its own steps."""
    idle: float
    """Standing still where there are no steps to go by."""
    stop: float
    """From being asked to stop until it is killed."""


class Warden:
    """Looks at every attempt that its engine has running."""

    def __init__(
        self, engine: Engine, patience: Patience, *, note: Callable[[str], None] = lambda text: None
    ) -> None:
        """End attempts on ``engine``; ``note`` tells users what begins to look wrong."""
        self._engine, self._patience = engine, patience
        self.note = note

    def watch(self, running: Running, now: float) -> None:
        """Warn of an attempt, ask it to stop, or kill it."""
        if running.began is None and running.pulse.counter:
            running.began = now
        self._warn(running)
        if running.lingers(now):
            self._engine.cancel(running.handle, gently=False)
        elif running.blamed is None:
            running.blamed = offence(running, now, self._patience)
            if running.blamed is not None:
                running.blamed_since = now
                # What is out of time can still save a checkpoint; what hangs cannot.
                gently = running.blamed.kind is FailureClass.TIMEOUT
                self._engine.cancel(running.handle, gently=gently)
        elif now - running.blamed_since > self._patience.stop:
            self._engine.cancel(running.handle, gently=False)

    def _warn(self, running: Running) -> None:
        silent = running.pulse.silent_seconds
        still = running.stall.warns(
            hung_seconds=self._patience.hung, idle_seconds=self._patience.idle
        )
        suspected = still or silent >= self._patience.stale
        if suspected and not running.is_hung:
            words = f"no beat for {silent:.0f} s" if not still else running.stall.words()
            self.note(f"{running.job.stage}-{running.attempt.name}: {words}")
        running.is_hung = suspected


def offence(running: Running, now: float, patience: Patience) -> Failure | None:
    """Return why an attempt must end now; None where it may go on."""
    limit, stall = running.resources.seconds, running.stall
    if limit is not None and running.seconds(now) >= limit:
        reached = f"reached its time limit of {limit / 3600:.4g} h. {GIVE_LONGER}"
        return Failure(FailureClass.TIMEOUT, reached)
    if running.pulse.silent_seconds >= patience.hung:
        silent = f"no beat for {running.pulse.silent_seconds / 60:.0f} min"
        return Failure(FailureClass.HUNG, silent)
    if stall.still_seconds >= stall.limit(hung_seconds=patience.hung, idle_seconds=patience.idle):
        return Failure(FailureClass.HUNG, stall.words())
    return None
