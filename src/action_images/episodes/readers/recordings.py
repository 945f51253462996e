"""Plain folders of recordings: anyone's own videos, cameras and tool poses.

<episode>/{<camera>.mp4 .., cameras.json, poses.csv, instruction.txt}: videos named after their cameras, the
cameras file (docs/conventions.md), a trajectory file (csv, npy or json) and one line of text. Only a video is
required. cameras.json may also lie above the episodes, for all of them. Row i of the poses belongs to
picture i. If poses.csv has a column `time` (s from the videos' start), each row gets the picture shown at
that time.
"""

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import chain
from pathlib import Path

import numpy as np

from action_images.episodes.cameras_file import load_cameras
from action_images.episodes.episode import Episode, EpisodeError, Frames, View
from action_images.episodes.fingerprint import of_parts
from action_images.episodes.lerobot_layout import INFO
from action_images.episodes.readers import EVERYTHING, Wanted
from action_images.episodes.readers.folders import EpisodeFolders, OfFolders, natural, read_lines, same_length
from action_images.episodes.strangers import check_inside, check_regular
from action_images.episodes.table_contradictions import TIME
from action_images.episodes.trajectory_file import column_names, load_trajectory, read_column
from action_images.episodes.video import VideoFrames
from action_images.episodes.video_places import MOST_RATE_ERROR, Claim, in_even_times, pictures_of
from action_images.episodes.words import says_nothing
from action_images.geometry import Camera, Trajectory

VIDEOS = (".mp4", ".m4v", ".mov", ".mkv", ".webm", ".avi", ".ts")
CAMERAS, WORDS = "cameras.json", "instruction.txt"
POSES = ("poses.csv", "poses.npy", "poses.json")
LIKE_TIME = re.compile(
    r"^(t|secs?|seconds|elapsed|clock)([^a-z]|$)|(^|[^a-z])(times?|timestamps?|stamps?)([^a-z]|$)"
)
"""Columns that are ignored although they may hold times of rows."""
LIKE_CALIBRATION = (".json", ".yaml", ".yml", ".xml", ".toml", ".npz")
"""Endings of files that may calibrate the episodes below them."""
MOST_STEP_S = 5.0
"""A column whose rows are farther apart is not in seconds."""
MOST_SPARE_S = 2.0
"""Videos that go on for longer after the last row, and for longer than the rows, are told."""
MOST_NAMED = 8
"""The most unread files that are named."""


