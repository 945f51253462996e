"""Plain folders of recordings: anyone's own videos, cameras and tool poses.

<episode>/{<camera>.mp4 .., cameras.json, poses.csv, instruction.txt}: videos named after their cameras, the
cameras file (docs/conventions.md), a trajectory file (csv, npy or json) and one line of text. Only a video is
required. cameras.json may also lie above the episodes, for all of them. Row i of the poses belongs to
picture i. If poses.csv has a column `time` (s from the videos' start), each row gets the picture shown at
that time.
"""

import csv
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np

from action_images.episodes.cameras_file import load_cameras
from action_images.episodes.columns_file import plain_name
from action_images.episodes.episode import Episode, EpisodeError, Frames, View
from action_images.episodes.readers import EVERYTHING, Wanted
from action_images.episodes.readers.folders import EpisodeFolders, natural, read_lines, same_length
from action_images.episodes.strangers import check_inside, check_regular
from action_images.episodes.trajectory_file import load_trajectory
from action_images.episodes.video import VideoFrames
from action_images.episodes.video_places import MOST_RATE_ERROR, Claim, in_even_times, pictures_of
from action_images.episodes.words import says_nothing
from action_images.geometry import Camera, Trajectory

VIDEOS = (".mp4", ".m4v", ".mov", ".mkv", ".webm", ".avi", ".ts")
CAMERAS, WORDS = "cameras.json", "instruction.txt"
POSES = ("poses.csv", "poses.npy", "poses.json")
TIME = "time"
LIKE_TIME = ("timestamp", "t", "stamp", "time_s", "time_ms", "time_ns", "seconds", "sec")
"""Columns that are ignored although they may hold times of rows."""
MOST_STEP_S = 5.0
"""A column whose rows are farther apart is not in seconds."""
MOST_NAMED = 8
"""The most unread files that are named."""


class Recordings:
    """A folder of episodes, each a folder with one video for each camera."""

    def __init__(self, root: Path, wanted: Wanted = EVERYTHING):
        told = _episodes(root)
        alone, self._stray = _of_videos_alone(root, told)
        self._folders = EpisodeFolders(root, [*told, *alone])
        self._wanted = wanted

    @classmethod
    def recognises(cls, root: Path) -> bool:
        """Whether a folder somewhere below has videos with cameras, poses or words beside them."""
        return next(iter(_episodes(root)), None) is not None

    @property
    def ids(self) -> list[str]:
        """The episodes' folders."""
        return self._folders.ids

    @property
    def former_ids(self) -> Mapping[str, str]:
        """Ids that earlier versions made otherwise, each with the former one."""
        return self._folders.former_ids

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
        return told + _left_out(folders) + self._on_stray()

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
        times = None if poses is None or poses.suffix != ".csv" else _times(poses)
        frames, fps = (
            _timed(episode_id, videos, times)
            if times is not None
            else _counted(episode_id, videos, trajectory)
        )
        cameras = self._cameras(folder, episode_id, list(videos))
        views = tuple(View(name, part, cameras.get(name)) for name, part in frames.items())
        notes = () if poses is None or times is not None else _unread_times(poses)
        text, told = _words(folder / WORDS)
        notes = (*notes, *told)
        return Episode(episode_id, text, fps, views, trajectory, notes=notes)

    def calibrated_by(self, episode_id: str) -> tuple[Path, ...]:
        """The cameras file of an episode, if it has one."""
        path = self._cameras_file(self._folders.unchecked(episode_id))
        return () if path is None else (path,)

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
    """Unread files in the episodes' folders, by name."""
    counts: Counter[str] = Counter()
    for folder in folders:
        poses = _poses_file(folder)
        known = {CAMERAS, WORDS} if poses is None else {CAMERAS, WORDS, poses.name}
        others = [path for path in folder.iterdir() if path.suffix.lower() not in VIDEOS]
        counts.update(path.name for path in others if path.name not in known and path.name[0] != ".")
    named = [f"{name} ({count})" for name, count in counts.most_common(MOST_NAMED)]
    more = [f"{len(counts) - MOST_NAMED} more"] if len(counts) > MOST_NAMED else []
    return [f"found in the episodes' folders and not read: {', '.join([*named, *more])}"] if named else []


