"""Pixel features of images as vectors for tokens; small models see too little of positions in latents."""

import math
from itertools import pairwise

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from action_images.errors import ActionImagesError
from action_images.model.sizes import StemChannels, stem_widths


class FirstFrameStem(nn.Module):
    """Strided convolutions of a view's first frame to one vector for each position, added to every token
    there.

    The text enters twice. It gives 1 x 1 kernels on the RGB values, so that a colour word can become a colour
    detector. It also gives scale and shift of every layer's channels (FiLM, Perez et al. 2018).
    """

    NUM_KERNELS = 4

    def __init__(self, channels: StemChannels, width: int, pixels_per_token: int) -> None:
        super().__init__()
        self.kernels = nn.Linear(width, self.NUM_KERNELS * 4)
        self.convolutions, self.norms = _halving(3 + self.NUM_KERNELS, channels, width, pixels_per_token)
        widths = stem_widths(channels, pixels_per_token)
        self.films = nn.ModuleList(nn.Linear(width, 2 * each) for each in widths)

    def forward(
        self, first_frames: Float[Tensor, "b view 3 height width"], text: Float[Tensor, "b dim"]
    ) -> Float[Tensor, "b view dim h w"]:
        """Frames in [-1, 1] with text to vectors."""
        num_views = first_frames.shape[1]
        text = text.repeat_interleave(num_views, 0)
        pixels = first_frames.flatten(0, 1).type_as(text)
        weight, offset = self.kernels(text).unflatten(-1, (self.NUM_KERNELS, 4)).split([3, 1], -1)
        seen = torch.cat([pixels, torch.einsum("bkc,bchw->bkhw", weight, pixels) + offset[..., None]], 1)
        for convolution, norm, film in zip(self.convolutions, self.norms, self.films, strict=False):
            scale, shift = film(text)[..., None, None].chunk(2, 1)
            seen = F.silu(norm(convolution(seen)) * (1 + scale) + shift)
        return self.convolutions[-1](seen).unflatten(0, (-1, num_views))


class MotionStem(nn.Module):
    """The same for the pixel frames of one later latent frame of a given video, without text.

    A given video shows the actual events, so its features do not depend on the text.
    """

    def __init__(self, channels: StemChannels, width: int, pixels_per_token: int, num_frames: int) -> None:
        super().__init__()
        self.convolutions, self.norms = _halving(3 * num_frames, channels, width, pixels_per_token)

    def forward(self, frames: Float[Tensor, "n frame 3 height width"]) -> Float[Tensor, "n dim h w"]:
        """Frames in [-1, 1] to vectors; n may be 0."""
        seen = frames.flatten(1, 2)
        for convolution, norm in zip(self.convolutions, self.norms, strict=False):
            seen = F.silu(norm(convolution(seen)))
        return self.convolutions[-1](seen)


def _halving(
    fan_in: int, channels: StemChannels, width: int, pixels_per_token: int
) -> tuple[nn.ModuleList, nn.ModuleList]:
    """Convolutions that each halve an image, to one vector for each token, with norms between them."""
    num_layers = int(math.log2(pixels_per_token))
    if 2**num_layers != pixels_per_token or num_layers < 1:
        raise ActionImagesError(
            "the stem halves the image once a layer, so pixels_per_token must be a power of two, "
            f"got {pixels_per_token}"
        )
    widths = stem_widths(channels, pixels_per_token)
    pairs = list(pairwise([fan_in, *widths, width]))
    convolutions = nn.ModuleList(nn.Conv2d(before, after, 3, stride=2, padding=1) for before, after in pairs)
    return convolutions, nn.ModuleList(nn.GroupNorm(math.gcd(8, after), after) for after in widths)
