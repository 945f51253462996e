"""Read the trajectory from action images of several calibrated views."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Annotated, Literal, TypeVar

import numpy as np
import torch
from jaxtyping import Bool, Float, UInt8
from torch import Tensor

from action_images.codec import ambiguity
from action_images.codec.format import ActionImageFormat
from action_images.codec.locate import Spots, locate
from action_images.codec.solve import Solution, solve
from action_images.device import to_cpu
from action_images.errors import ActionImagesError
from action_images.geometry import Camera, Pose, Trajectory
from action_images.geometry.given import Cameras, rig_of
from action_images.structs import Array, Struct, as_tensor, concatenate, stack

FramesOfViews = TypeVar("FramesOfViews", Spots, Camera)
Smoother = Callable[[Trajectory, Float[Tensor, "*frames"]], Trajectory]
"""Takes a trajectory and its positions' predicted standard deviation (m; infinite if unknown)."""
HALF_CONFIDENT_M = 5e-3
"""The predicted standard deviation of the position at which confidence is one half."""
STRONG_SIGMAS = 0.125
"""A spot located worse than this is not used for triangulation: it may fit more than one pose."""


@dataclass(frozen=True)
class Reading(Struct):
    """The result of reading action images. All but `spots` have axes (*batch frame).

    If `valid` is False the pose is not reliable, for one of three reasons. The pose could not be known: the
    value is then interpolated between known neighbours (held at the ends; NaN if there are none). Or its
    predicted precision was too low, or a spot is missing that the pose says should be seen: the value is
    then the best estimate.
    """

    trajectory: Trajectory
    is_open: Bool[Tensor, "*frames"]
    """The gripper as a decision: more than half open."""
    valid: Bool[Tensor, "*frames"]
    """Exactly one pose explains the spots, to within the requested precision."""
    confidence: Float[Tensor, "*frames"]
    """In [0, 1]: 1 / (1 + position_std / 5 mm), and 0 where not valid."""
    position_std: Float[Tensor, "*frames"]
    """Predicted standard deviation of the position (m); infinite if it could not be known."""
    rotation_std: Float[Tensor, "*frames"]
    """Predicted standard deviation of the rotation (rad); infinite if it could not be known."""
    residual_px: Float[Tensor, "*frames"]
    """Root mean square distance between the spots and the pose's projected points."""
    spots: Annotated[Spots, "*frames view point"]
    """The spots found in each view, in the order red, green, blue."""


def read(
    images: Float[Array, "*batch view frame 3 h w"] | UInt8[Array, "*batch view frame 3 h w"],
    cameras: Cameras,
    format: ActionImageFormat = ActionImageFormat(),
    *,
    precision: Literal["exact", "fast"] = "exact",
    max_position_std: float = 2.5e-3,
    smooth: Smoother | None = None,
) -> Reading:
    """Read the trajectory from action images, uint8 or float in [0, 1], of at least two views.

    `cameras` are (view), (*batch view) or moving (*batch view frame): see `Camera.per_frame`; or a list or
    dict of them, as in `draw`. `precision` "exact" uses every pixel near a spot; "fast" uses some of them,
    which is as good on clean images and worse under noise. Frames whose predicted position error exceeds
    `max_position_std` (m) are not valid, nor are those whose rotation error would move the drawn points by
    more than twice that. `smooth` (for generated images; see `codec.smooth`) runs last. Everything runs on
    the CPU, and the reading is there.

    Raises ValueError for fewer than two views, no frames, pixels that are not finite or far outside [0, 1],
    or images that do not match the cameras. Source: paper section 3, inverted by weighted least squares.
    docs/codec.md lists the expected errors.
    """
    pictures, cameras = as_tensor(images, "images"), rig_of(cameras)
    rig = to_cpu(_rig(pictures, cameras), "images to read")
    pictures = to_cpu(pictures, "images to read")
    *batch_shape, _, num_frames = pictures.shape[:-3]
    located = locate(pictures, format, full_resolution=precision == "exact")
    # Geometry is solved frame by frame: (*batch view frame) becomes (batch * frame, view).
    spots, frame_rig = _by_frame(located, len(batch_shape)), _by_frame(rig, len(batch_shape))

    solved = _solve_all(spots, frame_rig, format, num_frames=num_frames)
    reading = _reading(solved, spots, format, max_position_std)
    reading = _doubt_faded(reading, solved, frame_rig, format)
    paths = reading.trajectory.map(lambda tensor: tensor.unflatten(0, (-1, num_frames)))
    bridged = _bridge(paths, solved.known.unflatten(0, (-1, num_frames)))
    reading = replace(reading, trajectory=bridged.map(lambda tensor: tensor.flatten(0, 1)))
    reading = reading.map(lambda tensor: tensor.unflatten(0, (*batch_shape, num_frames))).to(cameras.dtype)
    if smooth is not None:
        reading = replace(reading, trajectory=smooth(reading.trajectory, reading.position_std))
    return reading


def _by_frame(value: FramesOfViews, num_batch_axes: int) -> FramesOfViews:
    view, frame = num_batch_axes, num_batch_axes + 1
    return value.map(lambda tensor: tensor.transpose(view, frame).flatten(0, view)).to(torch.float64)


