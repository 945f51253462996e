"""Handle requests to stop a run, which finishes its step first."""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

ASKING = ("SIGINT", "SIGTERM", "SIGUSR1", "SIGHUP")
"""Ctrl-C, a kill, Slurm's warning before its time limit, a lost terminal; Windows has only some of them."""


@contextmanager
def interruptible() -> Iterator[Callable[[], bool]]:
    """Yields a function that says whether one of the signals in `ASKING` has arrived.

    A second one ends the process as usual. In a thread, where signals cannot be handled, none arrives.
    """
    came: list[int] = []
    if threading.current_thread() is not threading.main_thread():
        yield lambda: False
        return
    before = {number: signal.getsignal(number) for number in _asking()}

    def remember(number: int, _: Any) -> None:
        came.append(number)
        _handle(before)

    _handle(dict.fromkeys(before, remember))
    try:
        yield lambda: bool(came)
    finally:
        _handle(before)


def _asking() -> list[signal.Signals]:
    """The signals of `ASKING` on this system; under nohup a lost terminal is ignored."""
    numbers = [getattr(signal, name) for name in ASKING if hasattr(signal, name)]
    return [
        number
        for number in numbers
        if number.name != "SIGHUP" or signal.getsignal(number) is not signal.SIG_IGN
    ]


def _handle(handlers: dict[signal.Signals, Any]) -> None:
    for number, handler in handlers.items():
        signal.signal(number, handler)
