"""Processes that make the steps of a stream ahead of time; results come in order and without a copy."""

import multiprocessing
import signal
import traceback
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from multiprocessing.connection import Connection, wait
from typing import Any

import torch
import torch.multiprocessing

from action_images.parallel.pool import end_with_the_parent
from action_images.samples.shared_memory import Buffer, pack, unpack

AHEAD = 2
"""The number of steps under way for each worker: one being made, and one waiting."""
MAX_SPARE = AHEAD + 1
"""The number of unused buffers that a worker keeps; more are freed."""

Note = Callable[[int], None]
Make = Callable[[int, Callable[[int], torch.Tensor], Note], Any]
"""Makes a step from its number, an allocator of bytes, and a function that notes the current work."""


class WorkerDiedError(RuntimeError):
    """A process ended without raising an error, while working on `note` (None: before it began)."""

    def __init__(self, exit_code: int | None, note: int | None):
        super().__init__(f"a worker process died (exit code {exit_code})")
        self.exit_code, self.note = exit_code, note


def made_ahead(make: Make, steps: Sequence[int], num_workers: int) -> Iterator[Any]:
    """`make(step)` of each step in order, made by worker processes; with 0, made here on demand.

    Tensors lie in shared memory that is reused once a step's value is dropped, so keep the value as long as
    its tensors are needed. Raises WorkerDiedError if a process is killed, and RuntimeError with its traceback
    if `make` raises.
    """
    if num_workers == 0:
        yield from (make(step, _own_memory, _nobody) for step in steps)
        return
    workers = [_Worker(make) for _ in range(min(num_workers, max(1, len(steps))))]
    try:
        asked, done = 0, {}  # no list of the steps: a run that its minutes end has any number of them
        for delivered, step in enumerate(steps):
            while asked < len(steps) and asked - delivered < AHEAD * len(workers):
                min(workers, key=lambda worker: len(worker.asked)).ask(steps[asked])
                asked += 1
            while step not in done:
                for worker in _ready(workers):
                    done |= worker.answer()
            yield done.pop(step)
    finally:
        for worker in workers:
            worker.end()


def _own_memory(num_bytes: int) -> torch.Tensor:
    return torch.empty(num_bytes, dtype=torch.uint8)


def _nobody(_: int) -> None:
    pass


class _Worker:
    """One process, its requested steps, and the buffers that it has sent."""

    def __init__(self, make: Make):
        context = multiprocessing.get_context()
        self.connection, theirs = context.Pipe()
        self.note = context.RawValue("q", -1)
        self.process = context.Process(target=_work, args=(make, theirs, self.note), daemon=True)
        self.process.start()
        theirs.close()
        self.asked: deque[int] = deque()
        self.buffers: dict[int, torch.Tensor] = {}
        self.dropped: deque[int] = deque()

    def ask(self, step: int) -> None:
        """Request a step, and say which buffers are free again."""
        free = [self.dropped.popleft() for _ in range(len(self.dropped))]
        self.asked.append(step)
        with suppress(
            BrokenPipeError, ConnectionResetError
        ):  # its death is reported when the answer is awaited
            self.connection.send((step, free))

    def answer(self) -> dict[int, Any]:
        """The next finished step, by its number."""
        try:
            number, memory, forgotten, content = self.connection.recv()
        except (EOFError, ConnectionError, FileNotFoundError):  # it died, perhaps before its memory was taken
            self.process.join(5)
            raise WorkerDiedError(
                self.process.exitcode, None if self.note.value < 0 else self.note.value
            ) from None
        if content is None:
            raise RuntimeError(f"a worker process failed:\n{memory}")
        for old in forgotten:
            del self.buffers[old]
        if memory is not None:
            self.buffers[number] = memory
        return {
            self.asked.popleft(): unpack(content, self.buffers[number], lambda: self.dropped.append(number))
        }

    def end(self) -> None:
        self.connection.close()
        # Killed, not terminated: a forked process may have inherited a handler that ignores SIGTERM.
        self.process.kill()
        self.process.join()


def _ready(workers: Sequence[_Worker]) -> list[_Worker]:
    connections = wait([worker.connection for worker in workers])
    return [worker for worker in workers if worker.connection in connections]


def _work(make: Make, connection: Connection, note: Any) -> None:
    """Run a worker process: one step for each request, until there are no more."""
    signal.signal(
        signal.SIGINT, signal.SIG_IGN
    )  # after an interruption at the keyboard the main process ends the workers itself
    # There is no end of file to detect this: forked workers inherit all ends of the pipes.
    end_with_the_parent()
    torch.set_num_threads(1)
    shelf = _Shelf()
    with suppress(EOFError, BrokenPipeError, ConnectionResetError):
        while True:
            step, free = connection.recv()
            shelf.put_back(free)
            note.value = -1
            try:
                answer = _made(make, step, shelf, note)
            except Exception:
                connection.send((0, traceback.format_exc(), [], None))
                return
            connection.send(answer)


def _made(
    make: Make, step: int, shelf: "_Shelf", note: Any
) -> tuple[int, torch.Tensor | None, list[int], bytes]:
    number, buffer = shelf.take()
    value = make(
        step, lambda num_bytes: _memory(buffer, num_bytes), lambda index: setattr(note, "value", index)
    )
    content, filled = pack(value, buffer)
    return shelf.lend(number, buffer, filled, content)


def _memory(buffer: Buffer | None, num_bytes: int) -> torch.Tensor:
    taken = None if buffer is None else buffer.take(num_bytes)
    return _own_memory(num_bytes) if taken is None else taken


class _Shelf:
    """A worker's buffers: spare ones, and by number those lent to the training process."""

    def __init__(self) -> None:
        self.spare: list[tuple[int, Buffer]] = []
        self.lent: dict[int, Buffer] = {}
        self.forgotten: list[int] = []
        self.num_made = 0

    def put_back(self, numbers: Sequence[int]) -> None:
        self.spare += [(number, self.lent.pop(number)) for number in numbers]
        self.forgotten += [number for number, _ in self.spare[:-MAX_SPARE]]
        self.spare = self.spare[-MAX_SPARE:]

    def take(self) -> tuple[int, Buffer | None]:
        """The buffer used last: its pages are allocated, and may still be in the processor's cache."""
        if not self.spare:
            return -1, None
        number, buffer = self.spare.pop()
        buffer.used = 0
        return number, buffer

    def lend(
        self, number: int, taken: Buffer | None, filled: Buffer, content: bytes
    ) -> tuple[int, torch.Tensor | None, list[int], bytes]:
        """The message to send: the buffer's number, its memory if new, the numbers to forget, the value."""
        fresh = filled is not taken
        if fresh:
            if taken is not None:
                self.forgotten.append(number)
            number, self.num_made = self.num_made, self.num_made + 1
        self.lent[number] = filled
        forgotten, self.forgotten = self.forgotten, []
        return number, filled.content if fresh else None, forgotten, content
