"""calibration.json beside a LeRobotDataset: cameras and tool in declared notation."""

from collections.abc import Collection, Mapping
from contextlib import suppress
from dataclasses import replace
from itertools import chain
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from action_images.episodes.calibration_files import camera_of_file
from action_images.episodes.calibration_files.found import (
    NO_DISTORTION,
    Distortion,
    FoundCamera,
    distortion_named,
)
from action_images.episodes.dataset import Dataset
from action_images.episodes.episode import EpisodeError, View
from action_images.episodes.lerobot_layout import left_out, read_json
from action_images.episodes.readers.folders import as_tensor
from action_images.episodes.readers.lerobot_camera import matrices_of, pose_of_feature, rigid
from action_images.episodes.readers.lerobot_tool import Tool, column, known
from action_images.episodes.straighten import FramesStraightened
from action_images.episodes.strangers import check_folder, check_inside
from action_images.episodes.unmirror import FramesUnmirrored
from action_images.geometry import Camera, Pose, Trajectory

FIELDS = {"views", "tool", "episodes"}
VIEW_FIELDS = {
    "intrinsics",
    "world_from_camera",
    "tool_from_camera",
    "size",
    "distortion",
    "shift",
    "mirrored",
}
FILE_FIELDS = {"file", "camera"}
DISTORTION_FIELDS = {"model", "coefficients"}
OFF_CENTRE = 0.12
"""Intrinsics without a size are doubted if their principal point is farther off the middle (of the side).

Those of 1080 lines lie off by .25 in pictures of 720.
"""


