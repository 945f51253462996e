"""An observation as the scene shown to models, and its tool pose as the start of a path."""

from dataclasses import replace

import torch

from action_images.errors import ActionImagesError
from action_images.geometry import Trajectory
from action_images.geometry.fitting import fit_camera, fit_frames
from action_images.robot import Observation
from action_images.samples.sample import Sample


def scene_of(observation: Observation, size: tuple[int, int]) -> Sample:
    """A batch of one: one frame of each view fitted to `size` (height, width), and the current tool pose.

    Raises ValueError for a batch of observations or fewer than two views.
    """
    images, now = observation.images, observation.world_from_tool
    if images.ndim != 4 or len(images) < 2:
        raise ActionImagesError(
            "a policy is shown one instant, images (view 3 h w) of at least two views; "
            f"these are {tuple(images.shape)}"
        )
    video = fit_frames(images, size)[None, :, None]
    cameras = fit_camera(observation.cameras, size)[None, :, None].to(torch.float32)
    path = Trajectory(now[None, None], observation.opening[None, None]).to(torch.float32)
    return Sample(video, cameras, path, torch.ones(1, 1, dtype=torch.bool), (observation.instruction,))


def with_first(path: Trajectory, observation: Observation) -> Trajectory:
    """The path with the observed tool pose and the commanded gripper opening as its first frame."""
    first = Trajectory(observation.world_from_tool[None], observation.opening[None]).to("cpu", path.dtype)
    rest = path[1:]
    pose = first.world_from_tool
    rotation = torch.cat([pose.rotation, rest.world_from_tool.rotation])
    translation = torch.cat([pose.translation, rest.world_from_tool.translation])
    opening = torch.cat([first.opening, rest.opening])
    return Trajectory(replace(pose, rotation=rotation, translation=translation), opening)
