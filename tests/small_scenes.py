"""Small calibrated scenes: a tool that moves in front of a few cameras, seen as coloured discs on a table."""

import math

import torch

from action_images.codec import ActionImageFormat, draw
from action_images.geometry import Camera, Pose, Trajectory
from action_images.geometry.rotation import from_euler_xyz
from action_images.samples.sample import Sample


def rig(num_views: int = 2, size: tuple[int, int] = (64, 64)) -> Camera:
    """Cameras (view) on an arc around the origin, 1.2 m away."""
    angles = torch.linspace(-0.6, 0.6, num_views) if num_views > 1 else torch.zeros(1)
    eye = torch.stack([1.2 * angles.cos(), 1.2 * angles.sin(), torch.full_like(angles, 0.7)], -1)
    return Camera.look_at(eye, torch.tensor([0.0, 0.0, 0.1]).expand_as(eye), math.radians(50), size)


def paths(batch: int, num_frames: int, generator: torch.Generator) -> Trajectory:
    """Straight moves (batch frame) between two random poses near the origin."""
    start, stop = 0.3 * (torch.rand(2, batch, 1, 3, generator=generator) - 0.5) + torch.tensor([0, 0, 0.15])
    share = torch.linspace(0, 1, num_frames)[:, None]
    turn = torch.tensor([math.pi, 0, 0]) + 0.4 * (torch.rand(batch, 1, 3, generator=generator) - 0.5)
    opening = (torch.rand(batch, 1, generator=generator) > 0.5).float().expand(batch, num_frames)
    return Trajectory(
        Pose(from_euler_xyz(turn.expand(batch, num_frames, 3)), start + share * (stop - start)), opening
    )


def scenes(
    batch: int = 2, num_views: int = 2, num_frames: int = 9, size: tuple[int, int] = (64, 64), seed: int = 0
) -> Sample:
    """A batch of samples whose video is the tool's own action image on a grey floor."""
    generator = torch.Generator().manual_seed(seed)
    trajectory, cameras = paths(batch, num_frames, generator), rig(num_views, size)
    video = draw(trajectory, cameras, ActionImageFormat()) * 0.8 - 0.2
    moving = cameras.per_frame((batch,), num_frames)
    return Sample(
        video,
        moving,
        trajectory,
        torch.ones(batch, num_frames, dtype=torch.bool),
        ("push the red block",) * batch,
    )


def clips(sample: Sample) -> list[tuple[torch.Tensor, float]]:
    """What a patch autoencoder is fitted to: the videos, and ten times as heavy their action images."""
    return [(sample.video, 1.0), (draw(sample.trajectory, sample.cameras) * 2 - 1, 10.0)]
