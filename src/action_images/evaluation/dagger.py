"""A policy that attempts a task before an expert takes over (DAgger)."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import lru_cache

from action_images.evaluation.rollout import BegunTrial, RolloutConfig, roll_out
from action_images.robot import Observation, Plan, Policy, RepeatableEnvironment


@dataclass(frozen=True)
class PolicyAttempt:
    """Carries out whole trials, as `closed_loop` does, with the first `num_views` of the cameras.

    It is a `sim.record.Attempt`. `make` makes the policy once in each process, so it must be picklable, and
    equal ones must compare equal. The policy is shown images of the size that is recorded.
    """

    make: Callable[[], Policy]
    rollout_config: RolloutConfig
    num_views: int = 2

    def __call__(
        self, environment: RepeatableEnvironment, first_seen: Observation, address: tuple[str, int]
    ) -> None:
        """Try until the task is done or the trial is over."""
        task, seed = address
        policy = _FirstViews(_made(self.make), self.num_views)
        trial = BegunTrial(environment, task, seed, first_seen=first_seen, max_steps=environment.max_steps)
        roll_out(policy, trial, self.rollout_config)


@dataclass(frozen=True)
class _FirstViews:
    policy: Policy
    num_views: int

    def plan(self, observation: Observation) -> Plan:
        seen = slice(self.num_views)
        images, cameras = observation.images[seen], observation.cameras[seen]
        return self.policy.plan(replace(observation, images=images, cameras=cameras))


@lru_cache(maxsize=1)
def _made(make: Callable[[], Policy]) -> Policy:
    return make()
