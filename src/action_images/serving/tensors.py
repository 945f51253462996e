"""Conversions between the protocol's numpy arrays and the tensors of observations and plans."""

from collections.abc import Callable, Mapping
from dataclasses import fields
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from action_images.errors import ActionImagesError
from action_images.geometry import Camera, Pose, Trajectory
from action_images.geometry import rotation as rotations
from action_images.robot import Observation, Plan
from action_images.serving.messages import ACTION_FORMATS, DEFAULT_FORMAT, Reply, Request


def request_from_observation(
    observation: Observation, calibration: str | None = None, **asked: Any
) -> Request:
    """One observation (no batch axes) as a request; with a `calibration`, its own cameras are not sent.

    `asked` are further fields of the Request. Raises ValueError for a batch.
    """
    if observation.batch_shape:
        raise ActionImagesError(
            "one observation at a time crosses the wire, got a batch of shape "
            f"{tuple(observation.batch_shape)}"
        )
    cameras = observation.cameras
    own = (
        {"intrinsics": cameras.intrinsics, "world_from_camera": cameras.world_from_camera.matrix()}
        if calibration is None
        else {}
    )
    return Request(
        images=_numpy(observation.images),
        prompt=observation.instruction,
        world_from_tool=_numpy(observation.world_from_tool.matrix()),
        opening=observation.opening.item(),
        calibration=calibration,
        **{name: _numpy(value) for name, value in own.items()},
        **asked,
    )


def observation_from_request(request: Request, calibrations: Mapping[str, Camera]) -> Observation:
    """The observation in a request; `calibrations` are the server's rigs (axis: view) by name.

    Raises ValueError, naming the field, for a tool pose or cameras that no robot has.
    """
    images = torch.tensor(request.images)
    images = images.permute(0, 3, 1, 2).contiguous() if images.shape[-1] == 3 else images
    return Observation(
        images,
        _cameras(request, images, calibrations),
        _tool(request.world_from_tool),
        torch.tensor(request.opening, dtype=torch.float32),
        request.prompt,
    )


def reply_from_plan(plan: Plan, request: Request, observation: Observation) -> Reply:
    """A plan in the format, and with the number of rows, that the request asks for.

    Raises ActionImagesError if the request did not ask for confidence and the first row has confidence 0.
    Such a row must not be driven to, and the client could not know that. Also raises it for rows with numbers
    that no arm can be driven to.
    """
    name = request.action_format or DEFAULT_FORMAT
    trajectory, confidence = plan.trajectory, plan.confidence
    if confidence is not None and not request.confidence:
        num_known = int((confidence > 0).cumprod(0).sum())
        if num_known == 0:
            raise ActionImagesError(
                "the policy does not know where to go next; look again, or ask for 'confidence' and judge "
                "each row"
            )
        trajectory, confidence = trajectory[:num_known], None
    if request.num_steps is not None:
        trajectory, confidence = _of_length(trajectory, confidence, request.num_steps)
    _check_drivable(trajectory, confidence)
    actions = FORMATS[name].write(trajectory, observation.world_from_tool)
    return Reply(
        _numpy(actions),
        name,
        {},
        request.seq,
        None if confidence is None else _numpy(confidence),
        _rest(plan, request),
    )


def _check_drivable(trajectory: Trajectory, confidence: Float[Tensor, "step"] | None) -> None:
    """Raise ActionImagesError for rows that are not rigid poses with openings and confidence in [0, 1]."""
    try:
        trajectory.check("plan")
    except ActionImagesError as error:
        raise ActionImagesError(
            f"the policy made a plan that cannot be driven, so it is not sent: {error}"
        ) from error
    if confidence is not None and not ((confidence >= 0) & (confidence <= 1)).all():
        raise ActionImagesError(
            "the policy made a plan with a confidence outside [0, 1], so it is not sent; look again, or mend "
            "the policy"
        )


def _of_length(
    trajectory: Trajectory, confidence: Tensor | None, num_steps: int
) -> tuple[Trajectory, Float[Tensor, "step"]]:
    """The first `num_steps` rows; missing rows repeat the last pose, with confidence 0."""
    num_planned = min(trajectory.num_frames, num_steps)
    rows = [min(step, num_planned - 1) for step in range(num_steps)]
    known = torch.ones(num_planned) if confidence is None else confidence[:num_planned].float()
    return trajectory[rows], torch.cat([known, torch.zeros(num_steps - num_planned)])


def plan_from_reply(reply: Reply, action_format: str, world_from_tool: Pose) -> Plan:
    """The plan in a reply, for an observation of the tool at `world_from_tool`.

    Raises ValueError for actions that are not of this format.
    """
    columns = ACTION_FORMATS[action_format].columns
    if reply.actions.shape[1] != len(columns):
        raise ActionImagesError(
            f"the server's actions have {reply.actions.shape[1]} columns, but '{action_format}' has "
            f"{', '.join(columns)}; "
            "say with RemotePolicy(..., actions=NAME), or on the command line with --actions NAME, what the "
            "server's actions are"
        )
    read = FORMATS[action_format].read
    trajectory = read(torch.tensor(reply.actions), world_from_tool).check("the server's plan")
    known = {one.name for one in fields(Plan)} - {"trajectory", "confidence"}
    rest: dict[str, Any] = {
        name: torch.tensor(value) if isinstance(value, np.ndarray) else value
        for name, value in reply.plan.items()
        if name in known
    }
    return Plan(
        trajectory, confidence=None if reply.confidence is None else torch.tensor(reply.confidence), **rest
    )


