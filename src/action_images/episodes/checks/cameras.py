"""Checks that views are calibrated and that the tool is in front of their cameras."""

import torch

from action_images.episodes.checks.finding import Say
from action_images.episodes.dataset import Dataset
from action_images.episodes.episode import View
from action_images.episodes.inside import told_inside, tool_inside
from action_images.geometry import Trajectory

LEAST_INSIDE = 0.5
"""Least fraction of frames in which the tool should be inside the picture."""


def check_calibrated(views: list[View], dataset: Dataset, say: Say) -> None:
    """Report views without a camera, which are usable as video only."""
    missing = [view.name for view in views if view.camera is None]
    if len(missing) == len(dataset.view_names):
        cure = "give the cameras, or a calibration.json to 'import'"
        say("warning", "no camera", f"no view is calibrated, it is video only: {cure}")
        return
    cure = "a sample with it has no cameras at all; calibrate it or leave it out"
    for name in missing:
        say("warning", "no camera", f"{name}: is not calibrated, and {cure}")


def check_tool_in_view(views: list[View], trajectory: Trajectory, say: Say) -> None:
    """The tool should project inside a calibrated view's pictures, and be in some view at some time."""
    calibrated = [view for view in views if view.camera is not None]
    positions = trajectory.world_from_tool.translation
    inside_anywhere = torch.zeros(trajectory.num_frames, dtype=torch.bool)
    for view in calibrated:
        assert view.camera is not None
        inside = tool_inside(view.camera, positions)
        inside_anywhere |= inside
        if inside.float().mean() < LEAST_INSIDE:
            say("warning", "tool out of view", told_inside(view.name, view.camera, positions))
    if calibrated and not inside_anywhere.any():
        cause = "the cameras or the tool's frame follow another convention"
        say("error", "calibration", f"the tool is in no view at any time; {cause}")
