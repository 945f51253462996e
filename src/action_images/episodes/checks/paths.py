"""Check that the tool's path and its gripper are those of a real arm."""

from collections.abc import Sequence

import torch

from action_images.episodes.checks.finding import Examined, Finding, Say
from action_images.episodes.contradictions import LITTLE, STILL_OPENING
from action_images.episodes.dropouts import missing_places, missing_turns
from action_images.geometry import Trajectory

STATIC_PATH = 0.01
"""A tool that travels less than this (m), with pictures that never change, makes a static episode."""
FARTHEST_M = 20.0
"""Positions farther than this from the world's origin are not in metres."""
FASTEST_M_S = 5.0
"""A step faster than this is a gap in the recording or a teleport."""
FASTEST_THERE_AND_BACK_M_S = 2.0
"""No arm leaves its place this fast for a single frame and returns."""
FASTEST_TURN_DEG_S = 1500.0
"""No wrist turns faster than this."""
WIDE_OPENING, CLOSED_OPENING = 0.9, 0.6
"""In some episode of a set, grippers open farther than the first and close farther than the second."""


def check_path(trajectory: Trajectory, fps: float, say: Say) -> None:
    """Report positions beyond reach, steps too fast for an arm, and gripper readings in other units."""
    position = trajectory.world_from_tool.translation
    farthest = float(position.norm(dim=-1).max())
    if farthest > FARTHEST_M:
        cure = 'are they in mm? Declare "position_unit": "mm" when it is imported'
        say("error", "units", f"the tool is {farthest:.0f} m away from the world's origin; {cure}")
        return
    if not _is_missing(trajectory, say):
        _check_steps(trajectory, fps, say)
    _check_opening(trajectory.opening, say)


def _is_missing(trajectory: Trajectory, say: Say) -> bool:
    """Report zeros for missing numbers, and whether there are some."""
    place, turn = (missing(trajectory.world_from_tool) for missing in (missing_places, missing_turns))
    for level, message in (("error", place), ("warning", turn)):
        if message is not None:
            say(level, "dropouts", message)
    return place is not None or turn is not None


def _check_steps(trajectory: Trajectory, fps: float, say: Say) -> None:
    if trajectory.num_frames < 2:
        return
    metres, radians = trajectory.world_from_tool[1:].distance(trajectory.world_from_tool[:-1])
    frame = int(metres.argmax())
    if metres[frame] * fps > FASTEST_M_S:
        jump = f"the tool jumps {metres[frame]:.2f} m between frames {frame} and {frame + 1}"
        say("error", "teleport", f"{jump}; frames are missing, or the pose is wrong: cut or drop the episode")
    else:
        _check_spikes(trajectory, metres, fps, say)
    turns = radians.rad2deg()
    frame = int(turns.argmax())
    if turns[frame] * fps > FASTEST_TURN_DEG_S and turns[frame] > 45:
        jump = f"the tool turns by {turns[frame]:.0f} degrees between frames {frame} and {frame + 1}"
        cause = "is the order of the quaternion's numbers, or the notation of the rotation, the declared one?"
        say("warning", "teleport", f"{jump}; {cause}")


def _check_spikes(trajectory: Trajectory, metres: torch.Tensor, fps: float, say: Say) -> None:
    """Report single poses that lie apart from those before and after."""
    if len(metres) < 2:
        return
    place = trajectory.world_from_tool.translation
    away = torch.minimum(metres[1:], metres[:-1])
    between = (place[2:] - place[:-2]).norm(dim=-1)
    away = torch.where(between < away / 2, away, torch.zeros_like(away))
    frame = int(away.argmax())
    if away[frame] * fps > FASTEST_THERE_AND_BACK_M_S:
        spike = f"the tool is {away[frame]:.2f} m away for frame {frame + 1} alone"
        say("error", "teleport", f"{spike}; the pose is wrong: cut or drop the episode")


def _check_opening(opening: torch.Tensor, say: Say) -> None:
    low, high = float(opening.min()), float(opening.max())
    if high - low >= STILL_OPENING and high < LITTLE:
        cure = "declare what the gripper reads when it is 'closed' and 'open'"
        say("warning", "gripper", f"the opening moves only between {low:.2f} and {high:.2f}; {cure}")


def path_length(trajectory: Trajectory | None) -> float:
    """Length of the tool's path (m); 0 if it is unknown."""
    if trajectory is None:
        return 0.0
    return float(trajectory.world_from_tool.translation.diff(dim=0).norm(dim=-1).sum())


def still_opening(trajectory: Trajectory) -> float | None:
    """The gripper's constant opening; None if it moves."""
    opening = trajectory.opening
    return float(opening.mean()) if float(opening.max() - opening.min()) < STILL_OPENING else None


def check_grippers(examined: Sequence[Examined]) -> list[Finding]:
    """Report grippers that never move, or never open or close far in any episode."""
    return _still_grippers(examined) or _short_grippers(examined)


def _short_grippers(examined: Sequence[Examined]) -> list[Finding]:
    """Report a set whose openings use only part of their range: readings declared with another range."""
    ranges = [result.openings for result in examined if result.openings is not None]
    if not ranges:
        return []
    low, high = min(low for low, _ in ranges), max(high for _, high in ranges)
    told = f"the opening moves between {low:.2f} and {high:.2f} in all episodes"
    if high < WIDE_OPENING and high >= LITTLE:
        cure = "is the gripper never open? Else declare what it reads when it is 'open'"
        return [Finding("warning", "gripper", "", f"{told}; {cure}")]
    if low > CLOSED_OPENING and high - low >= STILL_OPENING:
        cure = "is the gripper never closed? Else declare what it reads when it is 'closed'"
        return [Finding("warning", "gripper", "", f"{told}; {cure}")]
    return []


def _still_grippers(examined: Sequence[Examined]) -> list[Finding]:
    """Report episodes whose gripper never moves; if most do not, once for the set."""
    still = [result for result in examined if result.opening is not None]
    cure = "is the real gripper recorded?"
    if 2 * len(still) > len(examined) > 1:
        message = f"the opening never changes in {len(still)} of {len(examined)} episodes; {cure}"
        return [Finding("warning", "gripper", "", message)]
    return [
        Finding(
            "warning", "gripper", result.id, f"the opening stays at {result.opening:.2f} throughout; {cure}"
        )
        for result in still
    ]
