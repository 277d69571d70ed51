"""Data sets of the hub, from a small hub on this machine that serves one of them."""

import hashlib
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, unquote, urlsplit

import pytest

from ablate.data.reading.origin import origin_rows
from ablate.errors import SurroundingsError
from ablate.spec.shaping import Origin

COMMIT = "c0ffee" * 6 + "c0de"
API = "/api/datasets/owner/name"
RESOLVED = f"/datasets/owner/name/resolve/{COMMIT}/"


class Hub(ThreadingHTTPServer):
    """Serves one data set at one commit."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        super().__init__(("127.0.0.1", 0), Handler)

    def entry(self, path: str) -> dict[str, object]:
        if path not in self.files:
            return {"type": "directory", "path": path, "oid": "0" * 40, "size": 0}
        data = self.files[path]
        return {"type": "file", "path": path, "oid": sha1(data), "size": len(data)}

    def below(self, folder: str, recursive: bool) -> list[dict[str, object]]:
        start = f"{folder}/" if folder else ""
        inside = [path for path in self.files if path.startswith(start)]
        if not recursive:
            inside = sorted({start + path.removeprefix(start).split("/")[0] for path in inside})
        return [self.entry(path) for path in inside]


def sha1(data: bytes) -> str:
    return hashlib.sha1(data).hexdigest()


class Handler(BaseHTTPRequestHandler):
    """Answers what the client libraries ask about files, trees and the commit."""

    server: Hub

    def log_message(self, format: str, *args: object) -> None: ...

    def answer(self) -> None:
        url = urlsplit(self.path)
        path = unquote(url.path)
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        name = path.removeprefix(RESOLVED)
        if path.startswith(RESOLVED) and name in self.server.files:
            data = self.server.files[name]
            self.reply(data, {"X-Repo-Commit": COMMIT, "ETag": f'"{sha1(data)}"'})
        elif path == f"{API}/revision/{COMMIT}":
            self.json({"id": "owner/name", "sha": COMMIT, "siblings": [], "tags": []})
        elif path.startswith(f"{API}/tree/{COMMIT}"):
            folder = path.removeprefix(f"{API}/tree/{COMMIT}").strip("/")
            self.json(self.server.below(folder, "recursive=true" in url.query.lower()))
        elif path == f"{API}/paths-info/{COMMIT}":
            wanted = parse_qs(body.decode()).get("paths") or json.loads(body)["paths"]
            known = [
                p for p in wanted if any(f == p or f.startswith(f"{p}/") for f in self.server.files)
            ]
            self.json([self.server.entry(p) for p in known])
        else:
            code = "EntryNotFound" if COMMIT in path else "RevisionNotFound"
            self.reply(b"{}", {"X-Error-Code": code}, status=404)

    do_GET = do_HEAD = do_POST = answer  # noqa: N815

    def json(self, value: object) -> None:
        self.reply(json.dumps(value).encode(), {"Content-Type": "application/json"})

    def reply(self, data: bytes, headers: dict[str, str], status: int = 200) -> None:
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(data))}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)


@pytest.fixture
def hub() -> Iterator[Hub]:
    with Hub() as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


CHILD = """
import json, sys
from ablate.data.reading.origin import origin_rows
from ablate.errors import AblateError
from ablate.spec.shaping import Origin
try:
    found = list(origin_rows(Origin(**json.loads(sys.argv[1]))))
except AblateError as error:
    found = str(error)
print(json.dumps(found))
"""


def rows_from(hub: Hub, folder: Path, **fields: object) -> object:
    """Return the rows, or the error's text, of a process whose hub is the one given."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("HF_", "http_", "HTTP"))}
    own = {
        "HF_ENDPOINT": f"http://127.0.0.1:{hub.server_port}",
        "HF_HOME": str(folder / "home"),
        "NO_PROXY": "*",
        "PYTHONWARNINGS": "ignore",
    }
    command = [sys.executable, "-c", CHILD, json.dumps(fields)]
    done = subprocess.run(
        command, env=kept | own, cwd=folder, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return json.loads(done.stdout.splitlines()[-1])


def test_a_hub_data_set_is_read_at_its_revision(hub: Hub, tmp_path: Path) -> None:
    hub.files = {
        "README.md": b"---\nlicense: mit\n---\n",
        "data/train.jsonl": b'{"text": "Why?", "n": 1}\n{"text": "How?", "n": 2}\n',
        "data/test.jsonl": b'{"text": "Who?", "n": 3}\n',
    }
    # A folder that is called like the id is not read in its place.
    (tmp_path / "owner" / "name").mkdir(parents=True)
    (tmp_path / "owner" / "name" / "train.jsonl").write_text('{"text": "wrong"}\n')
    name = f"owner/name@{COMMIT}"
    found = rows_from(hub, tmp_path, dataset=name, columns={"prompt": "text"}, where={"n": [2]})
    assert found == [[2, {"prompt": "How?", "n": 2}]]
    registered = {"dataset": "mine", "content": f"hub:{name}", "split": "test"}
    assert rows_from(hub, tmp_path, **registered) == [[1, {"text": "Who?", "n": 3}]]


def test_the_script_of_a_hub_data_set_never_runs(hub: Hub, tmp_path: Path) -> None:
    marker = tmp_path / "marker"
    hub.files = {
        "README.md": b"---\nlicense: mit\n---\n",
        "name.py": f"open({str(marker)!r}, 'w').close()\n".encode(),
        "train.jsonl": b'{"text": "Why?"}\n',
    }
    found = rows_from(hub, tmp_path, dataset=f"owner/name@{COMMIT}")
    assert isinstance(found, str) and "Dataset scripts are no longer supported" in found
    assert "or name a local copy" in found
    assert not marker.exists()


def test_a_revision_that_is_not_there_is_said_with_the_name(hub: Hub, tmp_path: Path) -> None:
    found = rows_from(hub, tmp_path, dataset="owner/name@main")
    assert isinstance(found, str)
    assert found.startswith("data set 'owner/name@main' of the hub cannot be loaded (")


def test_a_hub_id_without_a_revision_is_refused() -> None:
    with pytest.raises(SurroundingsError, match="no revision is given; owner/name@<commit>"):
        list(origin_rows(Origin(dataset="mine", content="hub:owner/name")))
