"""Watch an expert in the embedded world: a video of views and action images, and a contact sheet.

action-images watch --task pick_and_lift
action-images watch --task all --seed 7 --out films
"""

from pathlib import Path
from typing import Literal

from action_images.errors import ActionImagesError
from action_images.terminal.choices import TaskOrAll
from action_images.terminal.paths import OutFolder
from action_images.terminal.progress import working


def main(
    task: TaskOrAll,
    out: OutFolder = Path("watch"),
    seed: int = 0,
    views: int = 2,
    size: int = 256,
    rig: Literal["fixed", "sampled", "around", "held_out", "moving"] = "sampled",
    look: Literal["train", "wide", "unseen", "checkered"] = "train",
    columns: int = 6,
) -> None:
    """Watch an expert in the embedded world.

    Writes OUT/<task>_<seed>.mp4, for each camera a row of view | action image | overlay, and the same as a
    contact sheet, OUT/<task>_<seed>.png.

    Args:
        task: A task's name, or `all`, or `paper` for kin of all tasks of the paper.
        out: Folder to write to.
        seed: Which trial.
        views: How many cameras.
        size: Height and width of each view in px, even.
        rig: Where the cameras stand.
        look: Colours and light.
        columns: How many moments the contact sheet shows.
    """
    from action_images.benchmarks import find_benchmark
    from action_images.files.lock import alone_in
    from action_images.sim import LOOKS, RIGS, TASKS, find_task
    from action_images.sim.record import RecordingConfig
    from action_images.terminal.console import PlainConsole

    if size % 2 or columns < 2:
        raise ActionImagesError(
            f"--size {size}, --columns {columns}: H.264 needs an even size, a contact sheet at least two "
            "columns"
        )
    recording = RecordingConfig(RIGS[rig], LOOKS[look], num_views=views, size=(size, size))
    paper = find_benchmark("paper")
    groups = {"all": tuple(TASKS), "paper": (*paper.trained, *paper.held_out)}
    names = groups.get(task, (task,))
    for name in names:
        find_task(name)
    with alone_in(out):
        for name in names:
            with working(f"filming {name}"):
                said = _film(name, seed, recording, out / f"{name}_{seed}", columns)
            PlainConsole().print(said, soft_wrap=True)


def _film(name: str, seed: int, recording, path: Path, columns: int) -> str:
    from itertools import product

    import torch

    from action_images.codec import draw_uint8
    from action_images.codec.overlay import overlay
    from action_images.episodes.video import write_video
    from action_images.geometry import Trajectory
    from action_images.reports.pictures import contact_sheet, save_png
    from action_images.sim import demonstrate
    from action_images.structs import stack

    environment = recording.environment(name)
    seen = stack([environment.reset(seed), *(environment.observation() for _ in demonstrate(environment))])
    video = seen.images.transpose(0, 1)
    drawn = draw_uint8(
        Trajectory(seen.world_from_tool, seen.opening),
        stack([seen.cameras[:, view] for view in range(len(video))]),
    )
    both = overlay(video, drawn)
    film = torch.cat([torch.cat([video, drawn, both], -1)[view] for view in range(len(video))], -2)
    write_video(path.with_suffix(".mp4"), film, environment.control_hz)
    kinds = ("video", "action images", "action images over the video")
    labels = [f"view {view}: {kind}" for view, kind in product(range(len(video)), kinds)]
    rows = list(torch.stack([video, drawn, both], 1).flatten(0, 1))
    save_png(path.with_suffix(".png"), contact_sheet(rows, columns, labels=labels))
    outcome = "succeeded" if environment.succeeded() else "failed"
    environment.close()
    seconds = environment.num_steps / environment.control_hz
    return f"'{seen.instruction}' {outcome} in {seconds:.1f} s: {path}.mp4, {path}.png"
