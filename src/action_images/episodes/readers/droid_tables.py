"""DROID's calibration tables: each recording's camera poses and intrinsics, and when the arm is busy.

Beside or above the episodes: cam2base_extrinsic_superset.json, or cam2base_extrinsics.json (x y z, Euler xyz,
camera-to-base), intrinsics.json (fx, cx, fy, cy of 1280x720 px), camera_serials.json, keep_ranges_1_0_1.json,
aggregated-annotations*.json or droid_language_annotations*.json (words).
"""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from torch import Tensor

from action_images.episodes.contradictions import FARTHEST_M
from action_images.episodes.episode import EpisodeError
from action_images.episodes.lerobot_layout import read_json
from action_images.episodes.readers.folders import as_tensor
from action_images.episodes.strangers import check_inside
from action_images.episodes.words import says_nothing
from action_images.geometry import Camera, Pose
from action_images.geometry.rotation import from_euler_xyz

CALIBRATED_PX = (720, 1280)
MOST_STRETCHED = 0.05
"""Largest relative difference of the focal lengths: pixels are square."""
KEEP_RANGES = "keep_ranges_1_0_1.json"
INSTRUCTIONS = ("language_instruction1", "language_instruction2", "language_instruction3")


class Tables:
    """The tables in a folder or beside it; an absent table answers None."""

    def __init__(self, root: Path):
        self._read: dict[Path, dict[str, Any]] = {}
        self._absent: list[str] = []
        self._unread: list[str] = []
        self._places = (root, root.parent)
        # The superset's entries are better; the table that it grew from has some of the cameras.
        self._poses = [
            self._table("cam2base_extrinsic_superset.json"),
            self._table("cam2base_extrinsics.json"),
        ]
        self._intrinsics = self._table("intrinsics.json")
        self._serials = self._table("camera_serials.json")
        self._annotations = [
            self._table("aggregated-annotations*.json"),
            self._table("droid_language_annotations*.json"),
        ]
        # Keys are '<bucket path of recordings/MP4>--<path of trajectory.h5>'; the first one's folder is the
        # episode.
        kept = self._table(KEEP_RANGES)
        self._kept = {
            _place(key.partition("--")[0].partition("/recordings")[0].split("/")): ranges
            for key, ranges in kept.items()
        }

    @property
    def files(self) -> tuple[Path, ...]:
        """The tables that are read."""
        return tuple(self._read)

    def of_others(self, uuids: set[str]) -> list[str]:
        """Remarks on tables that have none of these recordings."""
        tables = {path.name: table for path, table in self._read.items() if path.name != KEEP_RANGES}
        strange = [name for name, table in tables.items() if uuids.isdisjoint(table)]
        return [f"{name} has none of the {len(uuids)} recordings; is it another set's?" for name in strange]

    @property
    def remarks(self) -> list[str]:
        """Found, missing and unread tables."""
        found = ", ".join(path.name for path in self.files)
        remarks = [f"found beside the episodes: {found}"] if self.files else []
        if self._absent:
            places = f"{self._places[0]} and the folder above it"
            remarks.append(f"known, and not found in {places}: {', '.join(self._absent)}")
        return remarks + self._unread

    def _table(self, pattern: str) -> dict[str, Any]:
        """The first table of a pattern; others are named in a remark."""
        paths: list[Path] = []
        for folder in self._places:
            paths += sorted(folder.glob(pattern))
        if not paths:
            self._absent.append(pattern)
            return {}
        path, *others = paths
        check_inside(path.parent, path)
        self._unread += [f"{other} is not read, {path} is" for other in others]
        self._read[path] = read_json(path)
        return self._read[path]

    def base_from_camera(self, uuid: str, serial: str) -> Tensor | None:
        """x y z (m) and Euler xyz (rad) of a camera in the robot's base frame."""
        for table in self._poses:
            numbers = _entry(table, uuid).get(serial)
            if numbers is not None:
                return as_tensor(numbers, (6,), f"DROID's table of camera poses: {uuid}/{serial}")
        return None

    def intrinsics(self, uuid: str, serial: str) -> Any | None:
        """fx, cx, fy, cy in px."""
        return _entry(self._intrinsics, uuid).get(serial)

    def serial(self, uuid: str, role: str) -> str | None:
        """The camera with a role ('ext1', 'ext2', 'wrist')."""
        serial = _entry(self._serials, uuid).get(f"{role}_cam_serial")
        return None if serial is None else str(serial)

    def instruction(self, uuid: str) -> str | None:
        """The first of the annotated instructions."""
        for table in self._annotations:
            entry = table.get(uuid)
            listed = entry if isinstance(entry, list) else [entry]
            texts = [_entry(table, uuid).get(name) for name in INSTRUCTIONS] + listed
            said = [text.strip() for text in texts if isinstance(text, str) and text.strip()]
            said = [text for text in said if not says_nothing(text)]
            if said:
                return said[0]
        return None

    @property
    def has_ranges(self) -> bool:
        """Whether there is a table of busy ranges."""
        return any(path.name == KEEP_RANGES for path in self.files)

    def keep_ranges(self, folder: Path) -> list[tuple[int, int]] | None:
        """The busy ranges (first frame, one past the last) of a recording.

        None if the table does not have it.
        """
        ranges = self._kept.get(_place(folder.absolute().parts))
        if ranges is None:
            return None
        try:
            return [(int(start), int(stop)) for start, stop in ranges]
        except (TypeError, ValueError, OverflowError):
            told = f"the ranges of {folder} are not pairs of frames"
            raise EpisodeError(f"{KEEP_RANGES}: {told}; restore the file") from None