class Recordings(OfFolders):
    """A folder of episodes, each a folder with one video for each camera."""

    def __init__(self, root: Path, wanted: Wanted = EVERYTHING):
        told = _episodes(root)
        alone, self._stray = _of_videos_alone(root, told)
        self._folders = EpisodeFolders(root, [*told, *alone])
        self._wanted = wanted

    @classmethod
    def recognises(cls, root: Path) -> bool:
        """Whether a folder somewhere below has videos with cameras, poses or words beside them.

        The videos of a LeRobot set are its own, even if somebody put a cameras file beside them.
        """
        own = root / "videos" if (root / INFO).is_file() else None
        return any(own is None or not folder.is_relative_to(own) for folder in _episodes(root))

    @property
    def remarks(self) -> list[str]:
        """How many episodes lack which of the known files."""
        folders = [folder for _, folder in self._folders.items()]
        lacking = {
            CAMERAS: [folder for folder in folders if self._cameras_file(folder) is None],
            "poses.csv": [folder for folder in folders if _poses_file(folder) is None],
            WORDS: [folder for folder in folders if not (folder / WORDS).is_file()],
        }
        told = [
            f"{len(those)} of {len(folders)} episodes have no {name}"
            for name, those in lacking.items()
            if those
        ]
        told += [*_left_out(folders), *self._on_above(folders), *self._on_stray(), *self._on_nested()]
        return told + self._folders.left_out()

    def _on_above(self, folders: list[Path]) -> list[str]:
        """A remark on files above the episodes that may be meant to calibrate them."""
        root = self._folders.root
        above = {place for place in _above(folders) if place.is_relative_to(root)} - set(folders)
        inside = chain.from_iterable(place.iterdir() for place in sorted(above))
        like = [path for path in inside if path.suffix.lower() in LIKE_CALIBRATION and path.name != CAMERAS]
        named = [str(path.relative_to(root)) for path in like[:MOST_NAMED] if path.name[0] != "."]
        more = f" and {len(like) - MOST_NAMED} more" if len(like) > MOST_NAMED else ""
        return [f"found above the episodes and not read: {', '.join(named)}{more}"] if named else []

    def _on_nested(self) -> list[str]:
        """A remark on episodes that lie within the folder of another."""
        homes = {folder for _, folder in self._folders.items()}
        nested = [name for name, folder in self._folders.items() if not homes.isdisjoint(folder.parents)]
        told = f"{len(nested)} episodes lie within the folder of another; are they copies?"
        return [f"{told} (the first: {nested[0]})"] if nested else []

    def _on_stray(self) -> list[str]:
        named = [str(folder.relative_to(self._folders.root)) for folder in self._stray[:MOST_NAMED]]
        more = f" and {len(self._stray) - MOST_NAMED} more" if len(self._stray) > MOST_NAMED else ""
        told = "folders with videos that lie within an episode's folder or around one are not read"
        return [f"{told}: {', '.join(named)}{more}"] if named else []

    def read(self, episode_id: str) -> Episode:
        """One episode."""
        folder = self._folders.folder(episode_id)
        stems = [path.stem for path in _videos(folder)]
        for stem in stems:
            if stems.count(stem) > 1:
                raise EpisodeError(
                    f"{folder}: has {stems.count(stem)} videos called '{stem}'; keep one of them"
                )
        names = self._wanted.of(episode_id, stems)
        videos = {path.stem: VideoFrames(path) for path in _videos(folder) if path.stem in names}
        poses = _poses_file(folder)
        trajectory = None if poses is None else load_trajectory(poses, self._wanted.columns)
        times = None if poses is None else _times(poses)
        frames, fps, said = (
            _timed(episode_id, videos, times)
            if times is not None
            else _counted(episode_id, videos, trajectory)
        )
        cameras = self._cameras(folder, episode_id, stems)
        views = tuple(View(name, part, cameras.get(name)) for name, part in frames.items())
        notes = () if poses is None or times is not None else _unread_times(poses)
        text, told = _words(folder / WORDS)
        notes = (*notes, *told, *said, *_on_names(set(cameras), set(stems)))
        return Episode(episode_id, text, fps, views, trajectory, notes=notes)

    def calibrated_by(self, episode_id: str) -> tuple[Path, ...]:
        """The cameras file of an episode, if it has one."""
        path = self._cameras_file(self._folders.unchecked(episode_id))
        return () if path is None else (path,)

    def fingerprint(self, episode_id: str) -> dict[str, str]:
        """Hashes of an episode's poses, words and videos."""
        folder = self._folders.unchecked(episode_id)
        poses, views = _poses_file(folder), self._wanted.views
        videos = [path for path in _videos(folder) if not views or path.stem in views]
        told = {"poses": [] if poses is None else [poses], WORDS: [folder / WORDS], "videos": videos}
        return of_parts(told)

    def _cameras_file(self, folder: Path) -> Path | None:
        """The cameras of an episode: its own, else those of the nearest folder above it in the set."""
        root = self._folders.root
        for place in (folder, *folder.parents):
            if (place / CAMERAS).exists():
                return place / CAMERAS
            if place == root:
                break
        return None

    def _cameras(self, folder: Path, episode_id: str, names: list[str]) -> dict[str, Camera]:
        path = self._cameras_file(folder)
        if path is None:
            return {}
        check_inside(self._folders.root, path)
        check_regular(path)
        cameras = load_cameras(path)
        if not set(names) & set(cameras):
            has, calibrated = ", ".join(names), ", ".join(cameras)
            raise EpisodeError(
                f"{episode_id}: {path} calibrates {calibrated}, the videos are {has}; call both by the "
                "same names"
            )
        return cameras


def _on_names(cameras: set[str], videos: set[str]) -> list[str]:
    """A remark if there are cameras without a video and videos without a camera: one may be misspelt."""
    idle, uncalibrated = sorted(cameras - videos), sorted(videos - cameras)
    if not idle or not uncalibrated:
        return []
    told = f"{CAMERAS} has no camera for {', '.join(uncalibrated)}, and {', '.join(idle)} have no video"
    return [f"{told}; is one of them the other, by another name?"]


