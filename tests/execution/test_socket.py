"""The socket of a running study: private, strict, and never in the study's way."""

import json
import os
import random
import socket
import stat
import tempfile
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from toy_study import OPTIONS, contents, pairs, run

from ablate.errors import SurroundingsError
from ablate.execution.options import Outcome
from ablate.execution.socket_client import ask
from ablate.execution.socket_server import (
    LONGEST_LINE,
    MOST_CLIENTS,
    SocketServer,
    listening,
    rooms,
    socket_path,
)
from ablate.execution.steering import Verb, Wishes, read_command
from ablate.store.layout import Store
from ablate.store.locks import Lock


@pytest.fixture(autouse=True)
def runtime(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A runtime folder of this test alone."""
    folder = tmp_path / "run"
    folder.mkdir(mode=0o700)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(folder))
    return folder


class Listening:
    """A study in a thread that listens, and whose one job waits for a gate."""

    def __init__(self, folder: Path) -> None:
        self.store, self.gate = Store(folder / "store"), folder / "gate"
        self.jobs = [pairs("wait", location=str(self.gate))]
        self.wishes, self.held = Wishes(), threading.Event()
        self.outcome: Outcome | None = None
        self._thread = threading.Thread(target=self._run)
        self._thread.start()
        assert self.held.wait(60.0)
        self.path = socket_path(self.store, "toy")

    def _run(self) -> None:
        options = replace(
            OPTIONS, handle_signals=False, wishes=self.wishes, while_held=self._listening
        )
        self.outcome = run(self.store, self.jobs, options=options)

    def _listening(self) -> Any:
        found = listening(self.store, "toy", self.wishes)
        self.held_by = found.__enter__()
        self.held.set()
        return _Left(found)

    def send(self, data: bytes) -> bytes:
        """Return all that comes back for raw bytes."""
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(60.0)
            connection.connect(str(self.path))
            try:
                connection.sendall(data)
                connection.shutdown(socket.SHUT_WR)
            except OSError:
                pass  # it has hung up on what it read so far
            parts = []
            try:
                while chunk := connection.recv(1 << 16):
                    parts.append(chunk)
            except ConnectionResetError:
                pass
            return b"".join(parts)

    def end(self) -> Outcome:
        self.gate.touch()
        self._thread.join(60.0)
        assert self.outcome is not None
        return self.outcome


class _Left:
    def __init__(self, entered: Any) -> None:
        self._entered = entered

    def __enter__(self) -> None:
        pass

    def __exit__(self, *reason: Any) -> None:
        self._entered.__exit__(*reason)


@pytest.fixture
def study(tmp_path: Path) -> Iterator[Listening]:
    found = Listening(tmp_path)
    yield found
    found.end()


def test_the_socket_is_private_to_the_user_and_gone_with_the_study(study: Listening) -> None:
    # Also not by way of the folder: who cannot enter it cannot connect.
    assert stat.S_IMODE(study.path.stat().st_mode) == 0o600
    assert stat.S_IMODE(study.path.parent.stat().st_mode) == 0o700
    assert ask(study.store, "toy", {"verb": "status"})["paused"] is False
    study.end()
    assert not study.path.exists()
    with pytest.raises(SurroundingsError, match="no controller runs it"):
        ask(study.store, "toy", {"verb": "status"})


@pytest.mark.skipif(os.geteuid() != 0, reason="becoming another user takes root")
def test_another_user_is_turned_away_even_where_the_folder_lets_him_in(study: Listening) -> None:
    # A folder of the machine may be among them: all are closed again.
    modes = {path: path.stat().st_mode for path in (study.path, *study.path.parents)}
    try:
        for path, mode in modes.items():
            path.chmod(stat.S_IMODE(mode) | (0o066 if path == study.path else 0o011))
        child = os.fork()
        if child == 0:  # This thread alone: it says what it got by its exit status.
            code = 1
            try:
                os.setuid(65534)
                code = 0 if b"another user" in study.send(b'{"verb": "pause"}\n') else 2
            finally:
                os._exit(code)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    finally:
        for path, mode in modes.items():
            path.chmod(stat.S_IMODE(mode))
    assert ask(study.store, "toy", {"verb": "status"})["paused"] is False


def malformed(draws: random.Random) -> bytes:
    """Return bytes that are no request, or one with wrong values."""
    valid = json.dumps({"verb": "set", "arguments": {"slots": 2}}).encode()
    kind = draws.randrange(6)
    if kind == 0:
        return draws.randbytes(draws.randrange(200)) + b"\n"
    if kind == 1:
        return valid[: draws.randrange(len(valid))]  # torn: the client was killed
    if kind == 2:
        place = draws.randrange(len(valid))
        return valid[:place] + draws.randbytes(3) + valid[place + 1 :] + b"\n"
    if kind == 3:
        return b"[" * draws.randrange(1, 100_000) + b"\n"
    names = [verb.value for verb in Verb] + ["", "run", "stopp"]
    values: list[Any] = [None, True, -1, 0, 1.5, 10**400, "x", "\ud800", [], {}, [[]], "../.."]
    key = draws.choice(["slots", "until", "level", "kind", "drain", "budget_seconds", "job"])
    request = {"verb": "status" if kind == 5 else draws.choice(names), key: draws.choice(values)}
    if kind == 4:
        request = {"verb": draws.choice(["set", "status"]), "arguments": {key: -1}}
    return json.dumps(request).encode() + b"\n"


def test_malformed_requests_are_answered_or_dropped_and_change_nothing(study: Listening) -> None:
    before = ask(study.store, "toy", {"verb": "status"})
    draws = random.Random(7)
    for _ in range(300):
        for line in study.send(malformed(draws)).splitlines():
            answer = json.loads(line)
            assert answer["ok"] is False and answer["message"]
    assert b"more than" in study.send(b"x" * (LONGEST_LINE + 2))
    assert ask(study.store, "toy", {"verb": "status"}) == before
    assert study.end().complete
    assert contents(study.store).keys() == {f"preferences/{study.jobs[0].fingerprint}/nested/pairs"}


@pytest.mark.parametrize(
    ("request_", "message"),
    [
        (b'{"verb": "paus"}', "Did you mean 'pause'"),
        (b'{"verb": "set", "arguments": {"slots": 1e999}}', "1 to 10000"),
        (b'{"verb": "set", "arguments": {"until": NaN}}', "NaN"),
        (b'{"verb": "set", "arguments": {"until": 1e999}}', "seconds since the epoch"),
        (b'{"verb": "set", "arguments": {"slot": 2}}', "Did you mean 'slots'"),
        (b'{"verb": "priority", "jobs": ["a"], "arguments": {"level": true}}', "whole number"),
        (b'{"verb": "retry", "arguments": {"kind": "oom"}}', "out_of_memory"),
        (b'{"verb": "cancel"}', "no jobs are named"),
        (b'{"verb": "pause", "path": "x"}', "request: 'path'"),
        (b'{"verb": "cancel", "jobs": "abc"}', "list of fingerprints"),
    ],
)
def test_a_wrong_request_is_told_what_is_allowed(request_: bytes, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        read_command(request_)


def test_clients_that_say_nothing_do_not_keep_others_out_for_long(
    study: Listening, monkeypatch: pytest.MonkeyPatch
) -> None:
    silent = [socket.socket(socket.AF_UNIX) for _ in range(MOST_CLIENTS)]
    for connection in silent:
        connection.connect(str(study.path))
    assert b"too many clients" in study.send(b'{"verb": "status"}\n')
    for connection in silent:
        connection.close()  # as a killed client's is
    for _ in range(1_000):
        if b"too many" not in study.send(b'{"verb": "status"}\n'):
            break
    assert ask(study.store, "toy", {"verb": "status"})["ok"]


def test_the_socket_of_a_dead_controller_is_replaced(tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    path = socket_path(store, "toy")
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))  # and closed without a word: the file stays
    found = Listening(tmp_path)
    assert found.held_by == path
    assert ask(found.store, "toy", {"verb": "status"})["ok"]
    assert found.end().complete


def test_a_store_may_lie_deeper_than_a_socket_can(tmp_path: Path) -> None:
    deep = Store(tmp_path.joinpath(*["folder" * 5] * 10))
    assert len(os.fsencode(socket_path(deep, "toy"))) <= 100
    assert socket_path(deep, "toy") != socket_path(deep, "other")
    link = tmp_path / "link"
    link.symlink_to(deep.root)
    assert socket_path(Store(link), "toy") == socket_path(deep, "toy")


def test_a_runtime_folder_that_others_can_enter_is_not_used(runtime: Path, tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    (runtime / "ablate").mkdir(mode=0o755)
    (runtime / "ablate").chmod(0o755)
    assert runtime not in socket_path(store, "toy").parents
    (runtime / "ablate").rmdir()
    (runtime / "ablate").symlink_to(tmp_path)
    assert runtime not in socket_path(store, "toy").parents


def test_a_folder_that_is_no_use_is_named_once(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    opened = Path("/tmp") / f"ablate-{os.geteuid()}"
    monkeypatch.delenv("XDG_RUNTIME_DIR")
    monkeypatch.setattr(tempfile, "tempdir", "/tmp")
    assert rooms() == [opened]


def test_a_command_that_nobody_comes_to_is_answered_at_the_end(tmp_path: Path) -> None:
    store, wishes = Store(tmp_path / "store"), Wishes()
    store.study("toy").mkdir(parents=True)
    lease = Lock(store.study("toy") / "lease")
    assert lease.acquire()
    server = SocketServer(store, "toy", wishes)
    answers: list[Any] = []
    client = threading.Thread(target=lambda: answers.append(ask(store, "toy", {"verb": "pause"})))
    client.start()
    while wishes._queue.empty():
        client.join(0.01)
    server.close()
    client.join(60.0)
    lease.release()
    assert answers == [{"ok": False, "message": "the study ended before it came to this"}]
