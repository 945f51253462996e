"""The process in which the policy lives: it opens the policy, then answers one request at a time until its channel closes."""

import signal
import socket
import time
import traceback
from collections.abc import Callable, Mapping
from typing import Any

from action_images.errors import ActionImagesError
from action_images.geometry import Camera
from action_images.robot import ClipPolicy, Policy
from action_images.serving.messages import Request
from action_images.serving.protocol import LENGTH, decode, encode
from action_images.serving.tensors import observation_from_request, reply_from_plan

OpenPolicy = Callable[[], Policy]
OpenCalibrations = Callable[[], Mapping[str, Camera]]


def run(channel: socket.socket, open_policy: OpenPolicy, open_calibrations: OpenCalibrations) -> None:
    """Serve the parent process at the other end of `channel`.

    The first frame says whether the policy could be opened: {"policy", "image_size", "fps", "calibrations"}
    or {"error", "traceback"}. Then each request, as a client sent it, is answered by {"reply", "infer_ms"} or
    {"error", "traceback"}.
    """
    # Ctrl-C reaches every process of the terminal; when to stop is the parent's to say, by closing the channel.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with channel, channel.makefile("rb") as incoming:
        try:
            policy, calibrations = open_policy(), open_calibrations()
            for name, cameras in calibrations.items():
                _check_rig(name, cameras)
        except Exception as error:
            _send(channel, _failure(error))
            return
        rigs = {
            name: {"views": len(rig.intrinsics), "size": list(rig.size)} for name, rig in calibrations.items()
        }
        size, fps = (list(policy.image_size), policy.fps) if isinstance(policy, ClipPolicy) else (None, None)
        _send(
            channel, {"policy": type(policy).__name__, "image_size": size, "fps": fps, "calibrations": rigs}
        )
        while header := incoming.read(LENGTH.size):
            _send(channel, _answer(policy, calibrations, incoming.read(LENGTH.unpack(header)[0])))


def _answer(policy: Policy, calibrations: Mapping[str, Camera], data: bytes) -> dict[str, Any]:
    try:
        request = Request.from_message(decode(data))
        observation = observation_from_request(request, calibrations)
        start = time.perf_counter()
        plan = policy.plan(observation)
        infer_ms = 1e3 * (time.perf_counter() - start)
        return {"reply": reply_from_plan(plan, request, observation).to_message(), "infer_ms": infer_ms}
    except Exception as error:
        return _failure(error)


def _failure(error: Exception) -> dict[str, str]:
    # A ValueError speaks to whoever gave the bad input; anything else is for the log alone.
    known = isinstance(error, ValueError) and str(error)
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