def _rest(plan: Plan, request: Request) -> dict[str, Any]:
    rest = {
        one.name: getattr(plan, one.name)
        for one in fields(plan)
        if one.name not in ("trajectory", "confidence")
    }
    given = {name: value for name, value in rest.items() if value is not None}
    if not request.imagined:
        given = {name: value for name, value in given.items() if not isinstance(value, Tensor)}
    return {name: _numpy(value) if isinstance(value, Tensor) else value for name, value in given.items()}


def _cameras(
    request: Request, images: UInt8[Tensor, "view 3 h w"], calibrations: Mapping[str, Camera]
) -> Camera:
    num_views, _, height, width = images.shape
    if request.calibration is None:
        assert request.intrinsics is not None
        assert request.world_from_camera is not None
        pose = _pose("world_from_camera", request.world_from_camera)
        return Camera(_float32(request.intrinsics), pose, (height, width)).check("cameras")
    if request.calibration not in calibrations:
        there = ", ".join(sorted(calibrations)) or "none"
        raise ActionImagesError(
            f"the server holds no calibration '{request.calibration[:80]}'; it holds: {there}"
        )
    cameras = calibrations[request.calibration]
    if cameras.size != (height, width) or len(cameras.intrinsics) != num_views:
        raise ActionImagesError(
            f"calibration '{request.calibration}' is of {len(cameras.intrinsics)} views of {cameras.size} px "
            "(height, width), "
            f"but the images are {num_views} of {(height, width)}"
        )
    return cameras


def _tool(numbers: np.ndarray) -> Pose:
    if numbers.shape == (4, 4):
        return _pose("world_from_tool", numbers)
    vector = torch.cat([_float32(numbers), torch.ones(1)])
    return Trajectory.from_vector(vector[None]).world_from_tool[0]


def _pose(name: str, matrix: np.ndarray) -> Pose:
    try:
        return Pose.from_matrix(_float32(matrix))
    except ActionImagesError as error:
        raise ActionImagesError(f"'{name}': {error}") from error


def _float32(array: np.ndarray) -> Tensor:
    return torch.tensor(array, dtype=torch.float32)


def _numpy(tensor: Tensor) -> np.ndarray:
    return tensor.detach().cpu().contiguous().numpy()


def _to_matrix(trajectory: Trajectory, _start: Pose) -> Float[Tensor, "step 13"]:
    pose = trajectory.world_from_tool
    return torch.cat([pose.rotation.flatten(-2), pose.translation, trajectory.opening[..., None]], -1)


def _from_matrix(actions: Float[Tensor, "step 13"], _start: Pose) -> Trajectory:
    rotation, position, opening = actions.split([9, 3, 1], -1)
    return Trajectory(Pose(rotation.unflatten(-1, (3, 3)), position), opening.squeeze(-1))


def _to_delta(trajectory: Trajectory, start: Pose) -> Float[Tensor, "step 7"]:
    pose = trajectory.world_from_tool
    rotation = torch.cat([start.rotation.to(pose.rotation)[None], pose.rotation])
    position = torch.cat([start.translation.to(pose.translation)[None], pose.translation])
    turn = rotations.to_rotation_vector(rotation[1:] @ rotation[:-1].mT)
    return torch.cat([position.diff(dim=0), turn, trajectory.opening[..., None]], -1)


def _from_delta(actions: Float[Tensor, "step 7"], start: Pose) -> Trajectory:
    step, turn, opening = actions.double().split([3, 3, 1], -1)
    position = start.translation + step.cumsum(0)
    rotation, rows = start.rotation.double(), []
    for one in rotations.from_rotation_vector(turn):
        rotation = one @ rotation
        rows.append(rotation)
    return Trajectory(Pose(torch.stack(rows), position), opening.squeeze(-1)).to(actions.dtype)


def _to_pose(trajectory: Trajectory, _start: Pose) -> Float[Tensor, "step 8"]:
    return trajectory.to_vector(8)


def _to_euler(trajectory: Trajectory, _start: Pose) -> Float[Tensor, "step 7"]:
    return trajectory.to_vector(7)


def _from_vector(actions: Float[Tensor, "step numbers"], _start: Pose) -> Trajectory:
    return Trajectory.from_vector(actions)


class Format(NamedTuple):
    """The conversions to and from a format of actions, given the observed tool pose."""

    write: Callable[[Trajectory, Pose], Tensor]
    read: Callable[[Tensor, Pose], Trajectory]


FORMATS: dict[str, Format] = {
    "pose": Format(_to_pose, _from_vector),
    "euler": Format(_to_euler, _from_vector),
    "delta": Format(_to_delta, _from_delta),
    "matrix": Format(_to_matrix, _from_matrix),
}
"""The formats of ACTION_FORMATS."""
