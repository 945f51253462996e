"""DROID: as it was recorded, and as the method's release processed it.

Raw: <lab>/{success,failure}/<date>/<time>/{metadata_<uuid>.json, trajectory.h5, recordings/MP4/<serial>.mp4}.
Processed: <episode>/{video/<view>.mp4, camera.json, instruction.txt, action.npz}. World is the robot's base; tool poses
are x y z (m) and Euler xyz (rad); the gripper's reading is 0 open, 1 closed. Cameras come from the calibration tables
(`droid_tables`) alone: those stored with the recordings are not good enough to draw with.
"""

from pathlib import Path

import torch
from torch import Tensor

from action_images.episodes.episode import Episode, EpisodeError, FramesSelected, View
from action_images.episodes.lerobot_layout import read_json
from action_images.episodes.readers.droid_tables import Tables, pinhole, pose
from action_images.episodes.readers.folders import (
    by_id,
    folder_of,
    natural,
    read_array,
    read_text,
    same_length,
)
from action_images.episodes.readers.hdf5 import read_dataset
from action_images.episodes.video import VideoFrames
from action_images.geometry import Camera, Trajectory

CONTROL_HZ = 15.0
ROLES = ("ext1", "ext2", "wrist")


class Droid:
    """A folder of raw DROID recordings, with the calibration tables beside them where they are."""

    def __init__(self, root: Path):
        folders = by_id(root, (path.parent for path in root.glob("**/trajectory.h5")))
        self._tables = Tables(root)
        # Where the table of busy ranges knows a recording, each range is an episode of its own.
        self._pieces: dict[str, tuple[Path, tuple[int, int] | None]] = {}
        for episode_id, folder in folders.items():
            ranges = self._tables.keep_ranges(folder)
            pieces = {episode_id: (folder, None)} if ranges is None else {}
            pieces |= {
                f"{episode_id}/keep{number}": (folder, part) for number, part in enumerate(ranges or ())
            }
            self._pieces |= pieces

    @classmethod
    def recognises(cls, root: Path) -> bool:
        """Whether there is a recording somewhere below."""
        return next(root.glob("**/trajectory.h5"), None) is not None

    @property
    def ids(self) -> list[str]:
        """<lab>/<outcome>/<date>/<time>, with /keep<N> where ranges are known."""
        return list(self._pieces)

    def read(self, episode_id: str) -> Episode:
        """One recording, or one busy range of it."""
        folder, part = (
            self._pieces[episode_id] if episode_id in self._pieces else (folder_of({}, episode_id), None)
        )
        notes = read_json(_only(folder, "metadata_*.json"))
        uuid = str(notes.get("uuid", ""))
        trajectory = _tool_path(folder / "trajectory.h5")
        views = tuple(view for role in ROLES if (view := self._view(folder, uuid, role, notes)) is not None)
        lengths = {"trajectory.h5": trajectory.num_frames} | {view.name: len(view.frames) for view in views}
        num_frames = same_length(episode_id, lengths)
        instruction = self._tables.instruction(uuid) or str(notes.get("current_task") or "").strip() or None
        whole = Episode(episode_id, instruction, CONTROL_HZ, views, trajectory)
        return whole if part is None else _piece(whole, part, num_frames)

    def _view(self, folder: Path, uuid: str, role: str, notes: dict) -> View | None:
        serial = str(notes.get(f"{role}_cam_serial") or "")
        path = folder / "recordings" / "MP4" / f"{serial}.mp4"
        if not serial.isalnum() or not path.is_file():
            return None
        frames = VideoFrames(path)
        intrinsics = self._tables.intrinsics(uuid, serial)
        if intrinsics is None:
            return View(role, frames, None)
        if role == "wrist":  # it moves with the hand: its path is in the recording
            numbers = read_dataset(
                folder / "trajectory.h5", f"observation/camera_extrinsics/{serial}_left", (None, 6)
            )
        else:
            numbers = self._tables.base_from_camera(uuid, serial)
        return View(
            role, frames, None if numbers is None else pinhole(intrinsics, pose(numbers), frames.size)
        )


