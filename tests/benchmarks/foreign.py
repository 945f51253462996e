"""Laws that environments of foreign simulators keep; each is asked on the real simulator."""

import hashlib

import mujoco
import numpy as np
import torch

from action_images.benchmarks.foreign import MuJoCoViews
from action_images.geometry import Camera, Pose
from action_images.robot import RepeatableEnvironment
from action_images.sim.motion import about

Corner = tuple[float, float, float]
FIRST = 1_000_000


def fingerprint(environment: RepeatableEnvironment, seed: int, num_steps: int = 6) -> str:
    """A hash of all that a trial shows: images, cameras and poses, at first and after steps."""
    seen = environment.reset(seed)
    digest = hashlib.sha256(seen.instruction.encode())
    for step in range(num_steps + 1):
        for part in (seen.images, seen.cameras.intrinsics, seen.cameras.world_from_camera.matrix()):
            digest.update(part.numpy().tobytes())
        digest.update(seen.world_from_tool.matrix().numpy().tobytes())
        if step < num_steps:
            aside = Pose(
                seen.world_from_tool.rotation,
                seen.world_from_tool.translation + torch.tensor([0.01, 0.01, 0.005]),
            )
            environment.step(aside, opening=float(step < 3))
            seen = environment.observation()
    return digest.hexdigest()


def marker_errors(views: MuJoCoViews, data: mujoco.MjData, cameras: Camera, centre: np.ndarray) -> np.ndarray:
    """How far (px) the centres of balls drawn by OpenGL lie from where our cameras project them.

    The balls are drawn alone, up to 12 cm around a place (m).
    """
    views.images(data, cameras)
    renderer, rng, errors = views._renderer, np.random.default_rng(0), []
    for place in centre + rng.uniform(-0.12, 0.12, (20, 3)):
        for view in range(len(cameras.intrinsics)):
            shown = _shown(renderer, data, cameras[view], place)
            expected, _ = cameras[view].project(torch.from_numpy(place).to(cameras.dtype))
            errors.append(np.linalg.norm(expected.numpy() - shown))
    return np.array(errors)


def _shown(renderer, data: mujoco.MjData, camera: Camera, place: np.ndarray) -> np.ndarray:
    """The centre (x, y in px) of a ball that is drawn alone."""
    scene = renderer._scene
    renderer._aim(data, camera)
    every = mujoco.mjtCatBit.mjCAT_ALL
    mujoco.mjv_updateScene(renderer._model, data, renderer._option, None, renderer._eye, every, scene)
    flags = [int(mujoco.mjtRndFlag.mjRND_SEGMENT), int(mujoco.mjtRndFlag.mjRND_IDCOLOR)]
    scene.flags[flags] = True
    scene.ngeom, ball = 1, scene.geoms[0]
    white = np.ones(4, np.float32)
    sphere = mujoco.mjtGeom.mjGEOM_SPHERE
    mujoco.mjv_initGeom(ball, sphere, np.full(3, 0.012), place, np.eye(3).ravel(), white)
    ball.segid = 254
    rows, columns = np.nonzero(renderer._pixels()[..., 0])
    scene.flags[flags] = False
    assert len(rows), f"no ball at {place}"
    return np.array([columns.mean() + 0.5, rows.mean() + 0.5])


def rest_error(environment: RepeatableEnvironment, goal: Pose, *, num_steps: int = 30) -> tuple[float, float]:
    """How far (m, rad) the tool is from a goal: gone to straight at 10 cm a second, then awaited."""
    start = environment.state().world_from_tool
    way = goal.translation - start.translation
    steps = max(int(way.norm().item() / 0.005), 1)
    for step in range(1, steps + 1):
        on_the_way = start.translation + step / steps * way
        environment.step(Pose(goal.rotation, on_the_way), opening=1.0)
    for _ in range(num_steps):
        report = environment.step(goal, opening=1.0)
    return report.position_error, report.rotation_error


def median_rest_error(
    environment: RepeatableEnvironment, *, num_seeds: int, low: Corner, high: Corner, num_steps: int = 60
) -> tuple[float, float]:
    """How far (m, degrees) the tool comes to rest from its goals, at the median of `num_seeds` trials.

    Each trial has one goal: the tool's first pose, moved within two corners (m) and turned by up to .4 rad
    about any axis. Closes the environment.
    """
    rng, metres, radians = np.random.default_rng(0), [], []
    for seed in range(FIRST, FIRST + num_seeds):
        environment.begin(seed)
        start = environment.state().world_from_tool
        axis = rng.normal(size=3)
        turn = about((axis / np.linalg.norm(axis)).tolist(), rng.uniform(0, 0.4))
        aside = torch.from_numpy(rng.uniform(low, high))
        goal = Pose(turn @ start.rotation, start.translation + aside)
        far, turned = rest_error(environment, goal, num_steps=num_steps)
        metres.append(far)
        radians.append(turned)
    environment.close()
    return float(np.median(metres)), float(np.degrees(np.median(radians)))
