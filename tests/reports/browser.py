"""Debian's Chromium without window and network, asked over the DevTools protocol through two pipes."""

import base64
import fcntl
import json
import os
import select
import signal
import time
from pathlib import Path
from typing import Any

FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
    "--mute-audio",
    "--remote-debugging-pipe",
)
TIMEOUT_SECONDS = 120.0


class Browser:
    """One page, opened from a file; `requests` are the addresses that it asked for, data URIs left out.

    Use it as a context manager. `online`: it may ask 127.0.0.1 and no other.
    Raises FileNotFoundError where chromium is not installed.
    """

    def __init__(self, profile: Path, size: tuple[int, int] = (1280, 900), *, online: bool = False):
        self._online = online
        self.requests: list[str] = []
        self._events: list[dict] = []
        self._buffer, self._number, self._session = b"", 0, None
        # Chromium reads commands from descriptor 3 and writes to 4.
        # Ours must not lie there, or one would cover another.
        (reads, self._write), (self._read, writes) = _high_pipe(), _high_pipe()
        actions = [
            (os.POSIX_SPAWN_DUP2, reads, 3),
            (os.POSIX_SPAWN_DUP2, writes, 4),
            (os.POSIX_SPAWN_OPEN, 2, os.devnull, os.O_WRONLY, 0),
        ]
        flags = [
            *FLAGS,
            f"--user-data-dir={profile}",
            f"--window-size={size[0]},{size[1]}",
            "--host-resolver-rules=MAP * ~NOTFOUND" + (", EXCLUDE 127.0.0.1" if online else ""),
        ]
        self._pid = os.posix_spawnp(
            "chromium", ["chromium", *flags], os.environ, file_actions=actions, setsid=True
        )
        os.close(reads)
        os.close(writes)

    def __enter__(self) -> "Browser":
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Network", "Runtime", "Log"):
            self.call(f"{domain}.enable")
        self.call(
            "Network.emulateNetworkConditions",
            offline=not self._online,
            latency=0,
            downloadThroughput=-1 if self._online else 0,
            uploadThroughput=-1 if self._online else 0,
        )
        return self

    def __exit__(self, *_: object) -> None:
        os.killpg(self._pid, signal.SIGKILL)
        os.waitpid(self._pid, 0)
        os.close(self._read)
        os.close(self._write)

    def open(self, page: Path) -> None:
        """Show a file and wait until all of it has been loaded."""
        self.visit(page.resolve().as_uri())

    def visit(self, address: str) -> None:
        """Show what is at an address and wait until all of it has been loaded."""
        self._events.clear()
        self.call("Page.navigate", url=address)
        while not any(event["method"] == "Page.loadEventFired" for event in self._events):
            self._receive()

    def resize(self, width: int, height: int) -> None:
        """Give the page another window, down to a telephone's."""
        self.call(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=False,
        )

    def press(self, key: str, *, shift: bool = False) -> None:
        """Press and release a key, as `ArrowLeft` or `n`."""
        text = {"text": key} if len(key) == 1 else {}
        for kind in ("keyDown", "keyUp"):
            pressed = text if kind == "keyDown" else {}
            self.call("Input.dispatchKeyEvent", type=kind, key=key, modifiers=8 if shift else 0, **pressed)

    def click(self, x: float, y: float) -> None:
        """Press and release the mouse's first button there (px of the window)."""
        for kind in ("mousePressed", "mouseReleased"):
            self.call("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", clickCount=1)

    def wait(self, script: str, seconds: float = 20.0) -> Any:
        """The value of a script in the page as soon as it is true; raises TimeoutError where it never is."""
        deadline = time.monotonic() + seconds
        while not (value := self.evaluate(script)):
            if time.monotonic() > deadline:
                raise TimeoutError(f"never true in the page: {script}")
            time.sleep(0.05)
        return value

    def dark(self, wanted: bool) -> None:
        """Prefer dark or light colours."""
        self.call(
            "Emulation.setEmulatedMedia",
            features=[{"name": "prefers-color-scheme", "value": "dark" if wanted else "light"}],
        )

    def evaluate(self, script: str) -> Any:
        """The value of a script in the page, promises awaited; raises RuntimeError with what it threw."""
        answer = self.call("Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True)
        if "exceptionDetails" in answer:
            raise RuntimeError(json.dumps(answer["exceptionDetails"]))
        return answer["result"].get("value")

    def complaints(self) -> list[str]:
        """What the page's console says is wrong: refused loads, errors of scripts."""
        entries = [event["params"]["entry"] for event in self._events if event["method"] == "Log.entryAdded"]
        thrown = [
            str(event["params"]) for event in self._events if event["method"] == "Runtime.exceptionThrown"
        ]
        return [entry["text"] for entry in entries if entry["level"] in ("error", "warning")] + thrown

    def screenshot(self, path: Path) -> None:
        """The whole page as a png."""
        size = self.call("Page.getLayoutMetrics")["cssContentSize"]
        clip = {"x": 0, "y": 0, "width": size["width"], "height": min(size["height"], 12000), "scale": 1}
        picture = self.call("Page.captureScreenshot", captureBeyondViewport=True, clip=clip)["data"]
        path.write_bytes(base64.b64decode(picture))

    def call(self, method: str, **parameters: Any) -> dict:
        """A command's result; raises RuntimeError for a refused one, TimeoutError where no answer comes."""
        self._number += 1
        message: dict[str, Any] = {"id": self._number, "method": method, "params": parameters}
        if self._session is not None:
            message["sessionId"] = self._session
        os.write(self._write, json.dumps(message).encode() + b"\0")
        while True:
            answer = self._receive()
            if answer.get("id") == self._number:
                if "error" in answer:
                    raise RuntimeError(f"{method}: {answer['error']}")
                return answer["result"]

    def _receive(self) -> dict:
        deadline = time.monotonic() + TIMEOUT_SECONDS
        while b"\0" not in self._buffer:
            if not select.select([self._read], [], [], max(0.0, deadline - time.monotonic()))[0]:
                raise TimeoutError(f"chromium said nothing for {TIMEOUT_SECONDS:.0f} s")
            received = os.read(self._read, 1 << 20)
            if not received:
                raise RuntimeError("chromium ended early; start it by hand to see why")
            self._buffer += received
        first, self._buffer = self._buffer.split(b"\0", 1)
        message = json.loads(first)
        if "method" in message:
            self._events.append(message)
            if message["method"] == "Network.requestWillBeSent":
                address = message["params"]["request"]["url"]
                self.requests += [] if address.startswith("data:") else [address]
        return message


def _high_pipe() -> tuple[int, int]:
    """A pipe whose descriptors are 10 or higher."""
    ends = os.pipe()
    high = tuple(fcntl.fcntl(end, fcntl.F_DUPFD_CLOEXEC, 10) for end in ends)
    for end in ends:
        os.close(end)
    return high[0], high[1]
