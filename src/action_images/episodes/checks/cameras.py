"""Which views are calibrated, and whether the tool is where their cameras look."""

import torch

from action_images.episodes.checks.finding import Say
from action_images.episodes.dataset import Dataset
from action_images.episodes.episode import View
from action_images.geometry import Trajectory

LEAST_INSIDE = 0.5
"""The tool should be inside the picture in at least this part of the frames."""


def check_calibrated(views: list[View], dataset: Dataset, say: Say) -> None:
    """Views without a camera are video only."""
    missing = [view.name for view in views if view.camera is None]
    if len(missing) == len(dataset.view_names):
        cure = "give the cameras, or a calibration.json to 'import'"
        say("warning", "no camera", f"no view is calibrated, it is video only: {cure}")
        return
    cure = "a sample with it has no cameras at all; calibrate it or leave it out"
    for name in missing:
        say("warning", "no camera", f"{name}: is not calibrated, and {cure}")


def check_tool_in_view(views: list[View], trajectory: Trajectory, say: Say) -> None:
    """The tool should project inside the pictures of a calibrated view, and be in some view at some time."""
    calibrated = [view for view in views if view.camera is not None]
    inside_anywhere = torch.zeros(trajectory.num_frames, dtype=torch.bool)
    for view in calibrated:
        inside = tool_inside(view, trajectory)
        inside_anywhere |= inside
        if inside.float().mean() < LEAST_INSIDE:
            frames = f"in {inside.sum()} of {len(inside)} frames"
            say("warning", "tool out of view", f"{view.name}: the tool projects inside the picture {frames}")
    if calibrated and not inside_anywhere.any():
        cause = "the cameras or the tool's frame follow another convention"
        say("error", "calibration", f"the tool is in no view at any time; {cause}")


def tool_inside(view: View, trajectory: Trajectory) -> torch.Tensor:
    """In which frames the tool lies inside the picture of a calibrated view."""
    assert view.camera is not None
    pixels, depth = view.camera.project(trajectory.world_from_tool.translation)
    return (depth > 0) & view.camera.contains(pixels)
