"""A small picture of an episode with the tool drawn in: its position, rotation and path."""

import io
from collections.abc import Sequence

import torch
from jaxtyping import Float, UInt8
from PIL import Image, ImageDraw
from torch import Tensor

from action_images.codec.format import POINTS
from action_images.episodes.episode import Episode, View
from action_images.geometry import Camera, Trajectory
from action_images.geometry.fitting import fit_camera, fit_frames
from action_images.reports.pictures import to_pillow, to_tensor
from action_images.reports.theme import EXECUTED, SPOTS

AXIS_LENGTH = 0.08
"""Length of the lines along the tool's x axis and against its z axis (m)."""
GAP_PX = 4
"""White space between two views."""
OVERSAMPLING = 4
"""Lines are drawn enlarged by this factor and then reduced, which makes them smooth."""
JPEG_QUALITY = 90

Line = tuple[Float[Tensor, "_ 2"], str, float]
"""Points (px, centres at +0.5), a colour and half the width (px)."""


def thumbnail(episode: Episode, height: int = 144, frame: int | None = None) -> UInt8[Tensor, "3 h w"]:
    """A frame (None: the middle one) of each view, side by side; calibrated views have the tool drawn in."""
    shown = episode.num_frames // 2 if frame is None else frame
    gap = torch.full((3, height, GAP_PX), 255, dtype=torch.uint8)
    first, *others = [_view(view, episode.trajectory, shown, height) for view in episode.views]
    gapped = [torch.cat([gap, other], -1) for other in others]
    return torch.cat([first, *gapped], -1)


def _view(view: View, trajectory: Trajectory | None, frame: int, height: int) -> UInt8[Tensor, "3 h w"]:
    rows, columns = view.frames.size
    size = (height, max(2, round(columns * height / rows / 2) * 2))
    picture = fit_frames(view.frames.read([frame]), size)[0]
    if view.camera is None or trajectory is None:
        return picture
    camera = fit_camera(view.camera[frame] if view.camera.batch_shape else view.camera, size)
    return draw_lines(picture, _tool_lines(camera, trajectory, frame))


def _tool_lines(camera: Camera, trajectory: Trajectory, frame: int) -> list[Line]:
    """The part of the path in front of the camera, and on top of it the tool as its three spots."""
    pixels, depth = camera.project(trajectory.world_from_tool.translation)
    lines = [(pixels[depth > 0], EXECUTED, 0.7)]
    points = trajectory.world_from_tool[frame, None].apply(AXIS_LENGTH * torch.tensor(POINTS))
    (origin, *tips), depth = camera.project(points)
    for tip, tip_depth, colour in zip(tips, depth[1:], SPOTS[1:], strict=True):
        if depth[0] > 0 and tip_depth > 0:
            lines.append((torch.stack([origin, tip]), colour, 1.6))
    if depth[0] > 0:
        lines.append((torch.stack([origin, origin]), SPOTS[0], 2.6))
    return lines


def draw_lines(picture: UInt8[Tensor, "3 h w"], lines: Sequence[Line]) -> UInt8[Tensor, "3 h w"]:
    """Draw smooth lines through points into the picture; all other pixels stay unchanged."""
    height, width = picture.shape[-2:]
    size = (width * OVERSAMPLING, height * OVERSAMPLING)
    large = to_pillow(picture).resize(size, Image.Resampling.NEAREST)
    pen = ImageDraw.Draw(large)
    for points, colour, radius_px in lines:
        # Pillow's pixel centres are at whole numbers, ours at +0.5.
        corners = [tuple(point) for point in (OVERSAMPLING * points - 0.5).tolist()]
        if len(corners) > 1:
            radius = OVERSAMPLING * radius_px
            pen.line(corners, fill=colour, width=round(2 * radius), joint="curve")
            for end in (corners[0], corners[-1]):
                pen.circle(end, radius, fill=colour)
    return to_tensor(large.reduce(OVERSAMPLING))


def jpeg(picture: UInt8[Tensor, "3 h w"]) -> bytes:
    """The picture as a JPEG file."""
    file = io.BytesIO()
    to_pillow(picture).save(file, format="JPEG", quality=JPEG_QUALITY)
    return file.getvalue()
