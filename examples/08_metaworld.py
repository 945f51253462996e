"""A public simulator: Meta-World's experts as action images, and what of them survives video.

    python examples/08_metaworld.py --out out/08

Needs Meta-World; without it, this says how to install it. Look at out/08/door-open-v3.png afterwards: each
camera's view, the action images, and both together.
"""

import argparse
import sys
from pathlib import Path

import torch
from rich.console import Console

from action_images.benchmarks import WorldConfig, find_benchmark, require_installed
from action_images.codec import draw_uint8
from action_images.codec.overlay import overlay
from action_images.errors import ActionImagesError
from action_images.evaluation.ceiling import Gate, run_trial
from action_images.evaluation.expert import demonstration
from action_images.reports.pictures import contact_sheet, save_png

WORLD = WorldConfig("metaworld", size=(256, 256))
SEED = 1_000_000
MOMENTS = 6
"""How many moments the picture shows."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("out/08"))
    out = parser.parse_args().out
    try:
        require_installed(find_benchmark("metaworld"))
    except ActionImagesError as missing:
        sys.exit(str(missing))
    out.mkdir(parents=True, exist_ok=True)
    say = Console().print

    # 1. An expert's trial, without rendering: where its tool was, and where the arm was told to bring it.
    task = "door-open-v3"
    environment = WORLD.environment(task)
    shown = demonstration(environment, SEED)
    apart, _ = shown.reached.world_from_tool.distance(shown.told.world_from_tool)
    say(f"1. '{environment.state().instruction}': {environment.num_steps / environment.control_hz:.1f} s")
    say(f"   told and reached lie {1e3 * apart.median():.0f} mm apart: a soft arm is told to go into things")

    # 2. What was told, told again: the same end, this time seen by two calibrated cameras.
    num_frames = shown.told.num_frames
    moments = torch.linspace(0, num_frames - 1, MOMENTS).round().long().tolist()
    seen = [environment.reset(SEED).images]
    for frame in range(1, num_frames):
        environment.step(shown.told.world_from_tool[frame], shown.told.opening[frame].item())
        if frame in moments:
            seen.append(environment.observation().images)
    say(f"2. what was told, told again; done: {environment.succeeded()}")
    environment.close()

    # 3. What was told as action images, over what the cameras saw.
    video = torch.stack(seen, 1)
    drawn = draw_uint8(shown.told[moments], shown.cameras[:, moments])
    rows = list(torch.stack([video, drawn, overlay(video, drawn)], 1).flatten(0, 1))
    save_png(out / f"{task}.png", contact_sheet(rows, num_columns=MOMENTS))
    say(f"3. two cameras, their action images, and both together: {out / task}.png")

    # 4. The ceiling: what is left after drawing, H.264 and reading, at the 5 frames a second of a model.
    # A pushed dial shows why both paths are recorded.
    for task in ("door-open-v3", "dial-turn-v3"):
        trial = run_trial(task, SEED, Gate(WORLD, sizes=(128,), rates=(5.0,), paths=("reached", "told")))
        ways = ", ".join(f"{way}: {'done' if done else 'failed'}" for way, done in trial.succeeded.items())
        say(f"4. {task}: {ways}")


if __name__ == "__main__":
    main()
