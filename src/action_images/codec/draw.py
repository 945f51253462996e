"""A tool's trajectory becomes an image in every calibrated view."""

import math
from collections.abc import Iterator

import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from action_images.codec.format import ActionImageFormat
from action_images.errors import ActionImagesError
from action_images.geometry import Camera, Trajectory

FAR_PX = 1e6
"""Where points that are not to be drawn are put: their spot is exactly zero everywhere."""
LEAST_SHOWN = 1 / 510
"""The least value that rounds to one 8-bit level."""


def draw(
    trajectory: Trajectory,
    camera: Camera,
    format: ActionImageFormat = ActionImageFormat(),
    *,
    out: Tensor | None = None,
) -> Float[Tensor, "*batch 3 h w"]:
    """The action images of a trajectory, in [0, 1], RGB.

    `trajectory` has axes (*batch frame). One camera, with no batch axes, gives (*batch frame 3 h w); a rig of them,
    (view), (*batch view) or moving (*batch view frame), gives (*batch view frame 3 h w): see `Camera.per_frame`.

    A point behind its camera, or not finite, is not drawn; a spot outside the frame shows what of it reaches inside.
    Differentiable with respect to poses, openings and cameras; works on the device and in the dtype of its inputs.
    `out`, contiguous and of the result's shape and dtype, is drawn into and returned: large clips spend most of their
    time in getting fresh memory. Raises ValueError for half precision, no frames, a rig that does not match the
    trajectory, or an `out` that does not fit. Source: paper section 3 and the format's docstring.
    """
    x, y, level = _spots(trajectory, camera, format)
    rows, columns = _profiles(x, y, camera.size, format)
    if rows.requires_grad or columns.requires_grad or level.requires_grad:
        if out is not None:
            raise ActionImagesError(
                "draw cannot follow gradients into `out`; leave it away, or draw under torch.no_grad()"
            )
        return _dense(rows, columns, level, format)
    image = _buffer(out, (*x.shape, *camera.size), x.dtype, x.device)
    torch.mul(rows[..., :2, :, None], columns[..., :2, None, :], out=image[..., :2, :, :])
    image[..., 2, :, :] = level[..., None, None]
    levels = level.flatten()
    for i, patch, spot in _patches(image, x, y, rows, columns, 2, format.gripper_level, format):
        patch.copy_(torch.where(spot > format.gripper_level, spot, levels[i]))
    return image


def draw_uint8(
    trajectory: Trajectory,
    camera: Camera,
    format: ActionImageFormat = ActionImageFormat(),
    *,
    out: Tensor | None = None,
) -> UInt8[Tensor, "*batch 3 h w"]:
    """The same images as `draw` rounded to 8 bits, made for data pipelines: several times faster, not differentiable.

    Equal to `(draw(...) * 255).round()` to the bit. Only the pixels that round to more than the background are computed.
    """
    with torch.no_grad():
        x, y, level = _spots(trajectory, camera, format)
        rows, columns = _profiles(x, y, camera.size, format)
        image = _buffer(out, (*x.shape, *camera.size), torch.uint8, x.device)
        image[..., :2, :, :] = 0
        background = (level * 255).round_()
        image[..., 2, :, :] = background.to(torch.uint8)[
            ..., None, None
        ]  # cast first: casting every pixel is slow
        for channel in (0, 1):
            for _, patch, spot in _patches(image, x, y, rows, columns, channel, LEAST_SHOWN, format):
                patch.copy_(spot.mul_(255).round_())
        levels = background.flatten()
        for i, patch, spot in _patches(image, x, y, rows, columns, 2, format.gripper_level, format):
            patch.copy_(torch.where(spot > format.gripper_level, (spot * 255).round_(), levels[i]))
    return image


