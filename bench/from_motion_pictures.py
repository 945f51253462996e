"""Pictures that are hard to follow: noise, little light, people, compression, few pixels."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch

from action_images.calibration.from_motion.kept import Seen, load, place_of, save
from action_images.calibration.from_motion.pinhole import Pinhole
from action_images.calibration.from_motion.tracks import follow
from action_images.calibration.opencv import opencv
from action_images.episodes.dataset import Dataset
from action_images.episodes.episode import Episode, Frames, FramesInMemory, FramesSelected
from action_images.episodes.video import VideoFrames, write_video


@dataclass(frozen=True)
class Spoilt:
    """Frames of another video, changed as they are read."""

    frames: Frames
    change: Callable[[torch.Tensor, Sequence[int]], torch.Tensor]

    @property
    def size(self) -> tuple[int, int]:
        return self.frames.size

    def __len__(self) -> int:
        return len(self.frames)

    def read(self, indices: Sequence[int]) -> torch.Tensor:
        return self.change(self.frames.read(indices), indices)


def noisy(std: float, gain: float, frames: Frames) -> Frames:
    """Gaussian noise in grey levels, after the light was reduced."""

    def change(pictures: torch.Tensor, indices: Sequence[int]) -> torch.Tensor:
        noise = [torch.randn(pictures.shape[1:], generator=torch.Generator().manual_seed(i)) for i in indices]
        return (gain * pictures.float() + std * torch.stack(noise)).round().clamp(0, 255).to(torch.uint8)

    return Spoilt(frames, change)


def flickering(frames: Frames) -> Frames:
    """Light that changes by a fifth, as of lamps and passing shadows."""

    def change(pictures: torch.Tensor, indices: Sequence[int]) -> torch.Tensor:
        gain = torch.tensor([1 + 0.2 * math.sin(1.3 * i) for i in indices])
        return (gain[:, None, None, None] * pictures.float()).round().clamp(0, 255).to(torch.uint8)

    return Spoilt(frames, change)


def with_somebody(frames: Frames) -> Frames:
    """A textured thing as large as a person's arm that wanders through the picture, before the robot too."""
    height, width = frames.size
    rows, columns = height // 2, width // 6
    texture = torch.randint(0, 255, (3, rows // 6, columns // 6), generator=torch.Generator().manual_seed(0))
    shown = torch.nn.functional.interpolate(texture[None].float(), (rows, columns))[0].to(torch.uint8)

    def change(pictures: torch.Tensor, indices: Sequence[int]) -> torch.Tensor:
        pictures = pictures.clone()
        for picture, index in zip(pictures, indices, strict=True):
            left = round((width - columns) * (0.5 + 0.5 * math.sin(0.08 * index)))
            top = round((height - rows) * (0.5 + 0.5 * math.cos(0.05 * index)))
            picture[:, top : top + rows, left : left + columns] = shown
        return pictures

    return Spoilt(frames, change)


def exposed_long(frames: Frames) -> Frames:
    """Each picture is the mean of two that follow one another: half of the time between every fourth."""
    count = len(frames)

    def change(pictures: torch.Tensor, indices: Sequence[int]) -> torch.Tensor:
        after = frames.read([min(index + 1, count - 1) for index in indices])
        return ((pictures.float() + after.float()) / 2).round().to(torch.uint8)

    return Spoilt(frames, change)


def compressed(crf: int, folder: Path, frames: Frames) -> Frames:
    """Written as H.264 of low quality and read again."""
    path = folder / "compressed.mp4"
    path.unlink(missing_ok=True)
    write_video(path, iter(frames.read(range(len(frames)))), 20.0, crf)
    return FramesInMemory(VideoFrames(path).read(range(len(frames))))


def smaller(side: int, frames: Frames) -> Frames:
    """Reduced to so many rows and columns."""
    cv2 = opencv()
    pictures = [
        cv2.resize(one.permute(1, 2, 0).numpy(), (side, side), interpolation=cv2.INTER_AREA)
        for one in frames.read(range(len(frames)))
    ]
    return FramesInMemory(torch.from_numpy(np.stack(pictures)).permute(0, 3, 1, 2))


def plain(frames: Frames) -> Frames:
    """As they were rendered."""
    return frames


@dataclass(frozen=True)
class Pictures:
    """How pictures are spoilt; every `every`-th frame is taken, `side` (None: unchanged) are rows and
    columns."""

    spoil: Callable[[Frames], Frames] = plain
    every: int = 1
    side: int | None = None


def pictures_by_name(scratch: Path) -> dict[str, Pictures]:
    """All ways to spoil pictures."""
    return {
        "as rendered": Pictures(),
        "10 frames/s": Pictures(every=2),
        "5 frames/s": Pictures(every=4),
        "5 frames/s, long exposure": Pictures(exposed_long, every=4),
        "noise of 4 levels": Pictures(partial(noisy, 4.0, 1.0)),
        "noise of 12 levels": Pictures(partial(noisy, 12.0, 1.0)),
        "a fifth of the light, noise of 3": Pictures(partial(noisy, 3.0, 0.2)),
        "flickering light": Pictures(flickering),
        "somebody in the picture": Pictures(with_somebody),
        "compressed, crf 38": Pictures(partial(compressed, 38, scratch)),
        "128 px": Pictures(partial(smaller, 128), side=128),
        "96 px": Pictures(partial(smaller, 96), side=96),
    }


def followed_set(
    dataset: Dataset, name: str, how: Pictures, cache: Path
) -> tuple[list[Seen], dict[str, Pinhole]]:
    """Every episode followed in such pictures, and the true cameras; what was followed is kept in `cache`."""
    folder = cache / name.replace(" ", "_").replace("/", "_").replace(",", "")
    seen, cameras = [], {}
    for episode in dataset:
        kept = load(place_of(folder, episode.id), ())
        assert episode.trajectory is not None
        poses = episode.trajectory.world_from_tool.matrix().double().numpy()[:: how.every]
        for view in episode.views:
            assert view.camera is not None
            camera = view.camera if how.side is None else view.camera.resize(how.side, how.side)
            cameras[view.name] = Pinhole.of(camera)
        if kept is None:
            one = _followed(episode, how, poses)
            save(place_of(folder, episode.id), one, ())
        else:
            one = Seen(episode.id, episode.fps / how.every, poses, kept.sizes, kept.followed)
        seen.append(one)
    return seen, cameras


def _followed(episode: Episode, how: Pictures, poses: np.ndarray) -> Seen:
    followed, sizes = {}, {}
    for view in episode.views:
        frames = how.spoil(view.frames)
        some = FramesSelected(frames, range(0, len(frames), how.every))
        followed[view.name] = follow(some, episode.fps / how.every)
        sizes[view.name] = frames.size
    return Seen(episode.id, episode.fps / how.every, poses, sizes, followed)
