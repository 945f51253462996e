"""Calibrate cameras from pictures of a printed board and the robot's poses, or from the robot's motion.

action-images calibrate board --out board.pdf
action-images calibrate fixed shots/left shots/right --poses poses.csv --out calibration
"""

from dataclasses import dataclass
from pathlib import Path
from shlex import quote
from typing import Annotated

import tyro

from action_images.cli.calibrating.from_motion import FromMotion, run
from action_images.errors import ActionImagesError


@dataclass(frozen=True)
class BoardArguments:
    """The ChArUco board."""

    squares: str = "7x5"
    """Columns x rows."""
    square: float = 0.03
    """Side of a square in m, as measured on the print."""
    marker: float = 0.022
    """Side of a marker in m."""
    dictionary: str = "DICT_5X5_100"
    """OpenCV's name of the marker dictionary."""
    legacy: bool = False
    """The board was made with OpenCV before 4.6."""

    def board(self):
        from action_images.calibration import Board

        return Board.from_text(self.squares, self.square, self.marker, self.dictionary, legacy=self.legacy)


@dataclass(frozen=True)
class Print(BoardArguments):
    """Write the board as a pdf or png to print at true scale."""

    out: Path = Path("board.pdf")


@dataclass(frozen=True)
class Shooting(BoardArguments):
    """Where pictures and poses are, and how they are used."""

    folders: tyro.conf.Positional[tuple[Path, ...]] = ()
    """One folder of pictures for each camera; the folder's name is the camera's."""
    poses: Path = Path("poses.csv")
    """Trajectory file with the tool's pose at each picture: row i is picture i, or a csv column 'image' names
    the picture."""
    out: Path = Path("calibration")
    """Folder for cameras.json, report.json and <camera>.png."""
    intrinsics: Path | None = None
    """Cameras file whose intrinsics are kept; intrinsics are estimated from the pictures if not given."""
    pose_std_mm: float = 1.0
    """Accuracy of the robot's tool position in mm (standard deviation along each axis)."""
    pose_std_deg: float = 0.2
    """Accuracy of the robot's tool rotation in degrees (standard deviation about each axis)."""
    straighten: bool = False
    """Estimate radial distortion; the cameras file is then valid only for straightened pictures."""
    drop_outliers: bool = False
    """Drop, once, the pictures whose error exceeds 4 times the median and 2 px."""


@dataclass(frozen=True)
class Fixed(Shooting):
    """Fixed cameras, one or several at once, look at a board that the tool holds."""


@dataclass(frozen=True)
class Wrist(Shooting):
    """Cameras on the tool look at a board that lies still. Also writes tool_from_camera.json."""


@dataclass(frozen=True)
class Carry:
    """Compute the poses of wrist cameras along a trajectory: a cameras file with a pose for each frame."""

    in_tool: Path
    """tool_from_camera.json, written by `calibrate wrist`."""
    trajectory: Path
    """The tool's path: .npy, .csv or .json."""
    out: Path
    """Cameras file to write."""
    beside: Path | None = None
    """Cameras file of fixed cameras to include."""


@dataclass(frozen=True)
class Straighten:
    """Remove the lens's distortion from a video named <camera>.mp4, so that the cameras file fits it."""

    video: tyro.conf.Positional[Path]
    cameras: Path
    """cameras.json of a calibration with --straighten."""
    radial: tuple[float, float]
    """k1 and k2 of this camera, as `calibrate` printed them."""
    out: Path
    """Video to write."""
    crf: int = 18
    """H.264 quality, 0 (best) to 51."""


def main(
    what: Annotated[
        Annotated[Fixed, tyro.conf.subcommand("fixed")]
        | Annotated[Wrist, tyro.conf.subcommand("wrist")]
        | Annotated[Print, tyro.conf.subcommand("board")]
        | Annotated[Carry, tyro.conf.subcommand("carry")]
        | Annotated[Straighten, tyro.conf.subcommand("straighten")]
        | Annotated[FromMotion, tyro.conf.subcommand("from_motion")],
        tyro.conf.arg(name=""),
    ],
) -> int:
    """Calibrate cameras from pictures of a printed board and the robot's poses, or from episodes alone;
    docs/calibration.md shows how in ten minutes."""
    if isinstance(what, FromMotion):
        return run(what)
    if isinstance(what, Print):
        from action_images.calibration.sheet import save_sheet

        print(save_sheet(what.out, what.board()))
    elif isinstance(what, Carry):
        _carry(what)
    elif isinstance(what, Straighten):
        _straighten(what)
    else:
        _calibrate(what)
    return 0


