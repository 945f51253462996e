"""Episodes with some of their views, resized to one size."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from jaxtyping import UInt8
from torch import Tensor

from action_images.episodes.episode import Episode, Frames, View
from action_images.geometry.fitting import fit_camera, fit_frames, whole_box


@dataclass(frozen=True)
class FramesFitted:
    """Frames that are cropped to the aspect of `size` and resized when they are read."""

    frames: Frames
    size: tuple[int, int]

    @property
    def notes(self) -> tuple[str, ...]:
        """Remarks on the other video, and on what is cropped."""
        height, width = self.frames.size
        _, _, kept_height, kept_width = whole_box((height, width), self.size)
        notes = getattr(self.frames, "notes", ())
        if (kept_height, kept_width) == (height, width):
            return notes
        kept = f"the middle {kept_height} x {kept_width} px of {height} x {width}"
        return (*notes, f"{kept} are kept, as {self.size[0]} x {self.size[1]} has another aspect")

    def __len__(self) -> int:
        return len(self.frames)

    def read(self, indices: Sequence[int]) -> UInt8[Tensor, "frame 3 h w"]:
        """Exactly these frames, in this order."""
        return fit_frames(self.frames.read(indices), self.size)


def select_views(episode: Episode, names: Sequence[str] = (), size: tuple[int, int] | None = None) -> Episode:
    """The episode with these views alone, in this order (none: all), all fitted to `size` if given."""
    views = tuple(episode.view(name) for name in names) if names else episode.views
    return replace(episode, views=views if size is None else tuple(_fitted(view, size) for view in views))


def _fitted(view: View, size: tuple[int, int]) -> View:
    camera = None if view.camera is None else fit_camera(view.camera, size)
    return View(view.name, FramesFitted(view.frames, size), camera)
