"""Action images of several calibrated views become the trajectory that they show."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Annotated, Literal

import numpy as np
import torch
from jaxtyping import Bool, Float, UInt8
from torch import Tensor

from action_images.codec import ambiguity
from action_images.codec.format import ActionImageFormat
from action_images.codec.locate import Spots, locate
from action_images.codec.solve import Solution, solve
from action_images.errors import ActionImagesError
from action_images.geometry import Camera, Trajectory
from action_images.structs import Struct, concatenate, stack

Smoother = Callable[[Trajectory, Float[Tensor, "*frames"]], Trajectory]
"""Takes a trajectory and its positions' predicted standard deviation (m; infinite where unknown), gives a smoother one."""
HALF_CONFIDENT_M = 5e-3
"""The predicted standard deviation of the position at which confidence is one half."""
STRONG_SIGMAS = 0.125
"""A spot located worse than this is no basis for triangulation: it may fit more than one pose."""


@dataclass(frozen=True)
class Reading(Struct):
    """What action images say. All but `spots` have axes (*batch frame).

    Where `valid` is False the pose is not to be relied on. Either it could not be known, and then the value stands
    between its known neighbours (held at the ends; NaN if there are none), or its predicted precision fell short, or a
    spot is missing where the pose says it should be seen, and then the value is the best estimate.
    """

    trajectory: Trajectory
    is_open: Bool[Tensor, "*frames"]
    """The gripper as a decision: more than half open."""
    valid: Bool[Tensor, "*frames"]
    """One pose, and one alone, explains the spots, to within the asked precision."""
    confidence: Float[Tensor, "*frames"]
    """In [0, 1]: 1 / (1 + position_std / 5 mm), and 0 where not valid."""
    position_std: Float[Tensor, "*frames"]
    """Predicted standard deviation of the position (m); infinite where it could not be known."""
    rotation_std: Float[Tensor, "*frames"]
    """Predicted standard deviation of the rotation (rad); infinite where it could not be known."""
    residual_px: Float[Tensor, "*frames"]
    """Root mean square distance between the spots and the projected points of the pose."""
    spots: Annotated[Spots, "*frames view point"]
    """What was found in each view, in the order red, green, blue."""


def read(
    images: Float[Tensor, "*batch view frame 3 h w"] | UInt8[Tensor, "*batch view frame 3 h w"],
    cameras: Camera,
    format: ActionImageFormat = ActionImageFormat(),
    *,
    precision: Literal["exact", "fast"] = "exact",
    max_position_std: float = 2.5e-3,
    smooth: Smoother | None = None,
) -> Reading:
    """Read the trajectory off action images, uint8 or float in [0, 1], of at least two views.

    `cameras` are (view), (*batch view) or moving (*batch view frame): see `Camera.per_frame`. `exact` uses every
    pixel near a spot, `fast` some of them: as good on clean images, worse under noise. Frames whose position is
    predicted to be worse than `max_position_std` (m) are not valid, nor are those whose rotation would move the drawn
    points by more than twice that. `smooth` (for generated images; see `codec.smooth`) runs last.

    Raises ValueError for fewer than two views, no frames, pixels that are not finite or far outside [0, 1], or images
    that do not match the cameras. Source: paper section 3, inverted by weighted least squares; the errors to expect
    stand in docs/codec.md.
    """
    rig = _rig(images, cameras)
    axis = images.ndim - 5
    batch_shape = torch.Size([*images.shape[:axis], images.shape[axis + 1]])
    located = locate(images, format, full_resolution=precision == "exact")
    spots = located.map(lambda tensor: tensor.transpose(axis, axis + 1).flatten(0, axis)).to(torch.float64)
    frame_rig = rig.map(lambda tensor: tensor.transpose(axis, axis + 1).flatten(0, axis)).to(torch.float64)

    solution, known, searched = _solve_all(spots, frame_rig, format, num_frames=batch_shape[-1])
    reading = _reading(solution, known, spots, format, max_position_std)
    faded = searched & ambiguity.should_be_seen(
        format.points(solution.world_from_tool), spots, frame_rig, format
    )
    reading = replace(
        reading, valid=reading.valid & ~faded, confidence=torch.where(faded, 0.0, reading.confidence)
    )
    paths = reading.trajectory.map(lambda tensor: tensor.unflatten(0, (-1, batch_shape[-1])))
    trajectory = _bridge(paths, known.unflatten(0, (-1, batch_shape[-1])))
    reading = replace(reading, trajectory=trajectory.map(lambda tensor: tensor.flatten(0, 1)))
    reading = reading.map(lambda tensor: tensor.unflatten(0, batch_shape)).to(cameras.dtype)
    if smooth is not None:
        reading = replace(reading, trajectory=smooth(reading.trajectory, reading.position_std))
    return reading


