"""The controller's ear: a Unix socket of one user, one line of JSON in, one line out.

Nothing that comes in reaches the study but a `Command` that `read_command` has checked; threads of
their own listen, so whatever a client does or leaves undone, the scheduling loop never waits.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
import os
import socket
import stat
import struct
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from ablate.errors import SurroundingsError
from ablate.execution.steering import Wishes, read_command
from ablate.store.files import surroundings, write_json
from ablate.store.layout import Store

logger = logging.getLogger(__name__)

SOCKET_FILE = "socket.json"
"""In the study's folder: where its controller listens."""
LONGEST_PATH = 100
"""Bytes of a socket's path; the kernel takes 107 on Linux and 103 on macOS."""
LONGEST_LINE = 1 << 20
"""Bytes of a request: the fingerprints of 50,000 jobs."""
LONGEST_MESSAGE = 1000
"""Characters of what is said about a wrong request."""
MOST_CLIENTS = 16
"""At a time; more are turned away."""
IDLE_SECONDS = 10.0
"""For a client to send its line, and to take its answer."""
ANSWER_SECONDS = 30.0
"""For the controller to come to a command."""


def socket_path(store: Store, study: str) -> Path:
    """Return where the controller of a study listens; makes the user's private folder.

    The name is a hash, because a store may lie deeper than a socket's path can be long. Raises
    SurroundingsError where no folder is this user's alone.
    """
    identity = f"{os.path.realpath(store.root)}\0{study}"
    name = hashlib.sha256(identity.encode(errors="surrogateescape")).hexdigest()[:16] + ".sock"
    problems = []
    for folder in rooms():
        if len(os.fsencode(folder / name)) > LONGEST_PATH:
            problems.append(f"{folder}: too long for a socket")
        elif problem := _not_private(folder):
            problems.append(problem)
        else:
            return folder / name
    raise SurroundingsError("; ".join(problems) + ". Set XDG_RUNTIME_DIR to a folder of your own.")


def rooms() -> list[Path]:
    """Return the folders in which a socket may lie, the first choice first, each once."""
    found = []
    if runtime := os.environ.get("XDG_RUNTIME_DIR"):
        found.append(Path(runtime) / "ablate")
    own = f"ablate-{os.geteuid()}"
    found += [Path(tempfile.gettempdir()) / own, Path("/tmp") / own]  # noqa: S108
    return list(dict.fromkeys(found))


def _not_private(folder: Path) -> str:
    """Make ``folder`` if need be; return why it is not this user's alone, or nothing."""
    try:
        with contextlib.suppress(FileExistsError):
            folder.mkdir(mode=0o700)
        found = folder.lstat()  # not through a link that somebody else has put there
    except OSError as error:
        return f"{folder}: {error.strerror}"
    if not stat.S_ISDIR(found.st_mode):
        return f"{folder}: no folder"
    if found.st_uid != os.geteuid():
        return f"{folder}: belongs to another user"
    if stat.S_IMODE(found.st_mode) & 0o077:
        return f"{folder}: open to other users (chmod 700 closes it)"
    return ""


def peer_user(connection: socket.socket) -> int | None:
    """Return the user at the other end; None where the system does not say (not Linux)."""
    if not hasattr(socket, "SO_PEERCRED"):
        return None
    packed = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
    return int(struct.unpack("3i", packed)[1])


def is_trusted(user: int | None) -> bool:
    """Tell whether that user may steer, or be steered by, this process: itself or root."""
    return user in (None, 0, os.geteuid())


