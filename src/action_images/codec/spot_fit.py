"""Gauss-Newton fit of a Gaussian of known width to the pixels around each spot."""

import math
from dataclasses import dataclass, replace

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from action_images.codec.format import ActionImageFormat
from action_images.errors import ActionImagesError
from action_images.structs import Struct

AMPLITUDE_STD = 0.1
"""How far a spot's peak is expected to stray from 1; matters where most of a spot lies outside the frame."""
OFFSET_STD = 0.02
"""How far the background under a spot is expected to stray from the image's."""
CENTRE_STD_SIGMAS = 100
"""A prior on the centre so wide that it only keeps the system solvable."""
NOISE_FLOOR = 1e-7
"""The least variance of a pixel that is believed: a tenth of what 8-bit rounding leaves."""
SATURATED = 0.9985
"""Pixels from here on are clipped, and say nothing of the spot's height."""
EDGE = 1.25
"""How far above the gripper's level, as a ratio, blue must be for its spot to be trusted."""
WINDOW_SIGMAS = 2.5
"""Half a window's side. Pixels beyond it say nothing of where the spot is."""
CONVERGED = 0.02
"""A centre is done when it moves by less than this share of its standard deviation."""
MAX_STEPS = 30
"""Spots inside the frame need three or four; only those that leave it need many."""
MASK_STEPS = 4
"""From this step on, blue's used pixels stay the same while its centre moves less than its deviation.
Otherwise one pixel at the edge of the mask can enter and leave for ever, and the centre with it."""


@dataclass(frozen=True)
class Fit(Struct):
    """The model amplitude * Gaussian(centre) + offset, in pixel indices (x, y).

    `dark` is the offset that is expected, `covariance` that of the centre (px^2).
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

    x: Int[Tensor, "*spots n"]
    y: Int[Tensor, "*spots n"]
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
        spot = torch.arange(len(planes), device=planes.device)[:, None, None]
        return cls(x, y, unit_pixels(planes[spot, y[:, :, None], x[:, None, :]]))


def _radius(sigma_px: float, stride: int) -> int:
    """Half a window's side in pixels, a multiple of the stride."""
    return max(2, round(WINDOW_SIGMAS * sigma_px / stride)) * stride


def window_pixels(sigma_px: float) -> int:
    """How many pixels the window around one spot has."""
    return (2 * _radius(sigma_px, stride=1) + 1) ** 2


def unit_pixels(pixels: Tensor) -> Tensor:
    """Pixels as floats in [0, 1]; every used pixel comes through here, so bad ones are refused here."""
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
    used = _used(fit, window, sigma_px, format)
    moving = torch.arange(len(planes), device=planes.device)
    current = fit
    for step in range(MAX_STEPS):
        current = _step(current, window, used, sigma_px)
        moved_px = (current.centre - fit.centre[moving]).norm(dim=-1)
        fit = _with_rows(fit, moving, current)
        std_px = current.variance_px.sqrt()
        unfinished = moved_px > CONVERGED * std_px
        kept = unfinished.nonzero().squeeze(-1)
        if not len(kept):
            break
        far = (moved_px > std_px)[kept]
        if len(kept) < len(moving):
            moving, window, current, used = moving[kept], window[kept], current[kept], used[kept]
        refreshed = _used(current, window, sigma_px, format)
        used = refreshed if step < MASK_STEPS else torch.where(far[:, None, None], refreshed, used)
    return fit


def _with_rows(fit: Fit, rows: Int[Tensor, "spot"], stepped: Fit) -> Fit:
    """The fit with these rows as a step left them."""
    if len(rows) == len(fit.amplitude):
        return stepped
    return replace(
        fit,
        centre=fit.centre.index_copy(0, rows, stepped.centre),
        amplitude=fit.amplitude.index_copy(0, rows, stepped.amplitude),
        offset=fit.offset.index_copy(0, rows, stepped.offset),
        covariance=fit.covariance.index_copy(0, rows, stepped.covariance),
    )


def _used(fit: Fit, window: Window, sigma_px: float, format: ActionImageFormat) -> Bool[Tensor, "spot n n"]:
    """The pixels that tell of the spot: not clipped, and for blue not where it shows the gripper."""
    u, v = _distances(fit, window, sigma_px)
    square = v.square()[:, :, None] + u.square()[:, None, :]
    # Blue shows the gripper where its spot falls to the level; blur and compression smear that edge inward.
    above_gripper = square < -2 * math.log(format.gripper_level * EDGE)
    return (window.values < SATURATED) & (~fit.is_blue[:, None, None] | above_gripper)


def _distances(
    fit: Fit, window: Window, sigma_px: float
) -> tuple[Float[Tensor, "spot n"], Float[Tensor, "spot n"]]:
    """How far the window's columns and rows lie from the centre, in sigmas."""
    u = (window.x - fit.centre[:, 0, None]) / sigma_px
    v = (window.y - fit.centre[:, 1, None]) / sigma_px
    return u, v


@dataclass(frozen=True)
class _Sums:
    """Sums over a window's used pixels, for each spot; a field's name is the product that it sums.

    g is the Gaussian, (u, v) the distance from its centre in sigmas, p the pixel's value: `ggu` is the sum of
    g * g * u, `gp` that of g * p. `one` is the number of pixels.
    """

    ggu2: Tensor
    gguv: Tensor
    ggv2: Tensor
    ggu: Tensor
    ggv: Tensor
    gg: Tensor
    gu: Tensor
    gv: Tensor
    g: Tensor
    one: Tensor
    gup: Tensor
    gvp: Tensor
    gp: Tensor
    p: Tensor
    p2: Tensor


