"""A command in a process of its own, bounded in time and memory; how it ended, and what it left behind."""

import contextlib
import os
import resource
import signal
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from action_images.cli import main

SPARE_BYTES = 6 << 30
"""Address space beyond what this process has, so that no attack takes the machine with it."""
GONE_S = 3.0
"""In this time all processes of a killed command are gone."""


@dataclass(frozen=True)
class Ended:
    """How a command ended; `code` is negative where a signal ended it. Memory includes its packages."""

    code: int
    said: str
    errors: str
    peak_mb: float
    seconds: float
    late: bool
    leftovers: tuple[str, ...]


@dataclass
class Running:
    """A command that was forked off: the packages are loaded already, so what is attacked is the work."""

    pid: int
    folder: Path
    started: float

    @classmethod
    def start(cls, arguments: Sequence[str | Path], folder: Path) -> "Running":
        """Run `action-images ARGUMENTS`; its words and temporary files go into `folder`."""
        (folder / "tmp").mkdir(parents=True, exist_ok=True)
        sys.stdout.flush()
        started = time.monotonic()
        pid = os.fork()
        if pid == 0:
            _become([str(one) for one in arguments], folder)
        return cls(pid, folder, started)

    def wait(self, limit_s: float) -> Ended:
        """Wait until it ends; after `limit_s` it is killed."""
        late = False
        while True:
            pid, status, usage = os.wait4(self.pid, os.WNOHANG)
            if pid:
                break
            if time.monotonic() - self.started > limit_s:
                late = True
                self.kill()
            time.sleep(0.005)
        return Ended(
            os.waitstatus_to_exitcode(status),
            _text(self.folder / "out"),
            _text(self.folder / "err"),
            usage.ru_maxrss / 1024,
            time.monotonic() - self.started,
            late,
            self._leftovers(),
        )

    def kill(self) -> None:
        """SIGKILL to it and all that it started."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)

    def _leftovers(self) -> tuple[str, ...]:
        """Processes that outlived it (killed now), and temporary files."""
        left = [f"tmp/{path.name}" for path in (self.folder / "tmp").iterdir()]
        waited = time.monotonic()
        while _group_lives(self.pid):
            if time.monotonic() - waited > GONE_S:
                self.kill()
                return (*left, "a process")
            time.sleep(0.01)
        return tuple(left)


def run(arguments: Sequence[str | Path], folder: Path, limit_s: float) -> Ended:
    """Run `action-images ARGUMENTS` to its end, or for so long."""
    return Running.start(arguments, folder).wait(limit_s)


def _become(arguments: list[str], folder: Path) -> None:
    """In the forked process: never returns."""
    code = 99
    try:
        os.setsid()
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        for number, name in ((1, "out"), (2, "err")):
            os.dup2(os.open(folder / name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), number)
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        tempfile.tempdir = os.environ["TMPDIR"] = str(folder / "tmp")
        pages = int(Path("/proc/self/statm").read_text().split()[0])
        limit = pages * os.sysconf("SC_PAGE_SIZE") + SPARE_BYTES
        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
        torch.set_num_threads(1)
        code = main(arguments)
    except SystemExit as ended:
        code = ended.code if isinstance(ended.code, int) else 2
    finally:
        with contextlib.suppress(BaseException):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(code)


def _group_lives(group: int) -> bool:
    """Whether a process of the group is there and no zombie."""
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError, IndexError):
            state, _, its_group = (folder / "stat").read_text().rsplit(")", 1)[1].split()[:3]
            if int(its_group) == group and state != "Z":
                return True
    return False


def _text(path: Path) -> str:
    return path.read_text(errors="replace") if path.is_file() else ""
