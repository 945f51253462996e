"""A small convolutional network that paints imagined frames: it sees the given image and the action images.

The transformer shows a frame as a few linear patches, in which arms are blotches. The painter is shown that
frame too, and moves pixels of the given image to where the action image has the tool.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

import torch
from diffusers.configuration_utils import ConfigMixin, register_to_config
from diffusers.models.modeling_utils import ModelMixin
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from action_images.errors import ActionImagesError
from action_images.model.loading import load_module

PAINTER = "painter"
"""The folder of a painter in a folder of models, and the key of its kind in their index."""
KIND = "unet"
SIDES = 8
"""The sides of images are multiples of this."""
GRID = 8
"""The side of the learnt map of places; it is resized to other images."""
FIRST_SHARE = -2.0
"""The logit with which an untrained painter shows the transformer's frame and moved pixels: .12."""


class Painter(ModelMixin, ConfigMixin):
    """A U-Net of three scales with attention at the coarsest, for one frame of one view at a time.

    Its answer is the given image, with pixels moved along a flow field where it says so, under the
    transformer's frame with a correction, where it says so.
    """

    kind: ClassVar[str] = KIND
    _supports_gradient_checkpointing = False

    @register_to_config
    def __init__(self, channels: Sequence[int] = (24, 48, 96)) -> None:
        super().__init__()
        fine, middle, coarse = channels
        self.into = nn.Conv2d(4 * 3 * 4, fine, 3, padding=1)
        self.fine_down, self.to_middle = Residual(fine, fine), nn.Conv2d(fine, middle, 3, stride=2, padding=1)
        self.middle_down = Residual(middle, middle)
        self.to_coarse = nn.Conv2d(middle, coarse, 3, stride=2, padding=1)
        self.coarse = nn.Sequential(
            Residual(coarse, coarse),
            Attention(coarse),
            Residual(coarse, coarse),
            Attention(coarse),
            Residual(coarse, coarse),
        )
        self.from_coarse, self.middle_up = nn.Conv2d(coarse, middle, 1), Residual(2 * middle, middle)
        self.from_middle, self.fine_up = nn.Conv2d(middle, fine, 1), Residual(2 * fine, fine)
        self.out = nn.Conv2d(fine, sum(OUTPUTS) * 4, 3, padding=1)
        nothing_at_first(self.out)

    def forward(
        self,
        given: Float[Tensor, "b 3 h w"],
        given_action: Float[Tensor, "b 3 h w"],
        action: Float[Tensor, "b 3 h w"],
        imagined: Float[Tensor, "b 3 h w"],
    ) -> Float[Tensor, "b 3 h w"]:
        """The painted frame, all in [-1, 1] (the result may exceed it by a little).

        `given` and `given_action` are the clip's first frame, `action` is the action image of the frame that
        is painted, and `imagined` is the transformer's. Raises ActionImagesError for sizes that are no
        multiples of 8 px.
        """
        if any(side % SIDES for side in given.shape[-2:]):
            raise ActionImagesError(
                f"a painter takes images whose sides are multiples of {SIDES} px, not "
                f"{tuple(given.shape[-2:])}"
            )
        seen = torch.cat([given, given_action, action, imagined], 1)
        fine = self.fine_down(self.into(F.pixel_unshuffle(seen, 2)))
        middle = self.middle_down(self.to_middle(fine))
        coarse = self.coarse(self.to_coarse(middle))
        middle = self.middle_up(torch.cat([middle, _doubled(self.from_coarse(coarse))], 1))
        fine = self.fine_up(torch.cat([fine, _doubled(self.from_middle(middle))], 1))
        outputs = F.pixel_shuffle(self.out(F.silu(fine)), 2)
        correction, shown, flow, moved = outputs.split(OUTPUTS, 1)
        still = torch.lerp(given, _along(given, flow), (moved + FIRST_SHARE).sigmoid())
        return torch.lerp(still, imagined + correction, (shown + FIRST_SHARE).sigmoid())

    @torch.no_grad()
    def paint(
        self,
        given: Float[Tensor, "b view 3 h w"],
        actions: Float[Tensor, "b view frame 3 h w"],
        imagined: Float[Tensor, "b view frame 3 h w"],
    ) -> Float[Tensor, "b view frame 3 h w"]:
        """Videos (in [0, 1], as `actions`) with all frames after the first painted; `given` is in [-1, 1]."""
        num_later = imagined.shape[2] - 1
        if num_later == 0:
            return imagined
        images = actions * 2 - 1
        each = (
            given[:, :, None].expand(-1, -1, num_later, -1, -1, -1),
            images[:, :, :1].expand(-1, -1, num_later, -1, -1, -1),
            images[:, :, 1:],
            imagined[:, :, 1:] * 2 - 1,
        )
        painted = self(*(part.flatten(0, 2) for part in each)).add(1).div(2).clamp(0, 1)
        return torch.cat([imagined[:, :, :1], painted.view_as(imagined[:, :, 1:])], 2)

    def save(self, folder: Path) -> None:
        """Write it into a folder of models, in diffusers' layout."""
        self.save_pretrained(folder / PAINTER)

    @classmethod
    def load(cls, folder: Path) -> "Painter":
        """Read what `save` wrote; it is always float32. Raises ActionImagesError for damaged files."""
        return load_module(cls, folder / PAINTER)


