"""Check that the fingers look apart when the gripper is declared open, against the background behind them."""

from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn.functional import grid_sample

from action_images.episodes.checks.looks import SIDE, Blurred
from action_images.geometry import Camera, Trajectory

BETWEEN = (-0.01, 0.0, 0.01)
"""Points on the tool's y axis (m), along which the fingers close: between open fingers, on closed ones."""
BESIDE = (-0.06, -0.05, -0.04, 0.04, 0.05, 0.06)
"""Points on open fingers, and beside closed ones."""
AXIAL = (-0.035, -0.025, -0.015, -0.005)
"""Positions of the points along the tool's axis (m): the last centimetres of the fingers."""
LEAST_MOVE = 0.5
"""An opening that changes by less in an episode is not judged."""
NEAR_S = 1.0
"""Only frames this close to a change of the opening count: later, a carried object hides the fingers."""
MOST_FRAMES = 24
MOST_BEHIND = 48
"""The most frames from which the background behind the fingers is taken."""
AWAY_PX = 14.0
"""Distance of the tool (px of the small pictures) at which a point shows its background."""
MOST_LEVELS = 40.0
"""Differences to the background are capped at this level."""


class Gap(NamedTuple):
    """How much more the middle stands out from its background when closed than when open (levels).

    Positive if the fingers are apart when the declared opening is large.
    """

    levels: float
    weight: float
    """Number of frames in the rarer state, open or closed."""


def gap(
    video: Blurred,
    frames: Int[Tensor, "frame"],
    camera: Camera,
    trajectory: Trajectory,
    fps: float,
) -> Gap | None:
    """The gap in one view; `frames` are those of the video. None if it cannot be measured."""
    opening = trajectory.opening[frames]
    low, high = opening.min(), opening.max()
    if camera.batch_shape or high - low < LEAST_MOVE:
        return None
    is_open = opening > (low + high) / 2
    near = _near_changes(is_open, max(1, round(NEAR_S * fps)))
    stands_out = _stands_out(video, near, camera, trajectory[frames])
    middle, sides = stands_out.split([len(BETWEEN), len(BESIDE)], 1)
    excess = middle.nanmean(1) - sides.nanmean(1)
    seen = excess.isfinite()
    opened, closed = excess[seen & is_open[near]], excess[seen & ~is_open[near]]
    if not (len(opened) and len(closed)):
        return None
    return Gap(float(closed.mean() - opened.mean()), float(min(len(opened), len(closed))))


def _near_changes(is_open: Tensor, reach: int) -> Int[Tensor, "near"]:
    """Frames close to a change of the opening, at most `MOST_FRAMES`."""
    changes = (is_open[1:] != is_open[:-1]).nonzero().flatten() + 0.5
    distance = (torch.arange(len(is_open))[:, None] - changes).abs().amin(1)
    near = (distance < reach).nonzero().flatten()
    return near[:: -(-len(near) // MOST_FRAMES)]


def _stands_out(
    video: Blurred, near: Tensor, camera: Camera, trajectory: Trajectory
) -> Float[Tensor, "near across"]:
    """Levels by which points across the fingers differ from their background; NaN if it is not seen."""
    across, along = torch.meshgrid(torch.tensor(BETWEEN + BESIDE), torch.tensor(AXIAL), indexing="ij")
    points = torch.stack([torch.zeros(across.numel()), across.flatten(), along.flatten()], -1)
    tool = trajectory.world_from_tool
    pixels, depth = camera.project(tool[near][:, None].apply(points))
    inside = (depth > 0) & camera.contains(pixels)
    scale = SIDE / torch.tensor([camera.size[1], camera.size[0]])
    places = pixels * scale
    behind = torch.arange(len(video))[:: -(-len(video) // MOST_BEHIND)]
    tips = camera.project(tool.translation[behind])[0] * scale
    away = (tips[:, None, None] - places).norm(dim=-1) > AWAY_PX
    others = _colours(video.at(behind), places.flatten(0, 1).expand(len(behind), -1, -1))
    hidden = torch.where(away[..., None], others.unflatten(1, places.shape[:2]), torch.nan)
    background = hidden.nanmedian(0).values
    difference = (_colours(video.at(near), places) - background).abs().mean(-1).clamp(max=MOST_LEVELS)
    levels = torch.where(inside, difference, torch.nan)
    return levels.unflatten(1, across.shape).nanmean(-1)


def _colours(pictures: Tensor, places: Float[Tensor, "frame point 2"]) -> Float[Tensor, "frame point 3"]:
    """Colours of blurred pictures at positions (px of the small pictures)."""
    grid = (2 * places / SIDE - 1)[:, :, None]
    options = {"mode": "bilinear", "padding_mode": "border", "align_corners": False}
    return grid_sample(pictures, grid, **options)[..., 0].mT
