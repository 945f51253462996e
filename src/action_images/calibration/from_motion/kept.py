"""An episode's tracks, stored on disk so that a stopped run can resume."""

import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from action_images.calibration.from_motion.tracks import Followed, Track
from action_images.calibration.opencv import CalibrationError
from action_images.episodes.episode import Frames, FramesSelected
from action_images.episodes.straighten import FramesStraightened
from action_images.episodes.unmirror import FramesUnmirrored
from action_images.files.atomic import whole_file

FOLDER = "tracks"


@dataclass(frozen=True)
class Seen:
    """One episode: its tool poses (one a frame), and the (height, width) and tracks of each view."""

    id: str
    fps: float
    poses: Float[np.ndarray, "frame 4 4"]
    sizes: Mapping[str, tuple[int, int]]
    followed: Mapping[str, Followed]
    shown: Mapping[str, str] = field(default_factory=dict)
    """By view, which pictures were followed: `pictures_of`."""


@dataclass(frozen=True)
class Kept:
    """The stored part of an episode; poses are read again, because the set may now declare others."""

    sizes: Mapping[str, tuple[int, int]]
    followed: Mapping[str, Followed]
    shown: Mapping[str, str]


def pictures_of(frames: Frames) -> str:
    """A hash of how pictures are read: which frames of the video, mirrored or not, straightened by which
    lens. Other declarations of `shift`, `mirrored` or `distortion` give another one."""
    told: list[Any] = [len(frames)]
    inner: object = frames
    while isinstance(inner, FramesSelected | FramesUnmirrored | FramesStraightened):
        if isinstance(inner, FramesSelected):
            told.append(["selected", [int(index) for index in inner.indices]])
        elif isinstance(inner, FramesStraightened):
            lens = inner.distortion
            told.append([inner.intrinsics.tolist(), lens.model, list(lens.coefficients)])
        else:
            told.append("mirrored")
        inner = inner.frames
    return sha256(json.dumps(told).encode()).hexdigest()[:32]


def place_of(out: Path, episode_id: str) -> Path:
    """The file of an episode's tracks beside a result."""
    return out / FOLDER / f"{sha256(episode_id.encode()).hexdigest()[:32]}.npz"


def save(path: Path, one: Seen, views: Sequence[str]) -> None:
    """Store an episode's tracks as flat arrays, completely or not at all."""
    arrays = {"views": np.array(list(one.followed)), "asked": np.array(list(views), dtype=str)}
    for number, (name, followed) in enumerate(one.followed.items()):
        lengths = [len(track.frames) for track in followed.tracks]
        frames = [track.frames for track in followed.tracks] or [np.zeros(0, int)]
        pixels = [track.pixels for track in followed.tracks] or [np.zeros((0, 2))]
        arrays |= {
            f"{number}/size": np.array(one.sizes[name]),
            f"{number}/lengths": np.array(lengths, int),
            f"{number}/frames": np.concatenate(frames),
            f"{number}/pixels": np.concatenate(pixels),
            f"{number}/looked_at": followed.looked_at,
            f"{number}/motion": followed.motion,
            f"{number}/shown": np.array(one.shown.get(name, "")),
        }
    written = io.BytesIO()
    np.savez_compressed(written, **arrays)  # type: ignore[arg-type]
    with whole_file(path) as temporary:
        temporary.write_bytes(written.getvalue())


def load(path: Path, views: Sequence[str]) -> Kept | None:
    """The tracks stored by an earlier run; None if there are none, or if they are of other views."""
    if not path.is_file():
        return None
    try:
        with np.load(path, allow_pickle=False) as kept:
            arrays = {name: kept[name] for name in kept.files}
    except (ValueError, OSError, EOFError, KeyError) as error:
        raise CalibrationError(f"{path}: is damaged ({error}); remove it, then it is made again") from None
    if arrays["asked"].tolist() != list(views):
        return None
    followed, sizes, shown = {}, {}, {}
    for number, name in enumerate(arrays["views"].tolist()):
        stops = np.cumsum(arrays[f"{number}/lengths"])[:-1]
        frames = np.split(arrays[f"{number}/frames"], stops)
        pixels = np.split(arrays[f"{number}/pixels"], stops)
        tracks = tuple(map(Track, frames, pixels)) if len(arrays[f"{number}/lengths"]) else ()
        followed[name] = Followed(tracks, arrays[f"{number}/looked_at"], arrays[f"{number}/motion"])
        height, width = arrays[f"{number}/size"].tolist()
        sizes[name] = (height, width)
        shown[name] = str(arrays.get(f"{number}/shown", ""))
    return Kept(sizes, followed, shown)
