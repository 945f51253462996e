"""Your own recordings as a data set: store them, check them, and draw training samples from them.

    python examples/02_your_own_dataset.py --out own

Takes a few seconds. The recordings are made up here: two fixed cameras watch a square carried by a tool.
"""

import argparse
from pathlib import Path

import torch

from action_images.cli import main as command
from action_images.episodes.dataset import Dataset, DatasetWriter
from action_images.episodes.episode import Episode, FramesInMemory, View
from action_images.geometry import Camera, Pose, Trajectory
from action_images.samples.loader import load
from action_images.samples.mixture import Decisions, Mixture, Source
from action_images.samples.window import Cutting

SIZE = (96, 128)


def recorded(seed: int, num_frames: int = 50) -> Episode:
    """Stands for what your robot gives: frames, calibrated cameras, and where the tool was in each frame."""
    phase = torch.linspace(0, 3, num_frames) + seed
    position = torch.stack([0.2 * phase.sin(), 0.2 * (1.3 * phase).cos(), 0.1 + 0.05 * phase.sin()], -1)
    opening = (phase - seed < 1.5).float()  # 1 = open
    trajectory = Trajectory(Pose(torch.eye(3).expand(num_frames, 3, 3), position), opening)
    views = []
    for name, eye in {"front": (1.0, 0.2, 0.7), "side": (0.2, 1.0, 0.6)}.items():
        camera = Camera.look_at(torch.tensor(eye), torch.zeros(3), 0.9, SIZE)
        views.append(View(name, FramesInMemory(pictures(camera, position, seed)), camera))
    return Episode(
        f"carry/variation{seed % 2}/episode{seed}", "carry the square", 20.0, tuple(views), trajectory
    )


def pictures(camera: Camera, position: torch.Tensor, seed: int) -> torch.Tensor:
    """Grey ground with a coloured square where the camera sees the tool."""
    noise = torch.Generator().manual_seed(seed)
    frames = (
        torch.randint(90, 120, (1, 3, *SIZE), generator=noise).repeat(len(position), 1, 1, 1).to(torch.uint8)
    )
    pixels, _ = camera.project(position)
    for frame, (x, y) in zip(frames, pixels.round().int().tolist(), strict=True):
        frame[:, max(0, y - 6) : y + 6, max(0, x - 6) : x + 6] = torch.tensor(
            [230, 120, 40], dtype=torch.uint8
        )[:, None, None]
    return frames


def main(out: Path) -> None:
    # 1. Store. Stop it at any time and run it again: episodes that are there already are left out.
    with DatasetWriter(out / "set", fps=20) as writer:
        for seed in range(6):
            episode = recorded(seed)
            if episode.id not in writer.ids:
                writer.add(episode)

    # 2. Check. The page has a thumbnail of each episode with the tool drawn in: does it sit where it should?
    command(["check", str(out / "set"), "--workers", "0"])

    # 3. Draw samples: windows of nine frames at half the rate, in an order that depends on the seed alone.
    dataset = Dataset(out / "set")
    source = Source("carry", dataset, Cutting(num_frames=9, stride=2), keep=lambda name: "variation0" in name)
    mixture = Mixture(
        [source], seed=0, decisions=Decisions({"joint": 0.9, "label": 0.1}, drop_text={"label": 1.0})
    )
    print(f"{len(source)} windows; the first draw is {mixture[0].window}, mode {mixture[0].mode}")
    for batches in load(mixture, batch_size=2, num_steps=3, size=(64, 64), num_workers=0):
        for batch in batches:
            video = batch.sample.video
            cameras = batch.sample.cameras.batch_shape
            print(f"video {tuple(video.shape)} in [{video.min():.2f}, {video.max():.2f}]")
            print(f"cameras {tuple(cameras)}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("own"))
    main(parser.parse_args().out)
