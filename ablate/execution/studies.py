"""A study's folder while it runs: the lease, the frozen file, the plan."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime
from pathlib import Path

from ablate.errors import SurroundingsError
from ablate.execution.book import Book
from ablate.execution.engines.local import LocalEngine
from ablate.execution.options import RunOptions
from ablate.execution.stages import preload_for
from ablate.execution.statusfile import plan_record
from ablate.store.files import surroundings, write_atomic, write_json
from ablate.store.layout import Store
from ablate.store.locks import Lock
from ablate.store.privacy import private
from ablate.store.reach import merge_grown


class PlanFile:
    """The plan of a study that runs, which may grow."""

    def __init__(self, store: Store, study: str, book: Book) -> None:
        """Keep ``book``; what it holds now is what the study's file asks for."""
        self._store, self._folder, self._book = store, store.study(study), book
        self._base = tuple(book.jobs)

    def write(self) -> None:
        """Replace the file, before anything of the plan is looked for in the store.

        What no stored plan names may be set aside, at any moment but this one.
        """
        with self._store.guard():
            self.write_guarded()

    def write_guarded(self) -> None:
        """Replace the file in a block that holds the store already."""
        record = merge_grown(self._folder, plan_record(self._book), base=self._base)
        with surroundings(self._folder):
            write_json(self._folder / "plan.json", record)


@contextmanager
def held_study(store: Store, study: str, *, book: Book, text: str | None) -> Iterator[PlanFile]:
    """Hold the study's lease for the block; the folder then has the study file and the plan.

    Raises SurroundingsError naming the holder where another controller runs the study.
    """
    store.create()
    folder = store.study(study)
    with surroundings(folder), private():
        folder.mkdir(parents=True, exist_ok=True)
    lease = Lock(folder / "lease")
    plan = PlanFile(store, study, book)
    try:
        with store.guard(), private(), surroundings(folder):
            if not lease.acquire(study=study):
                raise SurroundingsError(_held(study, lease))
            if text is not None:
                write_atomic(folder / "study.yaml", text.encode())
            plan.write_guarded()
        with private():
            yield plan
    finally:
        lease.release()


def _held(study: str, lease: Lock) -> str:
    holder = lease.holder()
    try:
        since = datetime.fromtimestamp(holder["since"]).strftime("%Y-%m-%d %H:%M:%S")
        where = f"process {holder['pid']} on {holder['host']}"
    except (KeyError, TypeError, ValueError, OverflowError, OSError):  # Not written yet, or damaged
        return f"study {study}: another controller runs it. Wait for it or stop it."
    return (
        f"study {study}: {where} has been running it since "
        f"{since}; one controller per study. Watch it with `ablate watch`, or stop it with "
        "`ablate ctl stop`."
    )


def local_engine(folder: Path, *, book: Book, options: RunOptions) -> LocalEngine:
    """Return a local engine that preloads what the study's jobs import, and logs in ``folder``."""
    local = options.local
    if not local.preload:
        stages = {job.stage for job in book.jobs.values()}
        local = replace(local, preload=preload_for(stages, options.entry_points))
    return LocalEngine(replace(local, log=local.log or folder / "forkserver.log"))
