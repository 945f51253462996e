"""Tool poses for a LeRobot set of joint angles: python -m lerobot_policy_action_images.joints SET OUT URDF
JOINT ...

Writes OUT, the same set with the column `observation.tool` (x y z qx qy qz qw opening, m, in the robot's
base). It is computed by forward kinematics from the joints in `observation.state` (degrees, the gripper's
number last, 0 closed to 100 open). Further arguments: --tool_frame=NAME, --closed=0, --open=100.
`calibration.json` of OUT then names the column: {"tool": {"feature": "observation.tool",
"columns": [0, 1, 2, 3, 4, 5, 6, 7], "closed": 0, "open": 1}}
"""

import sys
from pathlib import Path

import numpy as np
import torch
from lerobot.datasets.dataset_tools import add_features
from lerobot.datasets.lerobot_dataset import LeRobotDataset

from action_images.episodes.contradictions import in_gripper
from action_images.episodes.lerobot_layout import STATE, TOOL_NAMES
from action_images.episodes.notation import ToolNotation
from action_images.errors import ActionImagesError
from lerobot_policy_action_images.columns import names_of
from lerobot_policy_action_images.kinematics import Arm

TOOL = "observation.tool"


def with_tool(source: Path, out: Path, arm: Arm) -> None:
    """Write the set with the column; raises ActionImagesError if states are not joints of the arm."""
    dataset = LeRobotDataset(f"local/{source.name}", root=source)
    states = np.array(dataset.hf_dataset.with_format("numpy")[STATE], np.float32)
    check_states(states, names_of(dataset.meta.features[STATE]), arm)
    poses = arm.poses(torch.from_numpy(states)).numpy()
    feature = {"dtype": "float32", "shape": (8,), "names": TOOL_NAMES}
    add_features(dataset, {TOOL: (poses, feature)}, out, f"local/{out.name}")


def check_states(states: np.ndarray, names: list[str] | None, arm: Arm) -> None:
    """Raise ActionImagesError if a set's states (row, joints + 1) contradict what is said of the arm."""
    wanted = len(arm.joints) + 1
    if states.ndim != 2 or states.shape[-1] != wanted:
        return  # `Arm.poses` says how many numbers there must be
    told = [name.removesuffix(".pos") for name in names or []]
    if set(arm.joints) <= set(told) and told[: len(arm.joints)] != list(arm.joints):
        order = " ".join(name for name in told if name in arm.joints)
        raise ActionImagesError(f"the set's joints are in another order; give: {order}")
    largest = float(np.abs(states[:, :-1]).max())
    if largest <= 2 * np.pi + 0.1:
        raise ActionImagesError(
            f"no joint ever reads more than {largest:.2f}: these are radians, or normalised numbers; "
            "convert the set's angles to degrees"
        )
    low, high = float(states[:, -1].min()), float(states[:, -1].max())
    notation = ToolNotation("quaternion_xyzw", arm.closed, arm.open)
    for contradiction in in_gripper(low, high, notation):
        raise ActionImagesError(f"{contradiction} (--closed, --open)")


def main(words: list[str]) -> int:
    """The command; returns its exit code."""
    options = dict(word[2:].split("=", 1) for word in words if word.startswith("--"))
    plain = [word for word in words if not word.startswith("--")]
    if len(plain) < 4 or set(options) - {"tool_frame", "closed", "open"}:
        print(__doc__, file=sys.stderr)
        return 2
    source, out, urdf, *joints = plain
    frame = options.get("tool_frame", "gripper_frame_link")
    closed, opened = float(options.get("closed", 0)), float(options.get("open", 100))
    try:
        with_tool(Path(source), Path(out), Arm(urdf, frame, tuple(joints), closed, opened))
    except ActionImagesError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print(f"{out}: has {TOOL}; name it in calibration.json, then: action-images import {out} --out SET")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