def _rig(images: Tensor, cameras: Camera) -> Camera:
    """The cameras as (*batch view frame), after checking them and the images' shape."""
    if images.ndim < 5 or images.shape[-3] != 3:
        cure = "put the colours before height and width: numpy.moveaxis(images, -1, -3)"
        if images.ndim < 5 or images.shape[-1] != 3:
            cure = "stack the frames of each view, then the views"
        raise ActionImagesError(
            f"read takes images (*batch view frame 3 height width), got {tuple(images.shape)}; {cure}"
        )
    *batch_shape, num_views, num_frames = images.shape[:-3]
    if num_views < 2:
        raise ActionImagesError(
            "read needs at least two views: one alone does not tell how far away the tool is; add a "
            "calibrated camera"
        )
    if num_frames == 0:
        raise ActionImagesError("read got images with no frames; give at least one")
    if tuple(images.shape[-2:]) != tuple(cameras.size):
        cure = "bring both to one size with geometry.framing"
        raise ActionImagesError(
            f"images are {tuple(images.shape[-2:])}, cameras.size says {tuple(cameras.size)} (height, "
            f"width); {cure}"
        )
    rig = cameras.check("cameras").per_frame(tuple(batch_shape), num_frames)
    if rig.batch_shape[-2] != num_views:
        raise ActionImagesError(
            f"images show {num_views} views, cameras describe {rig.batch_shape[-2]}; give one camera for "
            "each view, in order"
        )
    return rig


@dataclass(frozen=True)
class _Solved:
    """Poses of all frames (batch * frame), which of them are known, and which were searched for."""

    solution: Solution
    known: Bool[Tensor, "frames"]
    searched: Bool[Tensor, "frames"]


def _solve_all(spots: Spots, rig: Camera, format: ActionImageFormat, *, num_frames: int) -> _Solved:
    sigma_px = format.sigma_px(rig.size)
    limit_px = STRONG_SIGMAS * sigma_px
    strong = spots.seen & (spots.variance_px < limit_px**2)
    whole = (strong.sum(1) >= 2).all(-1)
    solution = solve(spots, rig, format)
    known = whole & solution.in_front & (solution.residual_px < sigma_px)
    partial = (~whole & spots.seen.any(1).all(-1)).nonzero().squeeze(-1)
    if not len(partial):
        return _Solved(solution, known, searched=torch.zeros_like(known))

    candidates = ambiguity.search(spots[partial], strong[partial], rig[partial], format)
    chosen = _choose(candidates, partial, solution.world_from_tool, known, format, num_frames=num_frames)
    source = torch.arange(len(known), device=known.device)
    picked = torch.zeros_like(partial)
    for column, frame in enumerate(partial.tolist()):
        if frame in chosen:
            source[frame], picked[column] = len(known) + column, chosen[frame]
    found = candidates.solution[picked, torch.arange(len(partial))]
    solution = concatenate([solution, found])[source]
    searched = source >= len(known)
    return _Solved(solution, known | (searched & (solution.residual_px < sigma_px)), searched)


def _choose(
    candidates: ambiguity.Candidates,
    partial: Tensor,
    world_from_tool: Pose,
    known: Tensor,
    format: ActionImageFormat,
    *,
    num_frames: int,
) -> dict[int, int]:
    """The candidate of each `partial` frame that can be decided; every path is decided separately."""
    chosen: dict[int, int] = {}
    for start in range(0, len(known), num_frames):
        stop = start + num_frames
        columns = ((partial >= start) & (partial < stop)).nonzero().flatten()
        known_frames = (known[start:stop].nonzero().flatten() + start).tolist()
        poses = {frame: world_from_tool[frame] for frame in known_frames}
        chosen |= ambiguity.choose(candidates[:, columns], partial[columns].tolist(), poses, format)
    return chosen


def _reading(solved: _Solved, spots: Spots, format: ActionImageFormat, max_position_std: float) -> Reading:
    solution = solved.solution
    opening = _opening(spots, format)
    position_std = torch.where(solved.known, solution.position_std, torch.inf)
    rotation_std = torch.where(solved.known, solution.rotation_std, torch.inf)
    axis_end_std = rotation_std * format.axis_length
    valid = (position_std <= max_position_std) & (axis_end_std <= 2 * max_position_std)
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


def _doubt_faded(reading: Reading, solved: _Solved, rig: Camera, format: ActionImageFormat) -> Reading:
    """Mark frames invalid if a searched pose says that a missing spot should be seen."""
    points = format.points(solved.solution.world_from_tool)
    faded = solved.searched & ambiguity.should_be_seen(points, reading.spots, rig, format)
    confidence = torch.where(faded, 0.0, reading.confidence)
    return replace(reading, valid=reading.valid & ~faded, confidence=confidence)


def _opening(spots: Spots, format: ActionImageFormat) -> Tensor:
    """Blue's background above the black level of red and green, averaged over views."""
    red, green, blue = spots.background.unbind(-1)
    return ((blue - (red + green) / 2) / format.gripper_level).mean(-1).clamp(0, 1)


def _bridge(trajectory: Trajectory, known: Tensor) -> Trajectory:
    """Each path (path frame) with its unknown frames interpolated between known ones.

    Frames at the ends are held; all are NaN if no frame is known.
    """
    return stack([_bridge_path(trajectory[i], known[i]) for i in range(len(known))])


def _bridge_path(path: Trajectory, known: Tensor) -> Trajectory:
    if known.all():
        return path
    frames = known.nonzero().flatten()
    if not len(frames):
        unknown = path.world_from_tool.map(lambda tensor: torch.full_like(tensor, torch.nan))
        return replace(path, world_from_tool=unknown)
    # Unknown frames lie at fractions between the known ones' positions in `frames`.
    places = np.interp(np.arange(len(known)), frames.numpy(force=True), np.arange(len(frames)))
    bridged = path[frames].at(torch.as_tensor(places, device=known.device))
    pose = stack([bridged.world_from_tool, path.world_from_tool])
    return replace(path, world_from_tool=pose[known.long(), torch.arange(len(known))])
