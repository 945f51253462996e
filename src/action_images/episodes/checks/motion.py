"""Where pictures move: what a calibration can be held against without knowing what the pictures show."""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from action_images.episodes.episode import Frames
from action_images.geometry import Camera

SIDE = 48
"""Motion is looked at in pictures of this height and width: coarse, and cheap for any camera."""
STILL = 1.5
"""Mean change (of 255 levels) between two looks below which nothing moved."""


def looks(frames: Frames, indices: Sequence[int]) -> Float[Tensor, "look side side"]:
    """Grey levels of some frames, made small."""
    parts = [frames.read([index]).float().mean(1, keepdim=True) for index in indices]
    small = [torch.nn.functional.interpolate(part, (SIDE, SIDE), mode="area") for part in parts]
    return torch.cat(small)[:, 0]


def changes(grey: Float[Tensor, "look side side"]) -> Float[Tensor, "step side side"]:
    """What moved between one look and the next: the change beyond what noise and a change of light give everywhere."""
    difference = (grey[1:] - grey[:-1]).abs()
    return (difference - difference.flatten(1).median(-1).values[:, None, None] - STILL).clamp_min(0)


def centre(
    change: Float[Tensor, "step side side"], size: tuple[int, int]
) -> tuple[Float[Tensor, "step 2"], Float[Tensor, "step"]]:
    """The centre of what moved in each step (px of the full picture), and how much of it there is."""
    weight = change.square()
    total = weight.sum((-1, -2))
    ticks = (torch.arange(SIDE) + 0.5) / SIDE
    x, y = (weight.sum(-2) * ticks).sum(-1), (weight.sum(-1) * ticks).sum(-1)
    scale = torch.tensor([size[1], size[0]])
    return torch.stack([x, y], -1) / total.clamp_min(1e-6)[:, None] * scale, total


def nearness(
    change: Float[Tensor, "step side side"], camera: Camera, points: Float[Tensor, "step 3"]
) -> float | None:
    """How much more moves near the tool than elsewhere: mean change within a sixth of the picture of it, over that everywhere.

    One where the projection is unrelated to the picture; well above where it fits. None where nothing moves or the tool
    is not in view.
    """
    pixels, depth = camera.project(points)
    seen = (depth > 0) & camera.contains(pixels) & (change.sum((-1, -2)) > 0)
    if seen.sum() < 2:
        return None
    places = pixels[seen] / torch.tensor([camera.size[1], camera.size[0]])
    ticks = (torch.arange(SIDE) + 0.5) / SIDE
    near = ((ticks - places[:, :1])[:, None, :] ** 2 + (ticks - places[:, 1:])[:, :, None] ** 2) < (
        1 / 6
    ) ** 2
    inside = (change[seen] * near).sum() / near.sum().clamp_min(1)
    return float(inside / change[seen].mean())


def offset(
    change: Float[Tensor, "step side side"], camera: Camera, points: Float[Tensor, "step 3"]
) -> float | None:
    """How far the tool projects from the centre of what moves, as a part of the picture's diagonal, less their steady distance.

    The arm's centre is not the tool's, but it goes where the tool goes. None where too little moves to tell.
    """
    pixels, depth = camera.project(points)
    centres, weight = centre(change, camera.size)
    seen = (depth > 0) & (weight > 0)
    if seen.sum() < 5:
        return None
    apart = (pixels - centres)[seen]
    return float(
        (apart - apart.median(0).values).norm(dim=-1).mean() / torch.tensor(camera.size).float().norm()
    )


def epipolar_distance(
    one: Camera, other: Camera, pixels: Float[Tensor, "step 2"], others: Float[Tensor, "step 2"]
) -> Float[Tensor, "step"]:
    """How far `others` lie from the lines on which the first camera's pixels must be seen, as a part of the picture's diagonal."""
    origin, direction = one.rays(pixels)
    start, _ = other.project(origin + 0.05 * direction)
    end, depth = other.project(origin + 5.0 * direction)
    along = torch.nn.functional.normalize(end - start, dim=-1)
    offset = others - start
    across = (along[..., 0] * offset[..., 1] - along[..., 1] * offset[..., 0]).abs()
    return torch.where(depth > 0, across, torch.nan) / torch.tensor(other.size).float().norm()
