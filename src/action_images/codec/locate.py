"""Find the three spots of an action image to a small fraction of a pixel."""

from dataclasses import dataclass, replace

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from action_images.codec.format import ActionImageFormat
from action_images.errors import ActionImagesError
from action_images.structs import Struct, concatenate

AMPLITUDE_STD = 0.1
"""How far a spot's peak is expected to stray from 1; matters only where most of a spot lies outside the frame."""
OFFSET_STD = 0.02
"""How far the background under a spot is expected to stray from the image's."""
NOISE_FLOOR = 1e-7
"""Least variance of a pixel that is believed: a tenth of what 8-bit rounding leaves."""
EDGE = 1.25
"""How far above the gripper's level, as a ratio, blue must be for its spot to be trusted."""
SAMPLES_PER_SIGMA = 7
"""About how densely a spot is sampled where not every pixel is used."""
MAX_STEPS = 30
"""Spots inside the frame need three or four; only those that leave it need many."""
CHUNK = 192
"""Spots fitted at once: bounds memory to some 100 MB whatever the batch."""


@dataclass(frozen=True)
class Spots(Struct):
    """Where red, green and blue spots were found; `position` in px, `covariance` in px^2 as predicted from the fit's residual.

    `seen` is False where no spot stands out; then the other fields mean nothing. `background` is each channel's level
    away from its spot.
    """

    position: Float[Tensor, "*spots 2"]
    covariance: Float[Tensor, "*spots 2 2"]
    amplitude: Float[Tensor, "*spots"]
    background: Float[Tensor, "*spots"]
    seen: Bool[Tensor, "*spots"]


def locate(images: Tensor, format: ActionImageFormat, full_resolution: bool) -> Spots:
    """Fit a Gaussian of known width to the spot in every channel of images (*batch 3 h w), uint8 or float in [0, 1].

    Amplitude and background are fitted too, so neither a lifted black level nor a faded spot moves the result; pixels
    that are saturated, and blue's where it shows the gripper, are left out. `full_resolution` uses every pixel of the
    window around a spot, otherwise about `SAMPLES_PER_SIGMA` squared of them in each sigma squared.
    """
    *batch, height, width = images.shape
    planes = images.reshape(-1, height, width)
    is_blue = torch.arange(planes.shape[0], device=images.device) % 3 == 2
    parts = [
        _locate(part, blue, format, full_resolution)
        for part, blue in zip(planes.split(CHUNK), is_blue.split(CHUNK), strict=True)
    ]
    return concatenate(parts).map(lambda tensor: tensor.unflatten(0, tuple(batch)))


def _locate(planes: Tensor, is_blue: Tensor, format: ActionImageFormat, full_resolution: bool) -> Spots:
    sigma_px = format.sigma_px((planes.shape[-2], planes.shape[-1]))
    peak, background = _coarse(planes, sigma_px)
    # Blue's background shows the gripper: what lies under its spot is the black level of the other two channels.
    dark = background.unflatten(0, (-1, 3))[:, :2].mean(1).repeat_interleave(3)
    dark = torch.where(is_blue, dark, background)
    unknown = torch.full((len(peak), 2, 2), torch.inf, device=peak.device)
    fit = _Fit(peak, torch.ones_like(dark), dark, unknown, is_blue, dark)
    # An odd stride, lest all samples fall on the same place of a video codec's 4 x 4 blocks: that costs a factor of seven.
    stride = 2 * int(sigma_px / SAMPLES_PER_SIGMA / 2) + 1
    fit = _converge(fit, planes, stride, sigma_px, format)
    if full_resolution and stride > 1:
        fit = _converge(fit, planes, 1, sigma_px, format)
    height, width = planes.shape[-2:]
    beyond = torch.maximum(-fit.centre, fit.centre - fit.centre.new_tensor([width, height])).amax(-1)
    precise = fit.covariance.diagonal(dim1=-2, dim2=-1).sum(-1) < (sigma_px / 2) ** 2
    seen = precise & (beyond < 5 * sigma_px) & ((fit.amplitude - 1).abs() < 0.6)
    return Spots(fit.centre + format.pixel_centre, fit.covariance, fit.amplitude, background, seen)


