"""Drive a headless chromium through its DevTools pipe, without extra packages, ports or network."""

from __future__ import annotations

import base64
import fcntl
import json
import os
import select
import shutil
import subprocess
import time
from pathlib import Path
from types import TracebackType
from typing import Any

# Says what DevTools reads from descriptor 3 and writes to 4; nothing else may pass through them.
START = 'exec "$@" 3<&"$DEVTOOLS_IN" 4>&"$DEVTOOLS_OUT"'


class Browser:
    """One chromium with one page.

    Args:
        profile: an empty folder for the browser's data. timeout_s: for each answer.
    """

    def __init__(self, profile: Path, timeout_s: float = 60) -> None:
        chromium = shutil.which("chromium") or shutil.which("google-chrome")
        assert chromium, "no chromium in PATH: install the chromium package"
        self._timeout_s, self._buffer, self._last_id = timeout_s, b"", 0
        self.events: list[dict[str, Any]] = []
        command_in, self._to = _pipe()
        self._from, answers_out = _pipe()
        flags = ("--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run")
        self._process = subprocess.Popen(
            ["bash", "-c", START, "bash", chromium, *flags, "--remote-debugging-pipe", f"--user-data-dir={profile}"],
            env={**os.environ, "DEVTOOLS_IN": str(command_in), "DEVTOOLS_OUT": str(answers_out)},
            pass_fds=(command_in, answers_out),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        os.close(command_in)
        os.close(answers_out)
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self._session: str | None = None
        self._session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")

    def __enter__(self) -> Browser:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        os.close(self._to)  # chromium ends when its pipe does
        os.close(self._from)
        try:
            self._process.wait(20)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def call(self, method: str, **params: Any) -> dict[str, Any]:
        """Send a DevTools command and wait for its answer; append events received meanwhile to `events`."""
        self._last_id += 1
        message: dict[str, Any] = {"id": self._last_id, "method": method, "params": params}
        if getattr(self, "_session", None):
            message["sessionId"] = self._session
        os.write(self._to, json.dumps(message).encode() + b"\0")
        while True:
            answer = self._next_message()
            if answer.get("id") == self._last_id:
                assert "error" not in answer, f"{method}: {answer['error']}"
                return dict(answer["result"])
            self.events.append(answer)

    def open(self, url: str, width: int, dark: bool = False, media: str = "") -> None:
        """Load a page in a window that is `width` CSS pixels wide."""
        self.events.clear()
        self.call(
            "Emulation.setDeviceMetricsOverride", width=width, height=844, deviceScaleFactor=1, mobile=width < 600
        )
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.call("Emulation.setEmulatedMedia", media=media, features=[scheme])
        self.call("Page.navigate", url=url)
        while not any(event.get("method") == "Page.loadEventFired" for event in self.events):
            self.events.append(self._next_message())

    def evaluate(self, expression: str) -> Any:
        """The value of a JavaScript expression in the page."""
        answer = self.call("Runtime.evaluate", expression=expression, returnByValue=True)
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"].get("value")

    def screenshot(self, path: Path) -> None:
        """The whole page as PNG."""
        shot = self.call("Page.captureScreenshot", format="png", captureBeyondViewport=True)
        path.write_bytes(base64.b64decode(shot["data"]))

    def _next_message(self) -> dict[str, Any]:
        end = time.monotonic() + self._timeout_s
        while b"\0" not in self._buffer:
            ready, _, _ = select.select([self._from], [], [], max(0.0, end - time.monotonic()))
            chunk = os.read(self._from, 1 << 16) if ready else b""
            assert chunk, "chromium ended" if ready else f"chromium said nothing for {self._timeout_s} s"
            self._buffer += chunk
        message, _, self._buffer = self._buffer.partition(b"\0")
        return dict(json.loads(message))


def _pipe() -> tuple[int, int]:
    """A pipe with descriptors well above 3 and 4, which DevTools uses."""
    low = os.pipe()
    reader, writer = (fcntl.fcntl(descriptor, fcntl.F_DUPFD_CLOEXEC, 20) for descriptor in low)
    for descriptor in low:
        os.close(descriptor)
    return reader, writer
