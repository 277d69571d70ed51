"""A page in headless Chromium, driven through its debugging pipe: nothing is written into it."""

from __future__ import annotations

import base64
import json
import os
import select
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
FLAGS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-sync"),
    *("--disable-background-networking", "--disable-component-update", "--disable-extensions"),
    *("--host-resolver-rules=MAP * ~NOTFOUND", "--hide-scrollbars", "--remote-debugging-pipe"),
)


@dataclass
class Chromium:
    """One browser with one page; every request, dialog and message of the page is kept."""

    write: int
    read: int
    session: str = ""
    events: list[dict[str, Any]] = field(default_factory=list)
    _number: int = 0
    _rest: bytes = b""

    def call(self, method: str, **params: Any) -> dict[str, Any]:
        """Return what a command of the debugging protocol answers."""
        self._number += 1
        message = {"id": self._number, "method": method, "params": params}
        if self.session:
            message["sessionId"] = self.session
        data = json.dumps(message).encode() + b"\0"
        while data:
            data = data[os.write(self.write, data) :]
        while True:
            answer = self._next()
            if answer.get("id") == self._number:
                assert "error" not in answer, answer
                result: dict[str, Any] = answer["result"]
                return result
            self.events.append(answer)

    def _next(self) -> dict[str, Any]:
        while b"\0" not in self._rest:
            ready, _, _ = select.select([self.read], [], [], 120)
            assert ready, "the browser does not answer; is a dialog open?"
            read = os.read(self.read, 1 << 16)
            assert read, "the browser ended"
            self._rest += read
        head, _, self._rest = self._rest.partition(b"\0")
        message: dict[str, Any] = json.loads(head)
        return message

    def open(self, address: str, *, width: int = 1280, dark: bool = False) -> None:
        """Show a page at a width, and wait until it is loaded."""
        self.events.clear()
        self.call("Page.navigate", url="about:blank")
        self.resize(width, dark=dark)
        self.call("Page.navigate", url=address)
        while not self.run("document.readyState === 'complete' && location.href !== 'about:blank'"):
            pass

    def resize(self, width: int, *, dark: bool = False, height: int = 900) -> None:
        """Show the page at another width or in the other theme."""
        self.call(
            "Emulation.setDeviceMetricsOverride",
            **{"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False},
        )
        theme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.call("Emulation.setEmulatedMedia", features=[theme])

    def run(self, script: str) -> Any:
        """Return the value of an expression in the page, which its policy does not hold back."""
        answer = self.call("Runtime.evaluate", expression=script, returnByValue=True)
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"].get("value")

    def press(self, key: str) -> None:
        """Press and release one key."""
        text = {"text": key} if len(key) == 1 else {}
        self.call("Input.dispatchKeyEvent", type="keyDown", key=key, code=key, **text)
        self.call("Input.dispatchKeyEvent", type="keyUp", key=key, code=key)

    def shot(self, path: Path, *, height: int | None = None, top: int = 0) -> None:
        """Write a picture of the page, whole or from ``top`` on."""
        size = self.call("Page.getLayoutMetrics")["cssContentSize"]
        clip = {"x": 0, "y": top, "width": size["width"], "height": height or size["height"]}
        answer = self.call(
            "Page.captureScreenshot", clip={**clip, "scale": 1}, captureBeyondViewport=True
        )
        path.write_bytes(base64.b64decode(answer["data"]))

    def asked(self) -> list[str]:
        """Return every address that the page asked for; its own and what it holds are left out."""
        sent = [e["request"]["url"] for e in self.said("Network.requestWillBeSent")]
        held = ("about:blank", "data:", "file:")
        return [address for address in sent if not address.startswith(held)]

    def said(self, *methods: str) -> list[dict[str, Any]]:
        """Return what the page did of these kinds, such as opening a dialog."""
        return [e["params"] for e in self.events if e.get("method") in methods]


@contextmanager
def browser() -> Iterator[Chromium]:
    """Yield a browser with an empty page."""
    into_read, into_write = os.pipe()
    out_read, out_write = os.pipe()
    profile = tempfile.mkdtemp(prefix="chromium-")
    # The shell puts the two ends where the browser looks for them, on 3 and 4.
    script = f'exec "$0" "$@" 3<&{into_read} 4>&{out_write}'
    command = ["bash", "-c", script, str(CHROMIUM), *FLAGS, f"--user-data-dir={profile}"]
    process = subprocess.Popen(
        [*command, "about:blank"],
        pass_fds=(into_read, out_write),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    os.close(into_read)
    os.close(out_write)
    try:
        page = Chromium(into_write, out_read)
        target = page.call("Target.createTarget", url="about:blank")["targetId"]
        attached = page.call("Target.attachToTarget", targetId=target, flatten=True)
        page.session = attached["sessionId"]
        for domain in ("Page", "Network", "Runtime", "Log"):
            page.call(f"{domain}.enable")
        yield page
    finally:
        os.close(into_write)
        process.terminate()
        process.wait(timeout=30)
        os.close(out_read)
        shutil.rmtree(profile, ignore_errors=True)
