"""Draw a tool's trajectory as an image in every calibrated view."""

import math
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from action_images.codec.format import ActionImageFormat
from action_images.errors import ActionImagesError
from action_images.geometry import Trajectory
from action_images.geometry.given import Cameras, rig_of

FAR_PX = 1e6
"""Position of points that are not drawn: their spot is exactly zero everywhere."""
WHOLE_PIXELS = 96 * 96
"""Images no larger than this are drawn whole: drawing boxes takes three times as long at 64 px."""
LEAST_SHOWN = 1 / 510
"""The least value that rounds to one 8-bit level."""


def draw(
    trajectory: Trajectory,
    camera: Cameras,
    format: ActionImageFormat = ActionImageFormat(),
    *,
    out: Tensor | None = None,
) -> Float[Tensor, "*batch 3 h w"]:
    """The action images of a trajectory, in [0, 1], RGB.

    `trajectory` has axes (*batch frame). One camera, with no batch axes, gives (*batch frame 3 h w). A rig of
    cameras gives (*batch view frame 3 h w); it has axes (view), (*batch view) or moving (*batch view frame),
    see `Camera.per_frame`. A list of cameras, or the dict of `load_cameras`, is such a rig.

    Points behind their camera or not finite are not drawn; a spot outside the frame shows the part that
    reaches inside. Differentiable with respect to poses, openings and cameras; works on the device and in the
    dtype of its inputs. `out`, contiguous and of the result's shape and dtype, is drawn into and returned:
    large clips spend most of their time on allocating memory.

    Raises ValueError for half precision, no frames, a rig that does not match the trajectory, or an `out`
    that does not fit. Source: paper section 3 and the format's docstring.
    """
    spots = _spots(trajectory, camera, format)
    if spots.requires_grad:
        if out is not None:
            raise ActionImagesError(
                "draw cannot follow gradients into `out`; leave it away, or draw under torch.no_grad()"
            )
        return _dense(spots, format)
    if spots.x.device.type != "cpu":
        # Finding boxes would wait for the device, and each box would be a kernel: draw all pixels at once.
        dense = _dense(spots, format)
        return dense if out is None else _buffer(out, spots, dense.dtype).copy_(dense)
    image = _buffer(out, spots, spots.x.dtype)
    rows, columns = spots.rows, spots.columns
    if math.prod(spots.size) <= WHOLE_PIXELS:
        torch.mul(rows[..., :, None], columns[..., None, :], out=image)
        blue = image[..., 2, :, :]
        torch.where(blue > format.gripper_level, blue, spots.level[..., None, None], out=blue)
        return image
    torch.mul(rows[..., :2, :, None], columns[..., :2, None, :], out=image[..., :2, :, :])
    image[..., 2, :, :] = spots.level[..., None, None]
    levels = spots.level.flatten()
    for number, patch, values in _patches(image, spots, format, channel=2, least=format.gripper_level):
        patch.copy_(torch.where(values > format.gripper_level, values, levels[number]))
    return image


def draw_uint8(
    trajectory: Trajectory,
    camera: Cameras,
    format: ActionImageFormat = ActionImageFormat(),
    *,
    out: Tensor | None = None,
) -> UInt8[Tensor, "*batch 3 h w"]:
    """The images of `draw` rounded to 8 bits, made for data pipelines: several times faster.

    Equal to `(draw(...) * 255).round()` to the bit, and not differentiable. Only the pixels that round to
    more than the background are computed. Arguments and errors are those of `draw`.
    """
    with torch.no_grad():
        spots = _spots(trajectory, camera, format)
        image = _buffer(out, spots, torch.uint8)
        if spots.x.device.type != "cpu":
            return image.copy_((_dense(spots, format) * 255).round_())
        image[..., :2, :, :] = 0
        background = (spots.level * 255).round_()
        # Cast before expanding to the pixels: casting every pixel is slow.
        image[..., 2, :, :] = background.to(torch.uint8)[..., None, None]
        for channel in (0, 1):
            for _, patch, values in _patches(image, spots, format, channel=channel, least=LEAST_SHOWN):
                patch.copy_(values.mul_(255).round_())
        levels = background.flatten()
        for number, patch, values in _patches(image, spots, format, channel=2, least=format.gripper_level):
            patch.copy_(torch.where(values > format.gripper_level, (values * 255).round_(), levels[number]))
    return image


@dataclass(frozen=True)
class _Spots:
    """The spots to draw, with the axes of the output.

    (`x`, `y`) are the pixel positions of the three spots, `level` blue's background. A spot is the outer
    product of its profile down the `rows` and its profile along the `columns`.
    """

    x: Float[Tensor, "*batch 3"]
    y: Float[Tensor, "*batch 3"]
    rows: Float[Tensor, "*batch 3 h"]
    columns: Float[Tensor, "*batch 3 w"]
    level: Float[Tensor, "*batch"]
    size: tuple[int, int]

    @property
    def requires_grad(self) -> bool:
        return self.rows.requires_grad or self.columns.requires_grad or self.level.requires_grad