class SocketServer:
    """Listens for one study, from the making of it until `close`."""

    def __init__(self, store: Store, study: str, wishes: Wishes) -> None:
        """Listen, and write into the study's folder where.

        The caller holds the study, so a socket file that is there already is a dead controller's.
        Raises SurroundingsError where the socket cannot be made.
        """
        self.path = socket_path(store, study)
        self._place = store.study(study) / SOCKET_FILE
        self._wishes = wishes
        self._clients = threading.BoundedSemaphore(MOST_CLIENTS)
        self._closing = threading.Event()
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        with surroundings(self.path):
            with contextlib.suppress(FileNotFoundError):
                self.path.unlink()
            self._socket.bind(str(self.path))
            # Before it listens: until then nobody can connect.
            self.path.chmod(0o600)
            self._socket.listen(MOST_CLIENTS)
            self._inode = self.path.stat().st_ino
            place = {"schema": 1, "path": str(self.path), "user": os.geteuid(), "pid": os.getpid()}
            write_json(self._place, place, durable=False)
        self._thread = threading.Thread(target=self._listen, name="socket", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Listen no more, and tell those who still wait that the study has ended."""
        self._closing.set()
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)  # wakes the thread in `accept`
        self._thread.join(IDLE_SECONDS)
        self._socket.close()
        with contextlib.suppress(OSError):
            if self.path.stat().st_ino == self._inode:
                self.path.unlink()
                self._place.unlink()
        for command in self._wishes.take():
            command.answer(ok=False, message="the study ended before it came to this")

    def _listen(self) -> None:
        while not self._closing.is_set():
            try:
                connection, _ = self._socket.accept()
            except OSError:
                # Too many open files, or the end; without a pause the former would take a core.
                time.sleep(0.1)
                continue
            if not self._clients.acquire(blocking=False):
                _say(connection, ok=False, message="too many clients at once; try again")
                connection.close()
                continue
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        try:
            with connection:
                connection.settimeout(IDLE_SECONDS)
                if not is_trusted(peer_user(connection)):
                    _say(connection, ok=False, message="this study belongs to another user")
                    return
                while (line := _line(connection)) is not None:
                    if not _say(connection, **self._answer(line)):
                        return
        except Exception:  # A client must not end more than its own connection.
            logger.exception("a client of the study's socket")
        finally:
            self._clients.release()

    def _answer(self, line: bytes) -> Mapping[str, Any]:
        try:
            command = read_command(line)
        except ValueError as error:
            return {"ok": False, "message": str(error)[:LONGEST_MESSAGE]}
        if self._closing.is_set():
            return {"ok": False, "message": "the study has ended"}
        self._wishes.put(command)
        answer = command.wait(ANSWER_SECONDS)
        if answer is None:
            message = "the controller is busy; it will do so when it comes to it"
            return {"ok": False, "pending": True, "message": message}
        return answer


@contextlib.contextmanager
def listening(store: Store, study: str, wishes: Wishes) -> Iterator[Path | None]:
    """Listen for the block; yields the socket, or None where there can be none.

    A study that cannot be steered is better than none, so that is a warning.
    """
    try:
        server = SocketServer(store, study, wishes)
    except SurroundingsError as error:
        logger.warning("the study cannot be steered while it runs: %s", error)
        yield None
        return
    try:
        yield server.path
    finally:
        server.close()


def _line(connection: socket.socket) -> bytes | None:
    """Return the next line, or None at the end, at silence, and where it is too long or torn."""
    deadline = time.monotonic() + IDLE_SECONDS
    buffer = bytearray()
    try:
        while (end := buffer.find(b"\n")) < 0:
            if len(buffer) > LONGEST_LINE:
                _say(connection, ok=False, message=f"more than {LONGEST_LINE} bytes in a request")
                return None
            # A byte now and then must not hold a place for ever.
            connection.settimeout(max(0.01, deadline - time.monotonic()))
            if not (chunk := connection.recv(1 << 16)):
                return None
            buffer += chunk
    except OSError:
        return None
    if end + 1 != len(buffer):
        _say(connection, ok=False, message="one request at a time: wait for its answer")
        return None
    return bytes(buffer[:end])


def _say(connection: socket.socket, **answer: Any) -> bool:
    """Send one line; False where the client does not take it."""
    try:
        connection.settimeout(IDLE_SECONDS)
        connection.sendall(json.dumps(answer).encode() + b"\n")
    except OSError:
        return False
    return True
