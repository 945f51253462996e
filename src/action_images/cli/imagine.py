"""Imagine several futures of a scene, the most consistent first, or one view from another.

action-images imagine dataset --episode 3 --out futures
action-images imagine --pictures pictures --cameras cameras.json --trajectory now.csv \
        --instruction 'push the red button' --out futures
"""

from typing import Annotated

import tyro

from action_images.errors import ActionImagesError
from action_images.terminal.model_options import ModelOptions
from action_images.terminal.paths import GivenDataset, GivenFile, OutFolder
from action_images.terminal.progress import working
from action_images.terminal.refusals import above_zero, not_into, nothing_left, without_effect
from action_images.terminal.scene_options import LooseFiles

WRITTEN = ("*.mp4", "[0-9]*/*.mp4", "[0-9]*/trajectory.csv")
"""The kinds of files that this command writes."""


def main(
    dataset: Annotated[GivenDataset | None, tyro.conf.Positional] = None,
    *,
    out: OutFolder,
    episode: int | None = None,
    start: int | None = None,
    loose: Annotated[LooseFiles, tyro.conf.arg(name="")] = LooseFiles(),
    trajectory: GivenFile | None = None,
    instruction: str | None = None,
    views: tuple[str, ...] = (),
    samples: int | None = None,
    second_view: bool = False,
    seed: int = 0,
    models: Annotated[ModelOptions, tyro.conf.arg(name="")] = ModelOptions(),
) -> None:
    """Write each future as OUT/<rank>/<view>.mp4, <view>_actions.mp4 and trajectory.csv, and all of them as
    OUT/contact_sheet.png.

    The model gets an instruction and the first images, cameras and tool pose of an episode or of loose files
    (--pictures, --cameras, --trajectory). Rank 0 is the future whose views agree best on one path. With
    --second-view the model also sees the whole video of the first view and imagines the other views.
    OUT/contact_sheet.png then shows the recorded frames below the imagined ones.

    Args:
        dataset: a LeRobotDataset v3 with calibrated views and tool poses.
        out: folder to write to.
        episode: number of the episode; 0 if not given.
        start: frame of the episode to begin at; 0 if not given.
        trajectory: with --pictures: tool poses (.npy, .csv, .json); the first row is where the tool is.
        instruction: what to do; the episode's own if not given.
        views: which views; the first two if not given.
        samples: how many futures; 4 if not given. Not with --second-view, which makes one.
        second_view: imagine the other views from the first one's video.
        seed: the same seed gives the same futures.
    """
    if second_view and samples is not None:
        raise ActionImagesError(
            "--second-view imagines the other views once; leave --samples out, or change --seed for another "
            "one"
        )

    above_zero({"samples": samples})
    not_into(out, loose.pictures, "pictures")
    if dataset is not None:
        why = "an episode begins where its own tool is (change that with --start)"
        without_effect(why, {"trajectory": trajectory})
    from dataclasses import replace

    from action_images.codec.overlay import overlay
    from action_images.episodes.trajectory_file import save_trajectory
    from action_images.episodes.video import write_video
    from action_images.files.atomic import remove_leftovers
    from action_images.files.lock import alone_in
    from action_images.inference import imagine as imagining
    from action_images.inference.pacing import paced_from, recording
    from action_images.reports.pictures import contact_sheet, save_png
    from action_images.terminal.console import PlainConsole
    from action_images.terminal.doubts import say_strangeness, say_words

    shown = loose.scene(dataset, trajectory, instruction, episode=episode, start=start)
    start = start or 0
    chosen = views or tuple(view.name for view in shown.views[:2])
    num_samples = 4 if samples is None else samples
    nothing_left(out, _names_written(chosen, 0 if second_view else num_samples), WRITTEN)
    models = models.placed()
    with working(f"loading {models.model}"):
        generator = models.generator()
    num_frames = generator.clips.num_frames
    if shown.trajectory is None:
        raise ActionImagesError(
            f"{shown.id}: has no tool pose to begin from; label the data set first (action-images label)"
        )
    frames = paced_from(shown, start, generator.clips.fps)[:num_frames]
    console, rows, labels = PlainConsole(), [], []
    if second_view and len(frames) < num_frames:
        raise ActionImagesError(
            f"{shown.id}: has {len(frames)} model frames from {start} on, a clip {num_frames}; begin earlier"
        )
    still = frames + frames[-1:] * (num_frames - len(frames))
    scene = recording(shown, chosen, still, generator.clips.size, None if second_view else 1)
    scene = replace(scene, instruction=instruction if instruction is not None else shown.instruction)
    say_strangeness(generator.pipeline.models, scene.video[:, 0])
    with alone_in(out):
        if second_view:
            if len(chosen) < 2:
                raise ActionImagesError(
                    "--second-view needs a view to see and another to imagine; give --views two names"
                )
            with working("imagining"):
                video = imagining.second_view(generator, scene, seed).video
            assert video is not None
            for name, view, real in zip(chosen, video.mul(255).round().byte(), scene.video, strict=True):
                write_video(out / f"{name}.mp4", view, generator.clips.fps)
                rows += [view, real.add(1).mul(127.5).round().byte()]
                labels += [f"{name}, imagined", f"{name}, recorded"]
            console.print(f"imagined {', '.join(chosen[1:])} from {chosen[0]}")
        else:
            with working("imagining"):
                futures = imagining.imagine(generator, scene, num_samples, seed)
            for rank, future in enumerate(futures):
                folder = out / str(rank)
                folder.mkdir(exist_ok=True)
                remove_leftovers(folder)
                for name, *pair in zip(chosen, future.video, future.action_images, strict=True):
                    view, actions = (part.mul(255).round().byte() for part in pair)
                    write_video(folder / f"{name}.mp4", view, generator.clips.fps)
                    write_video(folder / f"{name}_actions.mp4", actions, generator.clips.fps)
                    rows.append(overlay(view, actions, generator.pipeline.format))
                    labels.append(f"future {rank}: {name}, action images over the video")
                sure, agreement = future.confidence, future.agreement
                save_trajectory(folder / "trajectory.csv", future.trajectory, {"confidence": sure})
                console.print(
                    f"future {rank}: agreement {agreement:.3f}, confidence {sure.mean():.2f}",
                )
                say_words(generator.pipeline.models, "joint", sure.tolist())
        save_png(out / "contact_sheet.png", contact_sheet(rows, labels=labels))
    console.print(f"written: {out}", soft_wrap=True)


def _names_written(views: tuple[str, ...], num_samples: int) -> set[str]:
    """The names of the files in OUT with this many futures (0: none, but imagined views)."""
    if not num_samples:
        return {f"{view}.mp4" for view in views}
    found = {f"{rank}/trajectory.csv" for rank in range(num_samples)}
    for view in views:
        found |= {f"{rank}/{view}.mp4" for rank in range(num_samples)}
        found |= {f"{rank}/{view}_actions.mp4" for rank in range(num_samples)}
    return found
