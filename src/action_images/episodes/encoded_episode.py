"""An episode prepared for the store, in any process: its videos as files, its numbers as columns."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import combinations
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from action_images.episodes import lerobot_layout as layout
from action_images.episodes import statistics
from action_images.episodes.contradictions import FARTHEST_M
from action_images.episodes.copies import prints_of
from action_images.episodes.episode import Episode, EpisodeError, Frames
from action_images.episodes.inside import tool_inside
from action_images.episodes.video import Codec, write_video
from action_images.geometry import Camera, Trajectory

FRAMES_AT_ONCE = 32
FARTHEST_CENTRE = 0.1
"""A principal point farther from the image centre (as a fraction of the image) is reported."""
MOST_SQUEEZED, MOST_SKEW = 0.1, 0.02
"""A larger difference of focal lengths, or a larger skew (as a share of them), is reported."""
SHAPE = ((0, 0), (0, 1), (1, 1))
"""Where a camera matrix has the first focal length, the skew and the second focal length."""
BYTES_AT_ONCE = 256 << 20
"""Upper limit of memory for frames that are decoded together; a single larger frame is still decoded."""


@dataclass(frozen=True)
class Encoded:
    """The additions of one episode to a data set; its videos are not yet in the set."""

    id: str
    instruction: str | None
    fps: float
    num_frames: int
    sizes: dict[str, tuple[int, int]]
    videos: dict[str, Path]
    columns: dict[str, np.ndarray]
    statistics: dict[str, statistics.Statistics]
    notes: tuple[str, ...] = ()
    """Remarks on how the episode was read."""
    prints: Mapping[str, str] = field(default_factory=dict)
    """Hashes of its path and of the pictures of each view."""

    @property
    def has_path(self) -> bool:
        """Whether the tool's poses are known in any frame."""
        return not np.isnan(self.columns[layout.STATE]).all()

    @property
    def openings(self) -> tuple[float, float] | None:
        """The gripper's smallest and largest opening; None if the tool's path is not known."""
        opening = self.columns[layout.STATE][:, -1]
        return (float(np.nanmin(opening)), float(np.nanmax(opening))) if self.has_path else None

    @property
    def uncalibrated(self) -> list[str]:
        """The views without calibrated cameras."""
        keys = {view: f"{layout.CAMERAS}{view}.intrinsics" for view in self.sizes}
        return [view for view, key in keys.items() if np.isnan(self.columns[key]).all()]


