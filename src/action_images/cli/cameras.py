"""Turn the calibrations of other tools into a cameras file, or a set's cameras into other sets' columns.

action-images cameras convert camera_info.yaml easy_handeye.yaml cameras.json
action-images cameras columns dataset --style quaternions --out copy
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro

from action_images.errors import ActionImagesError
from action_images.terminal.paths import GivenDataset, OutFolder

CONVERTED = "calibration files of other tools"
"""The source that a converted file states."""


@dataclass(frozen=True)
class Convert:
    """Read calibration files and write a cameras file: ROS, Kalibr, OpenCV, easy_handeye, COLMAP.

    Poses are kept as they are: they must be in the frame of the tool's poses, and in metres. Kalibr's and
    COLMAP's worlds are their own; move them there first, or calibrate with `action-images calibrate`.
    """

    files: tyro.conf.Positional[tuple[Path, ...]]
    """Files or folders of other tools, and last the cameras file to write. If one tool gave a camera's lens
    and another its pose, give both, one after the other."""
    straightened: bool = False
    """The pictures are already undistorted, and the intrinsics are those of the undistorted pictures."""


@dataclass(frozen=True)
class AsColumns:
    """Copy a data set of ours with its cameras in the columns that other LeRobot sets have."""

    dataset: Annotated[GivenDataset, tyro.conf.Positional]
    """A data set with camera columns of ours."""
    out: OutFolder
    """The copy, a new folder. Its calibration.json declares the columns."""
    style: Literal["matrices", "quaternions", "droid"] = "quaternions"
    """matrices: observation.intrinsic.VIEW (3 x 3) and observation.extrinsic.VIEW (4 x 4); quaternions:
    observation.extrinsics.VIEW with x y z and a quaternion x y z w; droid: camera_extrinsics.VIEW with x y z
    and Euler angles. Poses map from the camera (x right, y down, z forward) into the world."""


def main(
    what: Annotated[
        Annotated[Convert, tyro.conf.subcommand("convert")]
        | Annotated[AsColumns, tyro.conf.subcommand("columns")]
        | None,
        tyro.conf.arg(name=""),
    ] = None,
) -> None:
    """Give `convert` and calibration files, or `columns` and a data set."""
    if what is None:
        raise ActionImagesError(
            "give convert, the files, and the cameras file to write; or columns and a data set"
        )
    if isinstance(what, AsColumns):
        _write_columns(what)
        return
    *sources, out = what.files or (Path(),)
    if not sources:
        raise ActionImagesError("give a calibration file, and last the cameras file to write")
    if out.suffix != ".json" or out.is_dir():
        raise ActionImagesError(f"{out}: the last one is the cameras file to write; call it .json")

    from action_images.episodes.calibration_files.converted import (
        cameras_of,
        other_axes,
        other_lenses,
        own_worlds,
    )
    from action_images.episodes.cameras_file import save_cameras

    cameras = cameras_of(sources, straightened=what.straightened)
    _refuse_other_cameras(out, set(cameras))
    save_cameras(out, cameras, source=CONVERTED)
    for name, camera in cameras.items():
        x, y, z = camera.world_from_camera.translation.tolist()
        focal = camera.intrinsics[0, 0].item()
        size = f"{camera.size[0]} x {camera.size[1]} px"
        print(f"{name}: {size}, focal length {focal:.1f} px, at ({x:.3f}, {y:.3f}, {z:.3f}) m")
    for world in own_worlds(sources):
        print(f"poses are in {world}")
    for remark in (*other_lenses(sources), *other_axes(sources)):
        print(remark)
    print(f"written: {out}")


def _refuse_other_cameras(out: Path, written: set[str]) -> None:
    """Refuse to replace a file that has cameras of another source, or other cameras than those written."""
    from action_images.episodes.cameras_file import load_cameras, source_of

    if not out.exists():
        return
    if source_of(out) != CONVERTED:
        raise ActionImagesError(
            f"{out}: was not written by this command and is not overwritten; name another file, or move it"
        )
    lost = sorted(set(load_cameras(out)) - written)
    if lost:
        raise ActionImagesError(
            f"{out}: has the camera '{lost[0]}', which these files do not have, and is not overwritten; give "
            "the files of all cameras at once, name another file, or move it"
        )


def _write_columns(what: AsColumns) -> None:
    from action_images.episodes.camera_columns import STYLES, copy_with_columns
    from action_images.terminal.progress import counting

    with counting("writing tables") as tell:
        views = copy_with_columns(what.dataset, what.out, what.style, tell)
    columns = STYLES[what.style]
    for view in views:
        print(f"{view}: {columns.key('intrinsics', view)}, {columns.key('world_from_camera', view)}")
    print(f"written: {what.out}")
