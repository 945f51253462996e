"""Small copies of a video's frames, in which motion is measured."""

from collections.abc import Iterator, Sequence

import torch
from jaxtyping import Float, UInt8
from torch import Tensor
from torch.nn.functional import interpolate, pad

from action_images.episodes.episode import Frames

SIDE = 96
"""Height and width of the small copies, whatever the shape of the picture."""
MOST_FRAMES = 600
"""Of a longer episode the frames in its middle are kept."""
FRAMES_AT_ONCE = 32


def kept_frames(num_frames: int) -> range:
    """Which frames of an episode are looked at."""
    start = max(0, (num_frames - MOST_FRAMES) // 2)
    return range(start, min(num_frames, start + MOST_FRAMES))


def decode_all(frames: Frames) -> UInt8[Tensor, "frame 3 side side"]:
    """Small copies of `kept_frames`. Every frame is decoded: damage may lie inside a file."""
    return torch.cat(list(_small_parts(frames)))


def _small_parts(frames: Frames) -> Iterator[Tensor]:
    kept = kept_frames(len(frames))
    for start in range(0, len(frames), FRAMES_AT_ONCE):
        indices = range(start, min(start + FRAMES_AT_ONCE, len(frames)))
        pictures = frames.read(indices)
        wanted = [index - start for index in indices if index in kept]
        yield shrink(pictures[wanted]) if wanted else pictures.new_empty(0, 3, SIDE, SIDE)


def shrink(pictures: UInt8[Tensor, "frame 3 h w"]) -> UInt8[Tensor, "frame 3 side side"]:
    """Each picture squeezed into a small square, every pixel counted."""
    small = [interpolate(picture[None].float(), (SIDE, SIDE), mode="area") for picture in pictures]
    return torch.cat(small).round().to(torch.uint8)


def blurred(pictures: UInt8[Tensor, "frame 3 side side"]) -> UInt8[Tensor, "frame 3 side side"]:
    """The small copies blurred by about a pixel (binomial filter of 5): half a pixel is no difference."""
    parts = [_blurred(part) for part in pictures.split(FRAMES_AT_ONCE)]
    return torch.cat(parts)


def _blurred(pictures: Tensor) -> Tensor:
    values = pictures.float()
    for _ in range(2):  # down the columns, then, with the axes exchanged, along the rows; twice is back
        framed = pad(values, (0, 0, 2, 2), mode="replicate")
        near = framed[..., 1:-3, :] + framed[..., 3:-1, :]
        far = framed[..., :-4, :] + framed[..., 4:, :]
        values = ((6 * values + 4 * near + far) / 16).mT
    return values.round().to(torch.uint8)


def grey_thumbnails(
    pictures: UInt8[Tensor, "frame 3 side side"], indices: Sequence[int], side: int
) -> Float[Tensor, "look side side"]:
    """Grey levels of some of the small copies, made smaller still."""
    chosen = pictures[list(indices)].float().mean(1, keepdim=True)
    return interpolate(chosen, (side, side), mode="area")[:, 0]
