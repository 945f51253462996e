"""Imagined videos that show the given image wherever they hardly differ from a video that stands still.

Otherwise the losses of a small autoencoder, and the noise of a small network, lie over all that does not
move.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor


@dataclass(frozen=True)
class Change:
    """How much a pixel and what is around it must change to be shown as it was imagined."""

    reach: float
    """How far to each side of a pixel is looked, as a share of the image's height."""
    least: float
    """The mean change there (of the colour that changes most, from 0 to 1) at which a pixel begins to be
    shown."""
    enough: float
    """The mean change from which on it is shown entirely."""


CHANGES = (Change(reach=3 / 64, least=0.05, enough=0.12), Change(reach=1 / 64, least=0.12, enough=0.20))
"""The first finds what is faint and large, the second what is small (docs/experiments.md)."""


def over_still(
    video: Float[Tensor, "b view frame 3 h w"],
    still: Float[Tensor, "b view frame 3 h w"],
    given: Float[Tensor, "b view 3 h w"],
) -> Float[Tensor, "b view frame 3 h w"]:
    """The video where it moves, and the given image elsewhere; all in [0, 1].

    `still` is what the autoencoder makes of a video that repeats the given image.
    """
    change = (video - still).abs().amax(-3)
    moved = moved_share(change)[..., None, :, :]
    return moved * video + (1 - moved) * given[:, :, None]


def moved_share(change: Float[Tensor, "b view frame h w"]) -> Float[Tensor, "b view frame h w"]:
    """How far (0 to 1) each pixel is to be shown as imagined, by how much it and what is around it change."""
    images, height = change.flatten(0, 2), change.shape[-2]
    shares = []
    for one in CHANGES:
        reach = max(1, round(one.reach * height))
        around = torch.nn.functional.avg_pool2d(
            images, kernel_size=2 * reach + 1, stride=1, padding=reach, count_include_pad=False
        )
        shares.append(((around - one.least) / (one.enough - one.least)).clamp(0, 1))
    return torch.stack(shares).amax(0).view_as(change)
