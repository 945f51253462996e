"""Turn the calibrations of other tools into a cameras file.

action-images cameras convert camchain.yaml cameras.json
action-images cameras convert camera_info.yaml easy_handeye.yaml cameras.json
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from action_images.errors import ActionImagesError


@dataclass(frozen=True)
class Convert:
    """Read calibration files and write a cameras file: ROS, Kalibr, OpenCV, easy_handeye, COLMAP."""

    files: tyro.conf.Positional[tuple[Path, ...]]
    """Files or folders of other tools, and last the cameras file to write. Where one tool gave a camera's
    lens and another its pose, give both."""
    straightened: bool = False
    """The pictures have no distortion any more; the intrinsics hold for these."""


def main(
    what: Annotated[
        Annotated[Convert, tyro.conf.subcommand("convert")] | None, tyro.conf.arg(name="")
    ] = None,
) -> None:
    """Poses are kept as they are: they must be in the frame of the tool's poses, and in metres.

    Kalibr's and COLMAP's worlds are their own; move them there first, or calibrate with `action-images
    calibrate`.
    """
    if what is None:
        raise ActionImagesError("give convert, the files, and the cameras file to write")
    *sources, out = what.files or (Path(),)
    if not sources:
        raise ActionImagesError("give a calibration file, and last the cameras file to write")
    if out.suffix != ".json" or out.is_dir():
        raise ActionImagesError(f"{out}: the last one is the cameras file to write; call it .json")

    from action_images.episodes.calibration_files.converted import cameras_of, other_lenses, own_worlds
    from action_images.episodes.cameras_file import save_cameras

    cameras = cameras_of(sources, straightened=what.straightened)
    save_cameras(out, cameras)
    for name, camera in cameras.items():
        x, y, z = camera.world_from_camera.translation.tolist()
        focal = camera.intrinsics[0, 0].item()
        size = f"{camera.size[0]} x {camera.size[1]} px"
        print(f"{name}: {size}, focal length {focal:.1f} px, at ({x:.3f}, {y:.3f}, {z:.3f}) m")
    for world in own_worlds(sources):
        print(f"poses are in {world}")
    for lens in other_lenses(sources):
        print(lens)
    print(f"written: {out}")
