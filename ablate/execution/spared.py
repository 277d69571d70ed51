"""Jobs whose weights were dropped: done as long as nobody needs the weights again."""

from __future__ import annotations

from ablate.execution.book import Book, JobState
from ablate.plan.job import Job
from ablate.store.layout import Store
from ablate.store.manifest import Manifest, read_manifest
from ablate.store.pruned import pruned_damage, unneeded

THERE = (JobState.DONE, JobState.CACHED)


class Spared:
    """Which jobs of a book count as done although only their records are left."""

    def __init__(self, store: Store, book: Book) -> None:
        """Look at nothing yet."""
        self._store, self._book = store, book
        self._spared: set[str] = set()
        self._known: dict[str, bool] = {}

    def look(self) -> list[tuple[Job, Manifest]]:
        """Return the jobs that need not run, with their records; reopen those that must after all.

        Asked again when the book has grown: a new job may read what was spared.
        """
        if not self._spared and not (self._store.root / "pruned").is_dir():
            return []
        book = self._book
        there = {n for n, state in book.states.items() if state in THERE} - self._spared
        waiting = (n for n, state in book.states.items() if state is JobState.WAITING)
        pruned = {name for name in waiting if self._is_pruned(name)} | self._spared
        inputs = {n: {up.fingerprint for _, up in job.inputs} for n, job in book.jobs.items()}
        spare = unneeded(book.jobs, inputs, there=there, pruned=pruned)
        for name in self._spared - spare:
            book.reopen(book.jobs[name])
        new = spare - self._spared
        self._spared = spare
        jobs = (book.jobs[name] for name in book.jobs if name in new)
        return [(job, self._manifest(job)) for job in jobs]

    def _is_pruned(self, name: str) -> bool:
        if name not in self._known:
            folder = self._store.pruned(self._book.jobs[name].stage, name)
            self._known[name] = folder.is_dir() and pruned_damage(folder) is None
        return self._known[name]

    def _manifest(self, job: Job) -> Manifest:
        manifest = read_manifest(self._store.pruned(job.stage, job.fingerprint))
        assert manifest is not None, "looked at a moment ago"
        return manifest