def _spots(
    trajectory: Trajectory, camera: Camera, format: ActionImageFormat
) -> tuple[Tensor, Tensor, Tensor]:
    """Pixel positions (*batch 3) of the three spots, and blue's background (*batch), with the axes of the output."""
    if trajectory.dtype not in (torch.float32, torch.float64):
        raise ActionImagesError(
            f"draw needs float32 or float64, got {trajectory.dtype}: half precision misplaces spots by pixels"
        )
    if trajectory.opening.ndim == 0 or trajectory.num_frames == 0:
        raise ActionImagesError("draw needs a trajectory with at least one frame on its last axis")
    camera = camera.to(trajectory.dtype)
    points, level = format.points(trajectory.world_from_tool), format.level(trajectory.opening)
    if camera.batch_shape:
        *batch_shape, num_frames = trajectory.batch_shape
        camera = camera.per_frame(tuple(batch_shape), num_frames)
        points, level = points.unsqueeze(-4), level.unsqueeze(-2).expand(camera.batch_shape)
    pixels, depth = camera[..., None].project(points)
    visible = (depth > 0) & pixels.isfinite().all(-1)
    x, y = torch.where(visible[..., None], pixels, FAR_PX).clamp(-FAR_PX, FAR_PX).unbind(-1)
    return x, y, level


def _profiles(
    x: Tensor, y: Tensor, size: tuple[int, int], format: ActionImageFormat
) -> tuple[Tensor, Tensor]:
    """The two factors, down the rows and along the columns, whose product is a spot."""

    def profile(centre: Tensor, num_pixels: int) -> Tensor:
        samples = torch.arange(num_pixels, dtype=centre.dtype, device=centre.device) + format.pixel_centre
        return torch.exp(((samples - centre[..., None]) / format.sigma_px(size)) ** 2 * -0.5)

    return profile(y, size[0]), profile(x, size[1])


def _dense(rows: Tensor, columns: Tensor, level: Tensor, format: ActionImageFormat) -> Tensor:
    """All pixels in one expression that gradients can follow."""
    spots = rows[..., :, None] * columns[..., None, :]
    blue = torch.where(
        spots[..., 2, :, :] > format.gripper_level, spots[..., 2, :, :], level[..., None, None]
    )
    return torch.cat([spots[..., :2, :, :], blue[..., None, :, :]], -3)


def _buffer(out: Tensor | None, shape: tuple[int, ...], dtype: torch.dtype, device: torch.device) -> Tensor:
    if out is None:
        return torch.empty(shape, dtype=dtype, device=device)
    if tuple(out.shape) != shape or out.dtype != dtype or out.device != device or not out.is_contiguous():
        raise ActionImagesError(
            f"out must be contiguous, {shape}, {dtype} on {device}; got {tuple(out.shape)}, {out.dtype} on {out.device}"
        )
    return out


def _patches(
    image: Tensor,
    x: Tensor,
    y: Tensor,
    rows: Tensor,
    columns: Tensor,
    channel: int,
    least: float,
    format: ActionImageFormat,
) -> Iterator[tuple[int, Tensor, Tensor]]:
    """For every spot of a channel that reaches `least` inside the frame: its number, its box of the image, its values there.

    One small box after another: a spot fills a few percent of an image, and a pass over all of it costs far more.
    """
    size = (image.shape[-2], image.shape[-1])
    radius_px = format.sigma_px(size) * (-2 * math.log(least)) ** 0.5
    boxes = torch.stack([*_span(y, radius_px, size[0], format), *_span(x, radius_px, size[1], format)], -1)[
        ..., channel, :
    ]
    planes = image[..., channel, :, :].flatten(0, -3)
    rows, columns = rows[..., channel, :].flatten(0, -2), columns[..., channel, :].flatten(0, -2)
    for i, (top, bottom, left, right) in enumerate(boxes.flatten(0, -2).int().tolist()):
        if top < bottom and left < right:
            yield (
                i,
                planes[i, top:bottom, left:right],
                torch.outer(rows[i, top:bottom], columns[i, left:right]),
            )


def _span(
    centre: Tensor, radius_px: float, num_pixels: int, format: ActionImageFormat
) -> tuple[Tensor, Tensor]:
    """First and one past the last pixel of a line that lie within a radius of a centre."""
    first = (centre - radius_px - format.pixel_centre).floor().clamp(0, num_pixels)
    return first, (centre + radius_px - format.pixel_centre).ceil().add(1).clamp(0, num_pixels)
