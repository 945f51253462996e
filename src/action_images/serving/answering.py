"""The policy's side of the server: keep its process alive, and ask it about one observation at a time."""

import asyncio
import logging
from collections.abc import Callable
from typing import Any

from action_images.serving.limits import Limits
from action_images.serving.log import LOG, event
from action_images.serving.metrics import Metrics
from action_images.serving.process import OpenCalibrations, OpenPolicy, OpenWatcher, PolicyDied, PolicyProcess
from action_images.serving.request_queue import Line, Waiting

FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.5, 30.0
"""Pauses between attempts to open a policy that keeps failing."""
STARTED_AGAIN = "it is being started again: send a new observation"

Deliver = Callable[[Waiting, dict[str, Any], float], None]
"""Sends an answer to its client; the last argument is the time (ms) that the observation waited."""
Fail = Callable[[Waiting, str], None]
"""Sends one sentence instead of an answer."""


class Answering:
    """Asks the policy about observations in turn, and restarts it whenever its process ends.

    `changed` is called before the first answer of a restarted policy that has another name, since its folder
    has other weights by now.
    """

    def __init__(
        self,
        open_policy: OpenPolicy,
        open_calibrations: OpenCalibrations,
        open_watcher: OpenWatcher | None = None,
        *,
        limits: Limits,
        metrics: Metrics,
        deliver: Deliver,
        fail: Fail,
        changed: Callable[[], None],
    ):
        self.limits, self.line, self.ready = limits, Line(), asyncio.Event()
        self.policy: PolicyProcess | None = None
        self._metrics, self._deliver, self._fail, self._changed = metrics, deliver, fail, changed
        self._open = (open_policy, open_calibrations, open_watcher)
        self._tasks: list[asyncio.Task[None]] = []

    async def start(self) -> None:
        """Open the policy; raises ActionImagesError if it cannot be opened.

        After any error, the new process has ended, and the policy is the one before.
        """
        policy = await PolicyProcess.start(*self._open)
        try:
            self._tell_of(policy)
        except BaseException:
            await policy.close(0)
            raise
        self.policy = policy
        self._metrics.ready.set(1)
        self.ready.set()

    def _tell_of(self, policy: PolicyProcess) -> None:
        """Log and count a policy that was opened; clients of one with another name are told."""
        before = None if self.policy is None else self.policy.description
        now = policy.description
        if before is not None and before["name"] != now["name"]:
            event("policy changed", logging.WARNING, before=before["name"], now=now["name"])
            self._changed()
        self._metrics.starts.inc()
        event("policy open", policy=now["policy"], named=now["name"], pid=policy.pid)

    def run(self) -> None:
        """Begin answering."""
        self._tasks = [asyncio.create_task(self._keep()), asyncio.create_task(self._answer_all())]

    async def finish(self, is_sending: Callable[[], bool]) -> None:
        """Answer the waiting observations, as far as the grace period allows."""
        loop = asyncio.get_running_loop()
        stop = loop.time() + self.limits.grace_s
        while loop.time() < stop and not self._tasks[1].done() and (self.is_busy or is_sending()):
            await asyncio.sleep(0.01)

    async def close(self) -> None:
        """Stop answering and end the policy's process."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self.policy is not None:
            await self.policy.close(self.limits.grace_s)

    @property
    def is_busy(self) -> bool:
        """Whether an answer is pending."""
        return len(self.line) > 0 or (self.policy is not None and self.policy.is_busy)

    def put(self, one: Waiting) -> None:
        """Queue an observation; an older one of the same client that still waits is dropped."""
        older = self.line.put(one)
        self._metrics.waiting.set(len(self.line))
        if older is not None:
            self._metrics.count("superseded")

    async def _keep(self) -> None:
        """Restart the policy's process whenever it ends."""
        while True:
            assert self.policy is not None
            await self.policy.ended.wait()
            self.ready.clear()
            self._metrics.ready.set(0)
            event("policy ended", logging.ERROR, exit_code=self.policy.exit_code, pid=self.policy.pid)
            await self.policy.close(0)
            pause = FIRST_PAUSE_S
            while not await self._starts_again(pause):
                await asyncio.sleep(pause)
                pause = min(2 * pause, LONGEST_PAUSE_S)

    async def _starts_again(self, next_try_s: float) -> bool:
        try:
            await self.start()
        except Exception as error:
            # Whatever it is, the next attempt may succeed; without one, the server would never answer again.
            event("policy does not open", logging.ERROR, error=str(error), next_try_s=next_try_s)
            return False
        return True

    async def _answer_all(self) -> None:
        """The only place that asks the policy."""
        while True:
            policy = await self._living_policy()
            one = await self.line.next()
            self._metrics.waiting.set(len(self.line))
            try:
                # The process may have died while it was idle.
                await self._answer(one, await self._living_policy() if policy.ended.is_set() else policy)
            except Exception:
                # One observation must not end the answering of all others.
                LOG.exception("answering failed", extra={"fields": {"client": one.client.name}})
                self._fail(one, "the server failed on this observation; its log says why")

    async def _living_policy(self) -> PolicyProcess:
        while self.policy is None or self.policy.ended.is_set():
            self.ready.clear()
            await self.ready.wait()
        return self.policy

    async def _answer(self, one: Waiting, policy: PolicyProcess) -> None:
        start = asyncio.get_running_loop().time()
        if start > one.expires:
            self._metrics.count("expired")
            return
        try:
            answer = await policy.ask(one.data, self.limits.plan_s, client=one.client.number)
        except PolicyDied:
            self._fail(one, f"the policy's process ended while it planned; {STARTED_AGAIN}")
            return
        except TimeoutError:
            event("policy hangs", logging.ERROR, after_s=self.limits.plan_s)
            self._fail(one, f"the policy took longer than {self.limits.plan_s:g} s; {STARTED_AGAIN}")
            return
        if "error" in answer:
            told = {"error": answer["error"], "traceback": answer["traceback"]}
            event("observation failed", logging.WARNING, client=one.client.name, **told)
            self._fail(one, answer["error"])
            return
        self._metrics.infer.observe(answer["infer_ms"] / 1e3)
        self._deliver(one, answer, 1e3 * (start - one.arrived))
