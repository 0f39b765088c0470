"""A real browser without a window: Debian's Chromium, told what to do over a pipe.

The DevTools protocol: JSON messages ended by a NUL, in on descriptor 3, out on 4.
"""

from __future__ import annotations

import base64
import json
import os
import select
import shutil
import subprocess
import time
from pathlib import Path
from types import TracebackType
from typing import Any

PROGRAM = shutil.which("chromium")
_OPTIONS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--remote-debugging-pipe",
    "--window-size=800,600",
)
_SECONDS = 30.0
_CODES = {"Tab": 9, "Enter": 13, "Escape": 27}


class Chromium:
    """One browser with one page, and a fresh profile. A context manager."""

    def __init__(self, folder: Path) -> None:
        """folder: for its profile; nothing of it is kept elsewhere."""
        assert PROGRAM is not None
        theirs_in, self._out = os.pipe()
        self._in, theirs_out = os.pipe()
        command = [PROGRAM, *_OPTIONS, f"--user-data-dir={folder}", "about:blank"]
        # Its pipe has to be 3 and 4, which may be anybody's in this process.
        script = f'exec 3<&{theirs_in} 4>&{theirs_out}; exec "$@"'
        self._process = subprocess.Popen(
            ["bash", "-c", script, "bash", *command],
            pass_fds=(theirs_in, theirs_out),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        os.close(theirs_in)
        os.close(theirs_out)
        self._number, self._buffer = 0, b""
        self.events: list[dict[str, Any]] = []
        pages = self._call("Target.getTargets")["targetInfos"]
        target = next(p["targetId"] for p in pages if p["type"] == "page")
        asked = {"targetId": target, "flatten": True}
        self._session = self._call("Target.attachToTarget", asked)["sessionId"]
        self.do("Page.enable")

    def __enter__(self) -> Chromium:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            self._send("Browser.close", {}, "")
            self._process.wait(_SECONDS)
        finally:
            self._process.kill()
            self._process.wait()
            os.close(self._out)
            os.close(self._in)

    def open(self, url: str) -> None:
        """Go to an address and wait for its page, redirects followed."""
        self._then_loaded("Page.navigate", url=url)

    def submit(self, button: str = "button", **fields: str) -> None:
        """Fill in fields by name, press a button (CSS), wait for the next page."""
        for name, value in fields.items():
            where = json.dumps(f"[name={name}]")
            self.run(f"document.querySelector({where}).value = {json.dumps(value)}")
        script = f"document.querySelector({json.dumps(button)}).click()"
        self._then_loaded("Runtime.evaluate", expression=script)

    def run(self, script: str) -> Any:
        """Return the value of JavaScript on the page."""
        answer = self.do("Runtime.evaluate", expression=script, returnByValue=True)
        assert "exceptionDetails" not in answer, answer
        return answer["result"].get("value")

    @property
    def url(self) -> str:
        return str(self.run("location.href"))

    @property
    def heading(self) -> str:
        """The page's first heading, "" for none."""
        return str(self.run("document.querySelector('h1')?.textContent ?? ''")).strip()

    @property
    def text(self) -> str:
        return str(self.run("document.body.innerText"))

    def screenshot(self, path: Path) -> None:
        """Write what is seen as a PNG."""
        data = self.do("Page.captureScreenshot", format="png")["data"]
        path.write_bytes(base64.b64decode(data))

    def do(self, method: str, **asked: Any) -> dict[str, Any]:
        """Call a method of the DevTools protocol on the page."""
        return self._call(method, asked, self._session)

    def _then_loaded(self, method: str, **asked: Any) -> None:
        self.events.clear()
        self.do(method, **asked)
        deadline = time.monotonic() + _SECONDS
        while not self.told("Page.loadEventFired"):
            self._receive(deadline)

    def told(self, *methods: str) -> list[dict[str, Any]]:
        """Return the events of these names since the page was asked for."""
        return [e["params"] for e in self.events if e["method"] in methods]

    def press(self, key: str, text: str = "") -> None:
        """Press a key and let it go. text: what it types."""
        for kind in ("keyDown", "keyUp"):
            asked = {"type": kind, "key": key, "code": key}
            asked |= {"text": text} if text and kind == "keyDown" else {}
            asked |= {"windowsVirtualKeyCode": _CODES[key]} if key in _CODES else {}
            self.do("Input.dispatchKeyEvent", **asked)

    def _call(
        self, method: str, asked: dict[str, Any] | None = None, session: str = ""
    ) -> dict[str, Any]:
        number = self._send(method, asked or {}, session)
        deadline = time.monotonic() + _SECONDS
        while True:
            message = self._receive(deadline)
            if message.get("id") == number:
                assert "error" not in message, message
                result: dict[str, Any] = message["result"]
                return result

    def _send(self, method: str, asked: dict[str, Any], session: str) -> int:
        self._number += 1
        message = {"id": self._number, "method": method, "params": asked}
        if session:
            message["sessionId"] = session
        os.write(self._out, json.dumps(message).encode() + b"\0")
        return self._number

    def _receive(self, deadline: float) -> dict[str, Any]:
        while b"\0" not in self._buffer:
            left = deadline - time.monotonic()
            if not select.select([self._in], [], [], max(left, 0))[0]:
                raise TimeoutError("Chromium does not answer")
            data = os.read(self._in, 1 << 16)
            if not data:
                raise EOFError("Chromium has gone")
            self._buffer += data
        first, _, self._buffer = self._buffer.partition(b"\0")
        message: dict[str, Any] = json.loads(first)
        if "method" in message:
            self.events.append(message)
        return message
