"""Tracks of a data set: some of its episodes are tracked in separate processes and stored one by one."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path

import numpy as np
import torch

from action_images.calibration.from_motion.kept import (
    FOLDER,
    Kept,
    Seen,
    load,
    pictures_of,
    place_of,
    save,
)
from action_images.calibration.from_motion.tracks import follow
from action_images.calibration.opencv import CalibrationError, opencv
from action_images.episodes.episode import Episode, EpisodeError, View
from action_images.episodes.readers import Reader, Wanted, open_foreign
from action_images.errors import printable
from action_images.files.settings import keep_settings
from action_images.parallel.isolated import each_isolated

MOST_EPISODES = 40


@dataclass(frozen=True)
class Followable:
    """A data set, the requested views (none: all), and its episodes, for tracking."""

    source: Path
    views: tuple[str, ...] = ()
    fps: float | None = None

    @property
    def wanted(self) -> Wanted:
        """The request to a reader."""
        return Wanted(self.views, fps=self.fps)

    def settings(self) -> dict[str, str]:
        """The source of everything stored in a folder; the source's place is stored as a hash."""
        place = sha256(str(self.source.resolve()).encode()).hexdigest()[:16]
        return {"source": f"{self.source.resolve().name} {place}"}


@dataclass
class Gathered:
    """All tracked episodes, and the reasons why others were refused."""

    episodes: list[Seen] = field(default_factory=list)
    refused: dict[str, str] = field(default_factory=dict)
    num_episodes: int = 0


def choose(ids: Sequence[str], also: Sequence[str] = (), most: int = MOST_EPISODES) -> list[str]:
    """At most `most` episodes, spread over the set, including those in `also`, in the set's order."""
    missing = [one for one in also if one not in set(ids)]
    if missing:
        raise CalibrationError(f"there is no episode {missing[0][:80]!r}; ids are as {ids[0]!r}")
    places = np.unique(np.linspace(0, len(ids) - 1, min(most, len(ids))).round().astype(int))
    chosen = {ids[place] for place in places} | set(also)
    return [one for one in ids if one in chosen]


def gather(
    what: Followable,
    out: Path,
    *,
    num_workers: int,
    also: Sequence[str] = (),
    most: int = MOST_EPISODES,
    seen: Callable[[int, int], None] | None = None,
) -> Gathered:
    """Track the views of some episodes; episodes that an earlier run stored in `out` are tracked again only
    if the set now declares other pictures of them.

    Raises EpisodeError if the set cannot be opened, CalibrationError if no episode has tool poses.
    """
    opencv()
    _, reader = open_foreign(what.source, "auto", what.wanted)
    ids = choose(reader.ids, also, most)
    found = Gathered(num_episodes=len(reader.ids))
    keep_settings(out / FOLDER / "settings.json", what.settings(), empty=not any(out.glob(f"{FOLDER}/*.npz")))
    kept = {one: load(place_of(out, one), what.views) for one in ids}
    results = {
        one: seen_before
        for one, those in kept.items()
        if those is not None and (seen_before := _again(reader.read(one), those)) is not None
    }
    missing = [one for one in ids if one not in results]
    if seen is not None:
        seen(len(ids) - len(missing), len(ids))
    for done, (episode_id, result) in enumerate(_followed(what, reader, missing, num_workers), 1):
        if isinstance(result, str):
            found.refused[episode_id] = printable(result)
        else:
            save(place_of(out, episode_id), result, what.views)
            results[episode_id] = result
        if seen is not None:
            seen(len(ids) - len(missing) + done, len(ids))
    found.episodes = [results[one] for one in ids if one in results]
    if not found.episodes:
        reason = next(iter(found.refused.values()))
        raise CalibrationError(f"{what.source}: none of {len(ids)} episodes can be used; the first: {reason}")
    return found


def _followed(
    what: Followable, reader: Reader, ids: Sequence[str], num_workers: int
) -> Iterator[tuple[str, Seen | str]]:
    if num_workers == 0:
        yield from ((one, _follow(reader, one)) for one in ids)
        return
    for one, result in each_isolated(_follow_in_worker, ids, num_workers, _begin, (what,)):
        died = f"{one}: the process that decoded it died; its files are damaged"
        yield one, died if result is None else result


_reader: Reader | None = None


def _begin(what: Followable) -> None:
    """Read the source's index once for each worker process."""
    global _reader
    torch.set_num_threads(1)
    opencv().setNumThreads(1)
    _reader = open_foreign(what.source, "auto", what.wanted)[1]


def _follow_in_worker(episode_id: str) -> Seen | str:
    assert _reader is not None
    return _follow(_reader, episode_id)


def _follow(reader: Reader, episode_id: str) -> Seen | str:
    """The tracks of one episode, or why it is unusable."""
    try:
        episode = reader.read(episode_id)
        return _seen(episode)
    except Exception as error:  # an error of any library refuses one episode; the others are tracked
        is_told = isinstance(error, (ValueError, OSError))
        reason = str(error) if is_told else f"{type(error).__name__}: {error}"
        return reason if episode_id in reason else f"{episode_id}: {reason}"


def _again(episode: Episode, kept: Kept) -> Seen | None:
    """The stored tracks with the poses that the set now declares; None if it now declares other pictures."""
    shown = {view.name: pictures_of(view.frames) for view in episode.views}
    if shown != dict(kept.shown):
        return None
    return Seen(episode.id, float(episode.fps), _poses(episode), kept.sizes, kept.followed, shown)


def _poses(episode: Episode) -> np.ndarray:
    if episode.trajectory is None:
        cure = "declare them in calibration.json ('tool'), which docs/data.md describes"
        raise EpisodeError(f"{episode.id}: has no tool poses; {cure}")
    return episode.trajectory.world_from_tool.matrix().double().numpy()


def _seen(episode: Episode) -> Seen:
    poses = _poses(episode)
    followed, sizes, shown = {}, {}, {}
    for view in episode.views:
        _check_still(episode, view)
        followed[view.name] = follow(view.frames, episode.fps)
        sizes[view.name] = tuple(view.frames.size)
        shown[view.name] = pictures_of(view.frames)
    return Seen(episode.id, float(episode.fps), poses, sizes, followed, shown)


def _check_still(episode: Episode, view: View) -> None:
    if view.camera is not None and view.camera.batch_shape:
        cure = "name the views that stand still with --views"
        raise EpisodeError(f"{episode.id}: the camera of '{view.name}' moves, this needs still ones; {cure}")
