"""Where a store lies: file systems, permissions and free space."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator
from pathlib import Path

from ablate.store.disk import reserve, space
from ablate.store.findings import Finding, Severity
from ablate.store.layout import Store
from ablate.store.privacy import SHARE_VARIABLE, umask

MOUNTS = Path("/proc/mounts")
NETWORK = frozenset(
    (
        *("nfs", "nfs4", "cifs", "smb3", "smbfs", "lustre", "gpfs", "beegfs", "ceph", "afs"),
        *("glusterfs", "fuse.glusterfs", "fuse.sshfs", "fuse.s3fs", "9p", "pvfs2", "wekafs"),
    )
)
"""Types of file systems that other machines share, as the kernel calls them."""
OWN = ("artifacts", "attempts", "studies", "trash", "pruned", "pins", "cache")


def room(store: Store) -> Iterator[Finding]:
    """Yield what is wrong with the places that a store's folders are in."""
    yield from _devices(store)
    yield from _elsewhere(store)
    yield from _network(store)
    yield from _permissions(store)
    disk = space(store.root)
    if disk.free < reserve(disk):
        text = f"{disk.free / 1e9:.1f} GB are free of {disk.total / 1e9:.0f} GB: studies will not "
        text += "start jobs. `ablate gc`, and `ablate gc --empty-trash`."
        yield Finding("space", Severity.WARNING, "", text, bytes=disk.free)


def _devices(store: Store) -> Iterator[Finding]:
    there = [store.root / name for name in ("artifacts", "attempts", "trash", "pruned")]
    devices = {path.name: os.stat(path).st_dev for path in there if path.is_dir()}
    if len(set(devices.values())) > 1:
        text = f"{', '.join(devices)} lie on different file systems, and results are renamed from "
        yield Finding("devices", Severity.ERROR, "", text + "one to the other. Move them together.")


def _elsewhere(store: Store) -> Iterator[Finding]:
    """Yield folders that are links into another store: two stores mixed share no locks."""
    for name in OWN:
        path = store.root / name
        if path.is_symlink() and path.exists():
            home = path.resolve().parent
            if home != store.root.resolve() and (home / "attempts").is_dir():
                text = f"is a link into another store, {home}: two stores share results and not "
                text += "the locks on them. Give the store folders of its own."
                yield Finding("mixed", Severity.ERROR, name, text)


def mount_type(path: Path, mounts: str) -> str:
    """Return the type of the file system that ``path`` is on, from the text of /proc/mounts."""
    best, kind = "", ""
    for line in mounts.splitlines():
        words = line.split()
        if len(words) < 3:
            continue
        # The kernel writes a space in a name as \040 (proc_pid_mounts(5)).
        point = words[1].replace("\\040", " ").rstrip("/") or "/"
        inside = point == "/" or path == Path(point) or Path(point) in path.parents
        if inside and len(point) >= len(best):
            best, kind = point, words[2]
    return kind


def _network(store: Store) -> Iterator[Finding]:
    if not MOUNTS.exists():
        return
    kind = mount_type(store.root.resolve(), MOUNTS.read_text(errors="replace"))
    if kind in NETWORK:
        text = f"lies on {kind}, a network file system: heartbeats are seen late there, and locks "
        text += "hold between machines only where its server has them. Keep one controller per "
        text += "study, and the store on a local disk where jobs run on this machine alone."
        yield Finding("network", Severity.NOTE, "", text)


def _permissions(store: Store) -> Iterator[Finding]:
    for path in (store.root, *(store.root / name for name in OWN)):
        if not path.is_dir():
            continue
        found = path.stat()
        where = "" if path == store.root else path.name
        if found.st_uid != os.geteuid():
            text = f"belongs to user {found.st_uid}; a store is its user's own."
            yield Finding("owner", Severity.WARNING, where, text)
        elif stat.S_IMODE(found.st_mode) & umask():
            text = f"others can open it ({stat.filemode(found.st_mode)}). A store that a group "
            text += f"shares is marked by {SHARE_VARIABLE}=group."
            mend = _closing(path)
            yield Finding("permissions", Severity.WARNING, where, text, mend=mend)


def _closing(path: Path) -> Callable[[], str | None]:
    def mend() -> str | None:
        path.chmod(stat.S_IMODE(path.stat().st_mode) & ~umask())
        return None

    return mend
