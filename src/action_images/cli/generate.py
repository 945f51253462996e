"""Generate with a model: plans, imagined videos, action labels, simulated videos.

action-images generate --dataset dataset --episode 3 --mode joint --out clip
action-images generate --views pictures --cameras cameras.json --trajectory now.csv \
        --instruction 'push the red button' --out clip
"""

from pathlib import Path
from typing import TYPE_CHECKING, Literal

from action_images.errors import ActionImagesError
from action_images.terminal.paths import GivenDataset, GivenFile, GivenFolder, GivenModels, OutFolder
from action_images.terminal.progress import working
from action_images.terminal.refusals import above_zero, not_into, nothing_left, without_effect

if TYPE_CHECKING:
    from action_images.episodes.episode import Episode
    from action_images.samples.sample import Sample

TRAJECTORY = "trajectory.csv"


def main(
    out: OutFolder,
    model: GivenModels = "shipped",
    mode: Literal["joint", "policy", "simulate", "label", "video"] = "policy",
    instruction: str | None = None,
    dataset: GivenDataset | None = None,
    episode: int | None = None,
    views: GivenFolder | None = None,
    cameras: GivenFile | None = None,
    trajectory: GivenFile | None = None,
    frames: int | None = None,
    start: int = 0,
    stride: int | None = None,
    height: int | None = None,
    width: int | None = None,
    steps: int | None = None,
    guidance: float | None = None,
    *,
    cached: bool = False,
    seed: int = 0,
    fps: float | None = None,
    device: str = "auto",
    dtype: Literal["auto", "float32", "bfloat16"] = "float32",
) -> None:
    """Write OUT/<camera>.mp4, OUT/<camera>_actions.mp4, OUT/trajectory.csv and OUT/contact_sheet.png, as far
    as the mode has them.

    The model gets an episode of a data set (--dataset, --episode) or loose files (--views, --cameras,
    --trajectory). 'policy' and 'joint' need one image of each view and the current tool pose. 'simulate'
    needs the whole trajectory as well, 'label' whole videos, and 'video' one image of each view. Frames,
    size, steps, guidance and fps default to those of the clips that the model was trained on. If its folder
    does not have them: 41 frames of 512 x 512 px, 50 steps, guidance 1 and 10 fps.

    Args:
        model: folder of saved models, or `shipped`, which know the embedded world alone.
        out: folder to write to.
        mode: what the model gets and what it generates.
        instruction: what to do; the episode's own if not given. 'label' and 'simulate' need none.
        dataset: a LeRobotDataset v3.
        episode: number of the episode of --dataset; 0 if not given.
        views: folder with <camera>.mp4, .png or .jpg for each camera of the cameras file.
        cameras: the rig's calibration, a cameras file (docs/conventions.md).
        trajectory: with --views: tool poses (.npy, .csv, .json); the first row is the current pose.
            'video' takes none.
        frames: frames on the canvas, 1 + 4 n.
        start: first frame taken from the episode or the files.
        stride: take every so many frames; if not given, an episode is taken at the pace of the model's clips,
            and files whole.
        height: height in px that all views are resized to.
        width: width in px that all views are resized to.
        steps: sampling steps.
        guidance: weight of the instruction; 1 is without guidance, at half the cost.
        cached: skip steps while the model's output hardly changes direction.
        seed: the same seed gives the same bytes.
        fps: frames per second of the written videos.
        device: where the model runs: cuda, cuda:1, mps, cpu, or auto for the first one available.
        dtype: precision of the transformer and the language model; auto takes what is fast on the device.
    """
    above_zero(
        {"frames": frames, "stride": stride, "height": height, "width": width, "steps": steps, "fps": fps}
    )
    if start < 0:
        raise ActionImagesError(f"--start {start}: frames count from 0; give 0 or more")
    loose = {"views": views, "cameras": cameras, "trajectory": trajectory}
    if dataset is not None:
        without_effect("--dataset brings its own views, cameras and poses", loose)
    else:
        without_effect("--episode is of a --dataset", {"episode": episode})
    not_into(out, views, "views")
    if mode == "video":
        without_effect(f"mode '{mode}' is given no tool poses", {"trajectory": trajectory})
    from dataclasses import replace

    from action_images.diffusion.sampler import StepCache
    from action_images.files.lock import alone_in
    from action_images.inference.clip_generator import ClipGenerator
    from action_images.inference.confidence import confidence
    from action_images.inference.generation import generation_named
    from action_images.model.bundle import Clips
    from action_images.terminal.doubts import say_strangeness, say_words
    from action_images.terminal.model_options import ModelOptions

    source = (
        _from_dataset(dataset, episode or 0)
        if dataset is not None
        else _from_files(views, cameras, trajectory, instruction)
    )
    nothing_left(out, _names_written(source, mode), ("*.mp4", TRAJECTORY))
    options = ModelOptions(model, None, device, dtype).placed()
    with working(f"loading {model}"):
        models = options.load()
    own = models.clips or Clips((512, 512), 41, 10.0, "fifty-steps")
    size = (own.size[0] if height is None else height, own.size[1] if width is None else width)
    clips = replace(own, size=size, num_frames=own.num_frames if frames is None else frames)
    told = {"num_steps": steps, "guidance": guidance, "cache": StepCache() if cached else None}
    told = {name: value for name, value in told.items() if value is not None}
    generation = generation_named(clips.sampling)
    generation = replace(generation, sampling=replace(generation.sampling, **told))
    if stride is None:
        stride = 1 if dataset is None or models.clips is None else _pace(source, clips.fps)
    scene = _scene(source, mode, (start, stride, clips.num_frames), clips.size, instruction)
    generator = ClipGenerator.of(models, clips=clips, generation=generation)
    say_strangeness(models, scene.video[0, :, 0])
    with working("generating"):
        prediction = generator.generate(scene, mode, [seed])
    if prediction.reading is not None and mode != "simulate":
        say_words(models, mode, confidence(prediction, generator.sigma_px)[0].tolist())
    with alone_in(out):
        names, rate = [view.name for view in source.views], clips.fps if fps is None else fps
        _write(out, names, prediction, generator.pipeline.format, rate)