class Calibration:
    """The declarations of a calibration.json, compared with the set's own names and numbers when opened.

    Raises EpisodeError, naming the field and the likely declaration, for unknown or missing fields and
    for contradictions with the set. docs/data.md describes the file.
    """

    def __init__(self, path: Path | None, dataset: Dataset, columns: Path | None = None):
        """`columns` is a json file with the content of the field `tool`, which must then be absent."""
        self._path, self._dataset = path or dataset.path, dataset
        content = {} if path is None else read_json(path)
        known(content, FIELDS, str(path))
        self._views = _views(content, dataset, str(path))
        self._episodes = _episodes(content, dataset, str(path))
        if columns is not None and "tool" in content:
            raise EpisodeError(f"{columns}: {path} declares the tool as well; leave one of the two out")
        if columns is not None:
            self._tool: Tool | None = Tool(read_json(columns), dataset, str(columns))
        else:
            self._tool = Tool(content["tool"], dataset, f"{path}: tool") if "tool" in content else None

    def names(self, feature: str) -> bool:
        """Whether a camera is taken from this feature."""
        return feature in self._named("feature")

    @property
    def features(self) -> set[str]:
        """The features of cameras and of the tool."""
        return self._named("feature") | (set() if self._tool is None else self._tool.features)

    @property
    def files(self) -> set[str]:
        """The calibration files of cameras, as they are named."""
        return self._named("file")

    def _named(self, kind: str) -> set[str]:
        """What the cameras' entries name as a `file` or a `feature`."""
        cameras = chain.from_iterable(views.values() for views in (self._views, *self._episodes.values()))
        parts = chain.from_iterable(camera.values() for camera in cameras)
        return {str(part[kind]) for part in parts if isinstance(part, dict) and kind in part}

    @property
    def assumptions(self) -> list[str]:
        """Assumptions about everything that is not declared."""
        assumed = None if self._tool is None else self._tool.assumed
        others = "'check' tries the others"
        if assumed == "rotation_6d":
            others = "declare rotation_6d_rows where a matrix's first two rows were written"
        told = (
            [f"'rotation' is not declared: the numbers are taken as {assumed}; {others}"] if assumed else []
        )
        others = [] if self._tool is None else self._tool.uncompared
        why = "has names, but not one for each column; they are not read"
        told += [f"feature '{name}' {why}" for name in others]
        for name, entry in self._views.items():
            world = self._own_world(entry)
            told += [f"{name}: its pose is in {world}"] if world else []
            lens = self._other_lens(entry)
            told += [f"{name}: {lens}"] if lens else []
            axes = self._axes(entry)
            told += [f"{name}: {axes}"] if axes else []
        return told

    def _other_lens(self, entry: Mapping[str, Any]) -> str | None:
        """Remark on a file's other intrinsics; an unreadable file is refused later."""
        lens = entry.get("intrinsics")
        if not isinstance(lens, dict) or "file" not in lens:
            return None
        with suppress(EpisodeError):
            return self._of_file(lens, "").other_lens
        return None

    def _own_world(self, entry: Mapping[str, Any]) -> str | None:
        """Remark on the world of a file's pose; an unreadable file is refused later."""
        found = self._pose_file(entry)
        return None if found is None else found.own_world

    def _axes(self, entry: Mapping[str, Any]) -> str | None:
        """Remark on the camera's axes in a file of its pose."""
        found = self._pose_file(entry)
        return None if found is None else found.other_axes

    def _pose_file(self, entry: Mapping[str, Any]) -> FoundCamera | None:
        pose = entry.get("world_from_camera", entry.get("tool_from_camera"))
        if not isinstance(pose, dict) or "file" not in pose:
            return None
        with suppress(EpisodeError):
            return self._of_file(pose, "")
        return None

    def shifts(self, place: int | None = None) -> dict[str, int]:
        """The declared delays of views in frames, in an episode (None: in any)."""
        own = {} if place is None else self._episodes.get(self._dataset.ids[place], {})
        cameras = list({**self._views, **own}.items())
        if place is None:
            cameras += chain.from_iterable(views.items() for views in self._episodes.values())
        return {name: entry["shift"] for name, entry in cameras if entry.get("shift", 0)}

    def check_replaceable(self, names: Collection[str]) -> None:
        """Raise EpisodeError unless a pinhole camera can replace each of these views' entries (none: all).

        Pictures of a distorted lens are straightened by that lens, and an episode's own camera wins.
        """
        for episode, views in self._episodes.items():
            for name in views:
                if not names or name in names:
                    cure = f"remove it from 'episodes', or name other views than '{name}'"
                    raise EpisodeError(
                        f"{self._path}: {episode}: has its own camera '{name}', which would hide a new one; "
                        f"{cure}"
                    )
        for name, entry in self._views.items():
            where, lens = f"{self._path}: {name}", entry["intrinsics"]
            if names and name not in names:
                continue
            in_file = isinstance(lens, dict) and "feature" not in lens
            found = self._of_file(lens, f"{where}.intrinsics") if in_file else FoundCamera()
            if not _distortion(entry, found, where).is_none:
                why = "its lens is distorted, and a new camera would be one of pictures straightened by it"
                cure = "remove its entry, then estimate the distortion with --radial; or name other views"
                raise EpisodeError(f"{where}: {why}; {cure}")

    def trajectory(self, place: int) -> Trajectory | None:
        """The tool's path in an episode; None if no tool is declared."""
        return None if self._tool is None else self._tool.trajectory(place)

    def calibrated(self, view: View, place: int, trajectory: Trajectory | None) -> View:
        """The view with its camera and, if its lens is distorted, with undistorted pictures."""
        own = self._episodes.get(self._dataset.ids[place], {})
        entry = {**self._views, **own}.get(view.name)
        if entry is None:
            return view
        if entry.get("mirrored", False):
            view = replace(view, frames=FramesUnmirrored(view.frames))
        where = f"{self._path}: {view.name}"
        found = self._lens(entry, place, where)
        size = _size(entry, found, where)
        assert found.intrinsics is not None
        intrinsics = _scaled(found.intrinsics, size, view.frames.size, where)
        pose = self._pose(entry, place, trajectory, where)
        distortion = _distortion(entry, found, where)
        frames = view.frames
        if not distortion.is_none:
            if intrinsics.ndim == 3:
                raise EpisodeError(f"{where}: the lens is distorted and zooms; straighten its videos first")
            frames = FramesStraightened(view.frames, intrinsics, distortion)
        if intrinsics.ndim == 3 or pose.batch_shape:
            pose, intrinsics = _per_frame(pose, intrinsics, len(view.frames))
        camera = Camera(intrinsics, pose, view.frames.size).check(where)
        if size is None:
            _check_plausible(intrinsics, view.frames.size, where)
        return replace(view, frames=frames, camera=camera)

    def _lens(self, entry: Mapping[str, Any], place: int, where: str) -> FoundCamera:
        intrinsics = entry.get("intrinsics")
        if not isinstance(intrinsics, dict):
            return FoundCamera(as_tensor(intrinsics, (3, 3), f"{where}.intrinsics"))
        if "feature" in intrinsics:
            known(intrinsics, {"feature"}, f"{where}.intrinsics")
            numbers = column(self._dataset, place, intrinsics["feature"])
            matrices = matrices_of(numbers, 3, f"{where}.intrinsics")
            return FoundCamera(matrices[0] if (matrices == matrices[0]).all() else matrices)
        found = self._of_file(intrinsics, f"{where}.intrinsics")
        if found.intrinsics is None:
            raise EpisodeError(f"{where}.intrinsics: the file has no intrinsics; name another")
        return found

    def _pose(self, entry: Mapping[str, Any], place: int, trajectory: Trajectory | None, where: str) -> Pose:
        if "tool_from_camera" in entry:
            if trajectory is None:
                raise EpisodeError(f"{where}: 'tool_from_camera' needs a 'tool', or another way to its path")
            tool_from_camera = self._still_pose(entry["tool_from_camera"], f"{where}.tool_from_camera")
            return trajectory.world_from_tool @ tool_from_camera
        pose = entry.get("world_from_camera")
        if isinstance(pose, dict) and "feature" in pose:
            return pose_of_feature(self._dataset, place, pose, f"{where}.world_from_camera")
        return self._still_pose(pose, f"{where}.world_from_camera")

    def _still_pose(self, entry: object, where: str) -> Pose:
        if isinstance(entry, dict):
            found = self._of_file(entry, where)
            if found.world_from_camera is None:
                raise EpisodeError(f"{where}: the file has no pose; name another")
            if found.on_hand != where.endswith("tool_from_camera"):
                stands = (
                    "on the hand: name it as 'tool_from_camera'" if found.on_hand else "in the base's frame"
                )
                raise EpisodeError(f"{where}: the file's camera stands {stands}")
            return found.world_from_camera
        return rigid(as_tensor(entry, (4, 4), where), where)

    def _of_file(self, entry: Mapping[str, Any], where: str) -> FoundCamera:
        known(entry, FILE_FIELDS, where)
        name, camera = entry.get("file"), entry.get("camera")
        if not isinstance(name, str) or not (camera is None or isinstance(camera, str)):
            raise EpisodeError(f"{where}: 'file' names a calibration file, 'camera' one of its cameras")
        path = Path(name)
        if path.is_absolute() or ".." in path.parts:
            raise EpisodeError(
                f"{where}: {name[:80]!r} leaves the folder; put the file beside calibration.json"
            )
        place = self._path.parent / path
        (check_folder if place.is_dir() else check_inside)(self._path.parent, place)
        return camera_of_file(place, camera)


