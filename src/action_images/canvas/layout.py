"""The positions of segments along the canvas."""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import accumulate

import torch
from jaxtyping import Int, Shaped
from torch import Tensor

from action_images.canvas.shown import STREAMS, Segment, Stream
from action_images.errors import ActionImagesError

__all__ = ["STREAMS", "Layout", "Segment", "Stream"]


@dataclass(frozen=True)
class Layout:
    """The segments of a canvas, in their order along its latent time axis."""

    segments: tuple[Segment, ...]

    def __post_init__(self) -> None:
        names = [(segment.view, segment.stream) for segment in self.segments]
        if not names or len(set(names)) < len(names):
            raise ActionImagesError(
                f"a layout needs each (view, stream) once and at least one of them, got {names}"
            )
        if any(segment.num_frames < 1 for segment in self.segments):
            raise ActionImagesError(f"every segment needs at least one latent frame, got {self.segments}")

    @property
    def num_frames(self) -> int:
        """Number of latent frames of the canvas."""
        return sum(segment.num_frames for segment in self.segments)

    @property
    def num_views(self) -> int:
        """Number of views with segments."""
        return len({segment.view for segment in self.segments})

    @property
    def spans(self) -> dict[Segment, slice]:
        """The latent frames of the canvas that belong to each segment."""
        ends = list(accumulate(segment.num_frames for segment in self.segments))
        return {
            segment: slice(end - segment.num_frames, end)
            for segment, end in zip(self.segments, ends, strict=True)
        }

    def pack(self, parts: Mapping[Segment, Tensor], dim: int = -3) -> Tensor:
        """One tensor from one part for each segment, joined along the latent frame axis `dim`.

        Raises ValueError, naming the segment, if a part is missing or has another number of latent frames.
        """
        for segment in self.segments:
            if segment not in parts:
                raise ActionImagesError(f"no part was given for {segment}; there are parts for {list(parts)}")
            if parts[segment].shape[dim] != segment.num_frames:
                raise ActionImagesError(
                    f"the part for {segment} has {parts[segment].shape[dim]} latent frames"
                )
        return torch.cat([parts[segment] for segment in self.segments], dim)

    def unpack(self, packed: Tensor, dim: int = -3) -> dict[Segment, Tensor]:
        """The parts that `pack` joined; views, no copies."""
        if packed.shape[dim] != self.num_frames:
            raise ActionImagesError(
                f"the layout has {self.num_frames} latent frames, the tensor {packed.shape[dim]}"
            )
        parts = packed.split([segment.num_frames for segment in self.segments], dim)
        return dict(zip(self.segments, parts, strict=True))

    def view_of_frame(self, device: torch.device | None = None) -> Int[Tensor, "l"]:
        """The view of each latent frame."""
        return self._per_frame([segment.view for segment in self.segments], device)

    def stream_of_frame(self, device: torch.device | None = None) -> Int[Tensor, "l"]:
        """The stream of each latent frame, as its index in STREAMS."""
        return self._per_frame([STREAMS.index(segment.stream) for segment in self.segments], device)

    def place_of_frame(self, device: torch.device | None = None) -> Int[Tensor, "l"]:
        """The number of latent frames before each latent frame in its segment."""
        return torch.cat([torch.arange(segment.num_frames, device=device) for segment in self.segments])

    def later(
        self, packed: Shaped[Tensor, "*batch l"], stream: Stream
    ) -> Shaped[Tensor, "*batch view later"]:
        """Values of latent frames, for those of each view's video or actions after its first."""
        parts = [
            part[..., 1:] for segment, part in self.unpack(packed, -1).items() if segment.stream == stream
        ]
        return torch.stack(parts, -2) if parts else packed.new_zeros(*packed.shape[:-1], self.num_views, 0)

    def _per_frame(self, values: list[int], device: torch.device | None) -> Tensor:
        # Fill on the device: numbers copied from the CPU would wait for it.
        parts = zip(self.segments, values, strict=True)
        return torch.cat([torch.full((one.num_frames,), value, device=device) for one, value in parts])
