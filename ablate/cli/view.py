"""One picture of a running study as lines of text, from files alone; pure but for the clock."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from ablate.cli.forecast import Forecast, Pace, seconds_left
from ablate.cli.output import clock_time, duration
from ablate.cli.stored import Recorded, RecordedRun
from ablate.execution.status import FailedRow, JobDetail, RunningRow, StudyStatus

NAMED_CELLS = 2
"""Cells by which a job is called; a job of more is called by their number."""
LARGEST_SHARE = 0.5
"""Of the lines there are, for the cells, where something runs or has failed."""


@dataclass(frozen=True)
class View:
    """What is known of a study at one moment."""

    status: StudyStatus
    detail: JobDetail
    plan: Recorded
    forecast: Forecast
    progress: Mapping[str, tuple[float, float]]
    """Steps done and in all, by fingerprint of what runs, as the jobs themselves last said."""

    def fraction(self, row: RunningRow) -> float | None:
        """Return how much of a running job is done; None before it says so."""
        done, total = self.progress.get(row.fingerprint, (row.done or 0, row.total or 0))
        return min(1.0, done / total) if total else None

    def left(self, row: RunningRow) -> float:
        """Return the seconds a running job still takes; NaN where nothing is known."""
        # The row is as old as the status file; a job in the middle of a step gets older.
        age = row.seconds + max(0.0, time.time() - self.status.updated)
        pace = Pace(age, self.fraction(row), row.first_seconds, row.first_fraction)
        return seconds_left(self.forecast.seconds(row.fingerprint), pace)

    def seconds_left(self) -> float:
        """Return the expected time to the end, counting what running jobs have done."""
        over = {row.fingerprint for row in self.status.failed} | self.detail.skipped.keys()
        remaining = {
            job.fingerprint: self.forecast.seconds(job.fingerprint)
            for job in self.plan.jobs
            if job.fingerprint not in self.detail.took and job.fingerprint not in over
        }
        remaining.update({row.fingerprint: self.left(row) for row in self.status.running})
        slots = self.status.settings.slots or self.forecast.slots
        return self.forecast.left(remaining, slots=max(1, slots))

    @cached_property
    def _users(self) -> dict[str, list[RecordedRun]]:
        users: dict[str, list[RecordedRun]] = {}
        for run in self.plan.runs:
            for job in set(run.jobs.values()):
                users.setdefault(job, []).append(run)
        return users

    def name(self, fingerprint: str) -> str:
        """Return whose job it is: its cell and seed, or how many cells share it."""
        users = self._users.get(fingerprint, [])
        cells = list(dict.fromkeys(run.cell for run in users))
        if not cells:
            return "shared"
        if len(cells) > NAMED_CELLS:
            return f"{len(cells)} cells"
        seeds = sorted({run.seed for run in users})
        of = f", seed {seeds[0]}" if len(seeds) == 1 else ""
        return " and ".join(cells) + of


def summary(view: View) -> str:
    """Return jobs, runs, cells and the time left in one line."""
    done = view.detail.took.keys()
    runs = Counter(run.cell for run in view.plan.runs)
    complete = Counter(run.cell for run in view.plan.runs if done >= set(run.jobs.values()))
    ahead = view.forecast.ahead
    names = {run.cell for run in view.plan.runs if run.arm is None} | set(view.plan.cells)
    cells = sum(0 < runs[name] == complete[name] for name in names)
    total = ahead.jobs + (len(view.plan.jobs) or sum(_count(row) for row in view.status.stages))
    text = (
        f"{len(done)}/{total} jobs · "
        f"{sum(complete.values())}/{len(view.plan.runs) + ahead.runs} runs · "
        f"{cells}/{len(names)} cells"
    )
    if view.status.failed:
        text += f" · {len(view.status.failed)} failed"
    if view.status.state in ("running", "paused"):
        left = view.seconds_left()
        end = f" ({clock_time(time.time() + left)})" if left == left else ""
        text += f" · {duration(left)} left{end}"
    return text


def settings_line(status: StudyStatus) -> str:
    """Return what a user has set, or an empty string."""
    found = status.settings
    parts = []
    if found.until is not None:
        left = found.until - time.time()
        when = f", in {duration(left)}" if left > 0 else ", which is past"
        parts.append(f"until {clock_time(found.until)}{when}")
    if found.budget_seconds is not None:
        parts.append(f"budget {duration(found.budget_seconds)}")
    if found.slots is not None:
        parts.append(f"slots {found.slots}")
    if found.priorities:
        levels = Counter(found.priorities.values())
        shown = [f"{level:+d} for {count}" for level, count in sorted(levels.items())[:4]]
        parts.append(f"priority {', '.join(shown)} jobs")
    return " · ".join(parts)


def screen(view: View, *, width: int, height: int | None) -> list[str]:
    """Return the lines of a view; at most ``height`` of ``width``, all of them where None."""
    status = view.status
    head = [
        f"study {status.study}: {status.state}" + (f" ({status.reason})" if status.reason else "")
    ]
    head += [summary(view), *filter(None, [settings_line(status)]), ""]
    running = running_lines(view)
    # The last failures, because those are new.
    new = status.failed if height is None else status.failed[-height:]
    failed = [line for row in new for line in failure_lines(row, view.name(row.fingerprint))]
    if height is None:
        lines = [*head, *cell_lines(view, width=width, most=None), *running, *failed]
        return [line[:width] for line in lines]
    room = max(3, height - len(head))
    below = len(running) + len(failed)
    most_cells = max(room - below, int(room * LARGEST_SHARE)) if below else room
    cells = cell_lines(view, width=width, most=most_cells)
    room -= len(cells)
    shown = _shortened(running, max(room - len(failed), room // 2, 1), "running jobs")
    room -= len(shown)
    told = failed[max(0, len(failed) - room) :] if room > 0 else []
    return [line[:width] for line in [*head, *cells, *shown, *told]][:height]


def cell_lines(view: View, *, width: int, most: int | None) -> list[str]:
    """Return a table of cells and seeds; those that move or failed first where not all fit."""
    states = _run_states(view)
    by_cell: dict[str, list[tuple[int, str]]] = {}
    for run, state in zip(view.plan.runs, states, strict=True):
        by_cell.setdefault(run.cell, []).append((run.seed, state))
    if not by_cell:
        return []
    seeds = sorted({seed for found in by_cell.values() for seed, _ in found})
    names = max(4, *(len(cell) for cell in by_cell))
    names = min(names, max(12, width // 2))
    columns = [max(4, len(str(seed))) + 1 for seed in seeds]
    fits = names + 6 + sum(columns) <= width
    header = "cell".ljust(names) + "  runs"
    header += (
        "".join(str(seed).rjust(wide) for seed, wide in zip(seeds, columns, strict=True))
        if fits
        else "  by seed"
    )
    rows = []
    for cell, found in by_cell.items():
        ended = sum(state == "ok" for _, state in found)
        line = f"{_cut(cell, names)}  {f'{ended}/{len(found)}':>4}"
        if fits:
            state_of = dict(found)
            pairs = zip(seeds, columns, strict=True)
            line += "".join(state_of.get(seed, "").rjust(wide) for seed, wide in pairs)
        else:
            line += "  " + ", ".join(
                f"{count} {state}" for state, count in Counter(state for _, state in found).items()
            )
        rows.append((_interest([state for _, state in found]), line))
    lines = [line for _, line in rows]
    if most is not None and len(lines) + 2 > most:
        room = max(1, most - 3)
        chosen = sorted(range(len(rows)), key=lambda index: rows[index][0])[:room]
        lines = [rows[index][1] for index in sorted(chosen)]
        lines.append(f"and {len(rows) - len(lines)} further cells")
    return [header, *lines, ""]


def running_lines(view: View) -> list[str]:
    """Return a line for every running job: whose, how far, how fast, how long still."""
    lines = []
    for row in view.status.running:
        done, total = view.progress.get(row.fingerprint, (row.done or 0, row.total or 0))
        parts = [f"{row.stage} of {view.name(row.fingerprint)}"]
        is_over = view.status.state in ("ended", "interrupted")
        fraction = view.fraction(row)
        if fraction is not None:
            parts.append(f"step {done:g}/{total:g} ({fraction:.0%})")
        if row.tokens_per_second:
            parts.append(f"{row.tokens_per_second:,.0f} tokens/s")
        left = "" if is_over else f", {duration(view.left(row))} left"
        parts.append(duration(row.seconds) + left)
        if row.attempt > 1:
            parts.append(f"attempt {row.attempt}")
        if row.hung:
            parts.append("no sign of life")
        if row.stopping:
            parts.append("stopping")
        lines.append(("ran: " if is_over else "running: ") + " · ".join(parts))
    return lines


def failure_lines(row: FailedRow, whose: str) -> list[str]:
    """Return what failed, whose it is, why, and where its log is."""
    lines = [f"failed: {row.stage}-{row.fingerprint} of {whose}: {row.kind}: {row.message}"]
    return lines if row.log is None else [*lines, f"  log: {row.log}"]


def _run_states(view: View) -> list[str]:
    """Return the state of every run in a word of at most four letters."""
    running = {row.fingerprint: view.fraction(row) or 0.0 for row in view.status.running}
    failed = {row.fingerprint for row in view.status.failed}
    skipped = view.detail.skipped.keys()
    return [
        _run_state(view, run, running=running, over=(failed, skipped)) for run in view.plan.runs
    ]


def _run_state(
    view: View,
    run: RecordedRun,
    *,
    running: Mapping[str, float],
    over: tuple[Collection[str], Collection[str]],
) -> str:
    jobs = set(run.jobs.values())
    failed, skipped = over
    if any(job in failed for job in jobs):
        return "fail"
    if any(job in skipped for job in jobs):
        return "skip"
    ended = jobs & view.detail.took.keys()
    if ended == jobs:
        return "ok"
    shares = {job: running.get(job, 1.0 if job in ended else 0.0) for job in jobs}
    work = {job: view.forecast.seconds(job) for job in jobs}
    total = sum(work.values())
    if not total > 0.0:  # unknown
        work, total = dict.fromkeys(jobs, 1.0), float(len(jobs))
    share = sum(shares[job] * work[job] for job in jobs) / total
    return f"{min(99, int(100 * share))}%" if ended or jobs & running.keys() else "."


def _interest(states: Sequence[str]) -> int:
    if any(state.endswith("%") for state in states):
        return 0
    if "fail" in states or "skip" in states:
        return 1
    return 2 if "." in states else 3


def _shortened(lines: list[str], most: int, what: str) -> list[str]:
    if len(lines) <= most:
        return lines
    return [*lines[: most - 1], f"and {len(lines) - most + 1} further {what}"]


def _cut(text: str, width: int) -> str:
    return text.ljust(width) if len(text) <= width else text[: width - 2] + ".."


def _count(row: object) -> int:
    return sum(value for value in vars(row).values() if isinstance(value, int))
