"""The server's handle of the policy's process: start it, ask it, kill it when it hangs, log its output."""

import asyncio
import contextlib
import logging
import multiprocessing
import os
import socket
from collections.abc import AsyncIterator, Callable
from typing import Any

from action_images.errors import ActionImagesError
from action_images.serving.limits import Rate
from action_images.serving.log import event
from action_images.serving.protocol import CLIENT, LENGTH, decode

MAX_LINES_PER_SECOND, READ_BYTES = 5.0, 4096
"""Limits of the logged output (stdout and stderr) of the policy's process."""

OpenPolicy = Callable[[], Any]
"""Makes the Policy; pickled to the policy's process and called there."""

OpenCalibrations = Callable[[], Any]
"""Makes the mapping of names to rigs (Camera, axis: view); pickled and called in the same way."""

OpenWatcher = Callable[[Any], Any]
"""Makes, from the policy, the watcher of each observation and plan; pickled and called in the same way."""


class PolicyDied(Exception):
    """The policy's process ended before it answered."""


class PolicyProcess:
    """A fresh process with the policy in it, asked for one plan at a time over a socket pair.

    It shares no memory with the server. The server survives its end and learns of it through `ended`.
    """

    def __init__(self, process: Any, reader: asyncio.StreamReader, writer: asyncio.StreamWriter):
        self.description: dict[str, Any] = {}
        self.ended = asyncio.Event()
        self._process, self._reader, self._writer = process, reader, writer
        self._answer: asyncio.Future[dict[str, Any]] | None = None
        self._listener: asyncio.Task[None] | None = None
        self._hearing: asyncio.Task[None] | None = None

    @classmethod
    async def start(
        cls,
        open_policy: OpenPolicy,
        open_calibrations: OpenCalibrations,
        open_watcher: OpenWatcher | None = None,
    ) -> "PolicyProcess":
        """Start it and wait until the policy is open; raises ValueError with the process's sentence if that
        fails.

        After any error, the process has ended.
        """
        ours, theirs = socket.socketpair()
        heard, said = socket.socketpair()
        with theirs, said:
            # A fork would copy the server's threads and sockets in any state.
            process = multiprocessing.get_context("spawn").Process(
                target=_run_worker,
                args=(theirs, said, open_policy, open_calibrations, open_watcher),
                name="policy",
                daemon=True,
            )
            process.start()
        try:
            reader, writer = await asyncio.open_connection(sock=ours, limit=2**20)
        except BaseException:
            process.kill()
            process.join()
            ours.close()
            heard.close()
            raise
        policy = cls(process, reader, writer)
        policy._hearing = asyncio.create_task(_hear(heard, process.pid))
        try:
            first = await policy._receive()
        except (asyncio.IncompleteReadError, OSError) as error:
            await policy.close(0)
            raise ActionImagesError(
                f"the policy's process ended while it was opening the policy (exit code {process.exitcode})"
            ) from error
        except BaseException:
            await policy.close(0)
            raise
        if "error" in first:
            await policy.close(1)
            raise ActionImagesError(
                f"the policy cannot be opened: {first['traceback'].strip().splitlines()[-1]}"
            )
        policy.description = first
        policy._listener = asyncio.create_task(policy._listen())
        return policy

    @property
    def pid(self) -> int | None:
        """The process's id."""
        return self._process.pid

    @property
    def exit_code(self) -> int | None:
        """Its exit code, -9 after a kill -9; None while it lives."""
        return self._process.exitcode

    @property
    def is_busy(self) -> bool:
        """Whether an answer is pending."""
        return self._answer is not None

    async def ask(self, data: bytes, timeout_s: float, *, client: int) -> dict[str, Any]:
        """The worker's answer to a request of the client with this number (see worker.run).

        Raises PolicyDied if the process ends meanwhile, and TimeoutError if it does not answer in time; it is
        then killed.
        """
        if self.ended.is_set():
            raise PolicyDied
        self._answer = asyncio.get_running_loop().create_future()
        try:
            with contextlib.suppress(ConnectionError):  # the listener sees the end and reports it
                self._writer.write(LENGTH.pack(len(data)) + CLIENT.pack(client))
                self._writer.write(data)
            return await asyncio.wait_for(self._answer, timeout_s)
        except asyncio.TimeoutError:  # another class than TimeoutError before Python 3.11
            self._process.kill()
            await self.ended.wait()
            raise TimeoutError from None
        finally:
            self._answer = None

    async def close(self, grace_s: float) -> None:
        """Close the channel, which ends the process after its current plan; kill it after `grace_s`."""
        self._writer.close()
        loop = asyncio.get_running_loop()
        stop = loop.time() + grace_s
        while self._process.is_alive() and loop.time() < stop:
            await asyncio.sleep(0.01)
        if self._process.is_alive():
            self._process.kill()
        self._process.join()
        tasks = [task for task in (self._listener, self._hearing) if task is not None]
        if self._hearing is not None:
            # Its last output may still be on its way.
            await asyncio.wait([self._hearing], timeout=1)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _listen(self) -> None:
        try:
            while True:
                answer = await self._receive()
                if self._answer is not None and not self._answer.done():
                    self._answer.set_result(answer)
        except (asyncio.IncompleteReadError, OSError):
            self._process.join(5)
            if self._answer is not None and not self._answer.done():
                self._answer.set_exception(PolicyDied())
            self.ended.set()

    async def _receive(self) -> dict[str, Any]:
        header = await self._reader.readexactly(LENGTH.size)
        return decode(await self._reader.readexactly(LENGTH.unpack(header)[0]))


async def _hear(heard: socket.socket, pid: int | None) -> None:
    """Log the process's stdout and stderr: a few lines a second, each shortened."""
    reader, writer = await asyncio.open_connection(sock=heard)
    rate = Rate(MAX_LINES_PER_SECOND)
    try:
        async for line in _lines(reader):
            if line and rate.allows():
                event("policy says", logging.WARNING, pid=pid, text=line)
    finally:
        writer.close()


async def _lines(reader: asyncio.StreamReader) -> AsyncIterator[str]:
    """Lines, each cut to the length of a block."""
    rest = b""
    while block := await reader.read(READ_BYTES):
        *whole, rest = (rest + block).split(b"\n")
        for line in whole:
            yield line.decode(errors="replace").strip()
        if len(rest) > READ_BYTES:
            yield rest.decode(errors="replace").strip()
            rest = b""
    yield rest.decode(errors="replace").strip()


def _run_worker(
    channel: socket.socket,
    said: socket.socket,
    open_policy: OpenPolicy,
    open_calibrations: OpenCalibrations,
    open_watcher: OpenWatcher | None,
) -> None:
    # Output of libraries goes to the server's log, which has one JSON object a line.
    with said:
        for descriptor in (1, 2):
            os.dup2(said.fileno(), descriptor)
    # Imported in the new process alone: the server does not need torch, starts without it and stays small.
    from action_images.serving.worker import run

    run(channel, open_policy, open_calibrations, open_watcher)
