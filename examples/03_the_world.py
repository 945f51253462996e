"""The embedded world: look at a trial, drive the arm, let an expert do a task, record it, check the record.

python examples/03_the_world.py --out out/03
"""

import argparse
from pathlib import Path

import torch
from rich.console import Console

from action_images.episodes.dataset import Dataset
from action_images.reports.pictures import contact_sheet, save_png
from action_images.sim import LOOKS, RIGS, Tabletop, demonstrate
from action_images.sim.motion import downward
from action_images.sim.record import RecordingConfig, record


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("out/03"))
    out = parser.parse_args().out
    out.mkdir(parents=True, exist_ok=True)
    say = Console().print

    # 1. A trial is a seed: layout, words, light, cameras and the arm's start all follow from it.
    world = Tabletop("place_in_bowl", RIGS["sampled"], LOOKS["train"], num_views=2, size=(256, 256))
    seen = world.reset(seed=7)
    position = seen.world_from_tool.translation.tolist()
    say(f"1. '{seen.instruction}', seen by {len(seen.images)} cameras, the tool at {position}")

    # 2. The arm is asked for tool poses; what cannot be reached is reported, never raised.
    for _ in range(25):
        report = world.step(downward((0.45, 0.0, 0.20), yaw=0.5), opening=0.0)
    say(f"2. driven to a pose: {1e3 * report.position_error:.2f} mm from it")
    on_the_moon = world.step(downward((0.45, 0.0, 3.8e8)), opening=0.0)
    say(f"   asked for one on the moon: reachable is {on_the_moon.reachable}")

    # 3. Every task brings an expert that knows the physical state.
    frames = [world.reset(seed=7).images, *(world.observation().images for _ in demonstrate(world))]
    say(f"3. the expert took {world.num_steps / world.control_hz:.1f} s; succeeded: {world.succeeded()}")
    save_png(out / "expert.png", contact_sheet(list(torch.stack(frames, 1)), num_columns=6))

    # 4. Demonstrations become a data set of videos, cameras and tool poses; run again, this adds nothing.
    recording = RecordingConfig(RIGS["sampled"], LOOKS["train"], num_views=2, size=(128, 128))
    for (task, seed), succeeded in record(
        out / "dataset", [("reach_target", 0), ("open_drawer", 0)], recording
    ):
        say(f"4. recorded {task}, seed {seed}, succeeded: {succeeded}")

    # 5. What was recorded can be executed: the same seed, the recorded poses, the same end.
    episode = next(episode for episode in Dataset(out / "dataset") if episode.id.startswith("open_drawer"))
    world = Tabletop("open_drawer")
    world.begin(seed=0)
    for frame in range(1, episode.num_frames):
        world.step(episode.trajectory.world_from_tool[frame], episode.trajectory.opening[frame].item())
    say(f"5. the recorded poses, executed: succeeded: {world.succeeded()}. Pictures and data are in {out}")


if __name__ == "__main__":
    main()