def encode_episode(
    episode: Episode, folder: Path, crf: int = 18, codec: Codec = "h264", *, preset: str = "medium"
) -> Encoded:
    """Check an episode and encode its videos into `folder`; raises EpisodeError if it cannot be stored.

    `crf`, `codec` and `preset` are those of `write_video`.
    """
    episode.check()
    videos, numbers = {}, columns(episode)
    described = {key: statistics.of_rows(values) for key, values in numbers.items()}
    for view in episode.views:
        videos[view.name] = folder / f"{view.name}.mp4"
        height, width = view.frames.size
        seen = _Seen(max(1, episode.num_frames // 16))
        pixel_format = "yuv444p" if height % 2 or width % 2 else "yuv420p"
        frames, path = seen.passing(view.frames), videos[view.name]
        write_video(path, frames, episode.fps, crf, pixel_format, preset=preset, codec=codec)
        described[layout.IMAGES + view.name] = statistics.of_pixels(np.stack(seen.frames))
    sizes = {view.name: view.frames.size for view in episode.views}
    return Encoded(
        id=episode.id,
        instruction=episode.instruction,
        fps=episode.fps,
        num_frames=episode.num_frames,
        sizes=sizes,
        videos=videos,
        columns=numbers,
        statistics=described,
        notes=(
            *episode.notes,
            *_notes_of_videos(episode),
            *_notes_of_cameras(episode),
            *_notes_of_rig(episode),
            *_notes_of_tool(episode),
        ),
        prints=prints_of(numbers[layout.STATE], videos),
    )


def _notes_of_videos(episode: Episode) -> Iterator[str]:
    for view in episode.views:
        yield from (f"{view.name}: {note}" for note in getattr(view.frames, "notes", ()))
        if "depth" in view.name.lower():
            told = "it is called a depth map and comes in as colour pictures"
            yield f"{view.name}: {told}; leave it out with --views if it is one"
    names = [view.name for view in episode.views]
    alike = [name for name in names if [one.lower() for one in names].count(name.lower()) > 1]
    if alike:
        told = f"the views {', '.join(alike)} differ in capitals alone"
        yield f"{told}; where a system ignores these, their files replace each other: rename one"


def _notes_of_cameras(episode: Episode) -> Iterator[str]:
    for view in episode.views:
        if view.camera is None:
            continue
        height, width = view.frames.size
        x, y = (float(view.camera.intrinsics[..., axis, 2].mean()) for axis in (0, 1))
        if max(abs(x / width - 0.5), abs(y / height - 0.5)) > FARTHEST_CENTRE:
            middle = (
                f"the principal point lies at {x / width:.0%} of the width and {y / height:.0%} of the height"
            )
            yield f"{view.name}: {middle}; are the intrinsics for pictures of another size, or a crop?"


def _notes_of_rig(episode: Episode) -> Iterator[str]:
    """Remarks on pixels that are not square, and on views that share a camera's pose."""
    cameras = {view.name: view.camera for view in episode.views if view.camera is not None}
    for name, camera in cameras.items():
        fx, skew, fy = (float(camera.intrinsics[..., row, column].mean()) for row, column in SHAPE)
        if max(fx / fy, fy / fx) > 1 + MOST_SQUEEZED or abs(skew) > MOST_SKEW * fx:
            told = f"the focal lengths are {fx:.0f} and {fy:.0f} px, the skew {skew:.0f}"
            yield f"{name}: {told}; are the pictures squeezed, or the intrinsics of others?"
    for one, other in combinations(cameras, 2):
        poses = [cameras[name].world_from_camera.matrix() for name in (one, other)]
        if poses[0].shape == poses[1].shape and bool((poses[0] == poses[1]).all()):
            yield f"the cameras of {one} and {other} have exactly one pose; was it copied?"


def _notes_of_tool(episode: Episode) -> Iterator[str]:
    """Remarks on a tool that never moves, is in no calibrated view, or is far from all or from a camera."""
    if episode.trajectory is None:
        return
    positions = episode.trajectory.world_from_tool.translation
    if episode.num_frames > 1 and not float(positions.diff(dim=0).abs().max()):
        yield "the tool's position never changes; was it recorded?"
    if float(positions.norm(dim=-1).max()) > FARTHEST_M:
        yield f"the tool is more than {FARTHEST_M:g} m away from the world's origin; is it in mm or cm?"
    for view in episode.views:
        if view.camera is not None and float(_distance(view.camera, positions).min()) > FARTHEST_M:
            told = f"the camera is more than {FARTHEST_M:g} m away from the tool"
            yield f"{view.name}: {told}; is its position in mm or cm?"
    cameras = {view.name: view.camera for view in episode.views if view.camera is not None}
    blind = [name for name, camera in cameras.items() if not bool(tool_inside(camera, positions).any())]
    if blind:
        are_all = len(blind) == len(cameras)
        where = "in none of its calibrated views" if are_all else f"never in the view of {', '.join(blind)}"
        told = f"the tool is {where} at any time" if are_all else f"the tool is {where}"
        yield f"{told}; are cameras inverse, or in another unit or frame than the poses? 'check' tries some"


def _distance(camera: Camera, positions: Tensor) -> Tensor:
    """How far a camera is from a tool at these positions (m), in each frame."""
    return (camera.world_from_camera.translation - positions).norm(dim=-1)


def columns(episode: Episode) -> dict[str, np.ndarray]:
    """The float32 columns of an episode by feature, each (frame, numbers).

    Unknown values are NaN.
    """
    numbers = {}
    for view in episode.views:
        intrinsics, matrix = _camera_rows(view.camera, episode.num_frames)
        numbers[f"{layout.CAMERAS}{view.name}.intrinsics"] = intrinsics
        numbers[f"{layout.CAMERAS}{view.name}.world_from_camera"] = matrix
    state = _tool_rows(episode.trajectory, episode.num_frames)
    numbers[layout.STATE] = state
    # The action is the command at the following frame, or the tool's pose there if no command is known. The
    # last frame's action is to stay.
    told = state if episode.told is None else _tool_rows(episode.told, episode.num_frames)
    numbers[layout.ACTION] = np.concatenate([told[1:], told[-1:]])
    return numbers


def _camera_rows(camera: Camera | None, num_frames: int) -> tuple[np.ndarray, np.ndarray]:
    if camera is None:
        return np.full((num_frames, 9), np.nan, np.float32), np.full((num_frames, 16), np.nan, np.float32)
    moving = camera.expand(num_frames).to(torch.float32)
    return _rows(moving.intrinsics), _rows(moving.world_from_camera.matrix())


def _tool_rows(trajectory: Trajectory | None, num_frames: int) -> np.ndarray:
    if trajectory is None:
        return np.full((num_frames, 8), np.nan, np.float32)
    return _rows(trajectory.to_vector(8))


def _rows(values: Tensor) -> np.ndarray:
    return values.detach().flatten(1).float().contiguous().numpy()


class _Seen:
    """Passes frames on and keeps every n-th, subsampled, for the pixel statistics."""

    def __init__(self, every: int):
        self.every = every
        self.frames: list[np.ndarray] = []

    def passing(self, frames: Frames) -> Iterator[Tensor]:
        height, width = frames.size
        at_once = max(1, min(FRAMES_AT_ONCE, BYTES_AT_ONCE // (height * width * 3)))
        for start in range(0, len(frames), at_once):
            stop = min(start + at_once, len(frames))
            for place, frame in enumerate(frames.read(range(start, stop)), start):
                if place % self.every == 0:
                    self.frames.append(np.ascontiguousarray(frame[:, ::4, ::4].movedim(0, -1).numpy()))
                yield frame


def check_fits(encoded: Encoded, sizes: dict[str, tuple[int, int]], fps: float) -> None:
    """Raise EpisodeError unless an episode has the views, sizes and frame rate of the data set."""
    if encoded.sizes != sizes:
        theirs, ours = _listed(encoded.sizes), _listed(sizes)
        cure = "choose common views, or write another data set"
        raise EpisodeError(f"{encoded.id}: has the views ({theirs}), the data set ({ours}); {cure}")
    if abs(encoded.fps - fps) > 1e-6:
        rates = f"runs at {encoded.fps:g} frames/s, the data set at {fps:g}"
        raise EpisodeError(f"{encoded.id}: {rates}; resample it, or write another data set")


def _listed(sizes: dict[str, tuple[int, int]]) -> str:
    return ", ".join(f"{name} {height}x{width}" for name, (height, width) in sizes.items())
