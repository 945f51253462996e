"""What a policy is asked to show: named conditions of evaluation, each with what it claims."""

from collections.abc import Callable
from dataclasses import dataclass, replace

from action_images.control import Execution, Guard
from action_images.errors import ActionImagesError
from action_images.evaluation.rollout import RolloutConfig
from action_images.sim import HELD_OUT, LOOKS, RIGS, TRAINED, Look, Rig, Tabletop

SIMULATED = Guard(min_confidence=0.0)
"""A simulated arm comes to no harm: what was read with little confidence is driven all the same, and judged by where it leads
(docs/experiments.md has what refusing it costs). A real arm keeps the guard's own default."""


@dataclass(frozen=True)
class EvaluationProtocol:
    """Which tasks, seen by which cameras, in which look, and how plans are carried out; `claim` is what success shows."""

    claim: str
    tasks: tuple[str, ...] = TRAINED
    rig: Rig = RIGS["sampled"]
    look: Look = LOOKS["train"]
    rollout_config: RolloutConfig = RolloutConfig(guard=SIMULATED)

    def environment(self, task: str, num_views: int, size: tuple[int, int]) -> Tabletop:
        """A world of this task under these conditions; `size` is (height, width) in px."""
        return Tabletop(task, self.rig, self.look, num_views, size)

    def executed(self, change: Callable[[Execution], Execution]) -> "EvaluationProtocol":
        """The same with another execution of plans."""
        return replace(
            self, rollout_config=replace(self.rollout_config, execution=change(self.rollout_config.execution))
        )


PROTOCOLS = {
    "in_domain": EvaluationProtocol(
        "trained tasks, cameras and looks as in training, new scenes: the policy learned its tasks"
    ),
    "new_viewpoint": EvaluationProtocol(
        "the same scenes from azimuths that no training camera had: it acts from calibrated viewpoints it has never seen",
        rig=RIGS["held_out"],
    ),
    "new_look": EvaluationProtocol(
        "the same scenes in tables, floors, shades and light that no training scene had: it acts by what matters, not by the look",
        look=LOOKS["new"],
    ),
    "new_task": EvaluationProtocol(
        "tasks that no training showed: what it learned carries over", tasks=HELD_OUT
    ),
    "open_loop": EvaluationProtocol(
        "the trained tasks by one single plan, as the paper evaluates: how far one prediction carries without looking again",
        rollout_config=RolloutConfig(Execution(num_steps=None, max_plans=1), SIMULATED),
    ),
}
"""Name -> conditions. All share their seeds, so that scenes are paired across protocols and policies."""


def protocol_named(name: str) -> EvaluationProtocol:
    """A protocol by its name; raises ValueError with the names that there are."""
    if name not in PROTOCOLS:
        raise ActionImagesError(f"there is no protocol '{name}'; there are: {', '.join(PROTOCOLS)}")
    return PROTOCOLS[name]