def _calibrate(what: Shooting) -> None:
    import json
    import math

    from action_images.calibration import calibrate, load_shots
    from action_images.calibration.own_folder import FIXED, WRIST, check_own
    from action_images.calibration.solve import report
    from action_images.episodes.cameras_file import load_cameras, save_cameras
    from action_images.files.atomic import write_text
    from action_images.files.lock import alone_in
    from action_images.reports.calibration_picture import save_calibration_picture
    from action_images.terminal.console import PlainConsole

    if not what.folders:
        raise ActionImagesError("give at least one folder of pictures; its name is the camera's")
    if min(what.pose_std_mm, what.pose_std_deg) <= 0:
        raise ActionImagesError("--pose-std-mm and --pose-std-deg are above 0; no robot is exact")
    source = WRIST if isinstance(what, Wrist) else FIXED
    check_own(what.out, source)
    console = PlainConsole(stderr=True)
    with console.status("looking for the board"):
        shots = load_shots(list(what.folders), what.poses, what.board())
    given = load_cameras(what.intrinsics, in_tool=True) if what.intrinsics else {}
    pose_std = (what.pose_std_mm / 1e3, math.radians(what.pose_std_deg))
    mount = "tool" if isinstance(what, Wrist) else "world"
    with console.status("fitting"):
        kept = {name: camera for name, camera in given.items() if name in shots.sizes}
        if given and not kept:
            raise ActionImagesError(
                f"{what.intrinsics}: has {', '.join(given)}, the folders are {', '.join(shots.sizes)}; give "
                "cameras of their names"
            )
        result = calibrate(
            shots, mount, kept, pose_std=pose_std, bent=what.straighten, drop_outliers=what.drop_outliers
        )
    with alone_in(what.out):
        save_cameras(check_own(what.out, source), result.cameras(), source=source)
        if mount == "tool":
            save_cameras(what.out / "tool_from_camera.json", result.mounted(), source=source, in_tool=True)
        write_text(what.out / "report.json", json.dumps(report(result), indent=1) + "\n")
        for name in result.names:
            save_calibration_picture(what.out / f"{name}.png", result, name)
    if kept and len(kept) < len(shots.sizes):
        estimated = ", ".join(name for name in shots.sizes if name not in kept)
        console.print(
            f"{what.intrinsics} has no {estimated}: estimated from the pictures",
            soft_wrap=True,
        )
    _say(result, what)


def _say(result, what: Shooting) -> None:
    import math
    from statistics import median

    from rich.table import Table

    from action_images.terminal.console import PlainConsole

    console = PlainConsole()
    table = Table("camera", "n", "corners px", "miss px", "miss mm", "± mm", "± deg", "focal px")
    for i, name in enumerate(result.names):
        mine = result.of(name)
        middle = [
            f"{median(values):.2f}"
            for values in zip(*((r.corner_px, r.miss_px, r.miss * 1e3) for r in mine), strict=True)
        ]
        stds = (
            f"{result.refined.position_std[i] * 1e3:.1f}",
            f"{math.degrees(result.refined.rotation_std[i]):.2f}",
        )
        table.add_row(name, str(len(mine)), *middle, *stds, f"{result.refined.unknowns.lens.focal[i, 0]:.1f}")
    console.print(table)
    console.print(
        "Medians over n pictures. corners: the robot's poses corrected; miss: as reported. ±: of position "
        "and turn, predicted.",
        soft_wrap=True,
    )
    for path in result.shots.blind:
        console.print(f"board not found: {path}", soft_wrap=True)
    rule = "more than 4 times the median and 2 px"
    for residual in result.dropped:
        console.print(
            f"left out ({rule}): {residual.sighting.picture}: {residual.miss_px:.1f} px",
            soft_wrap=True,
        )
    for residual in result.outliers:
        found = f"{residual.sighting.picture}: {residual.miss_px:.1f} px"
        text = f"outlier ({rule}), kept: {found}; look at it, then --drop-outliers"
        console.print(text, soft_wrap=True)
    if what.straighten:
        for i, name in enumerate(result.names):
            k1, k2 = result.refined.unknowns.lens.radial[i].tolist()
            options = f"--cameras {quote(f'{what.out}/cameras.json')} --radial {k1:.6f} {k2:.6f} --out OUT"
            command = f"action-images calibrate straighten {quote(f'{name}.mp4')} {options}"
            console.print(
                f"{name}: its videos must be straightened: {command}",
                soft_wrap=True,
            )
    console.print(
        f"{what.out}/cameras.json, report.json and a picture for each camera: look at them", soft_wrap=True
    )


