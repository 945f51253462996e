"""Loose pictures or videos, a cameras file and poses, as an episode."""

from dataclasses import replace
from pathlib import Path

from action_images.episodes.cameras_file import check_pictures, load_cameras
from action_images.episodes.episode import Episode, EpisodeError, Frames, FramesSelected, View
from action_images.episodes.names import check_camera_name
from action_images.episodes.pictures import Pictures
from action_images.episodes.trajectory_file import load_trajectory
from action_images.episodes.video import VideoFrames

PICTURES = (".png", ".jpg", ".jpeg")


def loose_episode(
    pictures: Path, cameras: Path, trajectory: Path | None, instruction: str | None, fps: float = 10.0
) -> Episode:
    """All frames of <camera>.mp4, or the single frame of <camera>.png or .jpg, for each camera of the file.

    Raises EpisodeError if a camera has no picture or was calibrated for another size.
    """
    rig = load_cameras(cameras)
    for name in rig:
        check_camera_name(name, str(cameras))
    shown = tuple(View(name, _frames(pictures, name), camera) for name, camera in rig.items())
    for view, camera in zip(shown, rig.values(), strict=True):
        check_pictures(camera, view.frames.size, f"{pictures}/{view.name}")
    path = None if trajectory is None else load_trajectory(trajectory)
    return Episode(str(pictures), instruction, fps, shown, path)


def first_instant(episode: Episode) -> Episode:
    """The episode's first frame, with the first pose."""
    views = (replace(view, frames=FramesSelected(view.frames, range(1))) for view in episode.views)
    path = None if episode.trajectory is None else episode.trajectory[:1]
    return replace(episode, views=tuple(views), trajectory=path)


def _frames(folder: Path, name: str) -> Frames:
    if (folder / f"{name}.mp4").is_file():
        return VideoFrames(folder / f"{name}.mp4")
    found = next(
        (folder / f"{name}{ending}" for ending in PICTURES if (folder / f"{name}{ending}").is_file()), None
    )
    if found is None:
        raise EpisodeError(
            f"{folder}: has no {name}.mp4, .png or .jpg for camera '{name}' of the cameras file"
        )
    return Pictures((found,))
