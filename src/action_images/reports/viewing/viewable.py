"""An object that can be viewed frame by frame: views with layers of pictures, and paths of the tool."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from action_images.codec import draw_uint8
from action_images.episodes.episode import Episode, Frames, FramesSelected, View
from action_images.episodes.picture_numbers import changes_of, numbers_of
from action_images.geometry import Camera, Trajectory
from action_images.reports.theme import EXECUTED

CAMERA, ACTIONS = "camera", "action images"
"""Names of the two layers that episodes have."""


@dataclass(frozen=True)
class DrawnFrames:
    """The action images of a path in one camera, drawn on demand; unknown poses are not drawn."""

    trajectory: Trajectory
    camera: Camera

    @property
    def size(self) -> tuple[int, int]:
        """(height, width)"""
        return self.camera.size

    def __len__(self) -> int:
        return self.trajectory.num_frames

    def read(self, indices: Sequence[int]) -> UInt8[Tensor, "frame 3 h w"]:
        """Exactly these frames, in this order."""
        chosen = torch.as_tensor(indices, dtype=torch.long)
        opening = self.trajectory.opening[chosen].nan_to_num(0).clamp(0, 1)
        path = Trajectory(self.trajectory.world_from_tool[chosen], opening).to("cpu", torch.float32)
        rig = self.camera[None, chosen] if self.camera.batch_shape else self.camera[None]
        return draw_uint8(path, rig.to("cpu", torch.float32))[0]


@dataclass(frozen=True)
class Layer:
    """Pictures of one kind in one view. `is_action`: action images, whose spots can lie over other layers.

    `shows` is the picture of each frame, if not every frame has its own.
    """

    name: str
    frames: Frames
    is_action: bool = False
    shows: tuple[int, ...] | None = None

    def thinned(self, every: int) -> "Layer":
        """The same with the pictures of frames 0, every, 2 every, ...; other frames show the previous one."""
        if self.shows is not None or every == 1:
            return self
        kept = FramesSelected(self.frames, range(0, len(self.frames), every))
        return replace(self, frames=kept, shows=tuple(frame // every for frame in range(len(self.frames))))


@dataclass(frozen=True)
class Source:
    """The pictures of a view's video: each frame's number there, and how they are changed when read."""

    numbers: tuple[int, ...]
    changes: str


@dataclass(frozen=True)
class ShownView:
    """One view; `camera` has axes () or (frame), and is None if the view is not calibrated.

    `spots` are image points of the three spots in each frame (px, centres at +0.5; NaN: not seen), if a model
    labelled this view alone. `source` is known for views of episodes.
    """

    name: str
    size: tuple[int, int]
    camera: Camera | None
    layers: tuple[Layer, ...]
    spots: Float[Tensor, "frame 3 2"] | None = None
    source: Source | None = None

    def thinned(self, every: int) -> "ShownView":
        """The same with every n-th picture of each layer."""
        return replace(self, layers=tuple(layer.thinned(every) for layer in self.layers))


@dataclass(frozen=True)
class ShownPath:
    """A path of the tool. Pose 0 belongs to frame `start`; NaN poses are unknown.

    A path with `shown` (first frame, one past the last) is visible in these frames alone, such as a plan
    while it is in force; None: always.
    """

    name: str
    colour: str
    trajectory: Trajectory
    confidence: Float[Tensor, "frame"] | None = None
    start: int = 0
    shown: tuple[int, int] | None = None


@dataclass(frozen=True)
class ShownPart:
    """Frames [start, stop) that readers give as an episode of their own, called `id`."""

    id: str
    start: int
    stop: int


@dataclass(frozen=True)
class Viewable:
    """Views and paths on one clock. `facts` are (name, value) pairs in words, `notes` are sentences.

    `warnings` are (level, sentence) with the levels `error` and `warning`. `is_episode`: it is an episode of
    a data set, so clicks on the tool can be stored with its `id` and frames. `parts` are the episodes that
    readers make of it, if they cut it; frames in none of them are left out by readers.
    """

    id: str
    instruction: str | None
    fps: float
    num_frames: int
    views: tuple[ShownView, ...]
    paths: tuple[ShownPath, ...] = ()
    facts: tuple[tuple[str, str], ...] = ()
    notes: tuple[str, ...] = ()
    warnings: tuple[tuple[str, str], ...] = field(default=())
    is_episode: bool = False
    parts: tuple[ShownPart, ...] = ()

    def thinned(self, every: int) -> "Viewable":
        """The same with the pictures of every n-th frame alone and a note about it; all numbers stay."""
        if every == 1:
            return self
        views = tuple(view.thinned(every) for view in self.views)
        note = f"Pictures of every {every}th frame alone; the frames between show the one before."
        return replace(self, views=views, notes=(*self.notes, note))

    def with_path(self, path: ShownPath, layer: str) -> "Viewable":
        """The same with one more path, and its action images as a layer of each calibrated view."""
        views = tuple(_with_actions(view, path.trajectory, layer) for view in self.views)
        return replace(self, paths=(*self.paths, path), views=views)


def of_episode(episode: Episode, facts: Iterable[tuple[str, str]] = ()) -> Viewable:
    """An episode as recorded, with its path drawn into every calibrated view."""
    plain = Viewable(
        id=episode.id,
        instruction=episode.instruction,
        fps=episode.fps,
        num_frames=episode.num_frames,
        views=tuple(_seen(view) for view in episode.views),
        facts=tuple(facts),
        notes=episode.notes,
        is_episode=True,
    )
    if episode.trajectory is None:
        return plain
    return plain.with_path(ShownPath("recorded", EXECUTED, episode.trajectory), ACTIONS)


def _seen(view: View) -> ShownView:
    source = Source(tuple(numbers_of(view.frames)), changes_of(view.frames))
    layers = (Layer(CAMERA, view.frames),)
    return ShownView(view.name, view.frames.size, view.camera, layers, source=source)


def _with_actions(view: ShownView, trajectory: Trajectory, name: str) -> ShownView:
    if view.camera is None:
        return view
    drawn = Layer(name, DrawnFrames(trajectory, view.camera), is_action=True)
    return replace(view, layers=(*view.layers, drawn))