def _rig(images: Tensor, cameras: Camera) -> Camera:
    """The cameras as (*batch view frame), after all that can be wrong with them or the images' shape."""
    if images.ndim < 5 or images.shape[-3] != 3:
        raise ActionImagesError(
            f"read takes images (*batch view frame 3 height width), got {tuple(images.shape)}"
        )
    *batch_shape, num_views, num_frames = images.shape[:-3]
    if num_views < 2:
        raise ActionImagesError(
            "read needs at least two views: one alone does not tell how far away the tool is; add a calibrated camera"
        )
    if num_frames == 0:
        raise ActionImagesError("read got images with no frames; give at least one")
    if tuple(images.shape[-2:]) != tuple(cameras.size):
        cure = "bring both to one size with geometry.framing"
        raise ActionImagesError(
            f"images are {tuple(images.shape[-2:])}, cameras.size says {tuple(cameras.size)} (height, width); {cure}"
        )
    rig = cameras.check("cameras").per_frame(tuple(batch_shape), num_frames)
    if rig.batch_shape[-2] != num_views:
        raise ActionImagesError(
            f"images show {num_views} views, cameras describe {rig.batch_shape[-2]}; give one camera for each view, in order"
        )
    return rig


def _solve_all(
    spots: Spots, rig: Camera, format: ActionImageFormat, num_frames: int
) -> tuple[Solution, Tensor, Tensor]:
    """Poses of all frames, (batch * frame), which of them are known, and which had to be searched for."""
    limit = STRONG_SIGMAS * format.sigma_px(rig.size)
    strong = spots.seen & (spots.covariance.diagonal(dim1=-2, dim2=-1).sum(-1) < limit**2)
    whole = (strong.sum(1) >= 2).all(-1)
    solution = solve(spots, rig, format)
    fits = solution.in_front & (solution.residual_px < format.sigma_px(rig.size))
    known = whole & fits
    partial = (~whole & spots.seen.any(1).all(-1)).nonzero().squeeze(-1)
    if not len(partial):
        return solution, known, torch.zeros_like(known)
    candidates = ambiguity.search(spots[partial], strong[partial], rig[partial], format)
    source = torch.arange(len(known), device=known.device)
    picked = torch.zeros_like(partial)
    for start in range(0, len(known), num_frames):
        columns = ((partial >= start) & (partial < start + num_frames)).nonzero().flatten()
        poses = {
            int(i): solution.world_from_tool[int(i)]
            for i in known[start : start + num_frames].nonzero().flatten() + start
        }
        chosen = ambiguity.choose(candidates[:, columns], partial[columns].tolist(), poses, format)
        for column in columns.tolist():
            if (frame := int(partial[column])) in chosen:
                source[frame], picked[column] = len(known) + column, chosen[frame]
    solution = concatenate([solution, candidates.solution[picked, torch.arange(len(partial))]])[source]
    searched = source >= len(known)
    return solution, known | (searched & (solution.residual_px < format.sigma_px(rig.size))), searched


def _reading(
    solution: Solution, known: Tensor, spots: Spots, format: ActionImageFormat, max_position_std: float
) -> Reading:
    opening = _opening(spots, format)
    position_std, rotation_std = (
        torch.where(known, std, torch.inf) for std in (solution.position_std, solution.rotation_std)
    )
    valid = (position_std <= max_position_std) & (rotation_std * format.axis_length <= 2 * max_position_std)
    return Reading(
        Trajectory(solution.world_from_tool, opening),
        is_open=opening > 0.5,
        valid=valid,
        confidence=torch.where(valid, 1 / (1 + position_std / HALF_CONFIDENT_M), 0.0),
        position_std=position_std,
        rotation_std=rotation_std,
        residual_px=solution.residual_px,
        spots=spots,
    )


def _opening(spots: Spots, format: ActionImageFormat) -> Tensor:
    """How far blue's background stands above the black level that red and green show, averaged over views."""
    red, green, blue = spots.background.unbind(-1)
    return ((blue - (red + green) / 2) / format.gripper_level).mean(-1).clamp(0, 1)


def _bridge(trajectory: Trajectory, known: Tensor) -> Trajectory:
    """Each path (path frame) with its unknown frames laid between known ones: held at the ends, NaN if none is known."""
    return stack([_bridge_path(trajectory[i], known[i]) for i in range(len(known))])


def _bridge_path(path: Trajectory, known: Tensor) -> Trajectory:
    if known.all():
        return path
    frames = known.nonzero().flatten()
    if not len(frames):
        return replace(
            path, world_from_tool=path.world_from_tool.map(lambda tensor: torch.full_like(tensor, torch.nan))
        )
    numbers = np.interp(np.arange(len(known)), frames.numpy(force=True), np.arange(len(frames)))
    bridged = path[frames].at(torch.as_tensor(numbers, device=known.device))
    pose = stack([bridged.world_from_tool, path.world_from_tool])
    return replace(path, world_from_tool=pose[known.long(), torch.arange(len(known))])
