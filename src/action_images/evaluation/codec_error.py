"""Errors of trajectories that are drawn, corrupted and read back, for a rig like the user's."""

import math
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from typing import Any, Literal

import torch
from rich.box import SIMPLE
from rich.table import Table
from torch import Tensor

from action_images.codec import ActionImageFormat, Reading, draw, read
from action_images.errors import ActionImagesError
from action_images.evaluation import corruption
from action_images.evaluation.statistics import spearman
from action_images.geometry import Camera, Pose, Trajectory
from action_images.geometry.rotation import from_quaternion_xyzw
from action_images.structs import stack

AZIMUTHS_DEG = (0.0, 90.0, 45.0, -45.0, 135.0, -90.0, 180.0, -135.0)
"""Directions of the rig's cameras around the scene, in the order in which views are added."""
NUM_FRAMES = 41


@dataclass(frozen=True)
class Setting:
    """One cell of a sweep: square images of `size` px, `num_views` views, and their corruption."""

    size: int
    num_views: int
    corruption: str
    precision: Literal["exact", "fast"] = "exact"


@dataclass(frozen=True)
class Samples:
    """Errors of single frames in one setting, with the errors that the reader predicted."""

    setting: Setting
    position_mm: Tensor
    rotation_deg: Tensor
    gripper_right: Tensor
    valid: Tensor
    predicted_std_mm: Tensor

    def row(self) -> dict[str, Any]:
        """Medians, 95th percentiles and shares over all frames, valid or not."""
        quantiles = torch.tensor([0.5, 0.95], dtype=torch.float64)
        position, rotation = (
            errors.double().quantile(quantiles).tolist() for errors in (self.position_mm, self.rotation_deg)
        )
        return asdict(self.setting) | {
            "num_frames": len(self.position_mm),
            "position_mm_median": position[0],
            "position_mm_p95": position[1],
            "rotation_deg_median": rotation[0],
            "rotation_deg_p95": rotation[1],
            "gripper_right": self.gripper_right.double().mean().item(),
            "valid": self.valid.double().mean().item(),
            "predicted_std_mm_median": self.predicted_std_mm.median().item(),
        }


def measure(settings: Iterable[Setting], num_clips: int, seed: int) -> Iterator[Samples]:
    """Draw, corrupt and read `num_clips` clips of 41 random poses in each setting.

    The same seed gives the same poses in all settings.
    """
    for setting in settings:
        spoil = corruption.parse(setting.corruption)
        clips = []
        for clip in range(num_clips):
            generator = torch.Generator().manual_seed(seed * 1_000_003 + clip)
            cameras = rig(setting.num_views, setting.size)
            trajectory = random_poses(NUM_FRAMES, rig(len(AZIMUTHS_DEG), setting.size), generator)
            images = spoil(draw(trajectory, cameras), generator)
            clips.append((trajectory, read(images, cameras, precision=setting.precision)))
        yield compare(setting, clips)


def compare(setting: Setting, clips: list[tuple[Trajectory, Reading]]) -> Samples:
    """Errors of readings against the truth, all frames of all clips along one axis."""
    columns = []
    for truth, reading in clips:
        metres, radians = reading.trajectory.world_from_tool.distance(truth.world_from_tool)
        right = reading.is_open == (truth.opening > 0.5)
        columns.append((metres * 1e3, radians.rad2deg(), right, reading.valid, reading.position_std * 1e3))
    return Samples(setting, *(torch.cat(column) for column in zip(*columns, strict=True)))


def rig(num_views: int, size: int) -> Camera:
    """Cameras 1 m from the scene's centre, 30 degrees above it; their field of view is 45 degrees high."""
    if not 2 <= num_views <= len(AZIMUTHS_DEG):
        raise ActionImagesError(f"the sweep's rig has 2 to {len(AZIMUTHS_DEG)} views, not {num_views}")
    azimuth = torch.tensor(AZIMUTHS_DEG[:num_views]).deg2rad()
    level, height = math.cos(math.radians(30)), math.sin(math.radians(30))
    eye = torch.stack([level * azimuth.cos(), level * azimuth.sin(), torch.full_like(azimuth, height)], -1)
    return Camera.look_at(eye, torch.zeros_like(eye), math.radians(45), (size, size))


def random_poses(num_frames: int, cameras: Camera, generator: torch.Generator) -> Trajectory:
    """Random poses of any orientation whose three points lie inside the images of all these cameras (view).

    The gripper is open or closed.
    """
    kept: list[Pose] = []
    while len(kept) < num_frames:
        position = torch.rand(3, generator=generator) * 0.6 - 0.3
        pose = Pose(from_quaternion_xyzw(torch.randn(4, generator=generator)), position)
        pixels, depth = cameras[:, None].project(ActionImageFormat().points(pose))
        if (cameras.contains(pixels) & (depth > 0)).all():
            kept.append(pose)
    opening = torch.randint(0, 2, (num_frames,), generator=generator).float()
    return Trajectory(stack(kept), opening)


def rank_correlation(samples: Iterable[Samples]) -> float:
    """Spearman's correlation of predicted standard deviation and actual position error, over all frames."""
    samples = list(samples)
    predicted = torch.cat([one.predicted_std_mm for one in samples])
    return spearman(predicted, torch.cat([one.position_mm for one in samples]))


def table(samples: Iterable[Samples]) -> Table:
    """The rows as a table to read: medians and 95th percentiles."""
    result = Table(title="drawn, spoilt, read back", box=SIMPLE)
    for name in ("px", "views", "corruption", "mm", "(95 %)", "deg", "(95 %)", "grip", "valid"):
        result.add_column(name, no_wrap=True, justify="left" if name == "corruption" else "right")
    for row in (sample.row() for sample in samples):
        figures = ("position_mm_median", "position_mm_p95", "rotation_deg_median", "rotation_deg_p95")
        errors = [f"{row[name]:.2g}" for name in figures]
        shares = [f"{row[name]:.0%}" for name in ("gripper_right", "valid")]
        result.add_row(str(row["size"]), str(row["num_views"]), row["corruption"], *errors, *shares)
    return result