def _episodes(root: Path) -> list[Path]:
    """The folders that hold videos, and cameras, poses or words beside them or (cameras) above."""
    found: set[Path] = set()
    for name in (CAMERAS, WORDS, *POSES):
        found |= {path.parent for path in root.glob(f"**/{name}")}
    shared = {path.parent for path in root.glob(f"**/{CAMERAS}") if not _videos(path.parent)}
    for folder in shared:
        found |= {path.parent for path in folder.glob("**/*") if path.suffix.lower() in VIDEOS}
    return [folder for folder in found if _videos(folder)]


def _of_videos_alone(root: Path, told: Sequence[Path]) -> tuple[list[Path], list[Path]]:
    """The folders with nothing but videos: those that are episodes, and those within or around another."""
    found = {path.parent for path in root.glob("**/*") if path.suffix.lower() in VIDEOS}
    found = {folder for folder in found if _videos(folder)} - set(told)
    around = found & _above(told)
    others = found - around
    homes = others | set(told)
    nested = {folder for folder in others if not homes.isdisjoint(folder.parents)} | (others & _above(others))
    return sorted(others - nested), sorted(around | nested)


def _above(folders: Iterable[Path]) -> set[Path]:
    """All folders that hold one of these."""
    above: set[Path] = set()
    for folder in folders:
        above |= set(folder.parents)
    return above


def _words(path: Path) -> tuple[str | None, list[str]]:
    """The instruction in a text file, and remarks on it."""
    lines = read_lines(path)
    if not lines:
        return None, []
    if says_nothing(lines[0]):
        return None, [f"{WORDS} holds a placeholder; that is no instruction"]
    several = f"{WORDS} has several lines; the first one is taken" if len(lines) > 1 else None
    return lines[0], [several] if several else []


def _left_out(folders: list[Path]) -> list[str]:
    """Unread files in the episodes' folders, by name; folders that hold other episodes are none."""
    counts: Counter[str] = Counter()
    read = {*folders, *_above(folders)}
    for folder in folders:
        poses = _poses_file(folder)
        known = {CAMERAS, WORDS} if poses is None else {CAMERAS, WORDS, poses.name}
        others = [path for path in folder.iterdir() if path.suffix.lower() not in VIDEOS and path not in read]
        counts.update(path.name for path in others if path.name not in known and path.name[0] != ".")
    named = [f"{name} ({count})" for name, count in counts.most_common(MOST_NAMED)]
    more = [f"{len(counts) - MOST_NAMED} more"] if len(counts) > MOST_NAMED else []
    return [f"found in the episodes' folders and not read: {', '.join([*named, *more])}"] if named else []


def _unread_times(poses: Path) -> tuple[str, ...]:
    """Remarks on ignored columns that may hold times of rows."""
    like = [name for name in column_names(poses) if LIKE_TIME.search(name)]
    cure = f"call it '{TIME}' if it counts seconds from the videos' begin"
    told = f"the column '{like[0]}' of {poses.name} is not read, row i belongs to picture i" if like else ""
    return (f"{told}; {cure}",) if like else ()


def _videos(folder: Path) -> list[Path]:
    paths = [
        path for path in folder.iterdir() if path.suffix.lower() in VIDEOS and not path.name.startswith(".")
    ]
    return sorted(paths, key=lambda path: natural(path.name))


def _poses_file(folder: Path) -> Path | None:
    return next((folder / name for name in POSES if (folder / name).is_file()), None)


def _times(path: Path) -> np.ndarray | None:
    """The column `time` of a table of poses (s); None if it has none."""
    times = read_column(path, TIME)
    if times is None:
        return None
    if len(times) < 2:
        raise EpisodeError(f"{path}: has {len(times)} rows; '{TIME}' needs two, to know how fast they follow")
    if not np.isfinite(times).all() or (np.diff(times) <= 0).any():
        raise EpisodeError(f"{path}: the column '{TIME}' must grow from row to row, in seconds")
    return times


