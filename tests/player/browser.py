"""A headless Chromium, driven by its own protocol over two pipes: no package and no port is needed."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import select
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import chromium

FLAGS = (
    "--headless=new",
    *chromium.FLAGS,
    "--mute-audio",
    "--autoplay-policy=no-user-gesture-required",
    "--window-size=900,800",
    "--remote-debugging-pipe",
)
PATIENCE_S = 90.0


class Tab:
    """One page: what it says on its console is kept in `console`, what it asked the network for in `requests`."""

    def __init__(self, process: subprocess.Popen[bytes], read: int, write: int) -> None:
        self._process, self._read, self._write = process, read, write
        self._buffer = b""
        self._number = 0
        self.console: list[str] = []
        self.requests: list[str] = []
        target = self._call("Target.createTarget", {"url": "about:blank"}, None)["targetId"]
        attached = self._call("Target.attachToTarget", {"targetId": target, "flatten": True}, None)
        self._session = attached["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network", "DOM", "Accessibility"):
            self.call(f"{domain}.enable")

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """One command of the protocol and its answer."""
        return self._call(method, parameters, self._session)

    def _call(self, method: str, parameters: dict[str, Any], session: str | None) -> dict[str, Any]:
        self._number += 1
        message: dict[str, Any] = {"id": self._number, "method": method, "params": parameters}
        if session:
            message["sessionId"] = session
        os.write(self._write, json.dumps(message).encode() + b"\0")
        while True:
            answer = self._receive()
            if answer.get("id") == self._number:
                if "error" in answer:
                    raise RuntimeError(f"{method}: {answer['error']['message']}")
                found: dict[str, Any] = answer["result"]
                return found
            self._note(answer)

    def _receive(self) -> dict[str, Any]:
        until = time.monotonic() + PATIENCE_S
        while b"\0" not in self._buffer:
            ready, _, _ = select.select([self._read], [], [], max(0, until - time.monotonic()))
            piece = os.read(self._read, 1 << 20) if ready else b""
            if not piece:
                raise RuntimeError("the browser does not answer")
            self._buffer += piece
        line, _, self._buffer = self._buffer.partition(b"\0")
        answer: dict[str, Any] = json.loads(line)
        return answer

    def _note(self, event: dict[str, Any]) -> None:
        method, parameters = event.get("method"), event.get("params", {})
        if method == "Runtime.consoleAPICalled":
            self.console.append(" ".join(str(a.get("value", a.get("description"))) for a in parameters["args"]))
        elif method == "Log.entryAdded":
            self.console.append(parameters["entry"]["text"])
        elif method == "Runtime.exceptionThrown":
            self.console.append(parameters["exceptionDetails"]["exception"].get("description", "exception"))
        elif method == "Network.requestWillBeSent":
            self.requests.append(parameters["request"]["url"])

    def open(self, url: str) -> None:
        """Load a page."""
        self.call("Page.navigate", url=url)
        self.wait("document.readyState === 'complete' && location.href !== 'about:blank'")

    def evaluate(self, expression: str) -> Any:
        """The value of JavaScript; promises are waited for."""
        options = {"returnByValue": True, "awaitPromise": True}
        done = self.call("Runtime.evaluate", expression=expression, **options)
        if "exceptionDetails" in done:
            raise RuntimeError(done["exceptionDetails"]["exception"].get("description", "exception"))
        return done["result"].get("value")

    def wait(self, expression: str) -> Any:
        """The first value of JavaScript that is true."""
        until = time.monotonic() + PATIENCE_S
        while time.monotonic() < until:
            value = self.evaluate(expression)
            if value:
                return value
            time.sleep(0.03)
        raise RuntimeError(f"{expression} never came; the page says: {self.evaluate('document.body.innerText')}")

    def text(self, identifier: str) -> str:
        """What an element says."""
        return str(self.evaluate(f"document.getElementById('{identifier}').textContent"))

    def choose(self, identifier: str, path: Path) -> None:
        """Choose a file, as a user does in a dialogue."""
        node = self.call("Runtime.evaluate", expression=f"document.getElementById('{identifier}')")["result"]
        self.call("DOM.setFileInputFiles", files=[str(path)], objectId=node["objectId"])

    def press(self, key: str, text: str = "") -> None:
        """Press a key."""
        more = {"text": text} if text else {}
        self.call("Input.dispatchKeyEvent", type="keyDown", key=key, **more)
        self.call("Input.dispatchKeyEvent", type="keyUp", key=key)


@contextlib.contextmanager
def browser(folder: Path) -> Iterator[Tab]:
    """A tab of a browser with an empty profile in `folder`."""
    pipes = [os.pipe(), os.pipe()]
    # High numbers, so that 3 and 4, where the browser looks, are free to be set in the child.
    ends = [fcntl.fcntl(end, fcntl.F_DUPFD_CLOEXEC, 20) for pair in pipes for end in pair]
    for pair in pipes:
        for end in pair:
            os.close(end)
    into, write, read, out = ends

    def place() -> None:
        os.dup2(into, 3)
        os.dup2(out, 4)

    process = subprocess.Popen(
        [chromium.CHROMIUM or "", *FLAGS, f"--user-data-dir={folder / 'profile'}", "about:blank"],
        pass_fds=(3, 4),
        preexec_fn=place,  # noqa: PLW1509
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    os.close(into)
    os.close(out)
    try:
        tab = Tab(process, read, write)
        yield tab
        with contextlib.suppress(RuntimeError, OSError):
            tab._call("Browser.close", {}, None)
    finally:
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(timeout=10)
        process.kill()
        process.wait()
        os.close(read)
        os.close(write)
