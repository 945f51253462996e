"""Work on untrusted files in separate processes: a crash is reported and does not stop the rest."""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import Any, TypeVar

from action_images.parallel.pool import pool_of

Item = TypeVar("Item")
Result = TypeVar("Result")


def each_isolated(
    work: Callable[[Item], Result],
    items: Sequence[Item],
    num_workers: int,
    begin: Callable[..., None],
    arguments: tuple[Any, ...],
) -> Iterator[tuple[Item, Result | None]]:
    """Each item with the result of `work`, in order and few at a time; None if the process died of it.

    `begin(*arguments)` runs once in each process. Decoders written in C crash their process on some damaged
    files, which no Python code can catch. Raises OSError if no process can be started, which is no item's
    fault.
    """
    waiting = deque(items)
    while waiting:
        with pool_of(num_workers, begin, arguments) as pool:
            under_way: deque[tuple[Item, Future[Result]]] = deque()
            while waiting or under_way:
                try:
                    while waiting and len(under_way) < 2 * num_workers:
                        under_way.append((waiting[0], pool.submit(work, waiting[0])))
                        waiting.popleft()
                    item, future = under_way[0]
                    result = future.result()
                except BrokenProcessPool:
                    break
                under_way.popleft()
                yield item, result
        # One death takes the pool with it: try each unfinished item alone to find the cause.
        yield from _one_by_one(work, [item for item, _ in under_way], begin, arguments)


def _one_by_one(
    work: Callable[[Item], Result],
    items: Sequence[Item],
    begin: Callable[..., None],
    arguments: tuple[Any, ...],
) -> Iterator[tuple[Item, Result | None]]:
    """`each_isolated` with one process, and a new one after each death."""
    waiting = deque(items)
    while waiting:
        with pool_of(1, begin, arguments) as pool:
            _see_that_it_begins(pool)
            while waiting:
                item = waiting.popleft()
                try:
                    yield item, pool.submit(work, item).result()
                except BrokenProcessPool:
                    yield item, None
                    break


def _see_that_it_begins(pool: ProcessPoolExecutor) -> None:
    try:
        pool.submit(_nothing).result()
    except BrokenProcessPool:
        cure = (
            "free memory, guard a script's own calls with `if __name__ == '__main__':`, "
            "or ask for 0 workers to do it in this process"
        )
        raise OSError(f"a worker process ended before it was given anything to do; {cure}") from None


def _nothing() -> None:
    pass
