"""A policy that imagines by hindsight: it plans the expert's path and shows what the expert's run showed."""

from collections.abc import Iterable
from dataclasses import replace
from functools import partial
from pathlib import Path

import torch

from action_images.codec import draw
from action_images.evaluation.closed_loop import EvaluationConfig, evaluate, film
from action_images.evaluation.expert import expert_path
from action_images.evaluation.protocols import PROTOCOLS
from action_images.evaluation.references import Expert
from action_images.geometry import Pose, Trajectory
from action_images.reports.filmed_trial import write_filmed_trial
from action_images.robot import Observation, Plan
from action_images.sim import Tabletop, demonstrate
from action_images.structs import stack

STRIDE = 4
"""Control steps from one imagined frame to the next."""
MISSES_BY = 0.06
"""How far beside the expert's path (m) its own ends in every scene of odd seed, so that it fails there."""


class Hindsight:
    """Follows the expert's path of the trial; in scenes of odd seed beside it."""

    def __init__(self, imagines: bool = True, misses: bool = True):
        self._imagines, self._misses = imagines, misses

    def begin(self, environment: Tabletop, seed: int) -> None:
        """See the whole trial beforehand."""
        self._environment, twin = environment, environment.twin()
        self._shown = [twin.reset(seed), *(twin.observation() for _ in demonstrate(twin))]
        twin.close()
        path = expert_path(environment, seed)
        assert path is not None
        off = torch.tensor([0.0, MISSES_BY if seed % 2 and self._misses else 0.0, 0.0])
        places = path.world_from_tool.translation + torch.linspace(0, 1, path.num_frames)[:, None] * off
        self._path = Trajectory(Pose(path.world_from_tool.rotation, places), path.opening)

    def plan(self, observation: Observation) -> Plan:
        """What is left of the path, and what is left of the expert's run."""
        now = min(self._environment.num_steps, self._path.num_frames - 1)
        left = self._path[now:]
        return self._imagine(left, observation, self._shown[now:]) if self._imagines else Plan(left)

    def _imagine(self, left: Trajectory, observation: Observation, shown: list[Observation]) -> Plan:
        picked = shown[::STRIDE]
        video = torch.stack([one.images for one in picked], 1).float() / 255
        first = Trajectory(observation.world_from_tool, observation.opening)
        poses = [first, *(left[min(STRIDE * at, left.num_frames) - 1] for at in range(1, len(picked)))]
        images = draw(stack(poses), stack([one.cameras for one in picked], 1))
        imagined = (torch.arange(1.0, left.num_frames + 1) / STRIDE).clamp_max(len(picked) - 1)
        return Plan(
            left, video, torch.ones(left.num_frames), images, imagined, {"denoise": 80.0, "read": 20.0}
        )


def config(
    tasks: tuple[str, ...], num_views: int = 2, imagines: bool = True, misses: bool = True
) -> EvaluationConfig:
    """Hindsight judged at these tasks as the trained ones are, with images of 64 px."""
    protocol = replace(PROTOCOLS["in_domain"], tasks=tasks)
    return EvaluationConfig(
        "in_domain", protocol, "hindsight", partial(Hindsight, imagines, misses), num_views, (64, 64)
    )


def judged(folder: Path, tasks: tuple[str, ...], num_trials: int) -> None:
    """A results folder as `action-images evaluate` leaves it: trials, films, the expert's as a ceiling."""
    hindsight = config(tasks)
    expert = replace(hindsight, policy_name="expert", make=Expert)
    _carry_out(evaluate(hindsight, folder, num_trials))
    _carry_out(film(hindsight, folder, write_filmed_trial))
    _carry_out(evaluate(expert, folder / "expert", num_trials))


def _carry_out(trials: Iterable) -> None:
    assert list(trials)
