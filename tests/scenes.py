"""Random rotations, rigs and trajectories for tests."""

import math

import torch
from hypothesis import strategies as st

from action_images.geometry import Camera, Pose, Trajectory
from action_images.geometry.rotation import from_quaternion_xyzw

seeds = st.integers(0, 2**31 - 1)


def generator(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def rotations(*shape: int, seed: int = 0) -> torch.Tensor:
    return from_quaternion_xyzw(torch.randn(*shape, 4, generator=generator(seed), dtype=torch.float64))


def poses(*shape: int, seed: int = 0) -> Pose:
    return Pose(
        rotations(*shape, seed=seed),
        torch.randn(*shape, 3, generator=generator(seed + 1), dtype=torch.float64),
    )


def rig(num_views: int = 2, size: tuple[int, int] = (96, 96), dtype: torch.dtype = torch.float32) -> Camera:
    """Cameras around the origin, 1 m away, that look at it."""
    azimuth = torch.tensor([0.1, 1.6, 0.9, -0.8][:num_views], dtype=dtype)
    eye = torch.stack([azimuth.cos(), azimuth.sin(), torch.full_like(azimuth, 0.5)], -1)
    return Camera.look_at(eye, torch.zeros_like(eye), math.radians(50), size)


def trajectory(
    num_frames: int = 5, seed: int = 0, dtype: torch.dtype = torch.float32, spread: float = 0.1
) -> Trajectory:
    """Tool poses of any orientation near the origin, inside the frames of `rig`, openings of any size."""
    g = generator(seed)
    position = (torch.rand(num_frames, 3, generator=g, dtype=dtype) * 2 - 1) * spread
    return Trajectory(
        Pose(rotations(num_frames, seed=seed).to(dtype), position),
        torch.rand(num_frames, generator=g, dtype=dtype),
    )
