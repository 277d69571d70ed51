"""What a user has set while a study runs, and how each wish is carried out."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from typing import Any

from ablate.execution.book import Book, JobState
from ablate.execution.engines.protocol import Engine
from ablate.execution.failures import Failure, FailureClass
from ablate.execution.halting import STATE_NAMES, Brake, Halt
from ablate.execution.options import RunOptions
from ablate.execution.steering import Command, Verb
from ablate.execution.watching import Running
from ablate.plan.job import Job

logger = logging.getLogger(__name__)


class Helm:
    """Carries out wishes on a study's book, engine and brake."""

    def __init__(
        self,
        book: Book,
        *,
        engine: Engine,
        brake: Brake,
        options: RunOptions,
        give_up: Callable[[Job, Failure], None],
    ) -> None:
        """Steer; ``give_up`` fails a job that waits."""
        self._book, self._engine, self._brake = book, engine, brake
        self._give_up = give_up
        self.is_paused = False
        self.until = options.until
        """Seconds since the epoch; None without a deadline."""
        self.budget_seconds = options.budget_seconds
        """Of devices; None without a budget."""
        self.slots: int | None = None
        """As the user last set them."""
        self.cancelled: set[str] = set()
        """Running jobs that are to stop after a checkpoint and stay stopped."""
        self._carry_out: Mapping[Verb, Callable[[Command, Mapping[str, Running]], Any]] = {
            Verb.STATUS: lambda command, running: None,
            Verb.PAUSE: lambda command, running: self._pause(command),
            Verb.RESUME: lambda command, running: self._pause(command),
            Verb.STOP: lambda command, running: self._stop(command),
            Verb.CANCEL: self._cancel,
            Verb.RETRY: lambda command, running: self._retry(command),
            Verb.PRIORITY: lambda command, running: self._prioritize(command),
            Verb.SET: lambda command, running: self._set(command),
        }

    @property
    def seconds_left(self) -> float | None:
        """Until the deadline; None without one."""
        return None if self.until is None else self.until - time.time()

    def obey(self, command: Command, running: Mapping[str, Running]) -> None:
        """Carry a wish out and answer it."""
        before = self.state()
        try:
            changed = self._carry_out[command.verb](command, running) or []
        except (TypeError, ValueError) as error:
            command.answer(ok=False, message=str(error))
            return
        except Exception as error:  # A wish that goes wrong must not end a study.
            logger.exception("asked to %s", command.verb)
            command.answer(ok=False, message=f"{type(error).__name__}: {error}")
            return
        if command.verb is not Verb.STATUS and not command.only_say:
            logger.info("asked to %s: %d jobs", command.verb, len(changed))
        state = STATE_NAMES[self._brake.level]
        command.answer(ok=True, changed=changed, before=before, state=state, **self.state())

    def state(self) -> dict[str, Any]:
        """Return what a user has set, for the status file and answers."""
        return {
            "paused": self.is_paused,
            "slots": self.slots,
            "until": self.until,
            "budget_seconds": self.budget_seconds,
            "priorities": {name: level for name, level in self._book.levels.items() if level},
        }

    def _pause(self, command: Command) -> None:
        if not command.only_say:
            self.is_paused = command.verb is Verb.PAUSE

    def _stop(self, command: Command) -> None:
        gently = bool(command.arguments.get("drain"))
        if command.only_say:
            return
        self._brake.pull(Halt.DRAIN if gently else Halt.STOP, "asked to stop")

    def _cancel(self, command: Command, running: Mapping[str, Running]) -> list[str]:
        """Stop running jobs after a checkpoint; give up those that wait."""
        failure = Failure(FailureClass.CANCELLED, "cancelled by the user")
        changed = []
        handles = {item.job.fingerprint: handle for handle, item in running.items()}
        named = self._known(command)
        waited = {name for name in named if self._book.states[name] is JobState.WAITING}
        for name in named:
            runs = name in handles and name not in self.cancelled
            if not runs and name not in waited:
                continue
            changed.append(name)
            if command.only_say:
                continue
            if runs:
                self.cancelled.add(name)
                running[handles[name]].is_stopping = True
                self._engine.cancel(handles[name], gently=True)
            elif self._book.states[name] is JobState.WAITING:  # else skipped with its upstream
                self._give_up(self._book.jobs[name], failure)
        return changed

    def _retry(self, command: Command) -> list[str]:
        """Let failed jobs wait again: those named, or of a class, or all."""
        kind = command.arguments.get("kind")
        names = self._known(command) if command.jobs else list(self._book.failures)
        chosen = [
            name
            for name in names
            if name in self._book.failures
            and (kind is None or self._book.failures[name].kind == kind)
        ]
        if command.only_say:
            return chosen
        return [job.fingerprint for name in chosen for job in self._book.revive(name)]

    def _prioritize(self, command: Command) -> list[str]:
        level = command.arguments.get("level", 1)
        if not isinstance(level, int):
            raise ValueError(f"level: {level!r} is no whole number. Give one, such as 1 or -1.")
        named = self._known(command)
        changed = [name for name in named if self._book.levels.get(name, 0) != level]
        if not command.only_say:
            self._book.prioritize(named, level)
        return changed

    def _set(self, command: Command) -> list[str]:
        """Change slots, deadline or budget; nothing changes where one of them is wrong."""
        given = dict(command.arguments)
        if unknown := given.keys() - {"slots", "until", "budget_seconds"}:
            raise ValueError(f"{sorted(unknown)[0]!r} is not one of slots, until, budget_seconds.")
        for name, value in given.items():
            if isinstance(value, bool) or not isinstance(value, int | float | None):
                raise ValueError(f"{name}: {value!r} is no number.")
        slots = given.get("slots")
        if "slots" in given and (not isinstance(slots, int) or slots < 1):
            raise ValueError(f"slots: {slots!r} is no number of jobs. Give 1 or more.")
        if command.only_say:
            return sorted(given)
        if isinstance(slots, int):
            self.slots = slots
            self._engine.resize(slots)
        self.until = given.get("until", self.until)
        self.budget_seconds = given.get("budget_seconds", self.budget_seconds)
        return sorted(given)

    def _known(self, command: Command) -> list[str]:
        unknown = [name for name in command.jobs if name not in self._book.jobs]
        if unknown:
            raise ValueError(f"{unknown[0]}: no job of this study. See `ablate status`.")
        return list(command.jobs)
