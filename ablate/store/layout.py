"""Where everything is: files are the truth.

``<store>/artifacts/<stage>/<fingerprint>/``    immutable, exists only if committed
``<store>/attempts/<fingerprint>/<n>/``         request, heartbeat, events, log, exit, work, scratch
``<store>/studies/<name>/``                     study file, plan, lease, status
``<store>/pruned/<stage>/<fingerprint>/``       records of an artifact whose weights were dropped
``<store>/pins/``                               what reports that exist show
``<store>/trash/``                              what was set aside; safe to delete
"""

from __future__ import annotations

import logging
import os
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ablate.errors import SurroundingsError
from ablate.store.attempts import Attempt, attempts_in
from ablate.store.files import surroundings
from ablate.store.locks import Lock
from ablate.store.manifest import Manifest, damage, read_manifest
from ablate.store.privacy import in_store, make_private
from ablate.store.pruned import pruned_damage
from ablate.store.trash import Trash

logger = logging.getLogger(__name__)

FOLDERS = ("artifacts", "attempts", "studies", "trash")
"""Made with the store; others come when they are needed."""
GUARD_SECONDS = 0.01
"""Between two tries to take the store's lock."""
ALWAYS_HASHED_BYTES = 64 << 20
"""Artifacts up to this size are hashed before they are used again, in about a tenth of a second."""


class Store:
    """Artifacts, attempts and studies below one folder, shared by any number of studies."""

    def __init__(self, root: Path | str) -> None:
        """Name the folder; `create` makes it."""
        self.root = Path(root).absolute()
        self._artifacts = str(self.root / "artifacts")

    def create(self) -> None:
        """Make the folders.

        Raises SurroundingsError where that is impossible, or where an artifact could not be
        renamed into place because the folders lie on different file systems.
        """
        with surroundings(self.root):
            if not self.root.exists():
                make_private(self.root)
            for name in FOLDERS:
                make_private(self.root / name)
        devices = {os.stat(self.root / name).st_dev for name in ("artifacts", "attempts", "trash")}
        if len(devices) > 1:
            raise SurroundingsError(
                f"{self.root}: artifacts, attempts and trash lie on different file systems; "
                "one is needed, because results are renamed into place. Move them together."
            )

    def artifact(self, stage: str, fingerprint: str) -> Path:
        """Return the folder of an artifact, committed or not."""
        return Path(self._artifacts, in_store(stage), in_store(fingerprint))

    def has(self, stage: str, fingerprint: str, *, hashes: bool = False) -> bool:
        """Tell whether an artifact is committed and every file has its size (and content)."""
        manifest = self.manifest(stage, fingerprint)
        folder = self.artifact(stage, fingerprint)
        if manifest is None or folder.is_symlink():
            return False
        return damage(folder, manifest.files, hashes=hashes) is None

    def manifest(self, stage: str, fingerprint: str) -> Manifest | None:
        """Return an artifact's record; None where it is missing or unreadable."""
        return read_manifest(self.artifact(stage, fingerprint))

    def intact(self, stage: str, fingerprint: str, *, hashes: bool = False) -> Manifest | None:
        """Return the record of an artifact that is whole; move a damaged one to the trash.

        Contents are compared up to `ALWAYS_HASHED_BYTES`, beyond that only with ``hashes``.
        A damaged artifact is a lost cache: it costs a recompute, never a wrong number.
        """
        # As text: of ten thousand artifacts the paths alone would take a fifth of the time.
        folder = f"{self._artifacts}/{in_store(stage)}/{in_store(fingerprint)}"
        try:
            is_link = stat.S_ISLNK(os.lstat(folder).st_mode)
        except OSError:
            return None
        manifest = None if is_link else read_manifest(folder)
        if manifest is None or (manifest.stage, manifest.fingerprint) != (stage, fingerprint):
            problem: str | None = "no readable manifest of its own"
        else:
            size = sum(entry.size for entry in manifest.files.values())
            problem = damage(folder, manifest.files, hashes=hashes or size <= ALWAYS_HASHED_BYTES)
        if problem is None:
            return manifest
        logger.warning("artifact %s-%s is damaged (%s); recomputing", stage, fingerprint, problem)
        self.discard(Path(folder), why=f"damaged: {problem}")
        return None

    def discard(self, folder: Path, *, why: str = "") -> None:
        """Move a folder to the trash; it vanishes from its place in one step."""
        Trash(self.root).put(folder, why=why)

    def empty_trash(self) -> None:
        """Delete what was set aside."""
        trash = Trash(self.root)
        trash.delete(trash.entries())

    def pruned(self, stage: str, fingerprint: str) -> Path:
        """Return the folder of the records of an artifact whose weights were dropped, or not."""
        return self.root / "pruned" / in_store(stage) / in_store(fingerprint)

    def records(self, stage: str, fingerprint: str, *, hashes: bool = False) -> Path | None:
        """Return a folder with an artifact's manifest and records, None where there is none whole.

        The artifact itself, or what was kept when its weights were dropped: enough for a report,
        never the input of a job.
        """
        if self.has(stage, fingerprint, hashes=hashes):
            return self.artifact(stage, fingerprint)
        folder = self.pruned(stage, fingerprint)
        return folder if pruned_damage(folder, hashes=hashes) is None else None

    def attempts(self, fingerprint: str) -> list[Attempt]:
        """Return the attempts of a job, oldest first."""
        return attempts_in(self.job(fingerprint))

    def job(self, fingerprint: str) -> Path:
        """Return the folder of a job's attempts."""
        return self.root / "attempts" / in_store(fingerprint)

    def claim(self, fingerprint: str) -> Lock:
        """Return the lock that says which controller runs a job."""
        with surroundings(self.job(fingerprint)):
            self.job(fingerprint).mkdir(parents=True, exist_ok=True)
        return Lock(self.job(fingerprint) / "claim")

    def study(self, name: str) -> Path:
        """Return the folder of a study."""
        return self.root / "studies" / in_store(name)

    @contextmanager
    def guard(self) -> Iterator[None]:
        """Hold the store for the block: plans are written, and things set aside, one at a time.

        What is set aside is what no plan reaches, so no plan may be written between the look and
        the move. The block is short, and nothing else waits for it.
        """
        lock = Lock(self.root / "guard")
        with surroundings(self.root):
            self.root.mkdir(parents=True, exist_ok=True)
        while not lock.acquire(purpose="plans"):
            time.sleep(GUARD_SECONDS)
        try:
            yield
        finally:
            lock.release()
