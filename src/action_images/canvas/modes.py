"""Which mode gives what: the one table that training, sampling and evaluation share."""

from dataclasses import dataclass
from enum import Enum
from itertools import product

import torch
from jaxtyping import Bool
from torch import Tensor

from action_images.canvas.layout import Layout, Segment, Stream
from action_images.errors import ActionImagesError


class Show(Enum):
    """How much of a segment the model is shown from the start."""

    NOTHING = 0
    FIRST_FRAME = 1
    EVERYTHING = 2


@dataclass(frozen=True)
class Mode:
    """How much of each stream is shown, for any number of views.

    `action` None: the canvas has no action segments. `first_view_video` says it of view 0 where that differs.
    `video_frames` caps the latent frames of the video segments (None: as many as the clip has).
    """

    video: Show
    action: Show | None
    first_view_video: Show | None = None
    video_frames: int | None = None

    @property
    def generates_actions_alone(self) -> bool:
        """Whether actions are asked, and no video."""
        video_given = self.video is Show.EVERYTHING or (
            self.video is Show.FIRST_FRAME and self.video_frames == 1
        )
        return self.action not in (None, Show.EVERYTHING) and self.first_view_video is None and video_given

    def layout(self, num_views: int, num_frames: int) -> Layout:
        """The canvas of `num_frames` latent frames: [V_0 | A_0 | V_1 | A_1 ...] (paper section 3.2)."""
        if num_views < 1 or num_frames < 1:
            raise ActionImagesError(
                f"a canvas needs at least one view and one latent frame, got {num_views} and {num_frames}"
            )
        streams: tuple[Stream, ...] = ("video",) if self.action is None else ("video", "action")
        lengths = {"video": min(num_frames, self.video_frames or num_frames), "action": num_frames}
        views_and_streams = product(range(num_views), streams)
        return Layout(tuple(Segment(view, stream, lengths[stream]) for view, stream in views_and_streams))

    def show(self, segment: Segment) -> Show:
        """How much of this segment is shown."""
        if segment.stream == "action":
            if self.action is None:
                raise ActionImagesError(f"this mode has no action segments, but was asked about {segment}")
            return self.action
        return (
            self.first_view_video if segment.view == 0 and self.first_view_video is not None else self.video
        )

    def given(self, layout: Layout) -> Bool[Tensor, "l"]:
        """True for the latent frames that are known."""
        return layout.pack({segment: self._given(segment) for segment in layout.segments}, dim=-1)

    def _given(self, segment: Segment) -> Tensor:
        num_shown = {Show.NOTHING: 0, Show.FIRST_FRAME: 1, Show.EVERYTHING: segment.num_frames}[
            self.show(segment)
        ]
        return torch.arange(segment.num_frames) < num_shown


MODES = {
    "joint": Mode(video=Show.FIRST_FRAME, action=Show.FIRST_FRAME),
    "policy": Mode(video=Show.FIRST_FRAME, action=Show.FIRST_FRAME, video_frames=1),
    "second_view": Mode(video=Show.FIRST_FRAME, action=Show.FIRST_FRAME, first_view_video=Show.EVERYTHING),
    "label": Mode(video=Show.EVERYTHING, action=Show.FIRST_FRAME),
    "label_from_nothing": Mode(video=Show.EVERYTHING, action=Show.NOTHING),
    "simulate": Mode(video=Show.FIRST_FRAME, action=Show.EVERYTHING),
    "video": Mode(video=Show.FIRST_FRAME, action=None),
}
"""Name -> what is shown. The first action frame is the current tool pose, which is known
wherever actions are, but for `label_from_nothing`: a video alone."""