def _sums(fit: Fit, window: Window, used: Bool[Tensor, "spot n n"], sigma_px: float) -> _Sums:
    """All sums are contractions with factors along x and along y, so no pixel is touched twice."""
    u, v = _distances(fit, window, sigma_px)
    gx, gy = torch.exp(u**2 * -0.5), torch.exp(v**2 * -0.5)
    weight = used.to(window.values.dtype)
    values = weight * window.values
    of_weight = _quadratic(gy, v) @ weight @ _quadratic(gx, u).mT
    of_values = _linear(gy, v) @ values @ _linear(gx, u).mT
    return _Sums(
        ggu2=of_weight[:, 0, 2],
        gguv=of_weight[:, 1, 1],
        ggv2=of_weight[:, 2, 0],
        ggu=of_weight[:, 0, 1],
        ggv=of_weight[:, 1, 0],
        gg=of_weight[:, 0, 0],
        gu=of_weight[:, 3, 4],
        gv=of_weight[:, 4, 3],
        g=of_weight[:, 3, 3],
        one=of_weight[:, 5, 5],
        gup=of_values[:, 0, 1],
        gvp=of_values[:, 1, 0],
        gp=of_values[:, 0, 0],
        p=of_values[:, 2, 2],
        p2=values.square().sum((1, 2)),
    )


def _quadratic(g: Float[Tensor, "spot n"], s: Float[Tensor, "spot n"]) -> Float[Tensor, "spot 6 n"]:
    """The factors of one axis that products of two derivatives are made of."""
    return torch.stack([g * g, g * g * s, g * g * s * s, g, g * s, torch.ones_like(g)], 1)


def _linear(g: Float[Tensor, "spot n"], s: Float[Tensor, "spot n"]) -> Float[Tensor, "spot 3 n"]:
    """The factors of one axis that a single derivative is made of."""
    return torch.stack([g, g * s, torch.ones_like(g)], 1)


def _step(fit: Fit, window: Window, used: Bool[Tensor, "spot n n"], sigma_px: float) -> Fit:
    """One step on (x, y, amplitude, offset); the latter two are drawn gently to what is expected."""
    amplitude, offset = fit.amplitude, fit.offset
    sums = _sums(fit, window, used, sigma_px)
    slope = amplitude / sigma_px
    normal = _normal_matrix(sums, slope)
    # What the data has of the four derivatives, less what the current model has of them.
    data = torch.stack([slope * sums.gup, slope * sums.gvp, sums.gp, sums.p], -1)
    model = normal[..., 2] * amplitude[:, None] + normal[..., 3] * offset[:, None]

    variance = (_squared_misfit(sums, fit) / (sums.one - 4).clamp_min(1)).clamp_min(NOISE_FLOOR)
    centre_std = CENTRE_STD_SIGMAS * sigma_px
    expected_std = variance.new_tensor([centre_std, centre_std, AMPLITUDE_STD, OFFSET_STD])
    prior = variance[:, None] / expected_std**2
    free = torch.zeros_like(amplitude)
    pull = prior * torch.stack([free, free, 1 - amplitude, fit.dark - offset], -1)

    # Float32 sums over few or flat pixels can come out singular.
    # A millionth of the diagonal on top moves no fixed point.
    ridge = 1e-6 * normal.diagonal(dim1=-2, dim2=-1)
    inverse = torch.linalg.inv((normal + torch.diag_embed(prior + ridge)).double()).to(normal.dtype)
    step = (inverse @ (data - model + pull)[..., None]).squeeze(-1)
    return replace(
        fit,
        centre=fit.centre + step[:, :2].clamp(-sigma_px, sigma_px),
        # A fit that runs away finds no spot; within these bounds it cannot run out of numbers.
        amplitude=(amplitude + step[:, 2]).clamp(0, 2),
        offset=(offset + step[:, 3]).clamp(-1, 1),
        covariance=inverse[:, :2, :2] * variance[:, None, None],
    )


def _normal_matrix(sums: _Sums, slope: Float[Tensor, "spot"]) -> Float[Tensor, "spot 4 4"]:
    """Products of the derivatives by x (slope g u), by y (slope g v), by amplitude (g) and by offset (1)."""
    s = slope
    rows = [
        s * s * sums.ggu2, s * s * sums.gguv, s * sums.ggu, s * sums.gu,
        s * s * sums.gguv, s * s * sums.ggv2, s * sums.ggv, s * sums.gv,
        s * sums.ggu,      s * sums.ggv,      sums.gg,      sums.g,
        s * sums.gu,       s * sums.gv,       sums.g,       sums.one,
    ]  # fmt: skip
    return torch.stack(rows, -1).unflatten(-1, (4, 4))


def _squared_misfit(sums: _Sums, fit: Fit) -> Float[Tensor, "spot"]:
    """The sum of (amplitude g + offset - p)^2 over the used pixels, multiplied out."""
    a, b = fit.amplitude, fit.offset
    misfit = sums.p2 - 2 * (a * sums.gp + b * sums.p)
    return misfit + a * a * sums.gg + 2 * a * b * sums.g + b * b * sums.one
