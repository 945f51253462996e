"""Other processes in tests: killed in the middle of what they do, seen to run or not."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def while_running(code: str, *arguments: object) -> Iterator[subprocess.Popen]:
    """Run `code` in another process; the block begins once it has printed a line, and ends with SIGKILL."""
    command = [sys.executable, "-c", code, *map(str, arguments)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        try:
            yield process
        finally:
            process.kill()


def kill_after(code: str, *arguments: object) -> None:
    """Run `code` until it prints "ready", then kill it."""
    with while_running(code, *arguments):
        pass


def is_running(process: int) -> bool:
    try:
        with open(f"/proc/{process}/stat") as file:
            return file.read().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False
