"""Watch an expert in a simulator: a video of views and action images, and a contact sheet.

action-images watch --task pick_and_lift
action-images watch --env metaworld/door-open-v3 --path told
"""

from pathlib import Path
from typing import TYPE_CHECKING, Literal

from action_images.errors import ActionImagesError
from action_images.terminal.paths import OutFolder
from action_images.terminal.progress import working
from action_images.terminal.worlds import DEFAULT_WORLD, chosen_world

if TYPE_CHECKING:
    from action_images.robot import RepeatableEnvironment


def main(
    task: tuple[str, ...] = (),
    out: OutFolder = Path("watch"),
    env: str = DEFAULT_WORLD,
    seed: int = 0,
    views: int = 2,
    size: int = 256,
    rig: str | None = None,
    look: str | None = None,
    path: Literal["reached", "told"] = "reached",
    columns: int = 6,
) -> None:
    """Watch an expert in a simulator.

    Writes the video OUT/<task>_<seed>.mp4, with a row of view | action image | overlay for each camera. The
    contact sheet OUT/<task>_<seed>.png has the same rows.

    Args:
        task: Names of tasks or of groups of tasks, such as `all`; given here or in --env.
        out: Folder to write to.
        env: The world, or WORLD/TASK; 'action-images envs' lists them.
        seed: Which trial.
        views: How many cameras.
        size: Height and width of each view in px, even.
        rig: Where the cameras stand, in the embedded world fixed, sampled, around, held_out or moving; the
            rig of the world's training if not given.
        look: Colours and light, in the embedded world train, wide, unseen or checkered; the look of the
            world's training if not given.
        path: What the action images show: where the tool was, or where the arm was commanded to bring it.
        columns: How many moments the contact sheet shows.
    """
    from action_images.benchmarks import WorldConfig
    from action_images.files.lock import alone_in
    from action_images.terminal.console import PlainConsole

    if not task and "/" not in env:
        raise ActionImagesError("say what to watch: give --task, or --env WORLD/TASK")
    if size % 2 or columns < 2:
        raise ActionImagesError(
            f"--size {size}, --columns {columns}: H.264 needs an even size, a contact sheet at least two "
            "columns"
        )
    benchmark, names = chosen_world(env, task, usual="all")
    world = WorldConfig(benchmark.name, rig=rig, look=look, num_views=views, size=(size, size))
    with alone_in(out):
        for name in names:
            with working(f"filming {name}"):
                said = _film(world.environment(name), seed, path, out / f"{name}_{seed}", columns)
            PlainConsole().print(said, soft_wrap=True)


def _film(environment: "RepeatableEnvironment", seed: int, shown: str, path: Path, columns: int) -> str:
    from itertools import product

    import torch

    from action_images.codec import draw_uint8
    from action_images.codec.overlay import overlay
    from action_images.episodes.video import write_video
    from action_images.evaluation.expert import expert_steps
    from action_images.geometry import Trajectory
    from action_images.reports.pictures import contact_sheet, save_png
    from action_images.structs import stack

    observations, told = [environment.reset(seed)], [environment.state().told]
    for _ in expert_steps(environment):
        observations.append(environment.observation())
        told.append(environment.state().told)
    seen = stack(observations)
    poses = stack(told).to(torch.float32) if shown == "told" else seen.world_from_tool
    video = seen.images.transpose(0, 1)
    drawn = draw_uint8(
        Trajectory(poses, seen.opening),
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
