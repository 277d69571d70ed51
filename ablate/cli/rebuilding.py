"""Write the records of a stored study anew from what the files say."""

from __future__ import annotations

import os
from pathlib import Path

from ablate.cli.growing import as_grown
from ablate.cli.opening import OpenStudy
from ablate.errors import AblateError
from ablate.execution.book import Book, JobState
from ablate.execution.failures import failure_from
from ablate.execution.statusfile import StatusFile, plan_record
from ablate.plan.build import plan_study
from ablate.plan.record import RUNS, plan_document
from ablate.reporting.opened import loaded_study
from ablate.store.files import read_json, write_json
from ablate.store.layout import Store
from ablate.store.locks import Lock
from ablate.store.privacy import private
from ablate.store.reach import PLAN, merge_grown

STATUS = "status.json"


def rebuild(store: Store, study: str) -> str | None:
    """Write the records of a study that cannot be read; return why that is not possible, or None.

    The stored study file is planned again. Where it was changed on the command line and the record
    of that is lost, the plan may be another one: then the other record, where it can be read, must
    agree.
    """
    folder = store.study(study)
    lease = Lock(folder / "lease")
    with store.guard(), private():
        if not lease.acquire(study=study, purpose="doctor"):
            return "a controller runs the study; it writes them itself"
        try:
            return _rebuild(store, study, folder)
        finally:
            lease.release()


def _rebuild(store: Store, study: str, folder: Path) -> str | None:
    torn = [name for name in (PLAN, RUNS, STATUS) if _is_torn(folder / name)]
    if not torn:  # Mended already, with another record of the study.
        return None
    try:
        loaded = loaded_study(study, store)
        plan = as_grown(OpenStudy(loaded, plan_study(loaded)), store).plan
    except AblateError as error:
        return f"{error} Run the study again, which writes them: ablate run FILE"
    book = Book(plan.jobs)
    if PLAN in torn or RUNS in torn:
        other = read_json(folder / (RUNS if PLAN in torn else PLAN))
        known = {str(job.get("fingerprint")) for job in (other or {}).get("jobs", [])}
        if known and not book.jobs.keys() <= known:
            return "the study file gives another plan than the record that is left. Run it again."
    if PLAN in torn:
        write_json(folder / PLAN, merge_grown(folder, plan_record(book), base=tuple(book.jobs)))
    if RUNS in torn:
        source = {"folder": os.getcwd(), "sets": []}
        write_json(folder / RUNS, {**plan_document(plan), **source})
    _write_status(store, study, book)
    return None


def _is_torn(path: Path) -> bool:
    if not path.exists():
        return False
    record = read_json(path)
    known = isinstance(record, dict)
    return not known or (path.name != STATUS and not isinstance(record.get("jobs"), list))


def _write_status(store: Store, study: str, book: Book) -> None:
    """Write how far a study is: what is committed, what failed for good, what waits."""
    for job in list(book.jobs.values()):
        if store.records(job.stage, job.fingerprint) is not None:
            book.finish(job, JobState.CACHED)
            continue
        attempts = store.attempts(job.fingerprint)
        judged = attempts[-1].verdict() if attempts else None
        if judged is not None and book.states[job.fingerprint] is JobState.WAITING:
            book.fail(job, failure_from(judged))
    StatusFile(store.study(study) / STATUS, study).write(book, [], state="ended")
