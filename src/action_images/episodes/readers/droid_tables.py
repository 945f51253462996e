"""DROID's calibration tables: where each recording's cameras stand, how they see, and when the arm is busy.

Beside or above the episodes: cam2base_extrinsic_superset.json (x y z, Euler xyz, camera-to-base), intrinsics.json
(fx, cx, fy, cy of 1280x720 px), camera_serials.json, keep_ranges_1_0_1.json, aggregated-annotations*.json.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from torch import Tensor

from action_images.episodes.episode import EpisodeError
from action_images.episodes.lerobot_layout import read_json
from action_images.episodes.readers.folders import as_tensor
from action_images.geometry import Camera, Pose
from action_images.geometry.rotation import from_euler_xyz

CALIBRATED_PX = (720, 1280)


class Tables:
    """The tables that lie in a folder; those that are absent answer None."""

    def __init__(self, root: Path):
        self._poses = _table(root, "cam2base_extrinsic_superset.json")
        self._intrinsics = _table(root, "intrinsics.json")
        self._serials = _table(root, "camera_serials.json")
        self._annotations = _table(root, "aggregated-annotations*.json")
        # Keys read '<bucket path of recordings/MP4>--<path of trajectory.h5>'; the folder of the first is the episode.
        kept = _table(root, "keep_ranges_1_0_1.json")
        self._kept = {
            _place(key.partition("--")[0].partition("/recordings")[0].split("/")): ranges
            for key, ranges in kept.items()
        }

    def base_from_camera(self, uuid: str, serial: str) -> Tensor | None:
        """x y z (m) and Euler xyz (rad) of a camera in the robot's base frame."""
        numbers = _entry(self._poses, uuid).get(serial)
        return (
            None
            if numbers is None
            else as_tensor(numbers, (6,), f"cam2base_extrinsic_superset.json: {uuid}/{serial}")
        )

    def intrinsics(self, uuid: str, serial: str) -> Any | None:
        """fx, cx, fy, cy in px."""
        return _entry(self._intrinsics, uuid).get(serial)

    def serial(self, uuid: str, role: str) -> str | None:
        """The camera that played a role ('ext1', 'ext2', 'wrist')."""
        serial = _entry(self._serials, uuid).get(f"{role}_cam_serial")
        return None if serial is None else str(serial)

    def instruction(self, uuid: str) -> str | None:
        """The first of the annotated instructions."""
        return str(_entry(self._annotations, uuid).get("language_instruction1") or "").strip() or None

    def keep_ranges(self, folder: Path) -> list[tuple[int, int]] | None:
        """The busy ranges (first frame, one past the last) of a recording; None where the table does not know it."""
        ranges = self._kept.get(_place(folder.absolute().parts))
        if ranges is None:
            return None
        try:
            return [(int(start), int(stop)) for start, stop in ranges]
        except (TypeError, ValueError, OverflowError):
            raise EpisodeError(
                f"keep_ranges_1_0_1.json: the ranges of {folder} are not pairs of frames; restore the file"
            ) from None


def pose(numbers: Tensor) -> Pose:
    """x y z (m), Euler xyz (rad) as a pose."""
    return Pose(from_euler_xyz(numbers[..., 3:]), numbers[..., :3])


def pinhole(
    intrinsics: Any,
    base_from_camera: Pose,
    size: tuple[int, int],
    calibrated: tuple[int, int] = CALIBRATED_PX,
) -> Camera:
    """The camera of frames of `size` px from intrinsics (fx, cx, fy, cy, or 3x3) given for `calibrated` px."""
    if isinstance(intrinsics, list) and len(intrinsics) == 4:
        fx, cx, fy, cy = intrinsics
        intrinsics = [[fx, 0, cx], [0, fy, cy], [0, 0, 1]]
    matrix = as_tensor(intrinsics, (3, 3), "intrinsics (fx, cx, fy, cy, or 3x3)")
    return Camera(matrix.expand(*base_from_camera.batch_shape, 3, 3), base_from_camera, calibrated).resize(
        *size
    )


def _place(parts: Sequence[str]) -> str:
    """<lab>/<outcome>/<date>/<time>, the part of a recording's path that is the same everywhere."""
    return "/".join(parts[-4:])


def _table(root: Path, pattern: str) -> dict[str, Any]:
    for folder in (root, root.parent):
        for path in sorted(folder.glob(pattern)):
            return read_json(path)
    return {}


def _entry(table: dict[str, Any], uuid: str) -> dict[str, Any]:
    entry = table.get(uuid, {})
    return entry if isinstance(entry, dict) else {}
