"""Resample a path from a model's frames to control steps, standing still while the gripper moves."""

from dataclasses import dataclass, replace
from typing import Literal

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from action_images.errors import ActionImagesError
from action_images.geometry import Trajectory

Interpolation = Literal["linear", "cubic"]


@dataclass(frozen=True)
class Gripper:
    """The time at which the gripper switches, and the pauses of the tool around it.

    A closed gripper opens if a frame shows it more than `open_above` open, and an open one closes below
    `close_below`; between the two it stays unchanged. It switches only once the frame that shows it switched
    is reached. There the pose is held for `wait` control steps before and `dwell` control steps after.
    """

    close_below: float = 0.35
    open_above: float = 0.65
    wait: int = 1
    dwell: int = 6

    def __post_init__(self) -> None:
        if not 0 <= self.close_below <= self.open_above <= 1 or self.wait < 0 or self.dwell < 1:
            raise ActionImagesError(
                f"a gripper takes 0 <= close_below <= open_above <= 1, wait >= 0 and dwell >= 1, got {self}"
            )

    def decide(self, opening: Float[Tensor, "frame"]) -> Bool[Tensor, "frame"]:
        """True for frames in which the gripper should be open; the first frame is the current state, open
        above one half."""
        states = [bool(opening[0] > 0.5)]
        for value in opening[1:].tolist():
            states.append(value > self.close_below if states[-1] else value > self.open_above)
        return torch.tensor(states, device=opening.device)


@dataclass(frozen=True)
class ControlSteps:
    """A path from one control step after now on; `frame` is the model frame of each step."""

    trajectory: Trajectory
    confidence: Float[Tensor, "step"]
    frame: Float[Tensor, "step"]


def to_control_steps(
    path: Trajectory,
    confidence: Float[Tensor, "frame"],
    fps: float,
    control_hz: float,
    gripper: Gripper = Gripper(),
    interpolation: Interpolation = "linear",
) -> ControlSteps:
    """Resample a path (frame) at `fps`, with frame 0 now, to one pose for each control step.

    Openings are 0 or 1. Rotations are interpolated evenly from frame to frame, positions linearly or along
    Catmull-Rom curves. The confidence of a step between two frames is the lower of theirs. Raises ValueError
    for a path without a second frame, or that is not finite (see `bridged`).
    """
    if path.num_frames < 2:
        raise ActionImagesError(
            f"a path of {path.num_frames} frames leads nowhere: frame 0 is now, give at least one more"
        )
    if not (
        path.world_from_tool.translation.isfinite().all() and path.world_from_tool.rotation.isfinite().all()
    ):
        raise ActionImagesError(
            "a path has poses that are not finite; lay them between their known neighbours with "
            "control.bridged"
        )
    frames, is_open = _schedule(gripper.decide(path.opening).tolist(), control_hz / fps, gripper)
    frame = torch.tensor(frames, dtype=path.dtype, device=path.device)
    steps = path.at(frame)
    if interpolation == "cubic":
        curve = _catmull_rom(path.world_from_tool.translation, frame)
        steps = replace(steps, world_from_tool=replace(steps.world_from_tool, translation=curve))
    sure = torch.minimum(confidence[frame.floor().long()], confidence[frame.ceil().long()])
    return ControlSteps(replace(steps, opening=torch.tensor(is_open).to(path.opening)), sure, frame)


def bridged(path: Trajectory, known: Bool[Tensor, "frame"]) -> Trajectory:
    """Interpolate unknown poses between known ones and hold the last known one; frame 0 must be known."""
    if not known[0]:
        raise ActionImagesError(
            "a path is bridged from its first frame on, which must be known: it is where the tool is now"
        )
    kept = known.nonzero().flatten()
    place = known.cumsum(0) - 1
    before, after = kept[place], kept[(place + 1).clamp(max=len(kept) - 1)]
    share = (torch.arange(len(known), device=known.device) - before).to(path.dtype) / (
        after - before
    ).clamp_min(1)
    poses = path[kept].at((place + share.clamp(0, 1)).clamp(max=len(kept) - 1)).world_from_tool
    return replace(path, world_from_tool=poses)


def _schedule(is_open: list[bool], stride: float, gripper: Gripper) -> tuple[list[float], list[bool]]:
    """The frame number and the gripper's state of each control step."""
    frames: list[float] = []
    states: list[bool] = []
    last, state = len(is_open) - 1, is_open[0]
    for step in range(1, int(last * stride + 1e-6) + 1):
        frame = min(step / stride, float(last))
        now = is_open[int(frame + 1e-6)]
        if now != state:
            frames += [frame] * (gripper.wait + gripper.dwell)
            states += [state] * gripper.wait + [now] * gripper.dwell
        else:
            frames.append(frame)
            states.append(now)
        state = now
    return frames, states


def _catmull_rom(points: Float[Tensor, "frame 3"], frame: Float[Tensor, "step"]) -> Float[Tensor, "step 3"]:
    """Cubic curves through all points, with the mean of the neighbouring slopes (Catmull and Rom 1974)."""
    before = frame.floor().long().clamp(max=len(points) - 2)
    share = (frame - before)[:, None]
    slope = torch.cat([points[1:2] - points[:1], (points[2:] - points[:-2]) / 2, points[-1:] - points[-2:-1]])
    start, stop, leave, arrive = points[before], points[before + 1], slope[before], slope[before + 1]
    bend = (leave + start - stop) * (1 - share) + (stop - start - arrive) * share
    return torch.lerp(start, stop, share) + share * (1 - share) * bend
