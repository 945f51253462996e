"""Progress of a command while it works.

A terminal shows a line at the beginning, then a bar or a clock. In a file, such as the log of a cluster job,
counted work prints a line now and then.
"""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from action_images.errors import printable

SECONDS_TO_FIRST_LINE, SECONDS_BETWEEN_LINES = 5.0, 30.0
"""For files; nothing is printed for work that ends before the first line is due."""

Tell = Callable[..., None]
"""Called with (done, total) and optionally the current item: `tell(3, 7, "close_door")`."""


def stage(text: str) -> None:
    """Print what begins now on stderr if it is a terminal. Loads nothing."""
    if sys.stderr.isatty():
        print(f"{text} ...", file=sys.stderr, flush=True)


@contextmanager
def working(description: str) -> Iterator[None]:
    """A clock on stderr for work without progress reports; nothing is printed to files."""
    from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    from action_images.terminal.console import PlainConsole

    console = PlainConsole(stderr=True)
    columns = (SpinnerColumn(), TextColumn("{task.description}", markup=False), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        progress.add_task(description, total=None)
        yield


@contextmanager
def counting(description: str) -> Iterator[Tell]:
    """Yields a function to call with (done, total); shows a bar on a terminal, and lines in a file."""
    if not sys.stderr.isatty():
        yield _Lines(description)
        return
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    from action_images.terminal.console import PlainConsole

    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=PlainConsole(stderr=True), transient=True) as progress:
        bar = progress.add_task(description, total=None)

        def tell(done: int, total: int, now: str = description) -> None:
            progress.update(bar, completed=done, total=total, description=now)

        yield tell


@dataclass
class _Lines:
    """Progress in a file: a line now and then, with the time left at the pace so far."""

    description: str
    began: float = field(default_factory=time.monotonic)
    said: float | None = None
    first: tuple[float, int] | None = None

    def __call__(self, done: int, total: int, now: str | None = None) -> None:
        clock = time.monotonic()
        if self.first is None:
            self.first = clock, done
        if self.said is None:
            is_due = clock - self.began >= SECONDS_TO_FIRST_LINE
        else:
            is_due = clock - self.said >= SECONDS_BETWEEN_LINES
        if not is_due:
            return
        self.said = clock
        then, done_before = self.first
        left = ""
        if done_before < done < total:
            minutes = (total - done) * (clock - then) / (done - done_before) / 60
            left = f", {minutes:.0f} min left" if minutes >= 1 else ", less than a minute left"
        what = printable(self.description if now is None else f"{self.description} ({now})")
        print(f"{what}: {done} of {total}{left}", file=sys.stderr, flush=True)
