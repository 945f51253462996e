"""The inputs and outputs of each mode: the one table that training, sampling and evaluation share."""

from dataclasses import dataclass

import torch
from jaxtyping import Bool
from torch import Tensor

from action_images.canvas.layout import Layout
from action_images.canvas.shown import SHOWN, Segment, Show, Shown

__all__ = ["MODES", "Mode", "Show"]


@dataclass(frozen=True)
class Mode(Shown):
    """A mode, with what it shows as tensors."""

    def layout(self, num_views: int, num_frames: int) -> Layout:
        """The canvas of `num_frames` latent frames, see `segments`."""
        return Layout(self.segments(num_views, num_frames))

    def given(self, layout: Layout) -> Bool[Tensor, "l"]:
        """True for the latent frames that are known."""
        return layout.pack({segment: self._given(segment) for segment in layout.segments}, dim=-1)

    def _given(self, segment: Segment) -> Tensor:
        return torch.arange(segment.num_frames) < self.num_given(segment)


MODES = {name: Mode(**vars(shown)) for name, shown in SHOWN.items()}
"""The modes of `SHOWN`."""