def pose(numbers: Tensor, where: str = "DROID's table of camera poses") -> Pose:
    """x y z (m), Euler xyz (rad) as a pose; raises EpisodeError, naming `where`, for other units."""
    check_units(numbers, where)
    return Pose(from_euler_xyz(numbers[..., 3:]), numbers[..., :3])


def check_units(numbers: Tensor, where: str) -> None:
    """Raise EpisodeError for angles beyond one turn, and positions (*, 6) that no room of DROID has."""
    angle = float(numbers[..., 3:].abs().max()) if len(numbers) else 0.0
    distance = float(numbers[..., :3].norm(dim=-1).max()) if len(numbers) else 0.0
    cure = "these are another set's numbers, or damaged: drop the episode"
    if angle > 2 * math.pi + 0.1:
        raise EpisodeError(f"an angle of {where} is {angle:.0f}, DROID's are in rad; {cure}")
    if distance > FARTHEST_M:
        raise EpisodeError(f"a position of {where} is {distance:.0f} m away, DROID's are in m; {cure}")


def pinhole(
    intrinsics: Any,
    base_from_camera: Pose,
    size: tuple[int, int],
    calibrated: tuple[int, int] = CALIBRATED_PX,
) -> Camera:
    """The camera of `size` px from intrinsics (fx, cx, fy, cy, or 3x3) that are for `calibrated` px."""
    if isinstance(intrinsics, list) and len(intrinsics) == 4:
        fx, cx, fy, cy = as_tensor(intrinsics, (4,), "intrinsics (fx, cx, fy, cy)").tolist()
        if not _are_square(fx, fy, size, calibrated):
            told = f"focal lengths {fx:.0f} and {fy:.0f} px differ; the order is fx, cx, fy, cy"
            raise EpisodeError(f"intrinsics {[round(one) for one in (fx, cx, fy, cy)]}: {told}")
        intrinsics = [[fx, 0, cx], [0, fy, cy], [0, 0, 1]]
    matrix = as_tensor(intrinsics, (3, 3), "intrinsics (fx, cx, fy, cy, or 3x3)")
    matrices = matrix.expand(*base_from_camera.batch_shape, 3, 3)
    return Camera(matrices, base_from_camera, calibrated).resize(*size)


def _are_square(fx: float, fy: float, size: tuple[int, int], calibrated: tuple[int, int]) -> bool:
    """Whether pixels are square in the calibrated pictures, or in those of the video.

    A video of another shape may be the whole picture, squeezed; its intrinsics may then be squeezed too.
    """
    squeezed = (size[1] / CALIBRATED_PX[1]) / (size[0] / CALIBRATED_PX[0])
    stretched = fx * squeezed / fy if calibrated == CALIBRATED_PX else fx / squeezed / fy
    return min(abs(fx / fy - 1), abs(stretched - 1)) <= MOST_STRETCHED


def _place(parts: Sequence[str]) -> str:
    """<lab>/<outcome>/<date>/<time>, the part of a recording's path that is the same everywhere."""
    return "/".join(parts[-4:])


def _entry(table: dict[str, Any], uuid: str) -> dict[str, Any]:
    entry = table.get(uuid, {})
    return entry if isinstance(entry, dict) else {}
