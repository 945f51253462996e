"""Whether pictures, cameras and the tool of an episode agree: what no file can say of itself."""

from collections.abc import Callable

import torch

from action_images.episodes.checks import motion
from action_images.episodes.episode import View
from action_images.geometry import Trajectory

LEAST_NEARNESS = 1.2
"""Pictures should move at least so many times more at the tool than elsewhere."""

Say = Callable[[str, str, str], None]
"""level, kind, message"""


def look_at_tool(
    views: list[View], trajectory: Trajectory, moved: dict[str, torch.Tensor], indices: torch.Tensor, say: Say
) -> None:
    """Whether the tool projects inside the pictures and where they move; `moved` is what changed between the looks at `indices`."""
    positions = trajectory.world_from_tool.translation
    inside_anywhere = torch.zeros(len(positions), dtype=torch.bool)
    calibrated = [view for view in views if view.camera is not None]
    for view in calibrated:
        assert view.camera is not None
        pixels, depth = view.camera.project(positions)
        inside = (depth > 0) & view.camera.contains(pixels)
        inside_anywhere |= inside
        if inside.float().mean() < 0.5:
            say(
                "warning",
                "tool out of view",
                f"{view.name}: the tool projects inside the picture in {inside.sum()} of {len(inside)} frames",
            )
        _look_at_motion(view, calibrated, positions[indices[1:]], moved[view.name], indices[1:], say)
    if calibrated and not inside_anywhere.any():
        say(
            "error",
            "calibration",
            "the tool is in no view at any time; the cameras or the tool's frame follow another convention",
        )


def _look_at_motion(
    view: View,
    others: list[View],
    positions: torch.Tensor,
    change: torch.Tensor,
    indices: torch.Tensor,
    say: Say,
) -> None:
    """The tool is where something moves, and another view's camera would not say better where."""
    own = motion.nearness(change, _at(view, indices), positions)
    if own is None:
        return
    if own < LEAST_NEARNESS:
        say(
            "warning",
            "calibration",
            f"{view.name}: pictures move no more at the tool's projection than elsewhere ({own:.2f} times)",
        )
    apart = motion.offset(change, _at(view, indices), positions)
    for other in others:
        if other is view or other.frames.size != view.frames.size or apart is None:
            continue
        theirs = motion.offset(change, _at(other, indices), positions)
        if theirs is not None and theirs < 0.5 * apart and apart > 0.02:
            say(
                "warning",
                "calibration",
                f"{view.name}: what moves fits the camera of '{other.name}' better than its own; are they swapped?",
            )


def compare_views(views: list[View], moved: dict[str, torch.Tensor], indices: torch.Tensor, say: Say) -> None:
    """What moves in one view must lie near the line on which the other cameras can see it."""
    calibrated = [view for view in views if view.camera is not None]
    for place, one in enumerate(calibrated):
        for other in calibrated[place + 1 :]:
            pixels, weight = motion.centre(moved[one.name], one.frames.size)
            others, weights = motion.centre(moved[other.name], other.frames.size)
            both = (weight > 0) & (weights > 0)
            if both.sum() < 3:
                continue
            cameras = _at(one, indices[1:][both]), _at(other, indices[1:][both])
            distance = motion.epipolar_distance(*cameras, pixels[both], others[both]).nanmedian()
            if distance > 0.2:
                say(
                    "warning",
                    "calibration",
                    f"{one.name} and {other.name}: what moves in both is {distance:.0%} of the picture off the epipolar line",
                )


def _at(view: View, indices: torch.Tensor):
    assert view.camera is not None
    return view.camera[indices] if view.camera.batch_shape else view.camera.expand(len(indices))
