"""Gauss-Newton fit of a Gaussian of known width to the pixels around each spot."""

import math
from dataclasses import dataclass, replace
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from action_images.codec.format import ActionImageFormat
from action_images.errors import ActionImagesError
from action_images.structs import Struct

AMPLITUDE_STD = 0.1
"""Expected deviation of a spot's peak from 1; matters if most of a spot lies outside the frame."""
OFFSET_STD = 0.02
"""Expected deviation of the background under a spot from the image's."""
CENTRE_STD_SIGMAS = 100
"""A prior on the centre so wide that it only keeps the system solvable."""
NOISE_FLOOR = 1e-7
"""Least variance of a pixel: a tenth of that of 8-bit rounding."""
SATURATED = 0.9985
"""Pixels from this value on are clipped and do not show the spot's height."""
EDGE = 1.25
"""Ratio to the gripper's level above which blue shows its spot."""
WINDOW_SIGMAS = 2.5
"""Half a window's side. Pixels beyond it do not help to locate the spot."""
CONVERGED = 0.02
"""A centre has converged when it moves by less than this share of its standard deviation."""
MAX_STEPS = 30
"""Spots inside the frame need three or four; only spots that leave it need many."""
MASK_STEPS = 4
"""From this step on, blue's used pixels stay fixed while its centre moves less than its deviation.
Otherwise a pixel at the edge of the mask can enter and leave forever, and move the centre with it."""


@dataclass(frozen=True)
class Fit(Struct):
    """The model amplitude * Gaussian(centre) + offset, in pixel indices (x, y).

    `dark` is the expected offset, `covariance` that of the centre (px^2).
    """

    centre: Float[Tensor, "*spots 2"]
    amplitude: Float[Tensor, "*spots"]
    offset: Float[Tensor, "*spots"]
    covariance: Float[Tensor, "*spots 2 2"]
    is_blue: Bool[Tensor, "*spots"]
    dark: Float[Tensor, "*spots"]

    @property
    def variance_px(self) -> Float[Tensor, "*spots"]:
        """The variance of the centre, x and y together (px^2)."""
        return self.covariance.diagonal(dim1=-2, dim2=-1).sum(-1)


@dataclass(frozen=True)
class Window(Struct):
    """Square cuts around the spots: pixel indices along x and y, and values."""

    x: Float[Tensor, "*spots n"]
    y: Float[Tensor, "*spots n"]
    values: Float[Tensor, "*spots n n"]

    @classmethod
    def cut(
        cls, planes: Tensor, centre: Float[Tensor, "spot 2"], *, sigma_px: float, stride: int
    ) -> "Window":
        """Every `stride`-th pixel around each plane's centre. At the frame's edge the cut moves inward."""
        height, width = planes.shape[-2:]
        radius = _radius(sigma_px, stride)
        offsets = torch.arange(-radius, radius + 1, stride, device=planes.device)

        def indices(middle: Tensor, length: int) -> Tensor:
            first, last = radius, max(length - 1 - radius, radius)
            return (middle.round().long().clamp(first, last)[:, None] + offsets).clamp_max(length - 1)

        x, y = indices(centre[:, 0], width), indices(centre[:, 1], height)
        places = (y[:, :, None] * width + x[:, None, :]).flatten(1)
        values = unit_pixels(planes.flatten(1).gather(1, places).unflatten(1, (len(offsets), -1)))
        return cls(x.to(values.dtype), y.to(values.dtype), values)


def _radius(sigma_px: float, stride: int) -> int:
    """Half a window's side in pixels, a multiple of the stride."""
    return max(2, round(WINDOW_SIGMAS * sigma_px / stride)) * stride


def window_pixels(sigma_px: float) -> int:
    """Number of pixels of the window around one spot."""
    return (2 * _radius(sigma_px, stride=1) + 1) ** 2


def unit_pixels(pixels: Tensor) -> Tensor:
    """Pixels as floats in [0, 1]; every used pixel passes here, so bad ones are refused here."""
    if pixels.dtype == torch.uint8:
        return pixels.float() / 255
    low, high = pixels.aminmax()
    if not (low > -1 and high < 2):
        raise ActionImagesError(
            f"action images lie in [0, 1], these reach from {low:g} to {high:g}: rescale and clip, and "
            "replace NaN"
        )
    return pixels.float()


