"""Correction of cameras that are late or early by whole frames."""

from collections.abc import Mapping
from dataclasses import replace

from action_images.episodes.episode import Episode, EpisodeError, FramesSelected, View


def shifted(episode: Episode, shifts: Mapping[str, int]) -> Episode:
    """The episode with each named view's picture i + shift at frame i: a view that is late by 8 frames has
    shift 8.

    Frames at either end for which a view has no picture are left out. Raises EpisodeError if a view is
    missing or nothing is left.
    """
    if not shifts:
        return episode
    for name in shifts:
        episode.view(name)
    start = max(0, *(-shift for shift in shifts.values()))
    stop = episode.num_frames - max(0, *shifts.values())
    if stop <= start:
        raise EpisodeError(
            f"{episode.id}: has {episode.num_frames} frames, none is left after the shift; shift less"
        )
    views = tuple(_shifted(view, start, stop, shifts.get(view.name, 0)) for view in episode.views)
    return _between(replace(episode, views=views), start, stop)


def part_of(episode: Episode, start: int, stop: int) -> Episode:
    """Frames [start, stop) of an episode."""
    views = tuple(_shifted(view, start, stop, 0) for view in episode.views)
    return _between(replace(episode, views=views), start, stop)


def _between(episode: Episode, start: int, stop: int) -> Episode:
    """The same views, with the paths cut to these frames."""
    trajectory = None if episode.trajectory is None else episode.trajectory[start:stop]
    told = None if episode.told is None else episode.told[start:stop]
    return replace(episode, trajectory=trajectory, told=told)


def _shifted(view: View, start: int, stop: int, shift: int) -> View:
    camera = view.camera
    if camera is not None and camera.batch_shape:
        camera = camera[start:stop]
    return View(view.name, FramesSelected(view.frames, range(start + shift, stop + shift)), camera)
