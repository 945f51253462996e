"""The segments of a mode, and how much of each the model is shown: numbers alone, without tensors."""

from dataclasses import dataclass
from enum import Enum
from itertools import product
from typing import Literal

from action_images.errors import ActionImagesError

Stream = Literal["video", "action"]
STREAMS: tuple[Stream, ...] = ("video", "action")


@dataclass(frozen=True)
class Segment:
    """One stream of one view: `num_frames` latent frames in a row."""

    view: int
    stream: Stream
    num_frames: int


class Show(Enum):
    """How much of a segment the model is shown from the start."""

    NOTHING = 0
    FIRST_FRAME = 1
    EVERYTHING = 2


@dataclass(frozen=True)
class Shown:
    """How much of each stream is shown, for any number of views.

    `action` None: the canvas has no action segments. `first_view_video` overrides `video` for view 0.
    `video_frames` limits the latent frames of the video segments (None: as many as the clip has).
    """

    video: Show
    action: Show | None
    first_view_video: Show | None = None
    video_frames: int | None = None

    @property
    def generates_actions_alone(self) -> bool:
        """Whether actions are generated and no video."""
        video_given = self.video is Show.EVERYTHING or (
            self.video is Show.FIRST_FRAME and self.video_frames == 1
        )
        return self.action not in (None, Show.EVERYTHING) and self.first_view_video is None and video_given

    def segments(self, num_views: int, num_frames: int) -> tuple[Segment, ...]:
        """The canvas of `num_frames` latent frames: [V_0 | A_0 | V_1 | A_1 ...] (paper section 3.2)."""
        if num_views < 1 or num_frames < 1:
            raise ActionImagesError(
                f"a canvas needs at least one view and one latent frame, got {num_views} and {num_frames}"
            )
        streams: tuple[Stream, ...] = ("video",) if self.action is None else ("video", "action")
        lengths = {"video": min(num_frames, self.video_frames or num_frames), "action": num_frames}
        views_and_streams = product(range(num_views), streams)
        return tuple(Segment(view, stream, lengths[stream]) for view, stream in views_and_streams)

    def show(self, segment: Segment) -> Show:
        """How much of this segment is shown."""
        if segment.stream == "action":
            if self.action is None:
                raise ActionImagesError(f"this mode has no action segments, but was asked about {segment}")
            return self.action
        return (
            self.first_view_video if segment.view == 0 and self.first_view_video is not None else self.video
        )

    def num_given(self, segment: Segment) -> int:
        """Number of known latent frames of a segment."""
        return {Show.NOTHING: 0, Show.FIRST_FRAME: 1, Show.EVERYTHING: segment.num_frames}[self.show(segment)]


SHOWN = {
    "joint": Shown(video=Show.FIRST_FRAME, action=Show.FIRST_FRAME),
    "policy": Shown(video=Show.FIRST_FRAME, action=Show.FIRST_FRAME, video_frames=1),
    "second_view": Shown(video=Show.FIRST_FRAME, action=Show.FIRST_FRAME, first_view_video=Show.EVERYTHING),
    "label": Shown(video=Show.EVERYTHING, action=Show.FIRST_FRAME),
    "label_from_nothing": Shown(video=Show.EVERYTHING, action=Show.NOTHING),
    "simulate": Shown(video=Show.FIRST_FRAME, action=Show.EVERYTHING),
    "video": Shown(video=Show.FIRST_FRAME, action=None),
}
"""Name -> what is shown. The first action frame is the current tool pose, which is known wherever there are
actions, except in `label_from_nothing`, which shows a video alone."""
