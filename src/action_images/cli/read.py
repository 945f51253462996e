"""Read the trajectory off action videos of several calibrated cameras."""

from dataclasses import replace
from pathlib import Path
from typing import Annotated, Literal

import tyro

from action_images.errors import ActionImagesError


def main(
    videos: Annotated[list[Path], tyro.conf.Positional],
    /,
    cameras: Path,
    out: Path,
    precision: Literal["exact", "fast"] = "exact",
    max_std_mm: float = 2.5,
    smooth_frames: float | None = None,
    columns: Path | None = None,
    *,
    released: bool = False,
    axis_length: float = 0.1,
) -> int:
    """Read the trajectory off action videos, at least two, each named after its camera.

    Writes the trajectory with confidence, validity and residual of every frame, prints a summary, and
    returns 1 where a frame is not valid.

    Args:
        videos: The action videos, <camera>.mp4.
        cameras: The rig's calibration, a cameras file (docs/conventions.md); more cameras may be there.
        out: Trajectory file to write, .csv or .json.
        precision: exact uses every pixel near a spot, fast some of them.
        max_std_mm: Frames whose position is predicted to be worse than this are not valid.
        smooth_frames: Smooth over time with this standard deviation, in frames; for generated videos.
        columns: A json file that says which columns to write, and in which notation (docs/data.md).
        released: The videos were drawn as the public release of the method draws.
        axis_length: From the tool's position to the spots on its axes as they were drawn, in m.
    """
    import torch
    from rich.table import Table

    from action_images.codec import RELEASED, ActionImageFormat
    from action_images.codec import read as read_images
    from action_images.codec.smooth import GaussianSmoother
    from action_images.episodes.cameras_file import check_pictures, load_cameras
    from action_images.episodes.columns_file import load_columns
    from action_images.episodes.trajectory_file import save_trajectory
    from action_images.episodes.video import read_video
    from action_images.structs import stack
    from action_images.terminal.console import PlainConsole

    rig = load_cameras(cameras)
    if columns is not None:
        load_columns(columns)  # before minutes of reading, not after them
    if missing := [str(video) for video in videos if video.stem not in rig]:
        raise ActionImagesError(f"{cameras}: has no camera for {', '.join(missing)}; it has {', '.join(rig)}")
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
    moving = [rig[video.stem].expand(num_frames) for video in videos]
    reading = read_images(
        torch.stack(clips),
        stack(moving),
        replace(RELEASED if released else ActionImageFormat(), axis_length=axis_length),
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
    if num_invalid:
        frames = (~known).nonzero().flatten().tolist()
        more = " ..." if num_invalid > 20 else ""
        PlainConsole().print(f"not valid: frames {frames[:20]}{more}", style="yellow")
    return 1 if num_invalid else 0