def _unread_times(poses: Path) -> tuple[str, ...]:
    """Remarks on ignored columns that may hold times of rows."""
    if poses.suffix != ".csv":
        return ()
    like = [name for name in _header(poses) if name in LIKE_TIME]
    cure = f"call it '{TIME}' if it counts seconds from the videos' begin"
    told = f"the column '{like[0]}' of poses.csv is not read, row i belongs to picture i" if like else ""
    return (f"{told}; {cure}",) if like else ()


def _header(path: Path) -> list[str]:
    with path.open(newline="", encoding="utf-8-sig") as file:
        return [plain_name(name) for name in next(csv.reader(file), [])]


def _videos(folder: Path) -> list[Path]:
    paths = [
        path for path in folder.iterdir() if path.suffix.lower() in VIDEOS and not path.name.startswith(".")
    ]
    return sorted(paths, key=lambda path: natural(path.name))


def _poses_file(folder: Path) -> Path | None:
    return next((folder / name for name in POSES if (folder / name).is_file()), None)


def _times(path: Path) -> np.ndarray | None:
    """The column `time` of a table of poses (s); None if it has none."""
    with path.open(newline="", encoding="utf-8-sig") as file:
        rows = csv.reader(file)
        header = [name.strip().lower() for name in next(rows, [])]
        if TIME not in header:
            return None
        column = header.index(TIME)
        try:
            times = np.array([float(row[column]) for row in rows if row])
        except (ValueError, IndexError) as error:
            raise EpisodeError(f"{path}: the column '{TIME}' needs a number in every row ({error})") from None
    if len(times) < 2 or not np.isfinite(times).all() or (np.diff(times) <= 0).any():
        raise EpisodeError(f"{path}: the column '{TIME}' must grow from row to row, in seconds")
    return times


def _timed(
    episode_id: str, videos: dict[str, VideoFrames], times: np.ndarray
) -> tuple[dict[str, Frames], float]:
    """The picture that each video shows at each row's time, and the rows' rate."""
    steps = np.diff(times)
    ends = max(float(video.times[-1]) for video in videos.values())
    if times[0] > ends:
        begins = f"'{TIME}' begins at {times[0]:.10g}, the videos end at {ends:.3f} s"
        raise EpisodeError(f"{episode_id}: {begins}; it counts seconds from the videos' begin: subtract that")
    if float(np.median(steps)) > MOST_STEP_S:
        grows = f"'{TIME}' grows by {float(np.median(steps)):.4g} from row to row"
        raise EpisodeError(f"{episode_id}: {grows}; give seconds, not milliseconds")
    fps = round(1 / float(np.median(steps)), 3)
    if (np.abs(steps * fps - 1) > 0.5).any():
        row = int(np.argmax(np.abs(steps * fps - 1)))
        told = f"rows {row} and {row + 1} are {steps[row]:.3f} s apart, the others {1 / fps:.3f} s"
        raise EpisodeError(f"{episode_id}: {told}; give poses at even times, or cut the recording there")
    claim = Claim(episode_id, 0.0, len(times))
    frames = {
        name: pictures_of(video, [claim], 0, times, fps, is_timed=True) for name, video in videos.items()
    }
    return frames, fps


def _counted(
    episode_id: str, videos: dict[str, VideoFrames], trajectory: Trajectory | None
) -> tuple[dict[str, Frames], float]:
    """All pictures of videos of the same rate, one for each row, and their rate."""
    lengths = {name: len(video) for name, video in videos.items()}
    if trajectory is not None:
        lengths["poses"] = trajectory.num_frames
    same_length(episode_id, lengths)
    for name, video in videos.items():
        in_even_times(f"{episode_id}/{name}", video)
    rates = {name: video.fps for name, video in videos.items()}
    fps = next(iter(rates.values()))
    if fps <= 0 or any(abs(rate - fps) > MOST_RATE_ERROR * fps for rate in rates.values()):
        listed = ", ".join(f"{name} {rate:g}" for name, rate in rates.items())
        raise EpisodeError(
            f"{episode_id}: its videos run at other rates ({listed} frames/s); encode them alike"
        )
    return dict(videos), fps
