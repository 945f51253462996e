"""What a view's first frame shows, read under the instruction and added to every token of that view."""

import math
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class FirstFrameStem(nn.Module):
    """Strided convolutions of the first frame's pixels down to one vector for each token.

    The text enters twice: as 1 x 1 kernels on the RGB values (so that a colour word can become a colour detector), and
    as scale and shift of every layer's channels (FiLM, Perez et al. 2018).
    """

    NUM_KERNELS = 4

    def __init__(self, channels: int, width: int, pixels_per_token: int) -> None:
        super().__init__()
        num_layers = int(math.log2(pixels_per_token))
        if 2**num_layers != pixels_per_token or num_layers < 1:
            raise ValueError(f"the stem halves the image once a layer, so pixels_per_token must be a power of two, got {pixels_per_token}")
        sizes = [3 + self.NUM_KERNELS] + [channels] * (num_layers - 1) + [width]
        self.kernels = nn.Linear(width, self.NUM_KERNELS * 4)
        pairs = list(pairwise(sizes))
        self.convolutions = nn.ModuleList(nn.Conv2d(fan_in, fan_out, 3, stride=2, padding=1) for fan_in, fan_out in pairs)
        self.norms = nn.ModuleList(nn.GroupNorm(math.gcd(8, channels), channels) for _ in pairs[:-1])
        self.films = nn.ModuleList(nn.Linear(width, 2 * channels) for _ in pairs[:-1])

    def forward(self, first_frames: Tensor, text: Tensor) -> Tensor:
        """Frames (b view 3 height width) in [-1, 1] under text (b width) to vectors (b view width h w)."""
        num_views = first_frames.shape[1]
        text = text.repeat_interleave(num_views, 0)
        pixels = first_frames.flatten(0, 1).type_as(text)
        weight, offset = self.kernels(text).unflatten(-1, (self.NUM_KERNELS, 4)).split([3, 1], -1)
        seen = torch.cat([pixels, torch.einsum("bkc,bchw->bkhw", weight, pixels) + offset[..., None]], 1)
        for convolution, norm, film in zip(self.convolutions, self.norms, self.films, strict=False):
            scale, shift = film(text)[..., None, None].chunk(2, 1)
            seen = F.silu(norm(convolution(seen)) * (1 + scale) + shift)
        return self.convolutions[-1](seen).unflatten(0, (-1, num_views))
