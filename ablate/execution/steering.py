"""What a user can ask of a study while it runs, and who hears it."""

from __future__ import annotations

import json
import math
import queue
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, NoReturn

from ablate.errors import unknown_choice
from ablate.execution.failures import FailureClass

MOST_SLOTS = 10_000
HIGHEST_LEVEL = 1_000_000
"""Of a priority, up or down."""


class Verb(StrEnum):
    """What is asked."""

    STATUS = "status"
    """Answer with the state; changes nothing."""
    PAUSE = "pause"
    """Start nothing new; what runs goes on."""
    RESUME = "resume"
    """Start jobs again."""
    STOP = "stop"
    """End the study after checkpoints; ``drain`` lets what runs end."""
    CANCEL = "cancel"
    """Stop jobs after a checkpoint and start them no more."""
    RETRY = "retry"
    """Try failed or cancelled jobs again."""
    PRIORITY = "priority"
    """Start jobs, and what they read from, sooner (positive) or later (negative)."""
    SET = "set"
    """Change ``slots``, ``until`` (seconds since the epoch) or ``budget_seconds``."""


@dataclass
class Command:
    """One wish, answered exactly once."""

    verb: Verb
    jobs: tuple[str, ...] = ()
    """Fingerprints it is about; empty for all to which it can apply."""
    arguments: Mapping[str, Any] = field(default_factory=dict)
    """``kind`` of RETRY, ``level`` of PRIORITY, settings of SET, ``drain`` of STOP."""
    only_say: bool = False
    """Answer what would change, and change nothing."""
    _answer: queue.SimpleQueue[Mapping[str, Any]] = field(default_factory=queue.SimpleQueue)

    def answer(self, **record: Any) -> None:
        """Say what was done; called by the controller."""
        self._answer.put(record)

    def wait(self, seconds: float) -> Mapping[str, Any] | None:
        """Return the answer, or None where the controller does not come to it in time."""
        try:
            return self._answer.get(timeout=seconds)
        except queue.Empty:
            return None


class Wishes:
    """Commands on their way to the controller; any thread may put one."""

    def __init__(self) -> None:
        """Start empty."""
        self._queue: queue.SimpleQueue[Command] = queue.SimpleQueue()

    def put(self, command: Command) -> None:
        """Hand a command over."""
        self._queue.put(command)

    def take(self) -> list[Command]:
        """Return what has come since the last call."""
        found: list[Command] = []
        while True:
            try:
                found.append(self._queue.get_nowait())
            except queue.Empty:
                return found


def read_command(line: bytes) -> Command:
    """Return the command in one line of JSON; raises ValueError saying what is wrong with it.

    Only what the controller understands gets through: whatever else a client sends ends here.
    """
    try:
        record = json.loads(line, parse_constant=_no_number)
    except RecursionError:
        raise ValueError("the request is nested too deeply") from None
    except ValueError as error:  # UnicodeDecodeError among them
        raise ValueError(f"the request is no JSON: {error}") from None
    if not isinstance(record, dict):
        raise ValueError("the request is no JSON object. Give verb, jobs, arguments, only_say.")
    for key in record:
        if key not in ("verb", "jobs", "arguments", "only_say"):
            raise ValueError(
                unknown_choice("request", key[:100], ["verb", "jobs", "arguments", "only_say"])
            )
    verb, jobs = record.get("verb"), record.get("jobs", [])
    arguments, only_say = record.get("arguments", {}), record.get("only_say", False)
    if verb not in list(Verb):
        raise ValueError(unknown_choice("verb", str(verb)[:100], [one.value for one in Verb]))
    if not isinstance(jobs, list) or not all(isinstance(name, str) for name in jobs):
        raise ValueError("jobs: not a list of fingerprints.")
    if not isinstance(arguments, dict) or not isinstance(only_say, bool):
        raise ValueError("arguments is an object, only_say true or false.")
    for name, value in arguments.items():
        _check(Verb(verb), name, value=value)
    if not jobs and verb in (Verb.CANCEL, Verb.PRIORITY):
        raise ValueError(f"{verb}: no jobs are named.")
    return Command(Verb(verb), tuple(jobs), arguments, only_say)


def _no_number(text: str) -> NoReturn:
    raise ValueError(f"{text} is no number")


def _is_amount(value: Any) -> bool:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    return abs(value) < 1e15 and math.isfinite(value) and value > 0


def _is_whole(value: Any, least: int, most: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and least <= value <= most


_ARGUMENTS: Mapping[Verb, Mapping[str, tuple[Callable[[Any], bool], str]]] = {
    Verb.STOP: {"drain": (lambda value: isinstance(value, bool), "true or false")},
    Verb.RETRY: {
        "kind": (lambda value: value in (None, *FailureClass), ", ".join(FailureClass)),
    },
    Verb.PRIORITY: {
        "level": (
            lambda value: _is_whole(value, -HIGHEST_LEVEL, HIGHEST_LEVEL),
            f"a whole number up to {HIGHEST_LEVEL}",
        )
    },
    Verb.SET: {
        "slots": (lambda value: _is_whole(value, 1, MOST_SLOTS), f"1 to {MOST_SLOTS}"),
        "until": (lambda value: value is None or _is_amount(value), "seconds since the epoch"),
        "budget_seconds": (lambda value: value is None or _is_amount(value), "seconds"),
    },
}
"""What each verb takes: a test of the value, and what is allowed in words."""


def _check(verb: Verb, name: str, *, value: Any) -> None:
    known = _ARGUMENTS.get(verb, {})
    if name not in known:
        raise ValueError(unknown_choice(verb.value, name[:100], known or ["nothing"]))
    is_good, allowed = known[name]
    if not is_good(value):
        raise ValueError(f"{verb} {name}: {str(value)[:100]!r} is not allowed: {allowed}.")
