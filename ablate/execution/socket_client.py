"""Ask a running study's controller for something, over its socket."""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Mapping
from typing import Any

from ablate.errors import SurroundingsError
from ablate.execution.socket_server import ANSWER_SECONDS, SOCKET_FILE, is_trusted, peer_user
from ablate.execution.status import study_status
from ablate.store.files import read_json
from ablate.store.layout import Store
from ablate.store.processes import is_alive, process_id, this_process

LONGEST_ANSWER = 1 << 26
"""Bytes; far more than the jobs of any study."""


def ask(store: Store, study: str, request: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the answer of the study's controller to one request (see `read_command`).

    Raises SurroundingsError where no controller runs, or where it cannot be reached from here.
    """
    path = _place(store, study)
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(ANSWER_SECONDS + 10.0)
        try:
            connection.connect(path)
            if not is_trusted(peer_user(connection)):
                raise SurroundingsError(f"{path}: another user listens there. Look at that folder.")
            connection.sendall(json.dumps(request).encode() + b"\n")
            line = _receive(connection)
        except PermissionError as error:
            raise SurroundingsError(
                f"study {study}: only the user who runs it can steer it. Watch it: ablate watch"
            ) from error
        except TimeoutError as error:
            raise SurroundingsError(
                f"study {study}: its controller does not answer. See: ablate status {study}"
            ) from error
        except OSError as error:
            raise SurroundingsError(_unreachable(store, study, str(error.strerror))) from error
    try:
        answer = json.loads(line)
    except ValueError:
        answer = None
    if not isinstance(answer, dict):
        raise SurroundingsError(f"study {study}: it ended before it answered. See: ablate status")
    return answer


def _receive(connection: socket.socket) -> bytes:
    buffer = bytearray()
    while not buffer.endswith(b"\n") and len(buffer) < LONGEST_ANSWER:
        if not (chunk := connection.recv(1 << 16)):
            break
        buffer += chunk
    return bytes(buffer)


def _place(store: Store, study: str) -> str:
    """Return the path of the socket of a controller that lives on this machine."""
    folder = store.study(study)
    holder = read_json(folder / "lease")
    process = process_id(holder if isinstance(holder, dict) else None)
    here = this_process().host
    if process is None or is_alive(process) is False:
        raise SurroundingsError(_nothing_runs(study))
    if process.host != here:
        raise SurroundingsError(
            f"study {study}: it was started on {process.host}, and is steered from there."
        )
    record = read_json(folder / SOCKET_FILE)
    record = record if isinstance(record, dict) else {}
    if not isinstance(record.get("path"), str) or record.get("pid") != process.pid:
        raise SurroundingsError(_unreachable(store, study, "it listens to nobody"))
    if not is_trusted(record.get("user")) and os.geteuid() != 0:
        raise SurroundingsError(
            f"study {study}: only the user who runs it can steer it. Watch it: ablate watch"
        )
    return str(record["path"])


def _nothing_runs(study: str) -> str:
    return (
        f"study {study}: no controller runs it, so nothing can be steered. Start it, or go on with "
        "it: ablate run FILE"
    )


def _unreachable(store: Store, study: str, reason: str) -> str:
    found = study_status(store, study)
    process = process_id(found.holder)
    if process is None or found.state in ("ended", "interrupted"):
        return _nothing_runs(study)
    return (
        f"study {study}: process {process.pid} runs it but cannot be asked ({reason}). "
        f"Stop it with: kill {process.pid}"
    )
