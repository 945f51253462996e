"""A policy that tries a task before an expert shows how it goes on."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import lru_cache

from action_images.evaluation.rollout import RolloutConfig, roll_out
from action_images.robot import Observation, Plan, Policy
from action_images.sim import Tabletop


@dataclass(frozen=True)
class PolicyBegins:
    """Carries out whole trials, as `closed_loop` does, with the first `num_views` of the cameras; a `sim.record.Beginner`.

    `make` makes the policy: once in each process, so it can be pickled and equal ones compare equal. The policy is shown
    images of the size that is recorded.
    """

    make: Callable[[], Policy]
    rollout_config: RolloutConfig
    num_views: int = 2

    def __call__(self, environment: Tabletop, first_seen: Observation, address: tuple[str, int]) -> None:
        """Try until the task is done or the trial over."""
        policy = _FirstViews(_made(self.make), self.num_views)
        roll_out(policy, environment, first_seen, address, environment.task.max_steps, self.rollout_config)


@dataclass(frozen=True)
class _FirstViews:
    policy: Policy
    num_views: int

    def plan(self, observation: Observation) -> Plan:
        seen = slice(self.num_views)
        return self.policy.plan(
            replace(observation, images=observation.images[seen], cameras=observation.cameras[seen])
        )


@lru_cache(maxsize=1)
def _made(make: Callable[[], Policy]) -> Policy:
    return make()
