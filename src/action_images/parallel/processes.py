"""Work on numbered items in several processes of this machine, each with a card of its own if possible."""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any, TypeVar

import torch

from action_images.errors import ActionImagesError
from action_images.parallel.pool import pool_of, told_if_killed

Result = TypeVar("Result")
AHEAD = 2
"""Number of unfinished items per process: results wait for those before them."""


@dataclass(frozen=True)
class OnProcesses:
    """An `Executor` with processes of this machine; results come in the items' order.

    Gives the same bytes as one process with as many threads. Raises OSError if a process is killed: results
    handed over before stay valid, and the same call continues from there.
    """

    num_workers: int
    num_threads: int = 1
    on_cards: bool = False
    """Whether each process gets one of the CUDA cards that torch sees here, in turn."""

    def __post_init__(self) -> None:
        if self.num_workers < 1 or self.num_threads < 1:
            raise ActionImagesError(f"{self}: there is at least one worker, with at least one thread")

    def __call__(
        self, begin: Callable[[], Callable[[int], Result]], items: Sequence[int]
    ) -> Iterator[Result]:
        """Results in the items' order; exceptions of the work are raised here."""
        number = min(self.num_workers, len(items))
        if not number:
            return
        waiting: deque[int] = deque(items)
        running: deque[Future[Result]] = deque()
        workers = pool_of(number, _prepare, (begin, self.num_threads), on_cards=self.on_cards)
        with told_if_killed(), workers as pool:
            try:
                while waiting or running:
                    while waiting and len(running) < AHEAD * number:
                        running.append(pool.submit(_work, waiting.popleft()))
                    yield running.popleft().result()
            finally:
                for one in running:
                    one.cancel()


_begun: list[Any] = []


def _prepare(begin: Callable[[], Any], num_threads: int) -> None:
    torch.set_num_threads(num_threads)
    _begun.append(begin)


def _work(item: int) -> Any:
    # Start at the first item, so that errors of the start are reported like all others.
    if len(_begun) == 1:
        _begun.append(_begun[0]())
    return _begun[1](item)
