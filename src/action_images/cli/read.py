"""Read the trajectory from action videos of several calibrated cameras.

action-images read videos/left.mp4 videos/right.mp4 --cameras cameras.json --out read.csv
action-images read videos/*.mp4 --cameras cameras.json --out read.csv --smooth-frames 1.5
"""

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import tyro

from action_images.errors import ActionImagesError
from action_images.terminal.paths import GivenFile
from action_images.terminal.progress import working

if TYPE_CHECKING:
    from torch import Tensor

    from action_images.codec import Reading
    from action_images.geometry import Camera, Trajectory


def main(
    videos: Annotated[list[GivenFile], tyro.conf.Positional],
    /,
    cameras: GivenFile,
    out: Path,
    precision: Literal["exact", "fast"] = "exact",
    max_std_mm: float = 2.5,
    smooth_frames: float | None = None,
    against: GivenFile | None = None,
    columns: Path | None = None,
    *,
    released: bool = False,
    axis_length: float = 0.1,
) -> int:
    """Read the trajectory from two or more action videos, each named after its camera.

    Writes the trajectory with confidence, validity and residual of every frame, and prints a summary.
    Returns 1 if a frame is not valid.

    Args:
        videos: The action videos, <camera>.mp4.
        cameras: The rig's calibration, a cameras file (docs/conventions.md); it may have more cameras.
        out: Trajectory file to write, .csv or .json.
        precision: exact uses every pixel near a spot, fast only some of them.
        max_std_mm: A frame is not valid if its predicted position error (std) exceeds this, in mm.
        smooth_frames: Smooth over time with this standard deviation in frames; for generated videos.
        columns: A json file with the columns to write, and their notation (docs/data.md); `against` is read
            in it as well.
        against: Trajectory file with the true poses, a row for each frame; prints the reading's errors.
        released: The videos were drawn as the method's public release draws.
        axis_length: Distance in m from the tool's position to the spots on its axes, as drawn.
    """
    import torch
    from rich.table import Table

    from action_images.codec import RELEASED, ActionImageFormat
    from action_images.codec import read as read_images
    from action_images.codec.smooth import GaussianSmoother
    from action_images.episodes.cameras_file import check_pictures, load_cameras
    from action_images.episodes.trajectory_file import check_can_be_saved, load_trajectory, save_trajectory
    from action_images.episodes.video import read_video
    from action_images.structs import stack
    from action_images.terminal.console import PlainConsole

    check_can_be_saved(out, columns, has_more=True)  # fail before minutes of reading, not after
    truth = None if against is None else load_trajectory(against, columns)
    rig = load_cameras(cameras)
    stems = [video.stem for video in videos]
    if twice := [str(video) for video in videos if stems.count(video.stem) > 1]:
        raise ActionImagesError(f"{', '.join(twice)}: are of one camera; give one video for each camera")
    if missing := [str(video) for video in videos if video.stem not in rig]:
        raise ActionImagesError(f"{cameras}: has no camera for {', '.join(missing)}; it has {', '.join(rig)}")
    with working("decoding videos"):
        clips = [read_video(video) for video in videos]
    for video, clip in zip(videos, clips, strict=True):
        camera = rig[video.stem]
        if clip.shape != clips[0].shape:
            shapes = f"{tuple(clip.shape)}, but {videos[0]} is {tuple(clips[0].shape)}"
            raise ActionImagesError(f"{video}: {shapes} (frames, 3, height, width)")
        check_pictures(camera, (clip.shape[-2], clip.shape[-1]), str(video))
        if camera.batch_shape and camera.batch_shape[0] != len(clip):
            raise ActionImagesError(
                f"{video}: has {len(clip)} frames, camera '{video.stem}' of {cameras} {camera.batch_shape[0]}"
            )
    num_frames = len(clips[0])
    if truth is not None and truth.num_frames != num_frames:
        raise ActionImagesError(
            f"{against}: has {truth.num_frames} poses, the videos have {num_frames} frames; give one for each"
        )
    moving = [rig[video.stem].expand(num_frames) for video in videos]
    format = replace(RELEASED if released else ActionImageFormat(), axis_length=axis_length)
    with working(f"reading {num_frames} frames"):
        reading = read_images(
            torch.stack(clips),
            stack(moving),
            format,
            precision=precision,
            max_position_std=max_std_mm / 1e3,
            smooth=None if smooth_frames is None else GaussianSmoother(smooth_frames),
        )
    out.parent.mkdir(parents=True, exist_ok=True)
    extra = {
        "confidence": reading.confidence,
        "valid": reading.valid.float(),
        "residual_px": reading.residual_px,
    }
    save_trajectory(out, reading.trajectory, extra, columns=columns)

    num_invalid = int((~reading.valid).sum())
    table = Table("frames", "valid", "predicted position std, median mm", "residual, median px", "open")
    known = reading.valid
    median = [
        f"{values[known].median().item():.3f}" if known.any() else "-"
        for values in (reading.position_std * 1e3, reading.residual_px)
    ]
    table.add_row(str(num_frames), f"{num_frames - num_invalid}", *median, f"{int(reading.is_open.sum())}")
    PlainConsole().print(table, f"{out}")
    if truth is not None:
        _compare(
            reading, truth, {video.stem: camera for video, camera in zip(videos, moving, strict=True)}, format
        )
    if num_invalid:
        frames = (~known).nonzero().flatten().tolist()
        more = " ..." if num_invalid > 20 else ""
        PlainConsole().print(f"not valid: frames {frames[:20]}{more}", style="yellow")
    return 1 if num_invalid else 0


def _compare(reading: "Reading", truth: "Trajectory", rig: "dict[str, Camera]", format) -> None:
    """Print the errors of the valid frames against the true poses, and of each view's spots."""
    from rich.table import Table

    from action_images.terminal.console import PlainConsole

    valid = reading.valid
    if not valid.any():
        PlainConsole().print("no frame is valid, so there is nothing to compare")
        return
    metres, radians = reading.trajectory.world_from_tool.distance(truth.world_from_tool)
    table = Table("against the true poses", "median", "95 % below", "worst", "in frame", box=None)
    for name, errors in (("position, mm", 1e3 * metres), ("rotation, degrees", radians.rad2deg())):
        table.add_row(name, *_spread(errors, valid))
    right = reading.is_open == (truth.opening > 0.5)
    wrong = int((~right & valid).sum())
    for view, (name, camera) in enumerate(rig.items()):
        pixels, _ = camera[..., None].project(format.points(truth.world_from_tool))
        seen = reading.spots.seen[:, view]
        distances = (reading.spots.position[:, view] - pixels).norm(dim=-1).where(seen, 0.0)
        errors = distances.sum(-1) / seen.sum(-1).clamp_min(1)
        table.add_row(f"spots in {name}, px", *_spread(errors, seen.any(-1)))
    console = PlainConsole()
    console.print(table)
    console.print(f"gripper: wrong in {wrong} of {int(valid.sum())} valid frames")


def _spread(errors: "Tensor", counted: "Tensor") -> tuple[str, str, str, str]:
    """Median, 95th percentile and maximum over the counted frames, and the number of the worst frame."""
    if not counted.any():
        return "-", "-", "-", "-"
    kept = errors[counted]
    worst = errors.where(counted, errors.new_tensor(-1.0)).argmax().item()
    figures = (kept.median().item(), kept.quantile(0.95).item(), kept.max().item())
    median, most, largest = (f"{figure:.3f}" for figure in figures)
    return median, most, largest, str(worst)