OUTPUTS = (3, 1, 2, 1)
"""Channels of the answer: a correction of colours, its share, a flow field, and the share of moved pixels."""


class Residual(nn.Module):
    """Two convolutions beside a shortcut; nothing is added at first."""

    def __init__(self, num_in: int, num_out: int) -> None:
        super().__init__()
        self.first, self.second = (
            nn.Sequential(nn.GroupNorm(8, num), nn.SiLU(), nn.Conv2d(num, num_out, 3, padding=1))
            for num in (num_in, num_out)
        )
        self.shortcut = nn.Conv2d(num_in, num_out, 1) if num_in != num_out else nn.Identity()
        nothing_at_first(self.second[-1])

    def forward(self, maps: Float[Tensor, "b in_c h w"]) -> Float[Tensor, "b out_c h w"]:
        return self.shortcut(maps) + self.second(self.first(maps))


class Attention(nn.Module):
    """Attention of four heads between all places of a map; nothing is added at first."""

    NUM_HEADS = 4

    def __init__(self, num: int) -> None:
        super().__init__()
        self.norm, self.into, self.out = nn.GroupNorm(8, num), nn.Linear(num, 3 * num), nn.Linear(num, num)
        self.places = nn.Parameter(0.02 * torch.randn(1, num, GRID, GRID))
        nothing_at_first(self.out)

    def forward(self, maps: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h w"]:
        places = self.places
        if places.shape[-2:] != maps.shape[-2:]:
            places = F.interpolate(places, maps.shape[-2:], mode="bilinear")
        tokens = (self.norm(maps) + places).flatten(2).mT
        parts = self.into(tokens).unflatten(-1, (3, self.NUM_HEADS, -1)).permute(2, 0, 3, 1, 4)
        mixed = F.scaled_dot_product_attention(*parts).transpose(1, 2).flatten(2)
        return maps + self.out(mixed).mT.view_as(maps)


def nothing_at_first(layer: nn.Module) -> None:
    """Let a layer answer zeros until it learns."""
    for values in layer.parameters():
        nn.init.zeros_(values)


def _doubled(maps: Tensor) -> Tensor:
    return F.interpolate(maps, scale_factor=2.0)


def _along(images: Float[Tensor, "b 3 h w"], flow: Float[Tensor, "b 2 h w"]) -> Float[Tensor, "b 3 h w"]:
    """Images, each pixel taken from where its flow points: (x, y) in halves of the image's sides."""
    unmoved = torch.eye(2, 3, dtype=images.dtype, device=images.device).expand(len(images), 2, 3)
    grid = F.affine_grid(unmoved, list(images.shape), align_corners=False)
    return F.grid_sample(images, grid + flow.movedim(1, -1), align_corners=False, padding_mode="border")
