"""One small picture of an episode with the tool drawn in: its three axes, and where it goes."""

from fractions import Fraction
from itertools import pairwise

import av
import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from action_images.episodes.episode import Episode, View
from action_images.geometry import Trajectory
from action_images.geometry.fitting import fit_camera, fit_frames

AXES = ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0))
COLOURS = ((255, 60, 60), (60, 220, 60), (80, 130, 255))
"""x red, y green, z blue, as in most viewers."""
AXIS_LENGTH = 0.08
PATH_COLOUR = (255, 220, 60)


GAP_PX = 4
"""White between two views."""


def thumbnail(episode: Episode, height: int = 144, frame: int | None = None) -> UInt8[Tensor, "3 h w"]:
    """A frame (None: the middle one) of each view beside the next; the tool is drawn where a view is calibrated."""
    shown = episode.num_frames // 2 if frame is None else frame
    gap = torch.full((3, height, GAP_PX), 255, dtype=torch.uint8)
    parts = [part for view in episode.views for part in (gap, _view(view, episode.trajectory, shown, height))]
    return torch.cat(parts[1:], -1)


def _view(view: View, trajectory: Trajectory | None, frame: int, height: int) -> UInt8[Tensor, "3 h w"]:
    rows, columns = view.frames.size
    size = (height, max(2, round(columns * height / rows / 2) * 2))
    picture = fit_frames(view.frames.read([frame]), size)[0]
    if view.camera is None or trajectory is None:
        return picture
    camera = fit_camera(view.camera[frame] if view.camera.batch_shape else view.camera, size)
    pixels, depth = camera.project(trajectory.world_from_tool.translation)
    picture = draw_line(picture, pixels[depth > 0], PATH_COLOUR, 0.7)
    tool = trajectory.world_from_tool[frame]
    for axis, colour in zip(AXES, COLOURS, strict=True):
        ends = torch.stack([tool.translation, tool.apply(AXIS_LENGTH * torch.tensor(axis))])
        ends, depth = camera.project(ends)
        if (depth > 0).all():
            picture = draw_line(picture, ends, colour, 1.6)
    return picture


def draw_line(
    picture: UInt8[Tensor, "3 h w"],
    points: Float[Tensor, "point 2"],
    colour: tuple[int, int, int],
    radius_px: float,
) -> UInt8[Tensor, "3 h w"]:
    """The picture with a smooth line through the points (px, centres at +0.5)."""
    if len(points) < 2:
        return picture
    y, x = torch.meshgrid(
        torch.arange(picture.shape[1]) + 0.5, torch.arange(picture.shape[2]) + 0.5, indexing="ij"
    )
    pixels = torch.stack([x, y], -1)
    distance = torch.full(picture.shape[1:], torch.inf)
    for start, end in pairwise(points):
        along = end - start
        part = (((pixels - start) @ along) / along.square().sum().clamp_min(1e-6)).clamp(0, 1)
        distance = torch.minimum(distance, (pixels - start - part[..., None] * along).norm(dim=-1))
    cover = (radius_px + 0.5 - distance).clamp(0, 1)
    paint = torch.tensor(colour)[:, None, None]
    return (picture * (1 - cover) + paint * cover).round().to(torch.uint8)


def jpeg(picture: UInt8[Tensor, "3 h w"]) -> bytes:
    """The picture as a jpg file."""
    height, width = (side - side % 2 for side in picture.shape[-2:])
    codec = av.CodecContext.create("mjpeg", "w")
    codec.height, codec.width, codec.pix_fmt, codec.time_base = height, width, "yuvj420p", Fraction(1)
    codec.options = {"qmin": "3", "qmax": "3", "threads": "1"}
    pixels = picture[:, :height, :width].movedim(0, -1).contiguous().numpy()
    frame = av.VideoFrame.from_ndarray(pixels, format="rgb24").reformat(format="yuvj420p")
    return b"".join(bytes(packet) for packet in (*codec.encode(frame), *codec.encode(None)))
