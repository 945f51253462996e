"""Locate the three spots of an action image to a small fraction of a pixel."""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from action_images.codec.format import ActionImageFormat
from action_images.codec.spot_fit import Fit, converge, unit_pixels, window_pixels
from action_images.structs import Struct, concatenate

SAMPLES_PER_SIGMA = 7
"""Approximate samples across a spot's sigma if not every pixel is used."""
CHUNK_PIXELS = 3_200_000
"""Pixels of the windows that are fitted at once: limits memory to some 100 MB for any batch."""
PRECISE_SIGMAS = 0.5
"""A spot counts as seen if its position is known better than this."""
BEYOND_SIGMAS = 5
"""A spot farther outside the frame than this shows nothing in it."""
AMPLITUDE_RANGE = 0.6
"""A peak that differs more than this from 1 is no spot."""


@dataclass(frozen=True)
class Spots(Struct):
    """Positions of the red, green and blue spots.

    `position` is in px, `covariance` (px^2) is predicted from the fit's residual. `background` is each
    channel's level away from its spot. `seen` is False if no spot stands out; the other fields are then
    meaningless.
    """

    position: Float[Tensor, "*spots 2"]
    covariance: Float[Tensor, "*spots 2 2"]
    amplitude: Float[Tensor, "*spots"]
    background: Float[Tensor, "*spots"]
    seen: Bool[Tensor, "*spots"]

    @property
    def variance_px(self) -> Float[Tensor, "*spots"]:
        """The variance of the position, x and y together (px^2)."""
        return self.covariance.diagonal(dim1=-2, dim2=-1).sum(-1)


def locate(images: Tensor, format: ActionImageFormat, *, full_resolution: bool) -> Spots:
    """Fit a Gaussian of known width to the spot in every channel of images.

    Images are (*batch 3 h w), uint8 or float in [0, 1]. Amplitude and background are fitted too, so neither a
    raised black level nor a faded spot moves the result. Saturated pixels are ignored, and so are blue pixels
    that show the gripper. `full_resolution` uses every pixel of the window around a spot, otherwise about
    `SAMPLES_PER_SIGMA` squared of them in each sigma squared. Raises ValueError for pixels that are not
    finite or far outside [0, 1].
    """
    *batch, height, width = images.shape
    planes = images.reshape(-1, height, width)
    is_blue = torch.arange(planes.shape[0], device=images.device) % 3 == 2
    at_once = 3 * max(1, CHUNK_PIXELS // (3 * window_pixels(format.sigma_px((height, width)))))
    chunks = zip(planes.split(at_once), is_blue.split(at_once), strict=True)
    parts = [_locate(part, blue, format, full_resolution=full_resolution) for part, blue in chunks]
    return concatenate(parts).map(lambda tensor: tensor.unflatten(0, tuple(batch)))


def _locate(
    planes: Tensor,
    is_blue: Bool[Tensor, "spot"],
    format: ActionImageFormat,
    *,
    full_resolution: bool,
) -> Spots:
    sigma_px = format.sigma_px((planes.shape[-2], planes.shape[-1]))
    peak, background = _coarse(planes, sigma_px)
    fit = _first_guess(peak, background, is_blue)
    # Use an odd stride: an even one would put all samples on the same position of a video codec's 4 x 4
    # blocks, which makes the error seven times as large.
    stride = 2 * int(sigma_px / SAMPLES_PER_SIGMA / 2) + 1
    fit = converge(fit, planes, format, stride=stride)
    if full_resolution and stride > 1:
        fit = converge(fit, planes, format, stride=1)
    return Spots(
        position=fit.centre + format.pixel_centre,
        covariance=fit.covariance,
        amplitude=fit.amplitude,
        background=background,
        seen=_stands_out(fit, planes, sigma_px),
    )


def _first_guess(
    peak: Float[Tensor, "spot 2"], background: Float[Tensor, "spot"], is_blue: Bool[Tensor, "spot"]
) -> Fit:
    # Blue's background shows the gripper; the black level below it is that of the other two channels.
    red_and_green = background.unflatten(0, (-1, 3))[:, :2].mean(1).repeat_interleave(3)
    dark = torch.where(is_blue, red_and_green, background)
    unknown = torch.full((len(peak), 2, 2), torch.inf, device=peak.device)
    return Fit(
        centre=peak,
        amplitude=torch.ones_like(dark),
        offset=dark,
        covariance=unknown,
        is_blue=is_blue,
        dark=dark,
    )


def _stands_out(fit: Fit, planes: Tensor, sigma_px: float) -> Bool[Tensor, "spot"]:
    """Precisely known, not far outside the frame, and of about the height of a spot."""
    height, width = planes.shape[-2:]
    beyond_px = torch.maximum(-fit.centre, fit.centre - fit.centre.new_tensor([width, height])).amax(-1)
    precise = fit.variance_px < (sigma_px * PRECISE_SIGMAS) ** 2
    like_a_spot = (fit.amplitude - 1).abs() < AMPLITUDE_RANGE
    return precise & (beyond_px < BEYOND_SIGMAS * sigma_px) & like_a_spot


def _coarse(planes: Tensor, sigma_px: float) -> tuple[Float[Tensor, "spot 2"], Float[Tensor, "spot"]]:
    """Each plane's peak (x, y in pixel indices) after smoothing, and its median.

    A matched filter on a grid of two samples per sigma: a single bright pixel of noise is no peak there.
    """
    stride = max(1, round(sigma_px / 2))
    samples = unit_pixels(planes[:, stride // 2 :: stride, stride // 2 :: stride].contiguous())
    background = _median(samples.flatten(1))
    num_rows, num_columns = samples.shape[-2:]
    over_rows = _smoothing(num_rows, sigma_px / stride, samples)
    over_columns = _smoothing(num_columns, sigma_px / stride, samples)
    smooth = over_rows @ (samples - background[:, None, None]) @ over_columns
    highest = smooth.flatten(1).argmax(1)
    row, column = highest // num_columns, highest % num_columns
    spot = torch.arange(len(planes), device=planes.device)
    x, y = _vertex(smooth[spot, row], column), _vertex(smooth[spot, :, column], row)
    return torch.stack([x, y], -1) * stride + stride // 2, background


def _median(values: Float[Tensor, "spot n"]) -> Float[Tensor, "spot"]:
    """The lower median of each row.

    NumPy's sort takes a tenth of the time of torch's median, and a sixth of that of its own partition. The
    partition is slow if many pixels are equally black.
    """
    if values.device.type != "cpu":
        return values.median(1).values
    middle = (values.shape[1] - 1) // 2
    return torch.from_numpy(np.sort(values.numpy(force=True), axis=1)[:, middle].copy())


def _vertex(line: Float[Tensor, "spot n"], index: Tensor) -> Float[Tensor, "spot"]:
    """The vertex of the parabola through the largest value of each line and its two neighbours."""
    inner = index.clamp(1, line.shape[-1] - 2)
    before, at, after = (line.gather(1, (inner + step)[:, None]).squeeze(1) for step in (-1, 0, 1))
    bend = 2 * at - before - after
    shift = torch.where(bend > 0, (after - before) / (2 * bend), 0.0).clamp(-0.5, 0.5)
    return torch.where(inner == index, index + shift, index.to(line.dtype))


def _smoothing(size: int, sigma: float, like: Tensor) -> Float[Tensor, "size size"]:
    """The matrix that smooths a line of samples; `sigma` is in samples."""
    line = torch.arange(size, dtype=like.dtype, device=like.device) / sigma
    return torch.exp((line[:, None] - line) ** 2 * -0.5)
