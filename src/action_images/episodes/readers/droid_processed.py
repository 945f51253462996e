"""DROID as the method's release processed it.

<episode>/{video/<view>.mp4, camera.json, instruction.txt, action.npz}. Poses and gripper are written as those
of `droid`; the cameras' poses come from its tables.
"""

from collections.abc import Iterator
from itertools import chain
from pathlib import Path

from action_images.episodes.episode import Episode, EpisodeError, View
from action_images.episodes.fingerprint import of_parts
from action_images.episodes.lens_fields import distorted_field
from action_images.episodes.lerobot_layout import read_json
from action_images.episodes.readers import EVERYTHING, Wanted
from action_images.episodes.readers.droid import CONTROL_HZ, trajectory_of
from action_images.episodes.readers.droid_tables import Tables, pinhole, pose
from action_images.episodes.readers.folders import (
    EpisodeFolders,
    OfFolders,
    natural,
    read_array,
    read_text,
    same_length,
)
from action_images.episodes.video import VideoFrames


class DroidProcessed(OfFolders):
    """A folder of DROID as the release processed it.

    action.npz["action"] has no gripper (the release took it to be open everywhere). An episode has a
    trajectory only if an entry "gripper_position" (0 open, 1 closed) was added from the raw recording.
    """

    def __init__(self, root: Path, wanted: Wanted = EVERYTHING):
        self._folders = EpisodeFolders(root, (path.parent for path in root.glob("**/action.npz")))
        self._tables = Tables(root)
        self._wanted = wanted

    @property
    def remarks(self) -> list[str]:
        """Found and missing calibration tables, and links that are not followed."""
        uuids = {folder.name for _, folder in self._folders.items()}
        return [*self._tables.remarks, *self._tables.of_others(uuids), *self._folders.left_out()]

    @classmethod
    def recognises(cls, root: Path) -> bool:
        """Whether an episode with actions and cameras lies somewhere below."""
        return any((path.parent / "camera.json").is_file() for path in root.glob("**/action.npz"))

    def calibrated_by(self, episode_id: str) -> tuple[Path, ...]:
        """The tables, and the episode's own camera.json."""
        return *self._tables.files, self._folders.unchecked(episode_id) / "camera.json"

    def fingerprint(self, episode_id: str) -> dict[str, str]:
        """Hashes of an episode's actions, words and videos."""
        folder = self._folders.unchecked(episode_id)
        videos = sorted((folder / "video").glob("*.mp4"), key=lambda path: natural(path.name))
        kept = [one for one in videos if not self._wanted.views or one.stem in self._wanted.views]
        told = {name: [folder / name] for name in ("action.npz", "instruction.txt")} | {"videos": kept}
        return of_parts(told)

    def read(self, episode_id: str) -> Episode:
        """One episode."""
        folder = self._folders.folder(episode_id)
        cameras = read_json(folder / "camera.json")
        videos = sorted((folder / "video").glob("*.mp4"), key=lambda path: natural(path.name))
        names = self._wanted.of(episode_id, [path.stem for path in videos])
        views = tuple(self._view(folder, path, cameras) for path in videos if path.stem in names)
        numbers = read_array(folder / "action.npz", (None, 6), "action")
        closing = read_array(folder / "action.npz", (None,), "gripper_position")
        if numbers is None or (closing is not None and len(closing) != len(numbers)):
            needs = "needs 'action', and 'gripper_position' of the same length if at all"
            raise EpisodeError(f"{folder}/action.npz: {needs}; restore the file")
        lengths = {view.name: len(view.frames) for view in views}
        same_length(episode_id, {"action.npz": len(numbers)} | lengths)
        trajectory = None if closing is None else trajectory_of(numbers, closing)
        words, notes = read_text(folder / "instruction.txt"), tuple(_unread(cameras, names))
        return Episode(episode_id, words, CONTROL_HZ, views, trajectory, notes=notes)

    def _view(self, folder: Path, video: Path, cameras: dict) -> View:
        """A view: camera.json gives {<view>: {"intrinsics": [fx, cx, fy, cy] or 3x3}}, the tables give the
        serial and the pose.
        """
        frames, found = VideoFrames(video), cameras.get(video.stem)
        entry = found if isinstance(found, dict) else {}
        serial = self._tables.serial(folder.name, video.stem)
        intrinsics = entry.get("intrinsics")
        numbers = None if serial is None else self._tables.base_from_camera(folder.name, serial)
        if intrinsics is None or numbers is None:
            return View(video.stem, frames, None)
        _check_undistorted(entry, f"{folder}/camera.json: {video.stem}")
        camera = pinhole(intrinsics, pose(numbers), frames.size, calibrated=frames.size)
        return View(video.stem, frames, camera)


def _check_undistorted(entry: dict, where: str) -> None:
    """Raise EpisodeError if a camera's entry has a distortion that is not zero."""
    name = distorted_field(entry)
    if name is not None:
        cure = "undistort the videos and write zeros, or leave the view out with --views"
        raise EpisodeError(f"{where}: '{name}' says that the lens is distorted; {cure}")


def _unread(cameras: dict, names: list[str]) -> Iterator[str]:
    """Remarks on fields of camera.json that are not read."""
    entries = [entry for name, entry in cameras.items() if name in names and isinstance(entry, dict)]
    fields = sorted(set(chain.from_iterable(entries)) - {"intrinsics"})
    if fields:
        yield f"camera.json has the fields {', '.join(fields)[:120]}, which are not read"
