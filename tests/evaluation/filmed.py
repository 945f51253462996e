"""Real filmed trials of the embedded world: its expert's trajectory as the plans of a policy that imagines, or of one that does not."""

from dataclasses import replace

import torch

from action_images.codec import draw
from action_images.evaluation.rollout import Rollout, Step
from action_images.geometry import Pose, Trajectory
from action_images.robot import Observation, Plan
from action_images.sim import RIGS, Tabletop, demonstrate
from action_images.structs import stack

STRIDE = 4
"""Control steps from one imagined frame to the next."""


def filmed_trial(
    task: str, seed: int, num_views: int = 2, size: int = 64, horizon: int = 10_000, imagines: bool = True, off: float = 0.0
) -> tuple[Rollout, Pose]:
    """The expert's own trajectory executed as plans of `horizon` steps, `off` metres beside it; and where the expert ends.

    What such a policy imagines is what the expert's run showed, each fourth frame.
    """
    world = Tabletop(task, RIGS["fixed"], num_views=num_views, size=(size, size))
    shown = [world.reset(seed), *(world.observation() for _ in demonstrate(world))]
    known = Trajectory(stack([one.world_from_tool for one in shown]), stack([one.opening for one in shown]))
    wanted = replace(known, world_from_tool=_moved(known.world_from_tool, off))
    first_seen = world.reset(seed)
    plans, steps = [], []
    for frame in range(1, known.num_frames):
        now = first_seen if frame == 1 else world.observation()
        if (frame - 1) % horizon == 0:
            plans.append(_plan(wanted[frame : frame + horizon], now, shown[frame - 1 : frame + horizon], imagines))
        asked, opening = wanted.world_from_tool[frame], float(wanted.opening[frame])
        report = world.step(asked, opening)
        steps.append(Step(now, len(plans) - 1, (frame - 1) % horizon, asked, opening, world.world.tool.to(torch.float32), report))
    last_seen, succeeded = world.observation(), world.succeeded()
    instruction = world.instruction
    world.close()
    took = tuple(100.0 + number for number in range(len(plans)))
    rollout = Rollout(task, seed, instruction, world.control_hz, succeeded, tuple(plans), tuple(steps), first_seen, last_seen, took)
    return rollout, known.world_from_tool[-1]


def _plan(trajectory: Trajectory, now: Observation, shown: list[Observation], imagines: bool) -> Plan:
    if not imagines:
        return Plan(trajectory)
    picked = [shown[index] for index in range(0, len(shown), STRIDE)]
    video = torch.stack([one.images for one in picked], 1).float() / 255
    poses = [Trajectory(now.world_from_tool, now.opening), *(trajectory[STRIDE * at - 1] for at in range(1, len(picked)))]
    images = draw(stack(poses), stack([one.cameras for one in picked], 1))
    imagined = (torch.arange(1, trajectory.num_frames + 1) / STRIDE).clamp_max(len(picked) - 1)
    return Plan(trajectory, video, torch.ones(trajectory.num_frames), images, imagined, {"denoise": 80.0, "read": 20.0})


def _moved(pose: Pose, off: float) -> Pose:
    return Pose(pose.rotation, pose.translation + torch.tensor([0.0, off, 0.0]))
