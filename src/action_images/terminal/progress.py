"""What a terminal shows while a command works: a line when it begins, a bar or a clock while it goes on."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager


def stage(text: str) -> None:
    """Say on stderr what begins now; nothing where that is no terminal. Loads nothing."""
    if sys.stderr.isatty():
        print(f"{text} ...", file=sys.stderr, flush=True)


@contextmanager
def working(description: str) -> Iterator[None]:
    """A clock on stderr, for work that does not tell of its progress; nothing where that is no terminal."""
    from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    from action_images.terminal.console import PlainConsole

    console = PlainConsole(stderr=True)
    columns = (SpinnerColumn(), TextColumn("{task.description}", markup=False), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        progress.add_task(description, total=None)
        yield


@contextmanager
def counting(description: str) -> Iterator[Callable[[int, int], None]]:
    """A function to be told (done, total); nothing is shown where stderr is no terminal."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    from action_images.terminal.console import PlainConsole

    console = PlainConsole(stderr=True)
    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        bar = progress.add_task(description, total=None)

        def tell(done: int, total: int) -> None:
            progress.update(bar, completed=done, total=total)

        yield tell
