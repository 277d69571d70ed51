"""Slurm: attempts as batch jobs that outlive the controller; verdicts are ours, not Slurm's.

- An attempt's job name is written into its folder before it is submitted, so that a controller
  that died in between finds the job by that name, or knows that there is none.
- No job is ever requeued. Slurm's requeue would run the same attempt again beside a zombie of the
  first (a node that was lost goes on working); the next attempt has a number of its own.
- Attempts that ask for the same and are submitted together become one array; small ones share an
  allocation where the place says so.
- One question for all jobs, at growing intervals while nothing changes. A slurmctld that does not
  answer changes nothing: no attempt is called gone before Slurm says so.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from ablate.errors import SurroundingsError
from ablate.execution.engines import slurm_pack
from ablate.execution.engines.protocol import Observation, Resources, State, Submission
from ablate.execution.engines.slurm_board import SlurmBoard
from ablate.execution.engines.slurm_client import Row, SlurmClient, Unreachable
from ablate.execution.engines.slurm_queue import Batch, SlurmQueue, intended
from ablate.execution.engines.slurm_script import SlurmOptions
from ablate.execution.engines.slurm_words import RUNNING, WAITING, forgotten, is_unrecorded, judge
from ablate.store.attempts import Attempt

LOOK_SECONDS = 0.2
"""Between two looks at exit records while waiting."""
ASKING_SECONDS = 0.02
"""Between two looks while an answer of Slurm's is on its way."""
BLIND = 3
"""Attempts that ended before their first sign of life, none having lived, after which we give up:
nothing would ever run."""


@dataclass
class _Held:
    """An attempt with Slurm."""

    submission: Submission
    job: str
    """Name of its Slurm job."""
    task: int | None
    """Its place in an array."""
    packed: bool
    """Whether it shares the job with others."""
    since: float
    """Monotonic seconds; an answer to an earlier question says nothing about it."""
    number: str = ""
    """Slurm's own name of the job, once known."""
    word: Observation = Observation(State.PENDING)
    """The last one."""
    gently: bool | None = None
    """The user's wish that it ends, until it is carried out."""
    wished: float = 0.0
    """When the wish was last passed on."""
    unrecorded: float | None = None
    """When it was first seen ended without the record it must have left."""

    @property
    def attempt(self) -> Attempt:
        return Attempt(self.submission.folder)


