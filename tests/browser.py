"""Drives a headless Chromium over its DevTools pipe: opens a page, moves the mouse, asks questions.

Needs the program `chromium`; nothing of jaxc.
"""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

_FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking",
    "--disable-component-update", "--disable-sync", "--no-first-run", "--disable-dev-shm-usage",
    "--remote-debugging-pipe", "--window-size=1600,1000",
)  # fmt: skip
_PAINTED = "new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))"


class Browser:
    """One page of a browser; network is off.

    Attributes:
      problems: what the page logged as an error or threw, and every request it tried to make.
    """

    def __init__(self, profile: Path):
        read_end, self._write = os.pipe()
        self._read, write_end = os.pipe()

        def fixed_numbers() -> None:  # Chromium reads from 3 and writes to 4
            source, target = os.dup(read_end), os.dup(write_end)
            os.dup2(source, 3)
            os.dup2(target, 4)

        self._process = subprocess.Popen(
            ["chromium", *_FLAGS, f"--user-data-dir={profile}", "about:blank"],
            preexec_fn=fixed_numbers, close_fds=False,
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        os.close(read_end)
        os.close(write_end)
        self._buffer, self._number, self._session = b"", 0, ""
        self.problems: list[str] = []
        target = self._call("Target.createTarget", url="about:blank")["targetId"]
        attached = self._call("Target.attachToTarget", targetId=target, flatten=True)
        self._session = attached["sessionId"]
        for domain in ("Page", "Runtime", "Network"):
            self._call(f"{domain}.enable")
        offline = {"latency": 0, "downloadThroughput": 0, "uploadThroughput": 0}
        self._call("Network.emulateNetworkConditions", offline=True, **offline)

    def open(self, url: str) -> None:
        """Load a page and wait until its script is through and the mouse finds what is drawn."""
        self._call("Page.navigate", url=url)
        for _ in range(400):
            if self.ask(f"location.href === {json.dumps(url)} && document.body?.dataset.ready"):
                self.ask(_PAINTED)
                return
        raise AssertionError(f"the page was not ready: {self.problems}")

    def ask(self, expression: str) -> Any:
        """The value of a JavaScript expression, or of the promise that it is."""
        found = self._call(
            "Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True
        )
        if "exceptionDetails" in found:
            raise AssertionError(found["exceptionDetails"])
        return found["result"].get("value")

    def hover(self, selector: str) -> None:
        """Move the mouse over the first element of a selector."""
        self._mouse("mouseMoved", selector)

    def click(self, selector: str) -> None:
        """Press and release the left button over the first element of a selector."""
        for kind in ("mouseMoved", "mousePressed", "mouseReleased"):
            self._mouse(kind, selector)

    def press(self, key: str) -> None:
        """Press a key."""
        text = key if len(key) == 1 else ""
        self._call("Input.dispatchKeyEvent", type="keyDown", key=key, text=text)
        self._call("Input.dispatchKeyEvent", type="keyUp", key=key)

    def close(self) -> None:
        self._process.terminate()
        self._process.wait(timeout=20)
        os.close(self._read)
        os.close(self._write)

    def _mouse(self, kind: str, selector: str) -> None:
        box = self.ask(
            f"(() => {{ const r = document.querySelector({json.dumps(selector)})"
            ".getBoundingClientRect(); return [r.x + Math.min(60, r.width / 2), r.y + r.height / 2]"
            "; })()"
        )
        button = {} if kind == "mouseMoved" else {"button": "left", "clickCount": 1}
        self._call("Input.dispatchMouseEvent", type=kind, x=box[0], y=box[1], **button)

    def _call(self, method: str, **params: Any) -> Any:
        self._number += 1
        message = {"id": self._number, "method": method, "params": params}
        if self._session:
            message["sessionId"] = self._session
        os.write(self._write, json.dumps(message).encode() + b"\0")
        while True:
            answer = self._next()
            if answer.get("id") == self._number:
                assert "error" not in answer, answer
                return answer["result"]
            self._note(answer)

    def _next(self) -> dict[str, Any]:
        while b"\0" not in self._buffer:
            piece = os.read(self._read, 1 << 16)
            assert piece, "the browser went away"
            self._buffer += piece
        message, _, self._buffer = self._buffer.partition(b"\0")
        return json.loads(message)

    def _note(self, event: dict[str, Any]) -> None:
        method, params = event.get("method"), event.get("params", {})
        if method == "Runtime.exceptionThrown":
            self.problems.append(json.dumps(params["exceptionDetails"])[:500])
        if method == "Runtime.consoleAPICalled" and params["type"] == "error":
            self.problems.append(str(params["args"])[:500])
        if method == "Network.requestWillBeSent":
            url = params["request"]["url"]
            if not url.startswith(("file:", "data:", "about:")):
                self.problems.append(f"request: {url}")