def converge(fit: Fit, planes: Tensor, format: ActionImageFormat, *, stride: int) -> Fit:
    """Step until every centre has converged; uses every `stride`-th pixel along x and along y."""
    sigma_px = format.sigma_px((planes.shape[-2], planes.shape[-1]))
    window = Window.cut(planes, fit.centre, sigma_px=sigma_px, stride=stride)
    away = _distances(fit, window, sigma_px)
    used = _used(fit, window, away, format)
    moving = torch.arange(len(planes), device=planes.device)
    current = fit
    for step in range(MAX_STEPS):
        before = current.centre
        current = _step(current, window, used, away, sigma_px)
        moved_px, std_px = (current.centre - before).norm(dim=-1), current.variance_px.sqrt()
        fit = _with_rows(fit, moving, current)
        kept = (moved_px > CONVERGED * std_px).nonzero().squeeze(-1)
        if not len(kept):
            break
        far = (moved_px > std_px)[kept]
        if len(kept) < len(moving):
            moving, used = moving[kept], used.index_select(0, kept)
            window, current = _rows(window, kept), _rows(current, kept)
        away = _distances(current, window, sigma_px)
        if step < MASK_STEPS:
            used = _used(current, window, away, format)
        elif far.any():
            used = torch.where(far[:, None, None], _used(current, window, away, format), used)
    return fit


def _rows(value: Struct, rows: Int[Tensor, "spot"]) -> Any:
    """`value[rows]` in a third of the time, by copying whole rows."""
    return value.map(lambda tensor: tensor.index_select(0, rows))


def _with_rows(fit: Fit, rows: Int[Tensor, "spot"], stepped: Fit) -> Fit:
    """The fit with these rows replaced by those of a step."""
    if len(rows) == len(fit.amplitude):
        return stepped
    return replace(
        fit,
        centre=fit.centre.index_copy(0, rows, stepped.centre),
        amplitude=fit.amplitude.index_copy(0, rows, stepped.amplitude),
        offset=fit.offset.index_copy(0, rows, stepped.offset),
        covariance=fit.covariance.index_copy(0, rows, stepped.covariance),
    )


Away = tuple[Float[Tensor, "spot n"], Float[Tensor, "spot n"]]
"""Distances of a window's columns and rows from a centre, in sigmas."""


def _distances(fit: Fit, window: Window, sigma_px: float) -> Away:
    x, y = fit.centre[:, None].unbind(-1)
    return (window.x - x) / sigma_px, (window.y - y) / sigma_px


def _used(fit: Fit, window: Window, away: Away, format: ActionImageFormat) -> Bool[Tensor, "spot n n"]:
    """The pixels that show the spot: not clipped, and for blue not showing the gripper."""
    # Blue shows the gripper where its spot falls to the level; blur and compression smear that edge inward.
    above_gripper = -2 * math.log(format.gripper_level * EDGE)
    limit = torch.where(fit.is_blue, above_gripper, torch.inf)[:, None, None]
    u, v = away
    return (window.values < SATURATED) & (v.square()[:, :, None] + u.square()[:, None, :] < limit)


NORMAL = (
    2, 7, 1, 22,
    7, 12, 6, 27,
    1, 6, 0, 21,
    22, 27, 21, 35,
)  # fmt: skip
"""Positions of the 4 x 4 products of derivatives in the 36 of `_quadratic` along y and along x."""
RIGHT = (1, 3, 0, 8)
"""Positions of the products of derivatives and pixels in the 9 of `_linear` along y and along x."""


def _quadratic(g: Float[Tensor, "spot n"], s: Float[Tensor, "spot n"]) -> Float[Tensor, "spot 6 n"]:
    """The factors of one axis in products of two derivatives."""
    gg, gs = g * g, g * s
    return torch.stack([gg, g * gs, gs * gs, g, gs, torch.ones_like(g)], 1)


