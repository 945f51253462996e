"""The policy's process as the server sees it: started, asked, killed when it hangs, and heard of when it dies."""

import asyncio
import contextlib
import multiprocessing
import socket
from collections.abc import Callable
from typing import Any

from action_images.errors import ActionImagesError
from action_images.serving.protocol import LENGTH, decode

OpenPolicy = Callable[[], Any]
"""Makes the Policy; pickled to the policy's process and called there."""

OpenCalibrations = Callable[[], Any]
"""Makes the mapping of names to rigs (Camera, axis: view); likewise."""


class PolicyDied(Exception):
    """The policy's process ended before it answered."""


class PolicyProcess:
    """A fresh process with the policy in it, asked for one plan at a time over a socket pair.

    It shares no memory with the server: whatever happens to it, the server lives, and hears of it through
    `ended`.
    """

    def __init__(self, process: Any, reader: asyncio.StreamReader, writer: asyncio.StreamWriter):
        self.description: dict[str, Any] = {}
        self.ended = asyncio.Event()
        self._process, self._reader, self._writer = process, reader, writer
        self._answer: asyncio.Future[dict[str, Any]] | None = None
        self._listener: asyncio.Task[None] | None = None

    @classmethod
    async def start(cls, open_policy: OpenPolicy, open_calibrations: OpenCalibrations) -> "PolicyProcess":
        """Start it and wait until the policy is open; raises ValueError, with the process's own sentence, if
        it cannot be."""
        ours, theirs = socket.socketpair()
        with theirs:
            # A fork would copy the server's threads and sockets in whatever state they are in.
            process = multiprocessing.get_context("spawn").Process(
                target=_run_worker, args=(theirs, open_policy, open_calibrations), name="policy", daemon=True
            )
            process.start()
        reader, writer = await asyncio.open_connection(sock=ours, limit=2**20)
        policy = cls(process, reader, writer)
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
        """How it ended, -9 for a kill -9; None while it lives."""
        return self._process.exitcode

    @property
    def is_busy(self) -> bool:
        """Whether it owes an answer."""
        return self._answer is not None

    async def ask(self, data: bytes, timeout_s: float) -> dict[str, Any]:
        """The worker's answer to a request (see worker.run).

        Raises PolicyDied if the process ends meanwhile, TimeoutError if it has not answered in time: then it
        is killed.
        """
        if self.ended.is_set():
            raise PolicyDied
        self._answer = asyncio.get_running_loop().create_future()
        try:
            with contextlib.suppress(ConnectionError):  # the listener will see the end, and say so
                self._writer.write(LENGTH.pack(len(data)))
                self._writer.write(data)
            return await asyncio.wait_for(self._answer, timeout_s)
        except asyncio.TimeoutError:  # another class than TimeoutError before Python 3.11
            self._process.kill()
            await self.ended.wait()
            raise TimeoutError from None
        finally:
            self._answer = None

    async def close(self, grace_s: float) -> None:
        """Close the channel, which ends the process after its current plan; kill it where that takes longer
        than `grace_s`."""
        self._writer.close()
        loop = asyncio.get_running_loop()
        stop = loop.time() + grace_s
        while self._process.is_alive() and loop.time() < stop:
            await asyncio.sleep(0.01)
        if self._process.is_alive():
            self._process.kill()
        self._process.join()
        if self._listener is not None:
            self._listener.cancel()
            await asyncio.gather(self._listener, return_exceptions=True)

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


def _run_worker(channel: socket.socket, open_policy: OpenPolicy, open_calibrations: OpenCalibrations) -> None:
    # Imported in the new process alone: the server has no use for torch, starts without it and stays small.
    from action_images.serving.worker import run

    run(channel, open_policy, open_calibrations)
