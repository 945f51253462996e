"""A bar on stderr that counts what is done, for work that tells of its progress by a call."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def counting(description: str) -> Iterator[Callable[[int, int], None]]:
    """A function to be told (done, total); nothing is shown where stderr is no terminal."""
    from rich.progress import MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    from action_images.terminal.console import PlainConsole

    console = PlainConsole(stderr=True)
    columns = (TextColumn(description), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        bar = progress.add_task(description, total=None)

        def tell(done: int, total: int) -> None:
            progress.update(bar, completed=done, total=total)

        yield tell
