"""``ablate ctl``: steer a study while it runs."""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Mapping
from typing import Any

from ablate.cli.amounts import deadline, device_seconds
from ablate.cli.output import clock_time, duration, print_json
from ablate.cli.steered import Jobs, Meant, jobs_of, living_study
from ablate.cli.stored import open_store
from ablate.errors import StudyError, SurroundingsError, unknown_choice
from ablate.execution.failures import failure_class
from ablate.execution.socket_client import ask
from ablate.execution.steering import HIGHEST_LEVEL, MOST_SLOTS, Verb

VERBS = [verb.value for verb in Verb if verb is not Verb.STATUS]
MOST_NAMED = 8
"""Jobs listed by name; the JSON has all of them."""
WITHOUT_WORDS = (Verb.PAUSE, Verb.RESUME, Verb.STOP)
NOTHING: Meant = Meant((), {})


def run(args: argparse.Namespace) -> int:
    """Ask the controller of a study for one thing and say what has changed."""
    given, verb, words = _parts(args)
    store = open_store(args)
    study = living_study(store, given)
    jobs = jobs_of(store, study)
    meant, arguments = _request(args, verb, words=words, jobs=jobs)
    answer: Mapping[str, Any] = {"ok": True, "changed": []}
    if meant.jobs or not (words and verb in (Verb.CANCEL, Verb.PRIORITY, Verb.RETRY)):
        request = {"verb": verb, "jobs": list(meant.jobs), "arguments": arguments}
        answer = ask(store, study, {**request, "only_say": args.dry_run})
    if not answer.get("ok"):
        raise SurroundingsError(f"study {study}: {answer.get('message')}")
    shared = {jobs.name(job): users for job, users in meant.shared.items()}
    if args.json:
        document = {**answer, "study": study, "verb": verb, "dry_run": args.dry_run}
        print_json({**document, "kept": shared})
        return 0
    would = "would be " if args.dry_run else ""
    for line in _TEXTS[verb]({**answer, "drain": args.drain}, jobs, would):
        print(f"study {study}: {line}")
    if verb is Verb.CANCEL and (answer["changed"] or not meant.jobs):
        _print_kept(shared)
    if args.dry_run:
        print("Nothing has changed: this was --dry-run.")
    return 0


def _print_kept(shared: Mapping[str, tuple[str, ...]]) -> None:
    for job, users in list(shared.items())[:MOST_NAMED]:
        print(f"kept: {job}, which {_few(users)} need{'s' if len(users) == 1 else ''} too")
    if len(shared) > MOST_NAMED:
        print(f"kept: {len(shared) - MOST_NAMED} further jobs that other cells need too")


def _parts(args: argparse.Namespace) -> tuple[str | None, Verb, list[str]]:
    """Return study, verb and the rest of the words: the first one may be the study."""
    words = list(args.words)
    study = args.study
    if words[0] not in VERBS and study is None and len(words) > 1 and words[1] in VERBS:
        study = words.pop(0)
    verb = words.pop(0)
    if verb not in VERBS:
        raise StudyError(unknown_choice("ctl", verb, VERBS) + " Write: ablate ctl [STUDY] VERB ...")
    if words and verb in WITHOUT_WORDS:
        raise StudyError(f"ctl {verb}: {words[0]!r} is too much; it is about the whole study.")
    for flag, value, owner in (
        ("--class", args.kind, Verb.RETRY),
        ("--drain", args.drain, Verb.STOP),
    ):
        if value and verb != owner:
            raise StudyError(f"ctl {verb}: {flag} belongs to {owner}.")
    return study, Verb(verb), words


def _request(
    args: argparse.Namespace, verb: Verb, *, words: list[str], jobs: Jobs
) -> tuple[Meant, dict[str, Any]]:
    """Return the jobs and the arguments of a request."""
    if verb is Verb.STOP:
        return NOTHING, {"drain": bool(args.drain)}
    if verb is Verb.CANCEL:
        if not words:
            raise StudyError("ctl cancel: name what to cancel: CELL, CELL/STAGE or a fingerprint.")
        return jobs.meant(words), {}
    if verb is Verb.RETRY:
        kind = {"kind": failure_class(args.kind).value} if args.kind else {}
        return jobs.meant(words, with_shared=True), kind
    if verb is Verb.PRIORITY:
        if len(words) < 2:
            raise StudyError("ctl priority: write CELL and a number: sooner 1, later -1, usual 0.")
        return jobs.meant(words[:-1]), {"level": _level(words[-1])}
    if verb is Verb.SET:
        if not words:
            raise StudyError("ctl set: write slots=2, until=08:00 or budget=40gpuh.")
        return NOTHING, dict(map(_setting, words))
    return NOTHING, {}


