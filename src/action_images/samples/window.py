"""Addresses of samples: an episode, its frames and its views."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool
from torch import Tensor
from typing_extensions import Self

from action_images.episodes.episode import EpisodeError
from action_images.errors import ActionImagesError

ADDRESS = re.compile(
    r"(?P<id>[^#]+)#(?P<views>[^#\[]+)\[start=(?P<start>\d+),stride=(?P<stride>\d+),frames=(?P<frames>\d+)\]"
)


@dataclass(frozen=True)
class Window:
    """A printable address: the same address cuts the same sample.

    Frames `start`, `start + stride`, ... of the episode, `num_frames` of them. A window may reach beyond the
    episode's end; the frames there are padding, marked as not valid.
    """

    episode_id: str
    views: tuple[str, ...]
    start: int
    stride: int
    num_frames: int

    def __str__(self) -> str:
        frames = f"start={self.start},stride={self.stride},frames={self.num_frames}"
        return f"{self.episode_id}#{','.join(self.views)}[{frames}]"

    @classmethod
    def parse(cls, address: str) -> Self:
        """Parse the `str` of a window; raises ValueError for anything else."""
        match = ADDRESS.fullmatch(address)
        if match is None or int(match["stride"]) < 1 or int(match["frames"]) < 1:
            raise ActionImagesError(
                f"{address!r} is no window; one reads 'episode/id#view,view[start=0,stride=1,frames=41]'"
            )
        return cls(
            match["id"],
            tuple(match["views"].split(",")),
            int(match["start"]),
            int(match["stride"]),
            int(match["frames"]),
        )

    def indices(self, episode_frames: int) -> tuple[list[int], Bool[Tensor, "frame"]]:
        """The frames of an episode with `episode_frames` frames, and False for those that are padding.

        Padding repeats the window's last real frame. Raises EpisodeError if not even the first frame exists.
        """
        if not 0 <= self.start < episode_frames:
            raise EpisodeError(
                f"{self}: begins beyond the episode's {episode_frames} frames; cut windows from the "
                "episode's own length"
            )
        wanted = range(self.start, self.start + self.stride * self.num_frames, self.stride)
        real = [index for index in wanted if index < episode_frames]
        valid = torch.arange(self.num_frames) < len(real)
        return real + real[-1:] * (self.num_frames - len(real)), valid


@dataclass(frozen=True)
class Cutting:
    """The windows of an episode: `num_frames` at `stride`, one beginning every `step` frames.

    A window needs `least` real frames, the rest is padding; None allows no padding. A shorter episode gives
    no window, and is never slowed down to fit.
    """

    num_frames: int
    stride: int = 1
    step: int = 1
    least: int | None = None

    def __post_init__(self) -> None:
        least = self.num_frames if self.least is None else self.least
        if min(self.num_frames, self.stride, self.step) < 1 or not 1 <= least <= self.num_frames:
            raise ActionImagesError(
                f"{self}: num_frames, stride and step are at least 1, least lies in 1..num_frames"
            )

    def num_windows(self, episode_frames: int) -> int:
        """The number of windows of an episode of this length."""
        span = ((self.least or self.num_frames) - 1) * self.stride + 1
        return 0 if episode_frames < span else (episode_frames - span) // self.step + 1

    def window(self, episode_id: str, views: Sequence[str], number: int) -> Window:
        """The n-th window of an episode."""
        return Window(episode_id, tuple(views), number * self.step, self.stride, self.num_frames)

    def needed(self) -> int:
        """The least number of frames an episode must have."""
        return ((self.least or self.num_frames) - 1) * self.stride + 1
