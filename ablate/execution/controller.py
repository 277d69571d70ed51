"""Run a study's jobs: the only process that commits, and the only one per study."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable
from pathlib import Path

from ablate.errors import SurroundingsError
from ablate.execution.book import Book, JobState
from ablate.execution.choosing import Choice
from ablate.execution.engines.protocol import Engine, Observation, Resources, State
from ablate.execution.failures import Failure, FailureClass
from ablate.execution.fuse import blown
from ablate.execution.halting import STATE_NAMES, Brake, Halt
from ablate.execution.helm import Helm
from ablate.execution.launching import Found, Later, Launchpad, Shared
from ablate.execution.ledger import Ledger
from ablate.execution.linux import out_of_memory_kills
from ablate.execution.listener import Guarded, Listener
from ablate.execution.options import Ahead, Outcome, RunOptions
from ablate.execution.spared import Spared
from ablate.execution.statusfile import StatusFile
from ablate.execution.studies import held_study, local_engine
from ablate.execution.warden import Patience, Warden
from ablate.execution.watching import Running, is_dead, verdict
from ablate.plan.job import Job
from ablate.store.commit import CommitRefused, commit
from ablate.store.disk import DiskGuard
from ablate.store.layout import Store
from ablate.store.manifest import Manifest

logger = logging.getLogger(__name__)

POLL_SECONDS = 0.25
"""Longest wait for the engine; also how often progress is looked at."""
SHARED_SECONDS = 0.5
"""Between two looks at a job that another study runs."""


def run_study(
    plan_jobs: Iterable[Job],
    *,
    store: Store,
    study_name: str,
    options: RunOptions | None = None,
    listener: Listener | None = None,
) -> Outcome:
    """Run ``plan_jobs`` and what they read from, in that order, until all is done or stopped.

    Running the same again goes on where the last controller ended, however it ended. Raises
    SurroundingsError where another controller runs the study, or where the store cannot be
    written; what ran is then killed and nothing is left half-written.
    """
    options = options or RunOptions()
    book = Book(plan_jobs)
    held = held_study(store, study_name, book=book, text=options.study_text)
    with held as plan, options.while_held():
        engine = options.engine or local_engine(store.study(study_name), book=book, options=options)
        brake = Brake()
        if options.handle_signals:
            brake.install()
        controller = Controller(
            store, study_name, book=book, options=options, engine=engine, brake=brake
        )
        controller.listener = Guarded(*([listener] if listener is not None else []))
        controller.grew = plan.write
        try:
            return controller.run()
        finally:
            controller.kill()
            if options.engine is None:
                engine.close()
            controller.release()
            brake.uninstall()


class Controller:
    """The scheduling loop of one study."""

    def __init__(
        self,
        store: Store,
        study: str,
        *,
        book: Book,
        options: RunOptions,
        engine: Engine,
        brake: Brake,
    ) -> None:
        """Prepare; `run` does the work."""
        self.listener: Listener = Listener()
        self.grew: Callable[[], None] = lambda: None
        self._store, self._book = store, book
        self._options, self._engine = options, engine
        self._launchpad = Launchpad(
            store, study, options=options, engine=engine, levels=book.levels
        )
        self._status = StatusFile(store.study(study) / "status.json", study)
        self._brake = brake
        self._running: dict[str, Running] = {}
        self._helm = Helm(
            book,
            engine=engine,
            brake=brake,
            options=options,
            give_up=lambda job, failure: self._give_up(job, failure, attempt=0),
        )
        for name, level in options.priorities.items():
            book.prioritize([name], level)
        self._choice = Choice(options.wanted)
        self._spared = Spared(store, book)
        self._disk = DiskGuard(store.root)
        self._look_again: dict[str, float] = {}
        self._ledger = Ledger(retries=options.retries, budget=options.budget_retries)
        patience = Patience(
            stale=options.stale_seconds,
            hung=options.hung_seconds,
            idle=options.idle_seconds,
            stop=options.stop_seconds,
        )
        self._warden = Warden(engine, patience, note=lambda text: self.listener.note(text))
        self._spent_seconds = 0.0
        self._stop_deadline = 0.0
        self._grown = True
        self._told = ""

    def run(self) -> Outcome:
        """Run until nothing runs and nothing more can start."""
        started = time.monotonic()
        self._find_cached(self._book.jobs.values())
        while True:
            for command in self._options.wishes.take():
                self._helm.obey(command, self._running)
                self._choice.forget()
            self._check_limits()
            self._tell_state()
            self._grow()
            self._admit()
            if not self._running and (self._brake.level or not self._book.waiting()):
                if self._brake.level or self._options.grow is None or not self._grown:
                    break
                continue  # What was found or given up in place of a start may ask for more.
            self._wait()
            self._write_status(self._state())
        self._write_status("ended")
        stopped = self._brake.reason or None
        seconds = time.monotonic() - started
        book = self._book
        return Outcome(dict(book.states), book.failures, book.skipped, stopped, seconds)

    def kill(self) -> None:
        """Kill what still runs; attempts stay as they are.

        What survives a controller goes on unless the study was stopped on purpose.
        """
        if self._engine.survives and self._brake.level < Halt.STOP:
            return
        for running in self._running.values():
            self._engine.cancel(running.handle, gently=False)

    def release(self) -> None:
        """Give up every claim, so that another study can run the jobs."""
        for running in self._running.values():
            running.claim.release()
        self._running.clear()

    def _state(self) -> str:
        paused = self._helm.is_paused and self._brake.level is Halt.NONE
        return "paused" if paused else STATE_NAMES[self._brake.level]

    def _tell_state(self) -> None:
        """Tell the listener at once when the study pauses, goes on, drains or stops."""
        state = "killing" if self._brake.level is Halt.KILL else self._state()
        if state != self._told:
            self._told = state
            self.listener.study_state(state, self._brake.reason)

    def _grow(self) -> None:
        """Take the jobs that results have made necessary, until no further ones are."""
        while self._grown and self._options.grow is not None:
            self._grown = False
            if new := self._book.add(self._options.grow(dict(self._book.states))):
                self.grew()
                self._choice.forget()
                for job in new:
                    if level := self._options.priorities.get(job.fingerprint, 0):
                        self._book.prioritize([job.fingerprint], level)
                self._find_cached(new)

    def _find_cached(self, jobs: Iterable[Job]) -> None:
        for job in jobs:
            manifest = self._store.intact(job.stage, job.fingerprint)
            if manifest is not None:
                self._found(job, manifest)
        for job, manifest in self._spared.look():
            self._found(job, manifest)

    def _found(self, job: Job, manifest: Manifest) -> None:
        self._book.finish(job, JobState.CACHED)
        self._grown = True
        self._status.took(job, manifest.wall_seconds)
        self.listener.job_cached(job, manifest)

    def _check_limits(self) -> None:
        left = self._helm.seconds_left
        if left is not None and left <= 0.0:
            self._pull(Halt.STOP, "the time is up")
        budget = self._helm.budget_seconds
        if budget is not None and self._spent() >= budget:
            self._pull(Halt.DRAIN, "the budget is spent")
        if reason := self._disk.reason(self._written()):
            self._pull(Halt.DRAIN, reason)
        if self._brake.level >= Halt.STOP:
            self._stop_running()

    def _written(self) -> list[tuple[Job, Path]]:
        return [(item.job, item.attempt.folder) for item in self._running.values()]

    def _check_fuse(self) -> None:
        stages = {name: job.stage for name, job in self._book.jobs.items()}
        good = (JobState.DONE, JobState.CACHED)
        succeeded = frozenset(
            stages[name] for name, state in self._book.states.items() if state in good
        )
        falls = self._ledger.falls(set(self._book.failures))
        if reason := blown(falls, succeeded, fuse=self._options.fuse):
            self._pull(Halt.DRAIN, reason)

    def _pull(self, level: Halt, reason: str) -> None:
        if self._brake.pull(level, reason):
            logger.info("%s: %s", STATE_NAMES[level], reason)
            self._tell_state()

    def _stop_running(self) -> None:
        now = time.monotonic()
        self._stop_deadline = self._stop_deadline or now + self._options.stop_seconds
        at_once = self._brake.level >= Halt.KILL or now > self._stop_deadline
        for running in self._running.values():
            if at_once or not running.is_stopping:
                self._engine.cancel(running.handle, gently=not at_once)
                running.is_stopping = True

    def _spent(self) -> float:
        """Return the seconds of devices that this run has used; of slots where there is none."""
        now = time.monotonic()
        running = (
            (now - item.started) * max(1, item.devices)
            for item in self._running.values()
            if item.devices
        )
        return self._spent_seconds + sum(running)

    def _admit(self) -> None:
        """Start what can start: by priority, then in the plan's order."""
        if self._brake.level or self._helm.is_paused:
            return
        now = time.monotonic()
        ready = self._book.ready()
        wanted = self._choice.made(self._ahead) if ready else None
        left_out = 0
        for job in ready:
            if self._brake.level or not self._has_room():
                return
            if wanted is not None and job.fingerprint not in wanted:
                left_out += 1
            elif self._look_again.get(job.fingerprint, 0.0) <= now:
                if self._engine.capacity(self._launchpad.resources(job)) > 0:
                    if reason := self._disk.reason(self._written(), job):
                        self._pull(Halt.DRAIN, reason)
                        return
                    self._launch(job)
        if ready and left_out == len(ready) and not self._running and self._choice.is_last_word():
            self._pull(Halt.DRAIN, "nothing that is left would end in time")

    def _ahead(self) -> Ahead:
        budget = self._helm.budget_seconds
        return Ahead(
            states=dict(self._book.states),
            fractions={item.job.fingerprint: item.fraction for item in self._running.values()},
            seconds=self._helm.seconds_left,
            device_seconds=None if budget is None else budget - self._spent(),
            slots=len(self._running)
            + max(self._engine.capacity(Resources(devices)) for devices in (0, 1)),
        )

    def _has_room(self) -> bool:
        return any(self._engine.capacity(Resources(devices)) > 0 for devices in (0, 1))

    def _launch(self, job: Job) -> None:
        result = self._launchpad.launch(job)
        if isinstance(result, Running):
            self._book.start(job)
            self._running[result.handle] = result
            logger.info("job %s-%s: started", job.stage, result.attempt.name)
            self.listener.job_started(job, result.attempt.number)
        elif isinstance(result, Found):
            if result.recovered:
                self._committed(job, result.manifest)
            else:
                self._found(job, result.manifest)
        elif isinstance(result, Shared):
            if job.fingerprint not in self._look_again:
                self.listener.job_shared(job, result.holder)
            self._look_again[job.fingerprint] = time.monotonic() + SHARED_SECONDS
        elif not isinstance(result, Later):
            self._give_up(job, result, attempt=0)

    def _wait(self) -> None:
        if not self._running:
            time.sleep(min(POLL_SECONDS, SHARED_SECONDS))
            return
        words = self._engine.poll(list(self._running), timeout_seconds=POLL_SECONDS)
        now = time.monotonic()
        for handle, word in words.items():
            running = self._running[handle]
            if word.state is State.PENDING:  # A queue is no time of the job's, nor of a budget.
                running.started = now
            if running.look(now):
                self.listener.job_progress(running.job, running.progress)
            if is_dead(word, running.pulse, stale_seconds=self._options.stale_seconds):
                self._end(running, word)
            elif word.state is State.RUNNING:
                self._warden.watch(running, now)

    def _end(self, running: Running, word: Observation) -> None:
        """Commit or judge an attempt whose process is gone."""
        del self._running[running.handle]
        self._spent_seconds += (time.monotonic() - running.started) * running.devices
        self._choice.forget()
        try:
            kills = (out_of_memory_kills() or 0) - (running.memory_kills or 0)
            failure = verdict(running.attempt, word, memory_kills=kills)
            if failure is None:
                try:
                    self._committed(running.job, commit(self._store, running.attempt))
                    running.attempt.drop_bulk()
                    return
                except CommitRefused as refusal:
                    failure = Failure(FailureClass.WORKER_LOST, str(refusal))
            self._failed(running, running.blamed or failure)
        finally:
            running.claim.release()

    def _committed(self, job: Job, manifest: Manifest) -> None:
        self._book.finish(job, JobState.DONE)
        self._grown = True
        self._status.took(job, manifest.wall_seconds)
        name = f"{job.stage}-{job.fingerprint}"
        logger.info("job %s: committed (%.1f s)", name, manifest.wall_seconds)
        self.listener.job_committed(job, manifest)

    def _failed(self, running: Running, failure: Failure) -> None:
        job, name = running.job, running.job.fingerprint
        if name in self._helm.cancelled:
            self._helm.cancelled.discard(name)
            failure = Failure(FailureClass.CANCELLED, "cancelled by the user")
        seconds = running.seconds(time.monotonic())
        stopped = running.is_stopping or self._brake.level > Halt.NONE
        if self._ledger.judge(running, failure, seconds=seconds, stopped=stopped).retried:
            logger.info("job %s-%s: %s", job.stage, running.attempt.name, failure.kind)
            self._book.back(job)
            self.listener.job_failed(job, failure, attempt=running.attempt.number, retried=True)
            return
        self._give_up(job, failure, attempt=running.attempt.number)
        if failure.kind is FailureClass.DISK_FULL:
            raise SurroundingsError(failure.message)

    def _give_up(self, job: Job, failure: Failure, *, attempt: int) -> None:
        skipped = self._book.fail(job, failure)
        self._grown = True
        text = f"{failure.kind}: {failure.message}"
        logger.info("job %s-%s: failed, %s", job.stage, job.fingerprint, text)
        self.listener.job_failed(job, failure, attempt=attempt, retried=False)
        for reader in skipped:
            self.listener.job_skipped(reader, self._book.skipped[reader.fingerprint])
        self._check_fuse()

    def _write_status(self, state: str) -> None:
        self._status.write(
            self._book,
            self._running.values(),
            state=state,
            reason=self._brake.reason,
            settings=self._helm.state(),
        )
