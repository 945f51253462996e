"""A tool's trajectory becomes an image in every calibrated view."""

import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from action_images.codec.format import ActionImageFormat
from action_images.geometry import Camera, Trajectory

FAR_PX = 1e6
"""Where points that are not to be drawn are put: their spot is exactly zero everywhere."""


def draw(trajectory: Trajectory, camera: Camera, format: ActionImageFormat = ActionImageFormat()) -> Float[Tensor, "*batch 3 h w"]:
    """The action images of a trajectory, in [0, 1], RGB.

    `trajectory` has axes (*batch frame). One camera, with no batch axes, gives (*batch frame 3 h w); a rig of them,
    (view), (*batch view) or moving (*batch view frame), gives (*batch view frame 3 h w): see `Camera.per_frame`.

    A point behind its camera, or not finite, is not drawn; a spot outside the frame shows what of it reaches inside.
    Differentiable with respect to poses, openings and cameras; works on the device and in the dtype of its inputs,
    which must not be less than float32. Source: paper section 3 and the format's docstring.
    """
    x, y, level = _spots(trajectory, camera, format)
    rows, columns = _profiles(x, y, camera.size, format)
    image = rows[..., :, None] * columns[..., None, :]
    blue = image[..., 2, :, :]
    shown = torch.where(blue > format.gripper_level, blue, level[..., None, None])
    if image.requires_grad:
        return torch.cat([image[..., :2, :, :], shown[..., None, :, :]], -3)
    blue.copy_(shown)
    return image


def draw_uint8(trajectory: Trajectory, camera: Camera, format: ActionImageFormat = ActionImageFormat()) -> UInt8[Tensor, "*batch 3 h w"]:
    """The same images as `draw` rounded to 8 bits, made for data pipelines: several times faster, not differentiable.

    Equal to `(draw(...) * 255).round()` to the bit. Only the pixels that round to more than the background are computed.
    """
    with torch.no_grad():
        x, y, level = _spots(trajectory, camera, format)
        rows, columns = _profiles(x, y, camera.size, format)
        image = torch.zeros(*x.shape, *camera.size, dtype=torch.uint8, device=x.device)
        background = (level * 255).round_().to(torch.uint8)
        image[..., 2, :, :] = background[..., None, None]
        # 1 / 510 is the least value that rounds to one 8-bit level.
        radius_px = format.sigma_px(camera.size) * (2 * torch.tensor(510.0).log().item()) ** 0.5
        _paint(image, background, rows, columns, _boxes(x, y, radius_px, camera.size, format), format)
    return image


def _spots(trajectory: Trajectory, camera: Camera, format: ActionImageFormat) -> tuple[Tensor, Tensor, Tensor]:
    """Pixel positions (*batch 3) of the three spots, and blue's background (*batch), with the axes of the output."""
    if trajectory.dtype not in (torch.float32, torch.float64):
        raise ValueError(f"draw needs float32 or float64, got {trajectory.dtype}: half precision misplaces spots by pixels")
    if trajectory.opening.ndim == 0 or trajectory.num_frames == 0:
        raise ValueError("draw needs a trajectory with at least one frame on its last axis")
    points, level = format.points(trajectory.world_from_tool), format.level(trajectory.opening)
    if camera.batch_shape:
        *batch_shape, num_frames = trajectory.batch_shape
        camera = camera.per_frame(tuple(batch_shape), num_frames)
        points, level = points.unsqueeze(-4), level.unsqueeze(-2).expand(camera.batch_shape)
    pixels, depth = camera[..., None].project(points)
    visible = (depth > 0) & pixels.isfinite().all(-1)
    x, y = torch.where(visible[..., None], pixels, FAR_PX).clamp(-FAR_PX, FAR_PX).unbind(-1)
    return x, y, level


def _profiles(x: Tensor, y: Tensor, size: tuple[int, int], format: ActionImageFormat) -> tuple[Tensor, Tensor]:
    """The two factors, down the rows and along the columns, whose product is a spot."""

    def profile(centre: Tensor, num_pixels: int) -> Tensor:
        samples = torch.arange(num_pixels, dtype=centre.dtype, device=centre.device) + format.pixel_centre
        return torch.exp(((samples - centre[..., None]) / format.sigma_px(size)) ** 2 * -0.5)

    return profile(y, size[0]), profile(x, size[1])


def _boxes(x: Tensor, y: Tensor, radius_px: float, size: tuple[int, int], format: ActionImageFormat) -> list[list[int]]:
    """For every spot the pixels (top, bottom, left, right) within this radius, cut at the frame."""

    def span(centre: Tensor, num_pixels: int) -> tuple[Tensor, Tensor]:
        first = (centre - radius_px - format.pixel_centre).floor().clamp(0, num_pixels)
        return first, (centre + radius_px - format.pixel_centre).ceil().add(1).clamp(0, num_pixels)

    return torch.stack([*span(y, size[0]), *span(x, size[1])], -1).flatten(0, -2).int().tolist()


def _paint(image: Tensor, background: Tensor, rows: Tensor, columns: Tensor, boxes: list[list[int]], format: ActionImageFormat) -> None:
    """Write every spot into its box of `image`."""
    # One small box after another: a spot covers a tenth of the image, and scattering all at once touches far more memory.
    planes, rows, columns = image.flatten(0, -3), rows.flatten(0, -2), columns.flatten(0, -2)
    levels = background.flatten().tolist()
    for i, (top, bottom, left, right) in enumerate(boxes):
        if top < bottom and left < right:
            spot = torch.outer(rows[i, top:bottom], columns[i, left:right])
            shade = (spot * 255).round_().to(torch.uint8)
            if i % 3 == 2:
                shade[spot <= format.gripper_level] = levels[i // 3]
            planes[i, top:bottom, left:right] = shade