def _names_written(source: "Episode", mode: str) -> set[str]:
    """The names of the videos and of the trajectory that a mode writes."""
    names = [view.name for view in source.views]
    # One image is no video, and one view gives no poses.
    found = set() if mode == "policy" else {f"{name}.mp4" for name in names}
    if mode == "video":
        return found
    found |= {f"{name}_actions.mp4" for name in names}
    return found | {TRAJECTORY} if len(names) > 1 else found


def _pace(source: "Episode", fps: float) -> int:
    """The stride through an episode at which it runs at about `fps` frames per second, the rate that the
    model has learnt."""
    from action_images.inference.pacing import SLOWEST

    if source.fps < SLOWEST * fps:
        raise ActionImagesError(
            f"{source.id}: has {source.fps:g} frames/s, the model's clips {fps:g}; give --stride to take it "
            "as it is"
        )
    return max(1, round(source.fps / fps))


def _from_dataset(dataset: Path, number: int) -> "Episode":
    from action_images.episodes.dataset import Dataset

    return Dataset(dataset).numbered(number)


def _from_files(
    views: Path | None, cameras: Path | None, trajectory: Path | None, instruction: str | None
) -> "Episode":
    from action_images.episodes.loose_files import loose_episode

    if views is None or cameras is None:
        raise ActionImagesError("give --dataset, or --views and --cameras")
    return loose_episode(views, cameras, trajectory, instruction)


def _scene(
    source: "Episode", mode: str, window: tuple[int, int, int], size: tuple[int, int], instruction: str | None
) -> "Sample":
    """A batch of one with the inputs of the mode and none of its outputs."""
    from dataclasses import replace

    from action_images.canvas import MODES, Show
    from action_images.samples.sample import collate, cut
    from action_images.samples.window import Window

    start, stride, frames = window
    told = instruction if instruction is not None else source.instruction
    if not (told and told.strip()) and mode not in ("label", "simulate"):
        raise ActionImagesError(f"mode '{mode}' needs an instruction; give --instruction")
    num_shown = frames if MODES[mode].video is Show.EVERYTHING else 1
    if num_shown == 1 and any(
        view.camera is not None and view.camera.batch_shape and frames > 1 for view in source.views
    ):
        raise ActionImagesError(
            "a camera that moves is known for as many frames as are shown, which is one in this mode; use "
            "still cameras"
        )
    shortest = min(len(view.frames) for view in source.views)
    last = start + stride * (num_shown - 1)
    if last >= shortest:
        raise ActionImagesError(
            f"{source.id}: has {shortest} frames, this asks for frame {last}; lower --frames or --stride"
        )
    names = tuple(view.name for view in source.views)
    scene = cut(replace(source, trajectory=None), Window(source.id, names, start, stride, num_shown), size)
    if MODES[mode].action is not None:
        path = source.trajectory
        if path is None:
            raise ActionImagesError(
                f"mode '{mode}' needs the tool's pose; give --trajectory, whose first row is the current one"
            )
        rows = range(start, start + stride * (frames if MODES[mode].action is Show.EVERYTHING else 1), stride)
        if rows[-1] >= path.num_frames:
            raise ActionImagesError(
                f"{source.id}: the trajectory has {path.num_frames} rows, not {rows[-1] + 1}; lower --frames "
                "or --stride"
            )
        scene = replace(scene, trajectory=path[list(rows)])
    return collate([replace(scene, instruction=told or "")])


def _write(out: Path, names: list[str], prediction, format, fps: float) -> None:
    """Write videos and action videos of each view, the trajectory with confidence, and a contact sheet."""
    from action_images.codec.overlay import overlay
    from action_images.episodes.trajectory_file import save_trajectory
    from action_images.episodes.video import write_video
    from action_images.reports.pictures import contact_sheet, save_png
    from action_images.terminal.console import PlainConsole

    rows, labels = [], []
    for view, name in enumerate(names):
        video, actions = (
            None if part is None else (part[0, view] * 255).round().byte()
            for part in (prediction.video, prediction.action_images)
        )
        if video is not None and len(video) > 1:
            write_video(out / f"{name}.mp4", video, fps)
            rows.append(video)
            labels.append(f"{name}, video")
        if actions is not None:
            write_video(out / f"{name}_actions.mp4", actions, fps)
            rows.append(actions)
            labels.append(f"{name}, action images")
            if video is not None:
                rows.append(overlay(video.expand_as(actions), actions, format))
                labels.append(f"{name}, action images over the video")
    save_png(out / "contact_sheet.png", contact_sheet(rows, labels=labels))
    if prediction.reading is not None:
        reading = prediction.reading[0]
        save_trajectory(
            out / TRAJECTORY,
            reading.trajectory,
            {"confidence": reading.confidence, "valid": reading.valid.float()},
        )
        known = int(reading.valid.sum())
        PlainConsole().print(f"{known} of {len(reading.valid)} frames have a pose that can be relied on")
    PlainConsole().print(f"written: {out}")
