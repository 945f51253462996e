"""From recordings to a policy in a minute: store reaches to a ball, train `debug`, judge it on unseen balls.

    python examples/05_train_a_policy.py --out out/05

The recordings are drawn here, a grey spot for the tool and a red one for the ball: the smallest thing that
can only be done by looking. Stop it at any time and run it again: recordings and training go on where they
were. Look at out/05/run/sheets and out/05/run/curves.png afterwards.
"""

import argparse
import math
import sys
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from action_images.codec import draw
from action_images.episodes.dataset import DatasetWriter
from action_images.episodes.episode import Episode, FramesInMemory, View
from action_images.geometry import Camera, Pose, Trajectory
from action_images.geometry.rotation import from_euler_xyz
from action_images.reports.training_pictures import pictures_into
from action_images.training.log import read_log
from action_images.training.recipe import Recipe, SourceRecipe
from action_images.training.recipes import DEBUG
from action_images.training.train import train

SIZE, NUM_FRAMES = (32, 32), 5
TOOL, BALL = (0.5, 0.5, 0.5), (0.9, 0.1, 0.1)


def reach(seed: int) -> Episode:
    """A straight way down to a ball, closing the gripper, seen by two cameras whose places vary a little."""
    generator = torch.Generator().manual_seed(seed)

    def chance(*shape: int) -> Tensor:
        return torch.rand(shape, generator=generator) - 0.5

    ball = torch.cat([0.36 * chance(2), torch.tensor([0.03])])
    start = 0.3 * chance(3) + torch.tensor([0.0, 0.0, 0.25])
    share = torch.linspace(0, 1, NUM_FRAMES)[:, None]
    rotation = from_euler_xyz(torch.tensor([math.pi, 0.0, 0.0]) + 0.6 * chance(3)).expand(NUM_FRAMES, 3, 3)
    path = Trajectory(Pose(rotation, start + share * (ball - start)), 1 - share[:, 0])
    angles = torch.tensor([-0.5, 0.6]) + 0.1 * chance(2)
    eyes = torch.stack([1.1 * angles.cos(), 1.1 * angles.sin(), torch.full_like(angles, 0.75)], -1)
    rig = Camera.look_at(eyes, torch.tensor([0.0, 0.0, 0.08]).expand(2, 3), math.radians(45), SIZE)
    seen = pictures(path, ball, rig)
    views = tuple(
        View(f"view{number}", FramesInMemory(video), rig[number]) for number, video in enumerate(seen)
    )
    return Episode(f"reach/{seed:06d}", "reach the ball", 5.0, views, path)


def pictures(path: Trajectory, ball: Tensor, rig: Camera) -> Tensor:
    """What the cameras see (view frame 3 h w, bytes)."""
    there = Trajectory(replace(path.world_from_tool, translation=ball.expand(NUM_FRAMES, 3)), path.opening)
    image = torch.full((2, NUM_FRAMES, 3, *SIZE), 0.3)
    for of, colour in ((there, BALL), (path, TOOL)):
        cover = draw(of[None], rig.per_frame((1,), NUM_FRAMES))[0, :, :, :1]
        image = image * (1 - cover) + torch.tensor(colour)[:, None, None] * cover
    return image.mul(255).round().byte()


def record(folder: Path, num: int, first_seed: int) -> SourceRecipe:
    """A data set of reaches, whole ones already there left as they are."""
    with DatasetWriter(folder, fps=5) as writer:
        for seed in range(first_seed, first_seed + num):
            if f"reach/{seed:06d}" not in writer.ids:
                writer.add(reach(seed))
    return SourceRecipe(folder, modes={"policy": 1.0})


def recipe(out: Path, num_episodes: int) -> Recipe:
    """`debug` as it is, on these recordings."""
    return replace(
        DEBUG,
        sources=(record(out / "demonstrations", num_episodes, 0),),
        validation=(record(out / "validation", 64, 1_000_000),),
        validation_windows=64,
    )


def error_of_the_mean(num: int = 64) -> float:
    """How far (mm, median) held-out balls lie from their mean: the error of a policy that is blind."""
    ends = torch.stack(
        [reach(1_000_000 + number).trajectory.world_from_tool.translation[-1] for number in range(num)]
    )
    return 1e3 * (ends - ends.mean(0)).norm(dim=-1).median().item()


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--episodes", type=int, default=400)
    arguments = parser.parse_args()
    run = arguments.out / "run"
    train(recipe(arguments.out, arguments.episodes), run, pictures_into(run))

    log = read_log(run)
    losses = [row["loss"] for row in log if "loss" in row]
    ends = [row["validation"]["policy"]["final mm"] for row in log if "validation" in row]
    mean = error_of_the_mean()
    first, last = sum(losses[:20]) / 20, sum(losses[-20:]) / 20
    print(f"loss {first:.3f} -> {last:.3f}")
    print(f"the plan's last pose is {ends[-1]:.0f} mm off, the mean of all balls {mean:.0f} mm")
    return 0 if last < first / 2 and ends[-1] < mean / 2 else 1


if __name__ == "__main__":
    sys.exit(main())
