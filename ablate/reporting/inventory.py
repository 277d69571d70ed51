"""What a store has of a plan's jobs, every artifact looked at once however many runs share it."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from ablate.plan.job import Job
from ablate.reporting.item_pool import cores
from ablate.store.layout import Store
from ablate.store.manifest import Manifest, read_manifest


class Inventory:
    """The artifacts of some jobs as they are now."""

    def __init__(self, store: Store, jobs: Iterable[Job], *, hashed: Collection[str]) -> None:
        """Check every job's artifact; of the stages ``hashed`` the contents too."""
        self._store = store
        self._manifests: dict[tuple[str, str], Manifest | None] = {}
        unique = {job.fingerprint: job for job in jobs}

        def there(job: Job) -> Path | None:
            return store.records(job.stage, job.fingerprint, hashes=job.stage in hashed)

        # Hashing leaves the interpreter free, so gigabytes of samples take all cores.
        with ThreadPoolExecutor(cores()) as threads:
            found = threads.map(there, unique.values())
            self._there = dict(zip(unique, found, strict=True))

    def folder(self, job: Job) -> Path | None:
        """Return the artifact of a job, or its records where the weights were dropped.

        None where there is neither, or it is damaged.
        """
        return self._there[job.fingerprint]

    def manifest(self, stage: str, fingerprint: str) -> Manifest | None:
        """Return the record of any artifact of the store, or None where it has none."""
        key = (stage, fingerprint)
        if key not in self._manifests:
            self._manifests[key] = self._store.manifest(stage, fingerprint) or read_manifest(
                self._store.pruned(stage, fingerprint)
            )
        return self._manifests[key]