def _carry(what: Carry) -> None:
    from action_images.calibration.from_motion.report import SOURCE as FROM_MOTION
    from action_images.calibration.own_folder import FIXED
    from action_images.calibration.solve import carried
    from action_images.episodes.cameras_file import load_cameras, save_cameras, source_of
    from action_images.episodes.trajectory_file import load_trajectory
    from action_images.terminal.console import PlainConsole

    if (source := source_of(what.in_tool)) in (FIXED, FROM_MOTION):
        raise ActionImagesError(
            f"{what.in_tool}: holds cameras in the base ('{source}'); give tool_from_camera.json"
        )
    in_tool = load_cameras(what.in_tool, in_tool=True)
    fixed = load_cameras(what.beside) if what.beside else {}
    if moving := [name for name, camera in in_tool.items() if camera.batch_shape]:
        raise ActionImagesError(
            f"{what.in_tool}: {', '.join(moving)} moves; give tool_from_camera.json, where cameras stand "
            "still on the tool"
        )
    if twice := in_tool.keys() & fixed.keys():
        raise ActionImagesError(
            f"{what.beside} has cameras of the same name: {', '.join(sorted(twice))}; rename one"
        )
    path = load_trajectory(what.trajectory)
    what.out.parent.mkdir(parents=True, exist_ok=True)
    save_cameras(what.out, {**fixed, **carried(in_tool, path.world_from_tool)})
    names = ", ".join([*fixed, *in_tool])
    PlainConsole().print(f"{what.out}: {names}, {path.num_frames} frames", soft_wrap=True)


def _straighten(what: Straighten) -> None:
    from itertools import chain

    import torch

    from action_images.calibration.lens import Lens, lens_of, straighten
    from action_images.episodes.cameras_file import load_cameras
    from action_images.episodes.video import VideoFrames, is_steady, write_video
    from action_images.terminal.console import PlainConsole

    rig = load_cameras(what.cameras, in_tool=True)
    if what.video.stem not in rig:
        raise ActionImagesError(f"{what.cameras}: has no camera '{what.video.stem}'; it has {', '.join(rig)}")
    camera, frames = rig[what.video.stem], VideoFrames(what.video)
    if frames.size != tuple(camera.size):
        raise ActionImagesError(
            f"{what.video}: is {frames.size} px, its camera {camera.size}; straighten before resizing"
        )
    straight = lens_of(camera if not camera.batch_shape else camera[0])
    lens = Lens(straight.focal, straight.centre, torch.tensor(what.radial, dtype=torch.float64))
    what.out.parent.mkdir(parents=True, exist_ok=True)
    height, width = frames.size
    # Read a few frames at a time: each read begins at the keyframe before, and memory does not grow.
    at_once = max(1, min(64, (256 << 20) // (3 * height * width)))
    parts = (
        frames.read(range(first, min(first + at_once, len(frames))))
        for first in range(0, len(frames), at_once)
    )
    straight_frames = (straighten(frame[None], lens)[0] for frame in chain.from_iterable(parts))
    pixel_format = "yuv444p" if height % 2 or width % 2 else "yuv420p"
    times = None if is_steady(frames) else frames.times.tolist()
    write_video(what.out, straight_frames, frames.fps, what.crf, pixel_format, times=times)
    PlainConsole().print(f"{what.out}: {len(frames)} frames", soft_wrap=True)
