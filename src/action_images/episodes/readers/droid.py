"""DROID as recorded.

<lab>/{success,failure}/<date>/<time>/{metadata_<uuid>.json, trajectory.h5, recordings/MP4/<serial>.mp4}.
World is the robot's base; tool poses are x y z (m) and Euler xyz (rad); the gripper's reading is 0 open, 1
closed. Cameras come only from the calibration tables (`droid_tables`): those stored with the recordings are
not accurate enough to draw with.
"""

from collections.abc import Iterator, Mapping
from contextlib import suppress
from itertools import chain
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from action_images.episodes.episode import Episode, EpisodeError, FramesSelected, View
from action_images.episodes.fingerprint import of_parts
from action_images.episodes.lerobot_layout import read_json
from action_images.episodes.readers import EVERYTHING, Wanted
from action_images.episodes.readers.droid_tables import KEEP_RANGES, Tables, check_units, pinhole, pose
from action_images.episodes.readers.folders import EpisodeFolders, same_length
from action_images.episodes.readers.hdf5 import read_dataset, read_numbers
from action_images.episodes.readers.pace import told_backwards, told_pace
from action_images.episodes.readers.readings import measured
from action_images.episodes.shift import part_of
from action_images.episodes.video import VideoFrames
from action_images.episodes.words import says_nothing
from action_images.geometry import Trajectory

CONTROL_HZ = 15.0
ROWS = "trajectory.h5"
STEP_TIMES = "observation/timestamp/control/step_start"
CAMERAS_CLOCK, STEPS_CLOCK = "the camera's times", "the control steps' times"
ROLES = ("ext1", "ext2", "wrist")
FAILURE = "failure"
MOST_WIDE = 3
"""A picture of one eye is not wider than this many times its height."""


class Droid:
    """A folder of raw DROID recordings, with calibration tables beside them if available."""

    def __init__(self, root: Path, wanted: Wanted = EVERYTHING):
        self._folders = EpisodeFolders(root, (path.parent for path in root.glob(f"**/{ROWS}")))
        self._tables = Tables(root)
        self._wanted = wanted
        # If the table of busy ranges has a recording, each range is an episode of its own.
        self._pieces: dict[str, tuple[str, tuple[int, int] | None]] = {}
        self._never_busy: list[str] = []
        for whole_id, folder in self._folders.items():
            ranges = self._tables.keep_ranges(folder)
            if ranges is None:
                self._pieces[whole_id] = (whole_id, None)
            elif not ranges:
                self._never_busy.append(whole_id)
            for number, part in enumerate(ranges or ()):
                self._pieces[f"{whole_id}/keep{number}"] = (whole_id, part)

    @classmethod
    def recognises(cls, root: Path) -> bool:
        """Whether a recording lies somewhere below."""
        return next(root.glob(f"**/{ROWS}"), None) is not None

    @property
    def ids(self) -> list[str]:
        """<lab>/<outcome>/<date>/<time>, with /keep<N> if ranges are known."""
        return list(self._pieces)

    @property
    def former_ids(self) -> Mapping[str, str]:
        """Ids that earlier versions made otherwise, each with the former one."""
        former = self._folders.former_ids
        changed = {name: whole_id for name, (whole_id, _) in self._pieces.items() if whole_id in former}
        return {name: former[whole] + name.removeprefix(whole) for name, whole in changed.items()}

    def calibrated_by(self, _episode_id: str) -> tuple[Path, ...]:
        """The tables, the same for every episode."""
        return self._tables.files

    def fingerprint(self, episode_id: str) -> dict[str, str]:
        """Hashes of a recording's rows, notes and videos."""
        folder = self._folders.unchecked(self._pieces[episode_id][0])
        told = {
            ROWS: [folder / ROWS],
            "metadata": sorted(folder.glob("metadata_*.json")),
            "videos": sorted((folder / "recordings" / "MP4").glob("*.mp4")),
        }
        return of_parts(told)

    @property
    def remarks(self) -> list[str]:
        """Found and missing tables, and the numbers of recordings of failures, and of busy ones."""
        found = chain.from_iterable(folder.glob("metadata_*.json") for _, folder in self._folders.items())
        of_others = self._tables.of_others({path.stem.removeprefix("metadata_") for path in found})
        told = [*self._tables.remarks, *of_others, *self._on_ranges(), *self._on_failures()]
        return told + self._folders.left_out()

    def _on_failures(self) -> Iterator[str]:
        failed = sum(
            FAILURE in folder.relative_to(self._folders.root).parts for _, folder in self._folders.items()
        )
        if failed:
            told = f"{failed} recordings lie in folders named '{FAILURE}'"
            reason = "the robot did not do what it was asked"
            yield f"{told}: {reason}; give the folder 'success' to leave them out"

    def _on_ranges(self) -> Iterator[str]:
        """Recordings that the table of busy ranges does not have, or has without any range."""
        if not self._tables.has_ranges:
            return
        whole = sum(part is None for _, part in self._pieces.values())
        if whole:
            count = f"{whole} of {len(self._folders.ids)} recordings"
            yield f"{count} are not in {KEEP_RANGES}; they come in whole"
        if self._never_busy:
            told = f"{len(self._never_busy)} recordings have no busy range in {KEEP_RANGES}"
            yield f"{told}; they are left out (the first: {self._never_busy[0]})"

    def read(self, episode_id: str) -> Episode:
        """One recording, or one busy range of it."""
        whole_id, part = self._pieces.get(episode_id, (episode_id, None))
        folder = self._folders.folder(whole_id)
        notes = read_json(_only(folder, "metadata_*.json"))
        uuid = str(notes.get("uuid", ""))
        trajectory = _tool_path(folder / ROWS)
        there = [role for role in ROLES if _recording(folder, _serial(notes, role)) is not None]
        _check_serials({role: _serial(notes, role) for role in there}, folder)
        found = [self._view(folder, uuid, role, notes) for role in self._wanted.of(episode_id, there)]
        absent = [role for role in ROLES if role not in there]
        views, num_rows = _aligned(episode_id, folder / ROWS, found, trajectory.num_frames, notes)
        remarks = [f"view '{role}' has no recording; it is not there" for role in absent]
        remarks += _on_times(folder, found, trajectory.num_frames, notes)
        if notes.get("success") is False and FAILURE not in folder.relative_to(self._folders.root).parts:
            remarks.append("its metadata calls it a failure: the robot did not do what it was asked")
        if num_rows < trajectory.num_frames:
            remarks.append("the last rows have no picture; they are left out")
        whole = Episode(
            episode_id,
            self._tables.instruction(uuid) or _task(notes),
            CONTROL_HZ,
            views,
            trajectory[:num_rows],
            notes=tuple(remarks),
        )
        return whole if part is None else _piece(whole, part, num_rows, trajectory.num_frames)

    def _view(self, folder: Path, uuid: str, role: str, notes: dict) -> View:
        serial = _serial(notes, role)
        path = _recording(folder, serial)
        assert path is not None
        frames = VideoFrames(path)
        height, width = frames.size
        if width > MOST_WIDE * height:
            told = f"{path}: is {width} px wide and {height} px high, both eyes side by side"
            raise EpisodeError(f"{told}; give the left one's video")
        intrinsics = self._tables.intrinsics(uuid, serial)
        if intrinsics is None:
            return View(role, frames, None)
        if role == "wrist":  # it moves with the hand: its path is in the recording
            name = f"observation/camera_extrinsics/{serial}_left"
            numbers = read_dataset(folder / ROWS, name, (None, 6))
        else:
            numbers = self._tables.base_from_camera(uuid, serial)
        camera = None if numbers is None else pinhole(intrinsics, pose(numbers), frames.size)
        return View(role, frames, camera)


