"""Take the plan with the highest confidence of several made from one observation."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor

from action_images.errors import ActionImagesError
from action_images.robot import Doubting, FindsTool, Observation, Plan, WordsRead


@runtime_checkable
class Proposer(Protocol):
    """A policy that can be asked for several different plans at once."""

    def propose(self, observation: Observation, num_plans: int) -> list[Plan]:
        """Make `num_plans` plans from one observation, each with its confidence."""
        ...


@dataclass(frozen=True)
class BestOf:
    """A Policy that makes `num_plans` plans and takes one.

    It takes the plan with the highest mean confidence over its first `num_steps` control steps.

    A generative policy's confidence combines how precisely its action images are read with how well the views
    agree: one path must fit its images in all views.
    """

    policy: Proposer
    num_plans: int = 4
    num_steps: int | None = 16

    def plan(self, observation: Observation) -> Plan:
        """The plan with the highest confidence; raises ValueError if a plan states no confidence."""
        plans = self.policy.propose(observation, self.num_plans)
        return plans[int(torch.tensor([self._score(plan) for plan in plans]).argmax())]

    @property
    def image_size(self) -> tuple[int, int]:
        """Height and width (px) of the images that the policy was trained on."""
        return self.policy.image_size  # pyright: ignore[reportAttributeAccessIssue]

    @property
    def fps(self) -> float:
        """Frames a second of the clips that the policy was trained on."""
        return self.policy.fps  # pyright: ignore[reportAttributeAccessIssue]

    def words_read(self, instruction: str) -> WordsRead:
        """The words of an instruction that the policy reads, and those that it ignores."""
        return self.policy.words_read(instruction)  # pyright: ignore[reportAttributeAccessIssue]

    def tool_misses(self, observation: Observation) -> Float[Tensor, "picture camera"]:
        """Distance from the tool found in each picture to the tool projected by each camera.

        As a share of the pictures' width; NaN where no tool is found.
        """
        if isinstance(self.policy, FindsTool):
            return self.policy.tool_misses(observation)
        return torch.full((len(observation.images),) * 2, torch.nan)

    def doubts(self, observation: Observation, plans: Sequence[Plan]) -> tuple[str, ...]:
        """The policy's own warnings about its plans; none if it gives no warnings."""
        return self.policy.doubts(observation, plans) if isinstance(self.policy, Doubting) else ()

    def _score(self, plan: Plan) -> float:
        if plan.confidence is None:
            raise ActionImagesError(
                "best-of needs plans that state their confidence; this policy's do not: use it alone"
            )
        return plan.confidence[: self.num_steps].mean().item()
