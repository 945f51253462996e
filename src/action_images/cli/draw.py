"""Draw a trajectory into calibrated views: one action video for each camera.

action-images draw path.csv --cameras cameras.json --out videos
action-images draw path.csv --cameras cameras.json --out videos --over footage
"""

import re
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

from action_images.errors import ActionImagesError
from action_images.terminal.paths import GivenFile, GivenFolder, OutFolder
from action_images.terminal.refusals import above_zero

if TYPE_CHECKING:
    from action_images.episodes.video import VideoFrames

OVERLAYS = "overlay"
DEFAULT_FPS = 10.0
PNG = re.compile(r"\d{5,}\.png")


def main(
    trajectory: Annotated[GivenFile, tyro.conf.Positional],
    /,
    cameras: GivenFile,
    out: OutFolder,
    over: GivenFolder | None = None,
    columns: Path | None = None,
    fps: float | None = None,
    crf: int = 18,
    *,
    png: bool = False,
    released: bool = False,
    axis_length: float = 0.1,
) -> None:
    """Draw a trajectory into calibrated views: an action video, OUT/<camera>.mp4, for each camera.

    Prints first in how many frames of each view the tool lies inside the picture. Rows with `valid` or
    `confidence` 0, as `read` writes them, show no spots: their poses are not reliable.

    Args:
        trajectory: Tool poses as .npy, .csv or .json: x y z, quaternion x y z w (or Euler xyz), opening.
        cameras: The rig's calibration, a cameras file (docs/conventions.md).
        out: Folder to write to; refused if it has drawn videos or pictures that would not be replaced.
        over: Folder with <camera>.mp4 of the scene; OUT/overlay/<camera>.mp4 then shows both.
        columns: A json file with the columns that hold the poses, and their notation (docs/data.md).
        fps: Frames per second of the videos; those of the scene if not given, or 10 without a scene.
        crf: H.264 quality, 0 (best) to 51.
        png: Also write every frame without loss as OUT/<camera>/<frame>.png.
        released: Draw as the method's public release does (its weights were trained on such images).
        axis_length: Distance in m from the tool's position to the spots on its axes.
    """
    above_zero({"fps": fps, "axis-length": axis_length})
    from rich.progress import track

    from action_images.codec import RELEASED, ActionImageFormat, draw_uint8
    from action_images.codec.overlay import overlay
    from action_images.episodes.cameras_file import check_pictures, load_cameras
    from action_images.episodes.contradictions import told_openings
    from action_images.episodes.inside import told_inside
    from action_images.episodes.names import check_camera_name
    from action_images.episodes.trajectory_file import load_with_unreliable, without_poses
    from action_images.episodes.video import VideoFrames, write_video
    from action_images.files.atomic import remove_leftovers
    from action_images.files.lock import alone_in
    from action_images.reports.pictures import save_png
    from action_images.terminal.console import PlainConsole

    format = replace(RELEASED if released else ActionImageFormat(), axis_length=axis_length)
    rig = load_cameras(cameras)
    path, unreliable = load_with_unreliable(trajectory, columns)
    path = without_poses(path, unreliable)
    if over is not None and over.resolve() == out.resolve():
        raise ActionImagesError(
            f"--out {out}: has the scene's videos, which the drawing would replace; give another"
        )
    scenes: dict[str, VideoFrames] = {}
    for name, camera in rig.items():
        check_camera_name(name, str(cameras))
        if camera.batch_shape and camera.batch_shape[0] != path.num_frames:
            moves = f"camera '{name}' moves over {camera.batch_shape[0]} frames"
            raise ActionImagesError(f"{cameras}: {moves}, {trajectory} has {path.num_frames}")
        if over is not None:
            scene = over / f"{name}.mp4"
            scenes[name] = VideoFrames(scene)
            check_pictures(camera, scenes[name].size, str(scene))
            if len(scenes[name]) != path.num_frames:
                raise ActionImagesError(
                    f"{scene}: has {len(scenes[name])} frames, {trajectory} {path.num_frames} poses; give a "
                    "pose for each frame"
                )
    if scenes and fps is None:
        _check_one_rate(scenes)
    console = PlainConsole()
    if unreliable:
        rows = f"{len(unreliable)} of {path.num_frames} rows have no reliable pose (valid or confidence 0)"
        console.print(f"{trajectory}: {rows}; they are drawn without spots", soft_wrap=True)
    for name, camera in rig.items():
        console.print(told_inside(name, camera, path.world_from_tool.translation), soft_wrap=True)
    told = told_openings(float(path.opening.min()), float(path.opening.max()))
    if told is not None:
        console.print(f"{trajectory}: {told}", soft_wrap=True)
    with alone_in(out):
        _check_nothing_left(out, list(rig), path.num_frames if png else 0, has_overlays=over is not None)
        for name, camera in track(rig.items(), description="drawing"):
            # Draw one camera at a time: image sizes may differ, and memory then holds one view.
            moving = camera if camera.batch_shape else camera[None].expand(path.num_frames)
            images = draw_uint8(path, moving[None], format)[0]
            # Subsampled chroma needs even sizes; odd sizes keep all of it.
            colours = "yuv420p" if max(camera.size[0] % 2, camera.size[1] % 2) == 0 else "yuv444p"
            own_rate = scenes[name].fps if name in scenes else DEFAULT_FPS
            rate = own_rate if fps is None else fps
            write_video(out / f"{name}.mp4", images, rate, crf=crf, pixel_format=colours)
            if png:
                (out / name).mkdir(exist_ok=True)
                remove_leftovers(out / name)
                for i, image in enumerate(images):
                    save_png(out / name / f"{i:05d}.png", image)
            if name in scenes:
                laid_over = overlay(scenes[name].read(range(path.num_frames)), images, format)
                # In a folder of its own, because `read` takes OUT/*.mp4 as action videos.
                (out / OVERLAYS).mkdir(exist_ok=True)
                remove_leftovers(out / OVERLAYS)
                overlay_path = out / OVERLAYS / f"{name}.mp4"
                write_video(overlay_path, laid_over, rate, crf=crf, pixel_format=colours)
    console.print(f"{path.num_frames} frames in {len(rig)} views: {out}")