def _serial(notes: dict, role: str) -> str:
    return str(notes.get(f"{role}_cam_serial") or "")


def _check_serials(serials: Mapping[str, str], folder: Path) -> None:
    """Raise EpisodeError if the metadata gives one camera two roles."""
    for role, serial in serials.items():
        others = [other for other in serials if other != role and serials[other] == serial]
        if others:
            told = f"its metadata names camera {serial} as '{role}' and as '{others[0]}'"
            raise EpisodeError(f"{folder}: {told}; correct it, or drop the recording")


def _recording(folder: Path, serial: str) -> Path | None:
    """A camera's video; None if it was not recorded."""
    path = folder / "recordings" / "MP4" / f"{serial}.mp4"
    return path if serial.isalnum() and path.is_file() else None


def _task(notes: dict) -> str | None:
    """The collector's instruction; None for the prompt to do anything at all."""
    text = str(notes.get("current_task") or "").strip()
    return None if not text or says_nothing(text) else text


def _aligned(
    episode_id: str, path: Path, views: list[View], num_rows: int, notes: dict
) -> tuple[tuple[View, ...], int]:
    """The views with a picture for each row, and the number of rows with one in all views.

    Recordings often end one picture before the rows do. Raises EpisodeError if more is missing.
    """
    if not views:
        same_length(episode_id, {path.name: num_rows, "no views": 0})
    pictures = {
        view.name: _pictures_of_rows(episode_id, path, view, num_rows, _serial(notes, view.name))
        for view in views
    }
    count = min(len(places) for places in pictures.values())
    aligned = []
    for view in views:
        camera = view.camera
        if camera is not None and camera.batch_shape and camera.batch_shape[0] == num_rows:
            camera = camera[:count]
        places = pictures[view.name][:count]
        is_whole = places == list(range(len(view.frames)))
        frames = view.frames if is_whole else FramesSelected(view.frames, tuple(places))
        aligned.append(View(view.name, frames, camera))
    return tuple(aligned), count


