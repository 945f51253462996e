"""The policy's process: open the policy, then answer one request at a time until the channel closes."""

import signal
import socket
import sys
import time
import traceback
import warnings
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, Protocol, runtime_checkable

from action_images.errors import ActionImagesError
from action_images.geometry import Camera
from action_images.robot import ClipPolicy, Doubting, FindsTool, Observation, Plan, Policy, ReadsWords
from action_images.serving.exchanged import ViewsInOrder
from action_images.serving.messages import Request
from action_images.serving.plausible import check_observation, check_tool_is_seen, doubts
from action_images.serving.protocol import CLIENT, LENGTH, decode, encode
from action_images.serving.tensors import observation_from_request, reply_from_plan

MAX_WORDS = 200
"""The largest number of characters of words in a warning."""

OpenPolicy = Callable[[], Policy]


@runtime_checkable
class NamesPolicy(Protocol):
    """An OpenPolicy that knows the name of what it opens, such as a folder's with a hash of its weights."""

    def __call__(self) -> Policy:
        """Open the policy."""
        ...

    def policy_name(self) -> str:
        """The name, read anew."""
        ...


OpenCalibrations = Callable[[], Mapping[str, Camera]]
Watcher = Callable[[Observation, Plan], None]
"""Called with each observation and plan after the plan was sent."""
OpenWatcher = Callable[[Policy], Watcher]


def run(
    channel: socket.socket,
    open_policy: OpenPolicy,
    open_calibrations: OpenCalibrations,
    open_watcher: OpenWatcher | None = None,
) -> None:
    """Serve the parent process at the other end of `channel`.

    The first frame says whether the policy could be opened: {"policy", "name", "image_size", "fps",
    "calibrations"} or {"error", "traceback"}. `name` is None unless `open_policy` is a NamesPolicy. Then each
    request, as a client sent it, is answered by {"reply", "infer_ms"} or {"error", "traceback"}. Before it
    stands the client's number.
    """
    # Ctrl-C reaches every process of the terminal; this one stops when the parent closes the channel.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # The reply has this warning.
    warnings.filterwarnings("ignore", "words that the model never read")
    with channel, channel.makefile("rb") as incoming:
        try:
            policy, name = _opened(open_policy)
            calibrations = open_calibrations()
            for rig_name, cameras in calibrations.items():
                _check_rig(rig_name, cameras)
            watcher = None if open_watcher is None else open_watcher(policy)
        except Exception as error:
            _send(channel, _failure(error))
            return
        rigs = {
            name: {"views": len(rig.intrinsics), "size": list(rig.size)} for name, rig in calibrations.items()
        }
        size, fps = (list(policy.image_size), policy.fps) if isinstance(policy, ClipPolicy) else (None, None)
        told = {"policy": type(policy).__name__, "name": name, "image_size": size, "fps": fps}
        _send(channel, {**told, "calibrations": rigs})
        order = ViewsInOrder()
        while header := incoming.read(LENGTH.size):
            (client,) = CLIENT.unpack(incoming.read(CLIENT.size))
            data = incoming.read(LENGTH.unpack(header)[0])
            answer, planned = _answer(policy, calibrations, order, data, client=client)
            _send(channel, answer)
            if watcher is not None and planned is not None:
                _show(watcher, *planned)


def _opened(open_policy: OpenPolicy) -> tuple[Policy, str | None]:
    """The policy and its name; raises ActionImagesError if the name changed meanwhile, as in a training."""
    if not isinstance(open_policy, NamesPolicy):
        return open_policy(), None
    name = open_policy.policy_name()
    policy = open_policy()
    if (now := open_policy.policy_name()) != name:
        raise ActionImagesError(f"{name} became {now} while it was loaded; load it again")
    return policy, name


def _show(watcher: Watcher, observation: Observation, plan: Plan) -> None:
    """Call the watcher; its errors are logged and do not stop the policy."""
    try:
        watcher(observation, plan)
    except Exception as error:
        print(f"the plan could not be written for those who watch: {error}", file=sys.stderr, flush=True)


def _answer(
    policy: Policy, calibrations: Mapping[str, Camera], order: ViewsInOrder, data: bytes, *, client: int
) -> tuple[dict[str, Any], tuple[Observation, Plan] | None]:
    """The message to send, and the observation with its plan; None if there is no plan."""
    try:
        request = Request.from_message(decode(data))
        observation = observation_from_request(request, calibrations)
        check_observation(observation)
        if isinstance(policy, ClipPolicy):
            check_tool_is_seen(observation)
        if isinstance(policy, FindsTool):
            order.check(policy, observation, client=client)
        told = (*_about_words(policy, request), *doubts(observation))
        start = time.perf_counter()
        plan = policy.plan(observation)
        infer_ms = 1e3 * (time.perf_counter() - start)
        if isinstance(policy, Doubting):
            told += policy.doubts(observation, [plan])
        reply = replace(reply_from_plan(plan, request, observation), warnings=told)
        return {"reply": reply.to_message(), "infer_ms": infer_ms}, (observation, plan)
    except Exception as error:
        return _failure(error), None


def _about_words(policy: Policy, request: Request) -> tuple[str, ...]:
    """Warnings about words that the policy does not know; raises ActionImagesError if it knows too few."""
    if not isinstance(policy, ReadsWords):
        return ()
    read, asked = policy.words_read(request.prompt), request.known_words or "some"
    unknown = ", ".join(dict.fromkeys(read.unknown))[:MAX_WORDS]
    if asked != "none" and not read.known:
        said = f"none of the words {unknown}" if unknown else "no instruction: the prompt is empty"
        raise ActionImagesError(
            f"the policy understands {said}; say it in the words of its training, or send known_words 'none' "
            "to be given a plan without an instruction"
        )
    if asked == "all" and unknown:
        raise ActionImagesError(
            f"the policy never read the words {unknown}; leave them out, or send known_words 'some'"
        )
    return (f"words that the policy never read were left out: {unknown}",) if unknown else ()


def _failure(error: Exception) -> dict[str, str]:
    # An ActionImagesError is for the sender of the bad input; other errors go to the log alone.
    known = isinstance(error, ActionImagesError) and str(error)
    sentence = (
        " ".join(str(error).split())[:500]
        if known
        else "the policy failed on this observation; the server's log says why"
    )
    return {"error": sentence, "traceback": traceback.format_exc()}


def _check_rig(name: str, cameras: Camera) -> None:
    if len(cameras.batch_shape) != 1:
        raise ActionImagesError(
            f"calibration '{name}' has batch axes {tuple(cameras.batch_shape)}; a rig has one axis: view"
        )
    cameras.check(f"calibration '{name}'")


def _send(channel: socket.socket, message: dict[str, Any]) -> None:
    data = encode(message)
    channel.sendall(LENGTH.pack(len(data)))
    channel.sendall(data)