def _only(folder: Path, pattern: str) -> Path:
    found = sorted(folder.glob(pattern))
    if len(found) != 1:
        raise EpisodeError(
            f"{folder}: has {len(found)} files {pattern}, one is expected; restore the recording"
        )
    return found[0]


def _tool_path(path: Path) -> Trajectory:
    numbers = read_dataset(path, "observation/robot_state/cartesian_position", (None, 6))
    closing = read_dataset(path, "observation/robot_state/gripper_position", (None,))
    if numbers is None or closing is None or len(numbers) != len(closing):
        raise EpisodeError(
            f"{path}: lacks cartesian_position and gripper_position of one length; restore the file or drop the recording"
        )
    return _trajectory(numbers, closing)


def _trajectory(numbers: Tensor, closing: Tensor) -> Trajectory:
    opening = 1 - closing.clamp(0, 1)  # the sensor overshoots a little at both ends
    return Trajectory.from_vector(torch.cat([numbers, opening[:, None]], -1))


def _piece(whole: Episode, part: tuple[int, int], num_frames: int) -> Episode:
    start, stop = part
    if not 0 <= start < stop <= num_frames:
        raise EpisodeError(
            f"{whole.id}: its busy range {start}..{stop} does not lie in {num_frames} frames; correct the table or leave it out"
        )
    assert whole.trajectory is not None
    views = tuple(
        View(view.name, FramesSelected(view.frames, range(start, stop)), _sliced(view.camera, part))
        for view in whole.views
    )
    return Episode(whole.id, whole.instruction, whole.fps, views, whole.trajectory[start:stop])


def _sliced(camera: Camera | None, part: tuple[int, int]) -> Camera | None:
    return camera[slice(*part)] if camera is not None and camera.batch_shape else camera


class DroidProcessed:
    """A folder of DROID as the release processed it.

    action.npz["action"] has no gripper (the release took it to be open everywhere). Where an entry "gripper_position"
    (0 open, 1 closed) was added from the raw recording the episode has a trajectory, otherwise none.
    """

    def __init__(self, root: Path):
        self._folders = by_id(root, (path.parent for path in root.glob("**/action.npz")))
        self._tables = Tables(root)

    @classmethod
    def recognises(cls, root: Path) -> bool:
        """Whether there is an episode with actions and cameras somewhere below."""
        return any((path.parent / "camera.json").is_file() for path in root.glob("**/action.npz"))

    @property
    def ids(self) -> list[str]:
        """The episodes' folders."""
        return list(self._folders)

    def read(self, episode_id: str) -> Episode:
        """One episode."""
        folder = folder_of(self._folders, episode_id)
        cameras = read_json(folder / "camera.json")
        videos = sorted((folder / "video").glob("*.mp4"), key=lambda path: natural(path.name))
        views = tuple(self._view(folder, path, cameras) for path in videos)
        numbers = read_array(folder / "action.npz", (None, 6), "action")
        closing = read_array(folder / "action.npz", (None,), "gripper_position")
        if numbers is None or (closing is not None and len(closing) != len(numbers)):
            raise EpisodeError(
                f"{folder}/action.npz: needs 'action', and 'gripper_position' of the same length if at all; restore the file"
            )
        same_length(
            episode_id, {"action.npz": len(numbers)} | {view.name: len(view.frames) for view in views}
        )
        trajectory = None if closing is None else _trajectory(numbers, closing)
        return Episode(episode_id, read_text(folder / "instruction.txt"), CONTROL_HZ, views, trajectory)

    def _view(self, folder: Path, video: Path, cameras: dict) -> View:
        """camera.json gives {<view>: {"intrinsics": [fx, cx, fy, cy] or 3x3}}, the tables the serial and the pose."""
        frames, entry = VideoFrames(video), cameras.get(video.stem)
        serial = self._tables.serial(folder.name, video.stem)
        intrinsics = entry.get("intrinsics") if isinstance(entry, dict) else None
        numbers = None if serial is None else self._tables.base_from_camera(folder.name, serial)
        if intrinsics is None or numbers is None:
            return View(video.stem, frames, None)
        return View(
            video.stem, frames, pinhole(intrinsics, pose(numbers), frames.size, calibrated=frames.size)
        )
