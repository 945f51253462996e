"""How far an arm misses tool poses that are turned: the turn that an arm of five joints lacks, as numbers.

.venv-lerobot/bin/python packages/examples/reachable.py so101.urdf shoulder_pan shoulder_lift elbow_flex \
    wrist_flex wrist_roll

Poses are those of random postures, turned about an axis through the tool's point. The arm then goes to them
from the posture, as it does behind the policy.
"""

import argparse
import logging
from dataclasses import dataclass

import numpy as np
import torch
from lerobot_policy_action_images.kinematics import Arm
from numpy.typing import NDArray

from action_images.geometry import Pose, Trajectory
from action_images.geometry.rotation import from_rotation_vector

ANGLES_DEG = (10.0, 30.0, 60.0)
AXES = ("roll", "pitch", "sideways")
"""About the way that the tool points, the horizontal across the arm, and the normal of these two."""


@dataclass(frozen=True)
class Missed:
    """By how much poses were missed, (pose) each."""

    mm: NDArray[np.float64]
    degrees: NDArray[np.float64]


def turned(pose: Pose, axis: str, angle_deg: float, pointing: str) -> Pose:
    """The pose (base_from_tool) turned about one of `AXES` through the tool's point.

    `pointing` is the tool's axis that points out of the hand: x, y or z.
    """
    ahead = pose.rotation[:, "xyz".index(pointing)]
    across = torch.tensor([-pose.translation[1], pose.translation[0], 0.0])
    across = across / across.norm()
    sideways = torch.linalg.cross(ahead, across)
    about = {"roll": ahead, "pitch": across, "sideways": sideways / sideways.norm()}[axis]
    turn = from_rotation_vector(about * np.deg2rad(angle_deg))
    return Pose(turn @ pose.rotation, pose.translation)


def missed(
    arm: Arm, postures: NDArray[np.float64], axis: str, angle_deg: float, *, pointing: str = "z"
) -> Missed:
    """Go from each posture (degrees, the gripper last) to its own tool pose, turned."""
    mm, degrees = [], []
    for posture in postures:
        start = Trajectory.from_vector(arm.poses(torch.from_numpy(posture))[None].float())
        wanted = turned(start.world_from_tool[0], axis, angle_deg, pointing)
        row = Trajectory(wanted[None], start.opening).to_vector()[0]
        reached = arm.poses(torch.from_numpy(arm.angles(row, posture)))
        metres, angle = Trajectory.from_vector(reached[None].float()).world_from_tool[0].distance(wanted)
        mm.append(1e3 * float(metres))
        degrees.append(np.rad2deg(float(angle)))
    return Missed(np.array(mm), np.array(degrees))


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("urdf")
    parser.add_argument("joints", nargs="+", help="from the base on, without the gripper")
    parser.add_argument("--tool_frame", default="gripper_frame_link")
    parser.add_argument("--low", type=float, nargs="+", default=[-45, -60, -20, -20, -60], help="degrees")
    parser.add_argument("--high", type=float, nargs="+", default=[45, 10, 60, 80, 60])
    parser.add_argument(
        "--pointing", choices=("x", "y", "z"), default="z", help="the frame's axis, out of the hand"
    )
    parser.add_argument("--postures", type=int, default=50)
    given = parser.parse_args()
    logging.disable(logging.WARNING)
    arm = Arm(given.urdf, given.tool_frame, tuple(given.joints), 0.0, 100.0)
    rng = np.random.default_rng(0)
    postures = rng.uniform([*given.low, 50], [*given.high, 50], (given.postures, len(given.low) + 1))
    print("| turned about | by, degrees | missed, mm: median, worst | missed, degrees: median, worst |")
    print("|---|---|---|---|")
    for axis in AXES:
        for angle_deg in ANGLES_DEG:
            off = missed(arm, postures, axis, angle_deg, pointing=given.pointing)
            place = f"{np.median(off.mm):.1f}, {off.mm.max():.1f}"
            rotation = f"{np.median(off.degrees):.1f}, {off.degrees.max():.1f}"
            print(f"| {axis} | {angle_deg:g} | {place} | {rotation} |")


if __name__ == "__main__":
    main()
