"""A robot's side of serving: ask a policy over the network with numpy alone, and go on when it is late.

python examples/07_serve_a_policy.py --out out/07
python examples/07_serve_a_policy.py --uri ws://192.168.0.7:8000 --out out/07

Without --uri it starts a server whose plan is to stay where the tool is.

The pictures here are grey: a server whose policy looks at them may refuse, as it does not know where to go.
Put your robot in.
"""

import argparse
import contextlib
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from action_images.serving.client import Late, Refused, RemotePolicy
from action_images.serving.messages import Request


class Robot:
    """Stands in for yours: two cameras, a tool pose (x y z, quaternion x y z w), a gripper."""

    def __init__(self) -> None:
        self.tool, self.opening = np.array([0.45, 0.0, 0.30, 1.0, 0.0, 0.0, 0.0]), 1.0

    def images(self) -> np.ndarray:
        """RGB of all cameras, (view, height, width, 3) uint8."""
        return np.full((2, 128, 128, 3), 127, np.uint8)

    def intrinsics(self) -> np.ndarray:
        """(view, 3, 3) in px; pixel centres lie at +0.5."""
        return np.tile(np.array([[150.0, 0, 64], [0, 150, 64], [0, 0, 1]]), (2, 1, 1))

    def world_from_camera(self) -> np.ndarray:
        """(view, 4, 4): each camera's pose in the robot's world (x right, y down, z forward)."""
        poses = np.tile(np.diag([1.0, -1.0, -1.0, 1.0]), (2, 1, 1))
        poses[:, :3, 3] = [[0.4, -0.2, 1.0], [0.4, 0.2, 1.0]]
        return poses

    def drive(self, pose: np.ndarray) -> None:
        """Go to x y z, quaternion x y z w, opening for one control period."""
        self.tool, self.opening = pose[:7], float(pose[7])


@contextlib.contextmanager
def own_server() -> Iterator[str]:
    """`action-images serve --policy hold` until the block ends."""
    command = [sys.executable, "-m", "action_images", "serve", "--policy", "hold", "--port", "0"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        try:
            said = (json.loads(line) for line in process.stderr)
            yield f"ws://127.0.0.1:{next(line['port'] for line in said if line['event'] == 'listening')}"
        finally:
            process.terminate()
            process.communicate(timeout=30)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--uri", help="a server's address; one is started here where it is left out")
    parser.add_argument("--out", type=Path, default=Path("out/07"))
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)

    robot, driven = Robot(), []
    with contextlib.ExitStack() as stack:
        uri = arguments.uri or stack.enter_context(own_server())
        policy = stack.enter_context(RemotePolicy(uri, actions="pose", timeout_s=5.0))
        print(f"1. {uri} serves the policy '{policy.metadata['policy']}'")

        for number in range(3):
            request = Request(
                images=robot.images(),
                prompt="put the cup on the tray",
                world_from_tool=robot.tool,
                opening=robot.opening,
                intrinsics=robot.intrinsics(),
                world_from_camera=robot.world_from_camera(),
                action_format="pose",
            )
            start = time.perf_counter()
            try:
                reply = policy.infer(request)
            except (Late, Refused) as none:  # too late, or the server's sentence why there is no plan
                print(f"   no plan {number + 1}: {none}; the robot stays where it is and asks again")
                continue
            waited_ms = 1e3 * (time.perf_counter() - start)
            print(f"2. plan {number + 1}: {len(reply.actions)} poses after {waited_ms:.1f} ms")
            # Some steps of each plan, then a look at what has become of the world.
            for pose in reply.actions[:8]:
                robot.drive(pose)
                driven.append(pose)
    if not driven:
        print("3. nothing was driven: no plan came")
        return
    np.savetxt(
        arguments.out / "driven.csv", driven, delimiter=",", header="x,y,z,qx,qy,qz,qw,opening", comments=""
    )
    print(f"3. {len(driven)} poses driven to; they are in {arguments.out / 'driven.csv'}")


if __name__ == "__main__":
    main()