def _check_one_rate(scenes: dict[str, "VideoFrames"]) -> None:
    """Raise ActionImagesError if videos of one scene run at different rates: row i would be two moments."""
    from action_images.episodes.video_places import MOST_RATE_ERROR

    by_rate = sorted(scenes.values(), key=lambda scene: scene.fps)
    slow, fast = by_rate[0], by_rate[-1]
    if fast.fps - slow.fps <= MOST_RATE_ERROR * slow.fps:
        return
    told = f"{fast.path} runs at {fast.fps:g} frames/s, {slow.path} at {slow.fps:g}"
    raise ActionImagesError(f"{told}; if picture i of both is row i, give the rate of both with --fps")


def _check_nothing_left(out: Path, names: list[str], num_pngs: int, *, has_overlays: bool) -> None:
    """Raise ActionImagesError if a drawing would stay that this one does not replace: they would be mixed."""
    videos = {out / f"{name}.mp4" for name in names}
    videos |= {out / OVERLAYS / f"{name}.mp4" for name in names if has_overlays}
    found = {path for path in (*out.glob("*.mp4"), *out.glob(f"{OVERLAYS}/*.mp4")) if path.name[0] != "."}
    stale = sorted(found - videos)
    for name in names:
        pngs = [path for path in sorted((out / name).glob("*.png")) if PNG.fullmatch(path.name)]
        stale += [path for path in pngs if int(path.stem) >= num_pngs]
    if stale:
        more = f" and {len(stale) - 1} more" if len(stale) > 1 else ""
        told = f"has {stale[0].relative_to(out)}{more}, of another drawing"
        raise ActionImagesError(f"{out}: {told}; remove it, or give another folder")
