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


@contextmanager
def held_study(store: Store, study: str, *, book: Book, text: str | None) -> Iterator[None]:
    """Hold the study's lease for the block; the folder then has the study file and the plan.

    Raises SurroundingsError naming the holder where another controller runs the study.
    """
    store.create()
    folder = store.study(study)
    with surroundings(folder):
        folder.mkdir(parents=True, exist_ok=True)
    lease = Lock(folder / "lease")
    if not lease.acquire(study=study):
        raise SurroundingsError(_held(study, lease))
    try:
        with surroundings(folder):
            if text is not None:
                write_atomic(folder / "study.yaml", text.encode())
            write_json(folder / "plan.json", plan_record(book))
        yield
    finally:
        lease.release()


def _held(study: str, lease: Lock) -> str:
    holder = lease.holder()
    if not holder:
        return f"study {study}: another controller runs it. Wait for it or stop it."
    since = datetime.fromtimestamp(holder["since"]).strftime("%Y-%m-%d %H:%M:%S")
    return (
        f"study {study}: process {holder['pid']} on {holder['host']} has been running it since "
        f"{since}; one controller per study. Watch it with `ablate status`, or stop that process."
    )


def local_engine(folder: Path, *, book: Book, options: RunOptions) -> LocalEngine:
    """Return a local engine that preloads what the study's jobs import, and logs in ``folder``."""
    local = options.local
    if not local.preload:
        stages = {job.stage for job in book.jobs.values()}
        local = replace(local, preload=preload_for(stages, options.entry_points))
    return LocalEngine(replace(local, log=local.log or folder / "forkserver.log"))