def _timed(
    episode_id: str, videos: dict[str, VideoFrames], times: np.ndarray
) -> tuple[dict[str, Frames], float, list[str]]:
    """The picture that each video shows at each row's time, the rows' rate, and remarks."""
    starts = {name: float(video.times[0]) for name, video in videos.items()}
    ends = max(float(video.times[-1]) - starts[name] for name, video in videos.items())
    if times[0] > ends:
        begins = f"'{TIME}' begins at {times[0]:.10g}, the videos end at {ends:.3f} s"
        raise EpisodeError(f"{episode_id}: {begins}; it counts seconds from the videos' begin: subtract that")
    fps = _rate(episode_id, times)
    frames: dict[str, Frames] = {}
    for name, video in videos.items():
        claim = Claim(episode_id, starts[name], len(times))
        frames[name] = pictures_of(video, [claim], 0, times, fps, is_timed=True)
    told = _late_starts(episode_id, starts, 0.5 / fps, f"'{TIME}' counts from the videos' begin")
    if ends - times[-1] > max(MOST_SPARE_S, float(times[-1] - times[0])):
        lasts = f"its videos go on after the last row for longer than '{TIME}' covers"
        told.append(f"{lasts}; is it in seconds, and were rows lost?")
    return frames, fps, told


def _rate(episode_id: str, times: np.ndarray) -> float:
    """Rows per second: a whole number if the times, rounded as they are, have such a rate.

    Raises EpisodeError if the rows are not at even times in seconds.
    """
    steps = np.diff(times)
    usual = float(np.median(steps))
    if usual > MOST_STEP_S:
        grows = f"'{TIME}' grows by {usual:.4g} from row to row"
        raise EpisodeError(f"{episode_id}: {grows}; give seconds, not milliseconds")
    period = float(steps[steps <= 1.5 * usual].mean())
    uneven = np.abs(steps / period - 1)
    if (uneven > 0.5).any():
        row = int(np.argmax(uneven))
        told = f"rows {row} and {row + 1} are {steps[row]:.3f} s apart, the others {period:.3f} s"
        raise EpisodeError(f"{episode_id}: {told}; give poses at even times, or cut the recording there")
    fps = len(steps) / float(times[-1] - times[0])
    even = np.arange(len(times)) / max(1, round(fps))
    is_whole = (np.abs(times - times[0] - even) < 0.99 * _rounding(times)).all()
    return float(max(1, round(fps))) if is_whole else round(fps, 3)


def _rounding(times: np.ndarray) -> float:
    """The step in which times (s) are given: 0.01 for times of two decimals."""
    decimals = [places for places in range(9) if (np.abs(times - times.round(places)) < 1e-9).all()]
    return 10.0 ** -min(decimals, default=9)


def _late_starts(episode_id: str, starts: dict[str, float], most: float, rows: str) -> list[str]:
    """A remark on videos whose first picture is not at 0 s of their own clock.

    Raises EpisodeError if they begin at different times: it is not known from which of them `rows` count.
    """
    first, last = min(starts, key=starts.__getitem__), max(starts, key=starts.__getitem__)
    if starts[last] - starts[first] > most:
        told = (
            f"'{first}' begins at {starts[first]:.3f} s of its file's clock, '{last}' at {starts[last]:.3f} s"
        )
        cure = "encode them so that all begin at 0 s, at the same moment"
        raise EpisodeError(f"{episode_id}: {told}, and {rows}; {cure}")
    if starts[last] <= most:
        return []
    return [f"the videos' first pictures are at {starts[last]:.3f} s; '{TIME}' is counted from there"]


def _counted(
    episode_id: str, videos: dict[str, VideoFrames], trajectory: Trajectory | None
) -> tuple[dict[str, Frames], float, list[str]]:
    """All pictures of videos of the same rate, one for each row, their rate, and remarks."""
    lengths = {name: len(video) for name, video in videos.items()}
    num_pictures = same_length(episode_id, lengths)
    if trajectory is not None and trajectory.num_frames != num_pictures:
        told = f"its videos have {num_pictures} pictures, its poses {trajectory.num_frames} rows"
        cure = f"give one row for each picture, or a column '{TIME}' (s from the videos' begin)"
        raise EpisodeError(f"{episode_id}: {told}; {cure}")
    told = [in_even_times(f"{episode_id}/{name}", video) for name, video in videos.items()]
    rates = {name: video.fps for name, video in videos.items()}
    fps = next(iter(rates.values()))
    if fps <= 0 or any(abs(rate - fps) > MOST_RATE_ERROR * fps for rate in rates.values()):
        listed = ", ".join(f"{name} {rate:g}" for name, rate in rates.items())
        raise EpisodeError(
            f"{episode_id}: its videos run at other rates ({listed} frames/s); encode them alike"
        )
    starts = {name: float(video.times[0]) for name, video in videos.items()}
    _late_starts(episode_id, starts, 0.5 / fps, "row i belongs to picture i of each")
    return dict(videos), fps, [one for one in told if one is not None]
