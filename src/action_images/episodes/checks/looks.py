"""Small copies of a video's frames, in which motion is measured."""

from collections.abc import Iterator

import torch
from jaxtyping import Float, Int, UInt8
from torch import Tensor
from torch.nn.functional import interpolate

from action_images.episodes.episode import Frames

SIDE = 96
"""Height and width of the small copies, whatever the shape of the picture."""
MOST_FRAMES = 600
"""Frames kept of a longer episode, from its middle."""
FRAMES_AT_ONCE = 32


def kept_frames(num_frames: int) -> range:
    """The frames of an episode that are examined."""
    start = max(0, (num_frames - MOST_FRAMES) // 2)
    return range(start, min(num_frames, start + MOST_FRAMES))


def decode_all(frames: Frames) -> UInt8[Tensor, "frame 3 side side"]:
    """Small copies of `kept_frames`. Every frame is decoded, because damage may lie inside a file."""
    return torch.cat(list(_small_parts(frames)))


def _small_parts(frames: Frames) -> Iterator[Tensor]:
    kept = kept_frames(len(frames))
    for start in range(0, len(frames), FRAMES_AT_ONCE):
        indices = range(start, min(start + FRAMES_AT_ONCE, len(frames)))
        pictures = frames.read(indices)
        wanted = [index - start for index in indices if index in kept]
        yield shrink(pictures[wanted]) if wanted else pictures.new_empty(0, 3, SIDE, SIDE)


def shrink(pictures: UInt8[Tensor, "frame 3 h w"]) -> UInt8[Tensor, "frame 3 side side"]:
    """Each picture scaled down to a small square; every pixel counts."""
    small = [interpolate(picture[None].float(), (SIDE, SIDE), mode="area") for picture in pictures]
    return torch.cat(small).round().to(torch.uint8)


class Blurred:
    """Small copies of a video, blurred when requested, each once."""

    def __init__(self, pictures: UInt8[Tensor, "frame 3 side side"]):
        self._pictures, self._blurred = pictures, torch.empty_like(pictures)
        self._is_done = torch.zeros(len(pictures), dtype=torch.bool)

    def __len__(self) -> int:
        return len(self._pictures)

    def at(self, frames: Int[Tensor, "chosen"]) -> Float[Tensor, "chosen 3 side side"]:
        """These frames, blurred so that shifts of half a pixel make no difference."""
        asked = frames.unique()
        missing = asked[~self._is_done[asked]]
        if len(missing):
            self._blurred[missing] = blurred(self._pictures[missing]).round().to(torch.uint8)
            self._is_done[missing] = True
        return self._blurred[frames].float()


def blurred(pictures: UInt8[Tensor, "frame 3 side side"]) -> Float[Tensor, "frame 3 side side"]:
    """The small copies blurred by about a pixel (binomial filter of 5): half a pixel makes no difference."""
    values = pictures.to(torch.int16)
    for _ in range(2):  # [1 2 1] twice along columns and rows, in integers
        values = _thirds(values, 2) >> 2
        values = _thirds(values, 3)
    return values.float() / 16


def _thirds(values: Int[Tensor, "frame 3 h w"], axis: int) -> Int[Tensor, "frame 3 h w"]:
    """Each pixel twice plus its two neighbours; edge pixels are their own neighbours."""
    summed = 2 * values
    inner = values.shape[axis] - 1
    summed.narrow(axis, 1, inner).add_(values.narrow(axis, 0, inner))
    summed.narrow(axis, 0, inner).add_(values.narrow(axis, 1, inner))
    summed.narrow(axis, 0, 1).add_(values.narrow(axis, 0, 1))
    summed.narrow(axis, inner, 1).add_(values.narrow(axis, inner, 1))
    return summed


def grey_thumbnails(
    pictures: UInt8[Tensor, "frame 3 side side"], chosen: Int[Tensor, "look"], side: int
) -> Float[Tensor, "look small small"]:
    """Grey levels of some of the small copies, scaled down further."""
    return interpolate(pictures[chosen].float().mean(1, keepdim=True), (side, side), mode="area")[:, 0]
