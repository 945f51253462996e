"""Checks of frame counts, image sizes and widths for an autoencoder and a network, without torch."""

import math
from collections.abc import Sequence

from action_images.errors import ActionImagesError

StemChannels = int | Sequence[int]
"""Channels after each layer of a stem: one number for all, or one for each layer but the last."""


def check_frames(num_frames: int, factor: int) -> None:
    """Raise ActionImagesError, with the two nearest, unless there is one frame and a multiple of `factor`."""
    if num_frames < 1 or (num_frames - 1) % factor:
        below = max((num_frames - 1) // factor * factor + 1, 1)
        raise ActionImagesError(
            f"the autoencoder takes 1 + {factor} n frames, not {num_frames}; "
            f"cut the clip to {below} or {below + factor} frames"
        )


def check_size(size: tuple[int, int], multiple: int) -> None:
    """Raise ActionImagesError, with a size that fits, unless both sides (px) are multiples of `multiple`."""
    if any(side < multiple or side % multiple for side in size):
        fitting = " x ".join(str(max(round(side / multiple), 1) * multiple) for side in size)
        raise ActionImagesError(
            f"images of {size[0]} x {size[1]} px do not fit: "
            f"height and width must be multiples of {multiple}; resize to {fitting}"
        )


def stem_widths(channels: StemChannels, pixels_per_token: int) -> list[int]:
    """The channels after each layer of a stem but the last, whose channels are the tokens' width.

    Raises ActionImagesError if a list of them has another length.
    """
    num_layers = int(math.log2(pixels_per_token))
    if isinstance(channels, int):
        return [channels] * (num_layers - 1)
    if len(channels) != num_layers - 1 or not all(isinstance(one, int) and one > 0 for one in channels):
        raise ActionImagesError(
            f"a stem of {pixels_per_token} pixels a token has channels after {num_layers - 1} layers, "
            f"got {list(channels)}; give so many, or one number for all"
        )
    return list(channels)