def _spots(trajectory: Trajectory, cameras: Cameras, format: ActionImageFormat) -> _Spots:
    _check(trajectory)
    camera = rig_of(cameras).to(trajectory.dtype)
    points, level = format.points(trajectory.world_from_tool), format.level(trajectory.opening)
    if camera.batch_shape:
        *batch_shape, num_frames = trajectory.batch_shape
        camera = camera.per_frame(tuple(batch_shape), num_frames)
        points, level = points.unsqueeze(-4), level.unsqueeze(-2).expand(camera.batch_shape)
    pixels, depth = camera[..., None].project(points)
    visible = (depth > 0) & pixels.isfinite().all(-1)
    x, y = torch.where(visible[..., None], pixels, FAR_PX).clamp(-FAR_PX, FAR_PX).unbind(-1)
    height, width = camera.size
    sigma_px = format.sigma_px(camera.size)
    rows = _profile(y, height, sigma_px, format.pixel_centre)
    columns = _profile(x, width, sigma_px, format.pixel_centre)
    return _Spots(x, y, rows=rows, columns=columns, level=level, size=camera.size)


def _check(trajectory: Trajectory) -> None:
    if not isinstance(trajectory, Trajectory):
        raise ActionImagesError(
            f"draw takes a Trajectory, got a {type(trajectory).__name__}; make one of rows of 7 or 8 numbers "
            "with Trajectory.from_vector, of poses with Trajectory(poses, opening), of a file with "
            "load_trajectory"
        )
    if trajectory.dtype not in (torch.float32, torch.float64):
        raise ActionImagesError(
            f"draw needs float32 or float64, got {trajectory.dtype}: half precision misplaces spots by pixels"
        )
    if trajectory.opening.ndim == 0 or trajectory.num_frames == 0:
        raise ActionImagesError("draw needs a trajectory with at least one frame on its last axis")


def _profile(
    centre: Float[Tensor, "*batch 3"], num_pixels: int, sigma_px: float, pixel_centre: float
) -> Float[Tensor, "*batch 3 num_pixels"]:
    """A spot's values along one line of pixels."""
    samples = torch.arange(num_pixels, dtype=centre.dtype, device=centre.device) + pixel_centre
    return torch.exp(((samples - centre[..., None]) / sigma_px) ** 2 * -0.5)


def _dense(spots: _Spots, format: ActionImageFormat) -> Float[Tensor, "*batch 3 h w"]:
    """All pixels in one expression that gradients can follow."""
    values = spots.rows[..., :, None] * spots.columns[..., None, :]
    red_and_green, blue = values[..., :2, :, :], values[..., 2, :, :]
    blue = torch.where(blue > format.gripper_level, blue, spots.level[..., None, None])
    return torch.cat([red_and_green, blue[..., None, :, :]], -3)


def _buffer(out: Tensor | None, spots: _Spots, dtype: torch.dtype) -> Tensor:
    """Memory for the images: `out` if it is given and fits."""
    shape, device = (*spots.x.shape, *spots.size), spots.x.device
    if out is None:
        return torch.empty(shape, dtype=dtype, device=device)
    if tuple(out.shape) != shape or out.dtype != dtype or out.device != device or not out.is_contiguous():
        raise ActionImagesError(
            f"out must be contiguous, {shape}, {dtype} on {device}; "
            f"got {tuple(out.shape)}, {out.dtype} on {out.device}"
        )
    return out


def _patches(
    image: Tensor, spots: _Spots, format: ActionImageFormat, *, channel: int, least: float
) -> Iterator[tuple[int, Tensor, Tensor]]:
    """The spots of a channel that reach `least` inside the frame: number, box of the image, values there.

    Boxes are drawn one by one: a spot fills a few percent of an image, and a pass over all of it costs far
    more.
    """
    height, width = spots.size
    radius_px = format.sigma_px(spots.size) * (-2 * math.log(least)) ** 0.5
    top, bottom = _span(spots.y[..., channel], radius_px, height, format)
    left, right = _span(spots.x[..., channel], radius_px, width, format)
    boxes = torch.stack([top, bottom, left, right], -1).flatten(0, -2).int().tolist()
    planes = image[..., channel, :, :].flatten(0, -3)
    rows = spots.rows[..., channel, :].flatten(0, -2)
    columns = spots.columns[..., channel, :].flatten(0, -2)
    for number, (top, bottom, left, right) in enumerate(boxes):
        if top < bottom and left < right:
            patch = planes[number, top:bottom, left:right]
            yield number, patch, torch.outer(rows[number, top:bottom], columns[number, left:right])


def _span(
    centre: Tensor, radius_px: float, num_pixels: int, format: ActionImageFormat
) -> tuple[Tensor, Tensor]:
    """First and one past the last pixel of a line that lie within a radius of a centre."""
    first = (centre - radius_px - format.pixel_centre).floor().clamp(0, num_pixels)
    stop = (centre + radius_px - format.pixel_centre).ceil().add(1).clamp(0, num_pixels)
    return first, stop
