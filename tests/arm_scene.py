"""A textured hand on a path before textured ground, in two calibrated views."""

import math

import torch

from action_images.episodes.episode import Episode, FramesInMemory, View
from action_images.geometry import Camera, Pose, Trajectory
from action_images.geometry.rotation import from_euler_xyz

SIZE = (96, 96)


def hand_trajectory(num_frames: int = 30, seed: int = 0) -> Trajectory:
    """The tool points down, travels over half a metre and turns; the gripper opens and closes."""
    phase = torch.linspace(0, 2 * math.pi, num_frames)
    position = torch.stack(
        [
            0.45 + 0.16 * (phase + seed).cos(),
            0.2 * (phase + seed).sin(),
            0.2 + 0.1 * (2 * phase).sin(),
        ],
        -1,
    )
    turns = torch.stack([math.pi + 0.4 * phase.sin(), 0.5 * phase.cos(), 1.2 * (phase + 1).sin()], -1)
    return Trajectory(Pose(from_euler_xyz(turns), position), (phase.sin() > 0).float())


def hand_cameras() -> dict[str, Camera]:
    """One from the left, one from the right, both tilted down, neither mirrored in the other."""
    target = torch.tensor([0.45, 0.0, 0.2])
    eyes = {"left": (1.3, -0.8, 0.9), "right": (1.0, 1.0, 0.6)}
    return {name: Camera.look_at(torch.tensor(eye), target, 0.8, SIZE) for name, eye in eyes.items()}


def _fingers(opening: torch.Tensor) -> torch.Tensor:
    """Points of two fingers (m, in the tool's frame), which are apart along y where the gripper is open."""
    along = torch.linspace(-0.04, 0.005, 5)
    side = 0.008 + 0.04 * float(opening)
    return torch.stack([torch.tensor([0.0, side * sign, z]) for z in along.tolist() for sign in (-1, 1)])


def _marks(seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Points on the hand (m, in the tool's frame) and their colours."""
    generator = torch.Generator().manual_seed(seed)
    places = torch.rand(160, 3, generator=generator) - torch.tensor([0.5, 0.5, 1.3])
    sides = torch.tensor([0.09, 0.13, 0.15])
    return places * sides, 255 * torch.rand(160, 3, generator=generator)


def hand_pictures(camera: Camera, trajectory: Trajectory, seed: int = 0) -> torch.Tensor:
    """(frame 3 h w) uint8: the marks, the nearest in front, on ground of chance."""
    generator = torch.Generator().manual_seed(100 + seed)
    coarse = 80 + 60 * torch.rand(1, 3, 16, 16, generator=generator)
    ground = torch.nn.functional.interpolate(coarse, SIZE, mode="bilinear")[0]
    points, colours = _marks(seed)
    colours = torch.cat([colours, torch.tensor([20.0, 20.0, 25.0]).expand(10, 3)])
    pose = trajectory.world_from_tool
    pictures = ground.repeat(trajectory.num_frames, 1, 1, 1)
    y, x = torch.meshgrid(torch.arange(SIZE[0]) + 0.5, torch.arange(SIZE[1]) + 0.5, indexing="ij")
    for frame, picture in enumerate(pictures):
        fingers = _fingers(trajectory.opening[frame])
        pixels, depth = camera.project(pose[frame].apply(torch.cat([points, fingers])))
        for mark in depth.argsort(descending=True):
            near = (x - pixels[mark, 0]) ** 2 + (y - pixels[mark, 1]) ** 2 < 2.0**2
            picture[:, near] = colours[mark][:, None]
    return pictures.round().to(torch.uint8)


def hand_episode(name: str = "hand/e0", num_frames: int = 30, seed: int = 0) -> Episode:
    """The whole scene as an episode that nothing is wrong with."""
    trajectory = hand_trajectory(num_frames, seed)
    views = [
        View(view, FramesInMemory(hand_pictures(camera, trajectory, seed)), camera)
        for view, camera in hand_cameras().items()
    ]
    return Episode(name, "move the hand", 10.0, tuple(views), trajectory)
