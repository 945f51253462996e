"""Small calibrated episodes whose pictures show where the tool is: a coloured blob at its projection."""

import math
from hashlib import sha256
from pathlib import Path

import torch

from action_images.episodes.dataset import DatasetWriter
from action_images.episodes.episode import Episode, FramesInMemory, View
from action_images.geometry import Camera, Pose, Trajectory
from action_images.geometry.rotation import from_euler_xyz

SIZE = (48, 64)


def make_trajectory(num_frames: int, seed: int = 0) -> Trajectory:
    """A smooth path about the origin, turning, the gripper closing half way."""
    phase = torch.linspace(0, 2, num_frames, dtype=torch.float64) + seed
    position = torch.stack([0.1 * phase.sin(), 0.1 * (2 * phase).cos(), 0.05 * phase], -1)
    rotation = from_euler_xyz(torch.stack([0.3 * phase, 0.2 * phase.cos(), math.pi + 0.1 * phase], -1))
    opening = (torch.arange(num_frames) < num_frames / 2).double()
    return Trajectory(Pose(rotation, position), opening).to(torch.float32)


def make_cameras(size: tuple[int, int] = SIZE) -> dict[str, Camera]:
    eyes = {"front": (0.9, 0.1, 0.6), "left": (0.2, 0.9, 0.5)}
    return {name: Camera.look_at(torch.tensor(eye), torch.zeros(3), 0.9, size) for name, eye in eyes.items()}


def blob_video(pixels: torch.Tensor, size: tuple[int, int], seed: int = 0) -> torch.Tensor:
    """Frames with a white blob (sigma 2 px) at `pixels` (frame 2), centres at +0.5, on a changing ground."""
    y, x = torch.arange(size[0]) + 0.5, torch.arange(size[1]) + 0.5
    dx, dy = x - pixels[:, :1], y - pixels[:, 1:]
    blob = torch.exp(-(dy[:, :, None] ** 2 + dx[:, None, :] ** 2) / (2 * 2.0**2))
    ground = 20 + 10 * torch.sin(torch.arange(len(pixels)) + seed)[:, None, None]
    return (ground + (255 - ground) * blob).round().to(torch.uint8)[:, None].repeat(1, 3, 1, 1)


def blob_centre(frames: torch.Tensor) -> torch.Tensor:
    """Where the blob is, (frame 2) px, centres at +0.5: the centroid of what is clearly brighter."""
    bright = (frames.float().mean(-3) - 90).clamp_min(0)
    y, x = torch.arange(frames.shape[-2]) + 0.5, torch.arange(frames.shape[-1]) + 0.5
    total = bright.sum((-1, -2))
    return torch.stack([(bright * x).sum((-1, -2)), (bright * y[:, None]).sum((-1, -2))], -1) / total[:, None]


def make_episode(
    name: str = "task/e0", num_frames: int = 12, seed: int = 0, size: tuple[int, int] = SIZE, **changes
) -> Episode:
    trajectory = make_trajectory(num_frames, seed)
    views = tuple(
        View(
            view,
            FramesInMemory(blob_video(camera.project(trajectory.world_from_tool.translation)[0], size, seed)),
            camera,
        )
        for view, camera in make_cameras(size).items()
    )
    return Episode(
        **{
            "id": name,
            "instruction": "push the button",
            "fps": 20.0,
            "views": views,
            "trajectory": trajectory,
        }
        | changes
    )


def assert_tool_is_where_it_was_drawn(episode: Episode, tolerance_px: float = 0.75) -> None:
    """The law of every reader: our camera projects our trajectory onto the blob that its format drew."""
    for view in episode.views:
        pixels, depth = view.camera.project(episode.trajectory.world_from_tool.translation)
        assert (depth > 0).all()
        found = blob_centre(view.frames.read(range(len(view.frames))))
        assert (pixels - found).norm(dim=-1).max() < tolerance_px, view.name


def write_set(path: Path) -> Path:
    """Six episodes of two variations, 12 to 17 frames long, three instructions."""
    with DatasetWriter(path, fps=20) as writer:
        for i in range(6):
            writer.add(
                make_episode(f"reach/variation{i % 2}/e{i}", 12 + i, seed=i, instruction=f"reach {i % 3}")
            )
    return path


def digests(root: Path) -> dict[str, str]:
    """What a folder holds, file by file."""
    return {
        str(path.relative_to(root)): sha256(path.read_bytes()).hexdigest()
        for path in sorted(root.rglob("*"))
        if path.is_file()
    }