def _linear(quadratic: Float[Tensor, "spot 6 n"]) -> Float[Tensor, "spot 3 n"]:
    """The factors of one axis in a single derivative: g, g s and 1."""
    return quadratic[:, 3:]


@dataclass(frozen=True)
class _Sums:
    """Sums over a window's used pixels, for each spot.

    The derivatives are those by x, by y, by amplitude and by offset.
    """

    normal: Float[Tensor, "spot 4 4"]
    """Products of two derivatives."""
    right: Float[Tensor, "spot 4"]
    """Products of a derivative and a pixel."""
    squares: Float[Tensor, "spot"]
    """Squared pixels."""
    number: Float[Tensor, "spot"]
    """Pixels."""


def _sums(fit: Fit, window: Window, used: Bool[Tensor, "spot n n"], away: Away, sigma_px: float) -> _Sums:
    """All sums are contractions with factors along x and along y, so no pixel is used twice.

    With g the Gaussian and (u, v) the distance from its centre in sigmas, the derivatives are slope g u,
    slope g v, g and 1.
    """
    u, v = away
    along_x = _quadratic(torch.exp(u.square() * -0.5), u)
    along_y = _quadratic(torch.exp(v.square() * -0.5), v)
    weight = used.to(window.values.dtype)
    values = weight * window.values
    of_weight = (along_y @ weight @ along_x.mT).flatten(1)
    of_values = (_linear(along_y) @ values @ _linear(along_x).mT).flatten(1)
    slope, one = (fit.amplitude / sigma_px)[:, None], torch.ones_like(fit.amplitude)[:, None]
    scale = torch.cat([slope, slope, one, one], -1)
    normal, right = (torch.tensor(places, device=u.device) for places in (NORMAL, RIGHT))
    return _Sums(
        normal=of_weight.index_select(1, normal).unflatten(1, (4, 4))
        * (scale[:, :, None] * scale[:, None, :]),
        right=of_values.index_select(1, right) * scale,
        squares=values.square().sum((1, 2)),
        number=of_weight[:, -1],
    )


def _step(fit: Fit, window: Window, used: Bool[Tensor, "spot n n"], away: Away, sigma_px: float) -> Fit:
    """One step on (x, y, amplitude, offset); the last two have a weak prior at their expected values."""
    sums = _sums(fit, window, used, away, sigma_px)
    free = torch.zeros_like(fit.amplitude)
    shown = torch.stack([free, free, fit.amplitude, fit.offset], -1)
    expected = torch.stack([free, free, free + 1, fit.dark], -1)
    # The current model's part of the four sums, to subtract from the data's.
    model = (sums.normal * shown[:, None]).sum(-1)

    # The sum of (amplitude g + offset - pixel)^2 over the used pixels, multiplied out.
    misfit = sums.squares + (shown * (model - 2 * sums.right)).sum(-1)
    variance = (misfit / (sums.number - 4).clamp_min(1)).clamp_min(NOISE_FLOOR)
    centre_std = CENTRE_STD_SIGMAS * sigma_px
    expected_std = variance.new_tensor([centre_std, centre_std, AMPLITUDE_STD, OFFSET_STD])
    prior = variance[:, None] / expected_std**2
    pull = prior * (expected - shown)

    # Float32 sums over few or flat pixels can come out singular.
    # A millionth of the diagonal on top moves no fixed point.
    ridge = 1e-6 * sums.normal.diagonal(dim1=-2, dim2=-1)
    system = (sums.normal + torch.diag_embed(prior + ridge)).double()
    inverse = torch.linalg.inv(system).to(variance.dtype)
    step = (inverse * (sums.right - model + pull)[:, None]).sum(-1)
    return replace(
        fit,
        centre=fit.centre + step[:, :2].clamp(-sigma_px, sigma_px),
        # A fit that runs away finds no spot; these bounds keep its numbers finite.
        amplitude=(fit.amplitude + step[:, 2]).clamp(0, 2),
        offset=(fit.offset + step[:, 3]).clamp(-1, 1),
        covariance=inverse[:, :2, :2] * variance[:, None, None],
    )