class SlurmEngine:
    """Runs attempts as Slurm jobs; see `ablate.execution.engines.protocol.Engine`."""

    name = "slurm"
    survives = True

    def __init__(self, options: SlurmOptions) -> None:
        """Submit with ``options``; raises SurroundingsError where Slurm's commands are missing."""
        self._options, self._slots = options, options.slots
        self._client = SlurmClient()
        self._board = SlurmBoard(
            self._client, least_seconds=options.least_seconds, most_seconds=options.most_seconds
        )
        self._queue = SlurmQueue(self._client, self._board, options)
        self._held: dict[str, _Held] = {}
        self._dropped: dict[str, Observation] = {}
        self._lived = False
        self._blind = 0

    @property
    def threads(self) -> int:
        """Threads of a job."""
        return self._options.threads

    def capacity(self, resources: Resources) -> int:
        """Return how many more attempts may wait or run in Slurm's queue."""
        unended = sum(held.word.state is not State.GONE for held in self._held.values())
        return self._slots - unended - len(self._queue)

    def resize(self, slots: int) -> None:
        """Have at most so many attempts in Slurm's queue."""
        self._slots = slots

    def submit(self, submission: Submission) -> str:
        """Queue an attempt; it goes to Slurm at the next `poll`, with others that ask the same."""
        if submission.name in self._held or submission.name in self._queue:
            return submission.name
        if intended(submission) is None or self.reattach(submission) is None:
            self._queue.add(submission)
        return submission.name

    def poll(self, handles: Sequence[str], *, timeout_seconds: float) -> Mapping[str, Observation]:
        """Return the word about each handle.

        Raises SurroundingsError where Slurm refuses jobs, or where none of them comes to life.
        """
        deadline = time.monotonic() + timeout_seconds
        before = {handle: self._word(handle) for handle in handles}
        while True:
            self._refresh()
            words = {handle: self._word(handle) for handle in handles}
            left = deadline - time.monotonic()
            if words != before or left <= 0.0:
                return words
            time.sleep(min(ASKING_SECONDS if self._board.is_asking else LOOK_SECONDS, left))

    def cancel(self, handle: str, *, gently: bool) -> None:
        """Have Slurm end it, or send SIGTERM, which workers take as a wish; as often as it takes.

        One that waits in a queue is taken out of it.
        """
        if self._queue.drop(handle):
            self._dropped[handle] = Observation(State.GONE, None, True, "cancelled unsubmitted")
        held = self._held.get(handle)
        if held is not None and held.word.state is not State.GONE:
            held.gently = gently and held.gently is not False
            self._pass_on(held)

    def reattach(self, submission: Submission) -> str | None:
        """Return the handle of an attempt that Slurm still knows by the name of its job.

        One that ended while nobody looked is among them, for its verdict; one whose end is known
        is not. Where Slurm does not answer, it may live: it is held until Slurm says otherwise.
        """
        found, held = intended(submission), self._held.get(submission.name)
        if held is not None:
            return None if held.word.state is State.GONE else submission.name
        if found is None or Attempt(submission.folder).verdict() is not None:
            return None
        answered = self._board.look(now=True)
        job, task, packed = found
        row = self._board.row(job, task)
        if row is None and answered:
            return None
        held = _Held(submission, job, task, packed, time.monotonic())
        held.number = row.job if row is not None else ""
        self._held[submission.name] = held
        return submission.name

    def close(self) -> None:
        """Let what is with Slurm live on; what was not submitted yet stays so."""
        for held in self._held.values():
            if held.gently is not None and held.word.state is not State.GONE:
                self._pass_on(held)
        self._board.close()

    def _word(self, handle: str) -> Observation:
        held = self._held.get(handle)
        if held is not None:
            return held.word
        if handle in self._queue:
            return Observation(State.PENDING, reason="not submitted yet")
        return self._dropped.get(handle, Observation(State.GONE, reason="not of this engine"))

    def _refresh(self) -> None:
        for batch in self._queue.flush():
            self._hold(batch)
        unsure = [
            held
            for held in self._held.values()
            if not (held.word.state is State.GONE and held.word.certain)
        ]
        if any(self._has_ended(held) for held in unsure):
            self._board.hurry()
        self._board.look()
        for held in unsure:
            self._judge(held)

    def _hold(self, batch: Batch) -> None:
        """Take over what was submitted."""
        for task, unit in enumerate(batch.units):
            number = f"{batch.number}_{task}" if batch.is_array else batch.number
            for submission in unit.submissions:
                self._held[submission.name] = _Held(
                    submission,
                    batch.name,
                    task if batch.is_array else None,
                    len(unit.submissions) > 1,
                    time.monotonic(),
                    number,
                )
        self._board.hurry()

    def _has_ended(self, held: _Held) -> bool:
        """Tell whether the worker, or its pack, has said so."""
        return held.attempt.exit_file.exists() or (
            held.packed and slurm_pack.told(held.submission.folder) is not None
        )

    def _judge(self, held: _Held) -> None:
        """Form the word about an attempt from its own records and from what Slurm says."""
        row = self._board.row(held.job, held.task)
        if row is not None:
            held.number = row.job
        word = self._judged(held, row)
        waits_again = row is not None and row.state in WAITING and word.state is State.GONE
        if waits_again and held.gently is None:
            held.gently = False
        if held.gently is not None and self._board.asked > held.wished:
            self._pass_on(held)
        first = word.state is State.GONE and held.word.state is not State.GONE
        held.word = word
        if first:
            self._see(held)

    def _judged(self, held: _Held, row: Row | None) -> Observation:
        record = held.attempt.exit() or {}
        recorded = record.get("attempt") == held.attempt.number
        if held.packed and (told := slurm_pack.told(held.submission.folder)) is not None:
            return told
        if row is None:
            if self._board.asked < held.since:
                return held.word
            found = self._client.ended(held.number) if held.number and not recorded else None
            word = forgotten(recorded=recorded, found=found)
        else:
            word = judge(row, recorded=recorded)
        if held.packed:
            return self._of_pack(held, word)
        if is_unrecorded(word, recorded=recorded):
            now = time.monotonic()
            held.unrecorded = held.unrecorded or now
            if now - held.unrecorded < self._options.lag_seconds:
                return Observation(State.RUNNING, reason="its record is not visible yet")
        return word

    def _of_pack(self, held: _Held, word: Observation) -> Observation:
        """Return an attempt's part in the word about its allocation."""
        if word.state is State.GONE:
            return replace(word, code=None)
        started = bool(held.attempt.heartbeat())
        return word if started or word.state is State.PENDING else Observation(State.PENDING)

    def _pass_on(self, held: _Held) -> None:
        """Tell Slurm that an attempt is to end; what cannot be told now is told later."""
        if held.packed:
            slurm_pack.wish(held.submission.folder, gently=bool(held.gently))
            mates = [
                item
                for item in self._held.values()
                if (item.job, item.task) == (held.job, held.task)
            ]
            if any(mate.gently is None for mate in mates):
                return
        if not held.number:
            return
        held.wished = time.monotonic()
        row = self._board.row(held.job, held.task)
        try:
            if not held.gently and not held.packed:
                self._client.cancel(held.number)
            elif row is None or row.state not in RUNNING:
                self._client.cancel_if_waiting(held.number)
            elif not held.packed:
                self._client.ask_to_stop(held.number)
                held.gently = None
        except Unreachable:
            held.wished = 0.0
        self._board.hurry()

    def _see(self, held: _Held) -> None:
        """Look whether an attempt that ended had ever lived; give up where none does."""
        attempt = held.attempt
        if attempt.heartbeat() or attempt.exit() is not None:
            self._lived = True
        if self._lived or held.gently is not None or held.word.blameless:
            return
        if held.word.code in (None, 75):
            return
        self._blind += 1
        if self._blind >= BLIND:
            raise SurroundingsError(
                f"engine slurm: {self._blind} jobs ended before their first sign of life "
                f"({held.word.reason}{_last_line(attempt)}). Do the nodes see {attempt.root} and "
                f"{self._options.python}? Is `setup` of the place right?"
            )


def _last_line(attempt: Attempt) -> str:
    try:
        lines = attempt.log.read_text(errors="replace").split("\n")
    except OSError:
        return ""
    said = [line.strip() for line in lines if line.strip()]
    return f"; its log ends with: {said[-1][:300]}" if said else ""