def _pictures_of_rows(episode_id: str, path: Path, view: View, num_rows: int, serial: str) -> list[int]:
    """The picture of each row that has one, by the camera's recorded capture times.

    Two rows of the same moment share a picture. The files' own times are ignored: they say 60 pictures a
    second instead of 15.
    """
    num_pictures = len(view.frames)
    if num_pictures == num_rows:
        return list(range(num_rows))
    times = _capture_times(path, serial, num_rows)
    taken = [] if times is None else _moments(times)
    num_moments = taken[-1] + 1 if taken else 0
    if taken and num_pictures in (num_moments, num_moments - 1):
        return [place for place in taken if place < num_pictures]
    if num_pictures == num_rows - 1:
        return list(range(num_pictures))
    told = f"view '{view.name}' has {num_pictures} pictures for the {num_rows} rows of {path.name}"
    moments = f", which saw {num_moments} moments" if taken else ""
    raise EpisodeError(
        f"{episode_id}: {told}{moments}; which rows have none is not known: drop the episode, or "
        "convert its SVO "
        "recording again"
    )


def _on_times(folder: Path, views: list[View], num_rows: int, notes: dict) -> Iterator[str]:
    """Remarks on the recorded times: on the rows' pace and order, and on pictures that they contradict."""
    path = folder / ROWS
    serials = {view.name: _serial(notes, view.name) for view in views}
    clocks = {name: _capture_name(serial) for name, serial in serials.items()}
    found = {name: _row_times(path, clock, num_rows) for name, clock in clocks.items()}
    steps = _row_times(path, STEP_TIMES, num_rows)
    times = {name: one for name, one in found.items() if one is not None}
    for clock, those in ((CAMERAS_CLOCK, list(times.values())), (STEPS_CLOCK, [steps])):
        known = [one for one in those if one is not None]
        if any(map(_go_back, known)):
            yield told_backwards(clock)
        elif known and (clock == CAMERAS_CLOCK or not times):
            yield from told_pace(known[0] / 1000, CONTROL_HZ, clock)
    for view in views:
        is_each = view.name in times and len(view.frames) == num_rows and not _go_back(times[view.name])
        if is_each and _moments(times[view.name])[-1] < num_rows - 1:
            told = f"view '{view.name}' has a picture for each row, by its times some rows share one"
            yield f"{told}; picture i is taken for row i"


def _go_back(times: np.ndarray) -> bool:
    return bool((np.diff(times) < 0).any())


def _moments(times: np.ndarray) -> list[int]:
    """The number of the camera's picture for each row, counted from 0 by its times."""
    return np.cumsum(np.diff(times, prepend=times[:1]) > 0).tolist()


def _capture_times(path: Path, serial: str, num_rows: int) -> np.ndarray | None:
    """When a camera took the picture of each row (ms); None if the file does not tell."""
    times = read_numbers(path, _capture_name(serial), (None,))
    if times is None or len(times) != num_rows or not num_rows or not (np.diff(times) >= 0).all():
        return None
    return times


def _capture_name(serial: str) -> str:
    return f"observation/timestamp/cameras/{serial}_estimated_capture"


def _row_times(path: Path, name: str, num_rows: int) -> np.ndarray | None:
    """Times of all rows (ms), in whatever order; None if the file has none that can be read."""
    with suppress(EpisodeError):  # they are not needed to read the recording
        times = read_numbers(path, name, (None,))
        return times if times is not None and len(times) == num_rows > 0 else None
    return None


def _only(folder: Path, pattern: str) -> Path:
    found = sorted(folder.glob(pattern))
    if len(found) != 1:
        raise EpisodeError(
            f"{folder}: has {len(found)} files {pattern}, one is expected; "
            + ("restore the file that is missing" if not found else "remove those that are not its own")
        )
    return found[0]


def _tool_path(path: Path) -> Trajectory:
    numbers = read_dataset(path, "observation/robot_state/cartesian_position", (None, 6))
    closing = read_dataset(path, "observation/robot_state/gripper_position", (None,))
    if numbers is None or closing is None or len(numbers) != len(closing):
        lacks = "lacks cartesian_position and gripper_position of one length"
        raise EpisodeError(f"{path}: {lacks}; restore the file or drop the recording")
    return trajectory_of(numbers, closing)


def trajectory_of(numbers: Tensor, closing: Tensor) -> Trajectory:
    """A path from DROID's x y z (m) and Euler xyz (rad), (frame, 6), and its gripper's reading (frame), 0
    open.
    """
    check_units(numbers, "'cartesian_position'")
    opening = 1 - measured(closing, "gripper_position")
    return Trajectory.from_vector(torch.cat([numbers, opening[:, None]], -1))


def _piece(whole: Episode, part: tuple[int, int], num_frames: int, num_rows: int) -> Episode:
    start, stop = part
    if not 0 <= start < stop <= num_rows or start >= num_frames:
        told = f"its busy range {start}..{stop} does not lie in {num_frames} frames"
        raise EpisodeError(f"{whole.id}: {told}; correct the table or leave it out")
    return part_of(whole, start, min(stop, num_frames))
