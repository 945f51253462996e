"""Simulate what the views would show if the tool followed a path.

action-images simulate dataset --episode 3 --out simulated
action-images simulate --pictures pictures --cameras cameras.json --trajectory path.csv --out simulated
"""

import math
from typing import TYPE_CHECKING, Annotated

import tyro

from action_images.errors import ActionImagesError
from action_images.terminal.model_options import ModelOptions
from action_images.terminal.paths import GivenDataset, GivenFile, OutFolder
from action_images.terminal.progress import working
from action_images.terminal.refusals import above_zero, not_into, nothing_left, without_effect
from action_images.terminal.scene_options import LooseFiles

if TYPE_CHECKING:
    from action_images.geometry import Pose

FAR_M, FAR_RAD = 0.05, math.radians(20)
"""A path that begins farther than this from the recorded tool gives a warning."""


def main(
    dataset: Annotated[GivenDataset | None, tyro.conf.Positional] = None,
    *,
    out: OutFolder,
    episode: int | None = None,
    loose: Annotated[LooseFiles, tyro.conf.arg(name="")] = LooseFiles(),
    trajectory: GivenFile | None = None,
    fps: float | None = None,
    views: tuple[str, ...] = (),
    instruction: str | None = None,
    start: int | None = None,
    frames: int | None = None,
    seed: int = 0,
    models: Annotated[ModelOptions, tyro.conf.arg(name="")] = ModelOptions(),
) -> None:
    """Write the simulated video of each view, OUT/<view>.mp4, at the model's frame rate and size. Write
    OUT/contact_sheet.png with the recorded frames below the simulated ones.

    The first images and the cameras come from an episode, and so does the path unless --trajectory gives
    another. Alternatively, give loose files: --pictures, --cameras and --trajectory. A path longer than a
    clip is simulated clip by clip, each from the last image of the one before.

    Args:
        dataset: a LeRobotDataset v3 with calibrated views.
        out: folder to write to.
        episode: number of the episode; 0 if not given.
        trajectory: another path to follow (.npy, .csv, .json); its first row is where the tool is.
        fps: rows per second of --trajectory; the data set's frame rate if not given, or the models' own with
            --pictures.
        views: which views; the first two if not given.
        instruction: the instruction for the model; none if not given, since the path says everything.
        start: first frame of the episode; 0 if not given.
        frames: how many model frames, at most as many as the path has; all of them if not given.
        seed: the same seed gives the same videos.
    """
    above_zero({"fps": fps})
    not_into(out, loose.pictures, "pictures")
    if trajectory is None:
        without_effect("--fps is the rate of a --trajectory", {"fps": fps})
    from dataclasses import replace

    from action_images.episodes.trajectory_file import load_trajectory
    from action_images.episodes.video import write_video
    from action_images.files.lock import alone_in
    from action_images.inference.pacing import paced, paced_from, recording
    from action_images.inference.simulate import simulate
    from action_images.reports.pictures import contact_sheet, save_png
    from action_images.terminal.console import PlainConsole

    shown = loose.scene(dataset, trajectory, instruction, episode=episode, start=start)
    start = start or 0
    chosen = views or tuple(view.name for view in shown.views[:2])
    nothing_left(out, {f"{name}.mp4" for name in chosen}, ["*.mp4"])
    models = models.placed()
    with working(f"loading {models.model}"):
        generator = models.generator()
    is_loose = dataset is None
    own = [0] if is_loose else paced_from(shown, start, generator.clips.fps)
    if trajectory is None and len(own) < 2:
        raise ActionImagesError(
            f"{shown.id}: has {shown.num_frames} frames, from {start} on there is nothing to simulate; begin "
            "earlier"
        )
    if trajectory is None:
        own = _first(own, frames, f"{shown.id} from {start} on")
    recorded = recording(shown, chosen, own, generator.clips.size, None if trajectory is None else 1)
    scene = replace(recorded, instruction=instruction)
    if trajectory is not None:
        other = load_trajectory(trajectory)
        if not is_loose and shown.trajectory is not None:
            doubt = doubt_of_begin(other.world_from_tool[0], shown.trajectory.world_from_tool[own[0]])
            if doubt is not None:
                told = f"warning: {trajectory}: {doubt}"
                PlainConsole(stderr=True).print(told, style="yellow", soft_wrap=True)
        own_rate = generator.clips.fps if is_loose else shown.fps
        rate = own_rate if fps is None else fps
        asked = _first(paced(other.num_frames, rate, generator.clips.fps), frames, str(trajectory))
        if recorded.cameras is None or any(
            view.camera is not None and view.camera.batch_shape for view in shown.views if view.name in chosen
        ):
            raise ActionImagesError(
                "cameras that move are known along the episode's own path only; leave --trajectory out, or "
                "choose still views"
            )
        scene = replace(scene, trajectory=other[asked], cameras=recorded.cameras[:, :1])
    with working("simulating"):
        video = simulate(generator, scene, seed)
    with alone_in(out):
        pixels = video.mul(255).round().byte()
        rows, labels = [], []
        for name, view, real in zip(chosen, pixels, recorded.video, strict=True):
            write_video(out / f"{name}.mp4", view, generator.clips.fps)
            rows.append(view)
            labels.append(f"{name}, simulated")
            if trajectory is None:
                rows.append(real.add(1).mul(127.5).round().byte())
                labels.append(f"{name}, recorded")
        save_png(out / "contact_sheet.png", contact_sheet(rows, labels=labels))
    told = "" if trajectory is not None else ", recorded below simulated in the contact sheet"
    PlainConsole().print(f"{pixels.shape[1]} frames of {', '.join(chosen)}{told}: {out}", soft_wrap=True)


def doubt_of_begin(first: "Pose", recorded: "Pose") -> str | None:
    """A warning if a path begins far from the recorded tool (both world_from_tool); None if it does not."""
    metres, radians = (float(value) for value in first.distance(recorded))
    if metres <= FAR_M and radians <= FAR_RAD:
        return None
    apart = (
        f"its first row lies {metres:.2f} m and {math.degrees(radians):.0f} degrees from the recorded tool"
    )
    return f"{apart}, where it should begin; is it in mm, or in another frame?"


def _first(path: list[int], frames: int | None, name: str) -> list[int]:
    """The first `frames` model frames of a path (None: all); raises ValueError if the path has fewer."""
    if frames is not None and not 2 <= frames <= len(path):
        raise ActionImagesError(
            f"{name}: has {len(path)} model frames, --frames {frames} was asked for; ask for 2 to {len(path)}"
        )
    return path[:frames]