def _views(content: Mapping[str, Any], dataset: Dataset, where: str) -> dict[str, Any]:
    views = content.get("views", {})
    if not isinstance(views, dict):
        raise EpisodeError(f"{where}: 'views' maps views to their cameras; docs/data.md shows it")
    unknown = set(views) - set(dataset.view_names) - set(left_out(dataset.info))
    if unknown:
        raise EpisodeError(
            f"{where}: calibrates {sorted(unknown)}, the set has the views {dataset.view_names}"
        )
    for name, entry in views.items():
        known(entry, VIEW_FIELDS, f"{where}: {name}")
        if "intrinsics" not in entry or ("world_from_camera" in entry) == ("tool_from_camera" in entry):
            needed = "needs 'intrinsics', and either 'world_from_camera' or, on the hand, 'tool_from_camera'"
            raise EpisodeError(f"{where}: {name} {needed}")
        if type(entry.get("shift", 0)) is not int or type(entry.get("mirrored", False)) is not bool:
            told = "'shift' is by how many whole frames its pictures are late, 'mirrored' is true or false"
            raise EpisodeError(f"{where}: {name}: {told}")
    return views


def _episodes(content: Mapping[str, Any], dataset: Dataset, where: str) -> dict[str, dict[str, Any]]:
    """Views of single episodes, which replace those of the set."""
    episodes = content.get("episodes", {})
    if not isinstance(episodes, dict):
        raise EpisodeError(f"{where}: 'episodes' maps ids to their 'views'; docs/data.md shows it")
    unknown = sorted(set(episodes) - set(dataset.ids))
    if unknown:
        raise EpisodeError(f"{where}: there is no episode {unknown[0][:80]!r}; ids are as {dataset.ids[0]!r}")
    found = {}
    for name, entry in episodes.items():
        known(entry, {"views"}, f"{where}: {name}")
        found[name] = _views(entry, dataset, f"{where}: {name}")
    return found


