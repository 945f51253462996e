"""Whether a camera on the arm can be found by the same fit, turned round, in rendered pictures.

    python bench/from_motion_arm.py --episodes 12 --seed 0          # one scene in all episodes
    python bench/from_motion_arm.py --episodes 12 --seed 0 --scenes # another scene in each

The still scene takes the hand's place: each pose is inverted, and the points of the scene are counted from
the middle of the table. The arm wanders without a purpose. `calibrate from_motion` does not offer this.
"""
# pyright: reportAttributeAccessIssue=false

import argparse
import math

import numpy as np
import torch

from action_images.calibration.from_motion import start
from action_images.calibration.from_motion.gather import Gathered
from action_images.calibration.from_motion.judge import judge
from action_images.calibration.from_motion.kept import Seen
from action_images.calibration.from_motion.pinhole import Pinhole
from action_images.calibration.from_motion.predicted import distance_px
from action_images.calibration.from_motion.search import calibrate_from_motion
from action_images.calibration.from_motion.tracks import follow
from action_images.calibration.opencv import opencv
from action_images.episodes.episode import FramesInMemory
from action_images.geometry import Camera, Pose
from action_images.geometry.rotation import from_rotation_vector
from action_images.sim.environment import Tabletop
from action_images.sim.expert import wander
from action_images.structs import stack

SIZE, FPS = (256, 256), 20.0
TOOL_FROM_CAMERA = Pose(
    from_rotation_vector(torch.tensor([0.0, -0.35, 0.0])), torch.tensor([0.07, 0.0, -0.10])
)
"""Beside the hand, 10 cm behind the finger tips, leaning towards them."""
FOV_DEG = 65.0
NEAREST = 0.05
"""Metres from such a camera to the tool."""
MIDDLE = np.array([0.46, 0.0, 0.0])
"""Of the table, in the world."""
SHOWN = np.array([[0.0, 0, 0], [0.05, 0, 0], [0, 0.05, 0], [0, 0, 0.1], [0, 0, 0.2]])
"""Points in the tool at which the camera is judged."""


class OnTheArm(Tabletop):
    """The world, seen by one camera that moves with the tool."""

    @property
    def cameras(self) -> Camera:
        """The current camera (axis: view)."""
        pose = self.world.tool.to(torch.float32) @ TOOL_FROM_CAMERA
        return stack([Camera.from_fov(math.radians(FOV_DEG), pose, SIZE)])


def seen_from_the_arm(number: int, seed: int, num_steps: int) -> Seen:
    """An episode of wandering, followed, with inverted poses."""
    environment = OnTheArm("push_button", num_views=1, size=SIZE)
    seen = [environment.reset(seed)]
    steps = wander(environment, np.random.default_rng([seed, number]), num_steps)
    seen.extend(environment.observation() for _ in steps)
    environment.close()
    poses = np.stack([one.world_from_tool.matrix().double().numpy() for one in seen])
    poses[:, :3, 3] -= MIDDLE
    pictures = FramesInMemory(torch.stack([one.images[0] for one in seen]))
    return Seen(f"e{number}", FPS, np.linalg.inv(poses), {"arm": SIZE}, {"arm": follow(pictures, FPS)})


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--episodes", type=int, default=12)
    parser.add_argument("--steps", type=int, default=96, help="of 1/20 s, in each episode")
    parser.add_argument("--seed", type=int, default=0, help="of the scene")
    parser.add_argument("--scenes", action="store_true", help="another scene in each episode")
    asked = parser.parse_args()
    torch.set_num_threads(1)
    opencv().setNumThreads(1)
    start.NEAREST = NEAREST
    seeds = [asked.seed + (number if asked.scenes else 0) for number in range(asked.episodes)]
    episodes = [seen_from_the_arm(number, seed, asked.steps) for number, seed in enumerate(seeds)]
    result = calibrate_from_motion(Gathered(episodes, num_episodes=len(episodes)), search=False)
    (view,) = result.views
    tracks = sum(len(one.followed["arm"].tracks) for one in episodes)
    print(f"{tracks} tracks in {len(episodes)} episodes, {view.num_shared} points shared")
    if view.solved is not None:
        truth = Pinhole.of(Camera.from_fov(math.radians(FOV_DEG), TOOL_FROM_CAMERA, SIZE))
        found = view.camera
        cosine = (np.trace(found.rotation @ truth.rotation.T) - 1) / 2
        px, mm = distance_px(found, truth, SHOWN), 1e3 * np.linalg.norm(found.eye - truth.eye)
        deg, focal = math.degrees(math.acos(min(1.0, cosine))), 100 * (found.focal / truth.focal - 1)
        print(f"tool {px:.2f} px, camera {mm:.1f} mm, {deg:.3f} degrees, focal {focal:+.2f} %")
    if view.predicted is not None:
        print(f"predicted, at the table's middle: {view.predicted.px:.2f} px")
    for finding in judge(result):
        print(f"{finding.level}: {finding.kind}: {finding.message}")


if __name__ == "__main__":
    main()