def _coarse(planes: Tensor, sigma_px: float) -> tuple[Tensor, Tensor]:
    """Each plane's peak (x, y in pixel indices) after smoothing, and its median, from a grid of two samples to a sigma."""
    stride = max(1, round(sigma_px / 2))
    samples = _as_float(planes[:, stride // 2 :: stride, stride // 2 :: stride])
    background = samples.flatten(1).median(1).values
    rows, columns = (_smoothing(size, sigma_px / stride, samples) for size in samples.shape[-2:])
    smooth = rows @ (samples - background[:, None, None]) @ columns
    index = smooth.flatten(1).argmax(1)
    spot, row, column = (
        torch.arange(len(planes), device=planes.device),
        index // smooth.shape[-1],
        index % smooth.shape[-1],
    )
    peak = torch.stack([_vertex(smooth[spot, row], column), _vertex(smooth[spot, :, column], row)], -1)
    return peak * stride + stride // 2, background


def _vertex(line: Tensor, index: Tensor) -> Tensor:
    """Where the parabola through the largest value of each line (spot n) and its two neighbours has its top."""
    inner = index.clamp(1, line.shape[-1] - 2)
    before, at, after = (line.gather(1, (inner + step)[:, None]).squeeze(1) for step in (-1, 0, 1))
    bend = 2 * at - before - after
    shift = torch.where(bend > 0, (after - before) / (2 * bend), 0.0).clamp(-0.5, 0.5)
    return torch.where(inner == index, index + shift, index.to(line.dtype))


def _smoothing(size: int, sigma: float, like: Tensor) -> Tensor:
    line = torch.arange(size, dtype=like.dtype, device=like.device) / sigma
    return torch.exp((line[:, None] - line) ** 2 * -0.5)


def _as_float(pixels: Tensor) -> Tensor:
    """Pixels in [0, 1]; every pixel that is used comes through here, so this is where bad ones are refused."""
    if pixels.dtype == torch.uint8:
        return pixels.float() / 255
    low, high = pixels.aminmax()
    if not (low > -1 and high < 2):
        raise ActionImagesError(
            f"action images lie in [0, 1], these reach from {low:g} to {high:g}: rescale and clip, and replace NaN"
        )
    return pixels.float()


@dataclass(frozen=True)
class _Window(Struct):
    """Square cuts around the spots: pixel indices along x and y, and values."""

    x: Int[Tensor, "*spots n"]
    y: Int[Tensor, "*spots n"]
    values: Float[Tensor, "*spots n n"]

    @classmethod
    def cut(cls, planes: Tensor, centre: Tensor, sigma_px: float, stride: int) -> "_Window":
        """2.5 sigma to every side: beyond, a spot says nothing of where it is. At the frame's edge the cut moves inward."""
        num_spots, *size = planes.shape
        radius = max(2, round(2.5 * sigma_px / stride)) * stride
        offsets = torch.arange(-radius, radius + 1, stride, device=planes.device)

        def line(middle: Tensor, length: int) -> Tensor:
            first, last = radius, max(length - 1 - radius, radius)
            return (middle.round().long().clamp(first, last)[:, None] + offsets).clamp_max(length - 1)

        x, y = line(centre[:, 0], size[1]), line(centre[:, 1], size[0])
        spot = torch.arange(num_spots, device=planes.device)[:, None, None]
        return cls(x, y, _as_float(planes[spot, y[:, :, None], x[:, None, :]]))


@dataclass(frozen=True)
class _Fit(Struct):
    """amplitude * Gaussian(centre) + offset, in pixel indices; `dark` is the offset that is expected."""

    centre: Float[Tensor, "*spots 2"]
    amplitude: Float[Tensor, "*spots"]
    offset: Float[Tensor, "*spots"]
    covariance: Float[Tensor, "*spots 2 2"]
    is_blue: Bool[Tensor, "*spots"]
    dark: Float[Tensor, "*spots"]


def _converge(fit: _Fit, planes: Tensor, stride: int, sigma_px: float, format: ActionImageFormat) -> _Fit:
    """Step until every centre moves by less than a fiftieth of its standard deviation."""
    window = _Window.cut(planes, fit.centre, sigma_px, stride)
    moving = torch.arange(len(planes), device=planes.device)
    for _ in range(MAX_STEPS):
        new = _step(fit[moving], window if len(moving) == len(planes) else window[moving], sigma_px, format)
        moved = (new.centre - fit.centre[moving]).norm(dim=-1)
        source = torch.arange(len(planes), device=planes.device)
        source[moving] = torch.arange(len(moving), device=planes.device) + len(planes)
        fit = concatenate([fit, new])[source]
        moving = moving[moved > 0.02 * new.covariance.diagonal(dim1=-2, dim2=-1).sum(-1).sqrt()]
        if not len(moving):
            break
    return fit


def _step(fit: _Fit, window: _Window, sigma_px: float, format: ActionImageFormat) -> _Fit:
    """One Gauss-Newton step on centre, amplitude and offset, the latter two drawn gently to what is expected.

    All sums over the window are contractions with factors along x and along y, so no pixel is touched twice.
    """
    u, v = ((line - fit.centre[:, axis, None]) / sigma_px for axis, line in enumerate((window.x, window.y)))
    gx, gy = torch.exp(u**2 * -0.5), torch.exp(v**2 * -0.5)
    spot = gy[:, :, None] * gx[:, None, :]
    # Blue shows the gripper where its spot falls to the level; blur and compression smear that edge a little inward.
    used = (window.values < 0.9985) & (~fit.is_blue[:, None, None] | (spot > format.gripper_level * EDGE))
    weight = used.to(window.values.dtype)

    def basis(g: Tensor, s: Tensor) -> Tensor:
        one = torch.ones_like(g)
        return torch.stack([g * g, g * g * s, g * g * s * s, g, g * s, one], 1)

    m = basis(gy, v) @ weight @ basis(gx, u).mT
    values = weight * window.values
    data = (
        torch.stack([gy, gy * v, torch.ones_like(gy)], 1)
        @ values
        @ torch.stack([gx, gx * u, torch.ones_like(gx)], 1).mT
    )
    a, b = fit.amplitude, fit.offset
    k = a / sigma_px
    rows = [
        k * k * m[:, 0, 2], k * k * m[:, 1, 1], k * m[:, 0, 1], k * m[:, 3, 4],
        k * k * m[:, 1, 1], k * k * m[:, 2, 0], k * m[:, 1, 0], k * m[:, 4, 3],
        k * m[:, 0, 1], k * m[:, 1, 0], m[:, 0, 0], m[:, 3, 3],
        k * m[:, 3, 4], k * m[:, 4, 3], m[:, 3, 3], m[:, 5, 5],
    ]  # fmt: skip
    normal = torch.stack(rows, -1).unflatten(-1, (4, 4))
    # Contractions of the data with the four derivatives, less those of the current model.
    toward = torch.stack([k * data[:, 0, 1], k * data[:, 1, 0], data[:, 0, 0], data[:, 2, 2]], -1)
    model = normal[..., 2] * a[:, None] + normal[..., 3] * b[:, None]
    residual = values.square().sum((1, 2)) - 2 * (a * data[:, 0, 0] + b * data[:, 2, 2])
    residual = residual + a * a * m[:, 0, 0] + 2 * a * b * m[:, 3, 3] + b * b * m[:, 5, 5]
    variance = (residual / (m[:, 5, 5] - 4).clamp_min(1)).clamp_min(NOISE_FLOOR)
    expected = variance.new_tensor([100 * sigma_px, 100 * sigma_px, AMPLITUDE_STD, OFFSET_STD])
    prior = variance[:, None] / expected**2
    pull = prior * torch.stack([torch.zeros_like(a), torch.zeros_like(a), 1 - a, fit.dark - b], -1)
    # A millionth of the diagonal on top: float32 sums over few or flat pixels can come out singular, and this moves no fixed point.
    ridge = 1e-6 * normal.diagonal(dim1=-2, dim2=-1)
    inverse = torch.linalg.inv((normal + torch.diag_embed(prior + ridge)).double()).to(normal.dtype)
    step = (inverse @ (toward - model + pull)[..., None]).squeeze(-1)
    centre = fit.centre + step[:, :2].clamp(-sigma_px, sigma_px)
    covariance = inverse[:, :2, :2] * variance[:, None, None]
    # A fit that runs away finds no spot; within these bounds it cannot run out of numbers.
    amplitude, offset = (a + step[:, 2]).clamp(0, 2), (b + step[:, 3]).clamp(-1, 1)
    return replace(fit, centre=centre, amplitude=amplitude, offset=offset, covariance=covariance)