def _level(word: str) -> int:
    try:
        level = int(word)
    except ValueError:
        level = HIGHEST_LEVEL + 1
    if abs(level) > HIGHEST_LEVEL:
        raise StudyError(
            f"ctl priority: {word!r} is no priority. Write CELL and a number: sooner 1, later -1."
        )
    return level


def _setting(word: str) -> tuple[str, Any]:
    name, equals, value = word.partition("=")
    if not equals or name not in ("slots", "until", "budget"):
        found = unknown_choice("ctl set", name, ["slots", "until", "budget"])
        raise StudyError(f"{found} Write slots=2, until=08:00 or budget=40gpuh.")
    if name == "slots":
        if not value.isascii() or not value.isdecimal() or not 1 <= int(value[:9]) <= MOST_SLOTS:
            raise StudyError(f"slots: {value!r} is no number of jobs. Give 1 to {MOST_SLOTS}.")
        return "slots", int(value[:9])
    if name == "until":
        return "until", None if value == "none" else deadline(value)
    return "budget_seconds", None if value == "none" else device_seconds(value)


def _few(names: Any) -> str:
    listed = list(map(repr, names))  # a cell's name may hold commas
    more = f" and {len(listed) - 3} more" if len(listed) > 3 else ""
    return ", ".join(listed[:3]) + more


def _paused(answer: Mapping[str, Any], jobs: Jobs, would: str) -> list[str]:
    if answer.get("before", {}).get("paused"):
        return ["it is paused already. Go on with: ablate ctl resume"]
    return [f"{would or 'it is '}paused: what runs goes on, nothing new is started"]


def _resumed(answer: Mapping[str, Any], jobs: Jobs, would: str) -> list[str]:
    if not answer.get("before", {}).get("paused"):
        return ["it is not paused"]
    return [f"{would or 'it is '}resumed: jobs are started again"]


def _stopped(answer: Mapping[str, Any], jobs: Jobs, would: str) -> list[str]:
    how = "what runs may end" if answer["drain"] else "after checkpoints"
    return [f"{would or 'it is '}stopped, {how}; the same `ablate run` goes on from there"]


def _cancelled(answer: Mapping[str, Any], jobs: Jobs, would: str) -> list[str]:
    changed = answer["changed"]
    if not changed:
        return ["nothing to cancel: no such job runs or waits"]
    text = f"{_count(changed)} {would}cancelled: {_names(changed, jobs)}"
    return [text, *_losers(changed, jobs), "Take it back with: ablate ctl retry --class cancelled"]


def _losers(changed: list[str], jobs: Jobs) -> list[str]:
    """Say which cells cannot be completed any more."""
    cells = sorted({cell for job in changed for cell in jobs.users(job)})
    return [f"not complete without: {_few(cells)}"] if cells else []


def _retried(answer: Mapping[str, Any], jobs: Jobs, would: str) -> list[str]:
    changed = answer["changed"]
    if not changed:
        return ["nothing to retry: no such job has failed"]
    late = answer.get("state") not in ("running", None)
    note = f" But it is {answer['state']}: the next `ablate run` tries them." if late else ""
    return [f"{_count(changed)} {would}tried again: {_names(changed, jobs)}.{note}"]


def _prioritized(answer: Mapping[str, Any], jobs: Jobs, would: str) -> list[str]:
    changed = answer["changed"]
    if not changed:
        return ["nothing to change: no job has another priority than that"]
    return [f"the priority of {_count(changed)} {would or 'is '}set: {_names(changed, jobs)}"]


def _set(answer: Mapping[str, Any], jobs: Jobs, would: str) -> list[str]:
    if would:
        return [f"{name.removesuffix('_seconds')} would be set" for name in answer["changed"]]
    return [_setting_text(name, answer.get(name)) for name in answer["changed"]]


def _setting_text(name: str, value: Any) -> str:
    if value is None:
        return f"{name.removesuffix('_seconds')}: none any more"
    if name == "until":
        return f"until {clock_time(value)}, in {duration(value - time.time())}"
    if name == "budget_seconds":
        return f"budget {duration(value)} of accelerators, of slots without any"
    return f"slots: {value}"


def _count(changed: list[str]) -> str:
    return "1 job" if len(changed) == 1 else f"{len(changed)} jobs"


def _names(changed: list[str], jobs: Jobs) -> str:
    more = f" and {len(changed) - MOST_NAMED} more" if len(changed) > MOST_NAMED else ""
    return ", ".join(map(jobs.name, changed[:MOST_NAMED])) + more


_TEXTS: Mapping[Verb, Callable[[Mapping[str, Any], Jobs, str], list[str]]] = {
    Verb.PAUSE: _paused,
    Verb.RESUME: _resumed,
    Verb.STOP: _stopped,
    Verb.CANCEL: _cancelled,
    Verb.RETRY: _retried,
    Verb.PRIORITY: _prioritized,
    Verb.SET: _set,
}
