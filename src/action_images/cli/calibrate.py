"""Calibrate cameras from pictures of a printed board and the robot's poses, or from the robot's motion.

action-images calibrate board --out board.pdf
action-images calibrate fixed shots/left shots/right --poses poses.csv --out calibration
"""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

from action_images.errors import ActionImagesError

if TYPE_CHECKING:
    from action_images.calibration.from_motion.judge import Finding
    from action_images.calibration.from_motion.search import SetResult
    from action_images.episodes.readers import Reader


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


NOTHING_USABLE = 1
"""The exit code if no camera is usable."""


@dataclass(frozen=True)
class FromMotion:
    """Locate still cameras from ordinary episodes with tool poses: image features that move with the tool
    show where the cameras are."""

    dataset: tyro.conf.Positional[Path]
    """A data set of ours or of another format that `import` reads; a LeRobot set needs the tool in
    calibration.json."""
    out: Path = Path("calibration")
    """Folder for cameras.json, report.json, from_motion.html and the tracks, from which a stopped run
    resumes."""
    views: tuple[str, ...] = ()
    """Views to calibrate; all if not given. They must stand still."""
    focal: float | None = None
    """Focal length in px of the videos, if known; estimated if not given."""
    aspect: float | None = None
    """fx / fy of pictures that were squeezed, such as 0.75 for 640 x 480 px made 256 x 256; --focal is then
    the geometric mean of both."""
    rough: Path | None = None
    """Cameras file of approximate cameras to start from."""
    keep_focal: bool = False
    """Keep the focal lengths of --rough."""
    clicks: Path | None = None
    """Csv file of clicks on the tool's origin: episode,frame,view,x,y."""
    same_lens: bool = False
    """All views have one focal length."""
    radial: bool = False
    """Estimate radial distortion (k1)."""
    episodes: int = 40
    """The most episodes to use, spread over the set."""
    as_declared: bool = False
    """Do not try other conventions, delays or mirrored pictures."""
    apply: bool = False
    """Write the results into the set's calibration.json: cameras, delays, mirrored videos, and the notation
    of rotations."""
    workers: int = 2
    """Processes that decode and fit; 0 does both in this one."""
    fps: float | None = None
    """Frames per second of an rlds set whose rate is not known."""


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
        return _from_motion(what)
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
    from action_images.reports.calibration_said import say_calibrated
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
    say_calibrated(PlainConsole(), result, what.out, straighten=what.straighten)


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


def _from_motion(what: FromMotion) -> int:
    """Calibrate, write the results and print them; the exit code is 1 if no camera is usable."""
    from action_images.calibration.from_motion.apply import check_applicable, declared_frames
    from action_images.calibration.from_motion.gather import Followable, gather
    from action_images.calibration.from_motion.given import Given, asked_of, check_given
    from action_images.calibration.from_motion.judge import judge
    from action_images.calibration.from_motion.report import SOURCE
    from action_images.calibration.from_motion.search import calibrate_from_motion
    from action_images.calibration.own_folder import check_own
    from action_images.episodes.readers import open_foreign
    from action_images.files.lock import alone_in
    from action_images.reports.calibration_said import say_found
    from action_images.terminal.console import PlainConsole
    from action_images.terminal.progress import counting

    _check(what)
    check_own(what.out, SOURCE)
    if what.apply:
        check_applicable(what.dataset, what.views)
    source = Followable(what.dataset, what.views, what.fps)
    reader = open_foreign(what.dataset, "auto", source.wanted)[1]
    names = ("dataset", "views", "fps", "focal", "aspect", "rough", "keep_focal", "clicks", "radial")
    given = Given(**{name: getattr(what, name) for name in names})
    asked, also = asked_of(given, reader)
    with alone_in(what.out):
        with counting("following features") as tell:
            gathered = gather(
                source, what.out, num_workers=what.workers, also=also, most=what.episodes, seen=tell
            )
        check_given(given, gathered.episodes[0], asked[""].clicks)
        asked = {name: asked.get(name, asked[""]) for name in gathered.episodes[0].sizes}
        frames = declared_frames(what.dataset)
        options = {"frames": frames, "search": not what.as_declared, "num_workers": what.workers}
        with counting("fitting cameras") as tell:
            result = calibrate_from_motion(gathered, asked, same_lens=what.same_lens, tell=tell, **options)
        findings = judge(result)
        written = _write(what, result, findings, reader)
    say_found(PlainConsole(), what.dataset, what.out, result, findings, written=written)
    return 0 if written else NOTHING_USABLE


def _check(what: FromMotion) -> None:
    if what.episodes < 3:
        raise ActionImagesError(f"--episodes is {what.episodes}; points must be seen in three at least")
    if what.focal is not None and what.focal <= 0:
        raise ActionImagesError(f"--focal is {what.focal:g}; give px of the videos, such as 610")
    if what.focal is not None and what.rough is not None:
        raise ActionImagesError("--focal and --rough both give a focal length; give one of them")
    if what.aspect is not None and not 0.2 < what.aspect < 5:
        raise ActionImagesError(f"--aspect is {what.aspect:g}; give fx / fy, such as 0.75")
    if what.aspect is not None and what.rough is not None:
        raise ActionImagesError("--aspect and --rough both give fx / fy; give one of them")
    if what.keep_focal and what.rough is None:
        raise ActionImagesError("--keep-focal needs --rough, whose focal lengths are kept")
    if what.same_lens and (what.focal is not None or what.keep_focal):
        raise ActionImagesError("--same-lens estimates a focal length; leave --focal and --keep-focal out")


def _write(what: FromMotion, result: "SetResult", findings: "list[Finding]", reader: "Reader") -> bool:
    """Write report, page and cameras; returns whether there are any cameras."""
    from action_images.calibration.from_motion.apply import apply, redeclared
    from action_images.calibration.from_motion.judge import CONVENTION, MIRRORED
    from action_images.calibration.from_motion.report import SOURCE, report, usable_cameras
    from action_images.calibration.own_folder import check_own
    from action_images.episodes.cameras_file import save_cameras
    from action_images.files.atomic import write_json
    from action_images.reports.from_motion_page import write_from_motion_page

    is_declarable = what.apply and redeclared(what.dataset, result.convention) is not None
    declared = {CONVENTION} if is_declarable else set()
    cameras = usable_cameras(result, findings, declared=declared)
    # Cameras of mirrored videos are valid only if calibration.json declares the videos mirrored.
    applied = usable_cameras(result, findings, declared=declared | {MIRRORED}) if what.apply else {}
    path = check_own(what.out, SOURCE)
    write_json(what.out / "report.json", report(result, findings), indent=1)
    title = f"{what.dataset.resolve().name}: cameras from motion"
    write_from_motion_page(what.out / "from_motion.html", title, result, findings, reader)
    if applied:
        apply(what.dataset, result, applied)
    if cameras:
        save_cameras(path, cameras, source=SOURCE)
    elif path.is_file():
        path.unlink()
        print(f"{path}: is removed; it was of an earlier run, which this one contradicts")
    return bool(cameras or applied)
