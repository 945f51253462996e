"""Compare motion between pictures, which tests cameras if nothing is known of the tool."""

from collections.abc import Mapping, Sequence
from itertools import combinations

import torch
from jaxtyping import Float, Int
from torch import Tensor

from action_images.episodes.checks.finding import Say
from action_images.episodes.episode import View
from action_images.geometry import Camera

SIDE = 48
"""Height and width of the pictures in which motion is measured: coarse, and cheap for any camera."""
STILL = 1.5
"""Mean change (of 255 levels) between two looks below which nothing moved."""
FARTHEST_OFF = 0.2
"""Largest distance of motion in one view from its epipolar line, as a fraction of the picture's diagonal."""


def changes(grey: Float[Tensor, "look side side"]) -> Float[Tensor, "step side side"]:
    """Motion between two looks: the change above the noise and lighting change of the whole picture."""
    difference = (grey[1:] - grey[:-1]).abs()
    return (difference - difference.flatten(1).median(-1).values[:, None, None] - STILL).clamp_min(0)


def centre(
    change: Float[Tensor, "step side side"], size: tuple[int, int]
) -> tuple[Float[Tensor, "step 2"], Float[Tensor, "step"]]:
    """The centre of motion in each step (px of the full picture), and its amount."""
    weight = change.square()
    total = weight.sum((-1, -2))
    ticks = (torch.arange(SIDE) + 0.5) / SIDE
    x, y = (weight.sum(-2) * ticks).sum(-1), (weight.sum(-1) * ticks).sum(-1)
    scale = torch.tensor([size[1], size[0]])
    return torch.stack([x, y], -1) / total.clamp_min(1e-6)[:, None] * scale, total


def epipolar_distance(
    one: Camera, other: Camera, pixels: Float[Tensor, "step 2"], others: Float[Tensor, "step 2"]
) -> Float[Tensor, "step"]:
    """Distance of `others` from the epipolar lines of the first camera's pixels, as fractions of the
    diagonal."""
    origin, direction = one.rays(pixels)
    start, _ = other.project(origin + 0.05 * direction)
    end, depth = other.project(origin + 5.0 * direction)
    along = torch.nn.functional.normalize(end - start, dim=-1)
    offset = others - start
    across = (along[..., 0] * offset[..., 1] - along[..., 1] * offset[..., 0]).abs()
    return torch.where(depth > 0, across, torch.nan) / torch.tensor(other.size).float().norm()


def compare_views(
    views: Sequence[View], moved: Mapping[str, Tensor], indices: Int[Tensor, "look"], say: Say
) -> None:
    """Motion in one view must lie near the line on which the other cameras can see it.

    `moved` is the change in each view between the looks at `indices`.
    """
    calibrated = [view for view in views if view.camera is not None]
    for one, other in combinations(calibrated, 2):
        pixels, weight = centre(moved[one.name], one.frames.size)
        others, weights = centre(moved[other.name], other.frames.size)
        both = (weight > 0) & (weights > 0)
        if both.sum() < 3:
            continue
        frames = indices[1:][both]
        distances = epipolar_distance(_at(one, frames), _at(other, frames), pixels[both], others[both])
        distance = distances.nanmedian()
        if distance > FARTHEST_OFF:
            line = f"what moves in both is {distance:.0%} of the picture off the epipolar line"
            say("warning", "calibration", f"{one.name} and {other.name}: {line}")


def _at(view: View, frames: Int[Tensor, "frame"]) -> Camera:
    assert view.camera is not None
    return view.camera[frames] if view.camera.batch_shape else view.camera.expand(len(frames))