def _size(entry: Mapping[str, Any], found: FoundCamera, where: str) -> tuple[int, int] | None:
    """(height, width) of the intrinsics' pictures; None if neither the entry nor its file gives it."""
    if "size" not in entry:
        return found.size
    height, width = as_tensor(entry["size"], (2,), f"{where}.size").tolist()
    size = int(height), int(width)
    if min(size) < 1 or found.size not in (None, size):
        raise EpisodeError(f"{where}: 'size' is {size}, its calibration file says {found.size}")
    return size


def _scaled(intrinsics: Tensor, size: tuple[int, int] | None, shown: tuple[int, int], where: str) -> Tensor:
    """Intrinsics scaled to the shown size; refused if the shape differs (cropped or squeezed)."""
    if size in (None, shown):
        return intrinsics
    vertical, horizontal = shown[0] / size[0], shown[1] / size[1]
    if abs(vertical / horizontal - 1) > 0.01:
        cropped = "if these were cropped, crop the intrinsics alike"
        factors = f"multiply fx and cx by {horizontal:.6g}, fy and cy by {vertical:.6g}"
        cure = f"{cropped}; if they were squeezed, {factors}; then give 'size': {list(shown)}"
        raise EpisodeError(f"{where}: the intrinsics are for {size} px, the pictures are {shown} px; {cure}")
    return intrinsics * torch.tensor([[horizontal], [vertical], [1.0]])


def _check_plausible(intrinsics: Tensor, shown: tuple[int, int], where: str) -> None:
    """Refuse intrinsics without a size if their principal point is far from the picture's centre.

    A declared size answers the doubt: an off-centre crop is then taken as it is.
    """
    height, width = shown
    x, y = intrinsics[..., 0, 2].mean() / width, intrinsics[..., 1, 2].mean() / height
    if min(x, y) < 0.5 - OFF_CENTRE or max(x, y) > 0.5 + OFF_CENTRE:
        middle = f"the principal point lies at {100 * x:.0f} % of the width and {100 * y:.0f} % of the height"
        cure = "are they for another size? Give 'size': [height, width] of theirs"
        cure = f"{cure}; {list(shown)} if they are for these pictures"
        raise EpisodeError(f"{where}.intrinsics: {middle}; {cure}")


def _distortion(entry: Mapping[str, Any], found: FoundCamera, where: str) -> Distortion:
    if "distortion" not in entry:
        return found.distortion
    if found.distortion != NO_DISTORTION:
        raise EpisodeError(
            f"{where}: its calibration file has a distortion, and so has calibration.json; keep one"
        )
    distortion = entry["distortion"]
    if isinstance(distortion, dict):
        known(distortion, DISTORTION_FIELDS, f"{where}.distortion")
        return distortion_named(distortion.get("model", "plumb_bob"), distortion.get("coefficients"), where)
    return distortion_named("plumb_bob", as_tensor(distortion, (None,), f"{where}.distortion"), where)


def _per_frame(pose: Pose, intrinsics: Tensor, num_frames: int) -> tuple[Pose, Tensor]:
    """One camera for each frame; a camera that never moves becomes a single one."""
    poses = pose if pose.batch_shape else pose.expand(num_frames)
    lenses = intrinsics.expand(num_frames, 3, 3)
    if (poses.matrix() == poses.matrix()[0]).all() and (lenses == lenses[0]).all():
        return poses[0], lenses[0]
    return poses, lenses
