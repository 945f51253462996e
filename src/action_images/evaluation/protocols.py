"""Evaluation protocols: named conditions of evaluation, each with the claim that it tests."""

from dataclasses import asdict, dataclass, replace
from typing import Any

from action_images.benchmarks import DEFAULT, Benchmark, WorldConfig, find_benchmark
from action_images.control import Execution
from action_images.errors import ActionImagesError
from action_images.evaluation.rollout import RolloutConfig
from action_images.evaluation.wrong_cameras import WrongCameras
from action_images.robot import Policy, RepeatableEnvironment

Address = tuple[str, int]
"""A task's name and a seed: one scene, independent of policy, rig and look."""


@dataclass(frozen=True)
class EvaluationProtocol:
    """The tasks of a benchmark, their cameras and look, and the way plans are carried out.

    `claim` says what success shows. `rig`, `look` and `wording` are the benchmark's own names, None for those
    of its training. `camera_error_deg` is by how much the cameras that a policy is given are wrong
    (`WrongCameras`).
    """

    claim: str
    tasks: tuple[str, ...]
    benchmark_name: str = DEFAULT
    rig: str | None = None
    look: str | None = None
    rollout_config: RolloutConfig = RolloutConfig()
    wording: str | None = None
    camera_error_deg: float = 0.0

    def __post_init__(self) -> None:
        if not 0 <= self.camera_error_deg <= 180:
            raise ActionImagesError(
                f"cameras can be wrong by 0 to 180 degrees, not by {self.camera_error_deg}: camera_error_deg"
            )

    def misled(self, policy: Policy, seed: int) -> Policy:
        """The policy as it is asked in the trial of this seed: with wrong cameras, if they shall be wrong."""
        if not self.camera_error_deg:
            return policy
        workspace = find_benchmark(self.benchmark_name).workspace
        return WrongCameras(policy, self.camera_error_deg, workspace, seed)

    def world(self, *, num_views: int, size: tuple[int, int]) -> WorldConfig:
        """The world in which trials run under these conditions; `size` is (height, width) in px."""
        seen = {"rig": self.rig, "look": self.look, "wording": self.wording}
        return WorldConfig(self.benchmark_name, num_views=num_views, size=size, **seen)

    def environment(self, task: str, *, num_views: int, size: tuple[int, int]) -> RepeatableEnvironment:
        """An environment of this task under these conditions; `size` is (height, width) in px."""
        return self.world(num_views=num_views, size=size).environment(task)

    def addresses(self, num_trials: int) -> list[Address]:
        """The scenes of an evaluation, task by task: trial `i` has the benchmark's evaluation seed `i`."""
        seeds = find_benchmark(self.benchmark_name).seeds.for_judging(num_trials)
        return scenes(self.tasks, seeds)

    def settings(self) -> dict[str, Any]:
        """The settings that results must share to belong together, as JSON values.

        The number and the size of the views are not among them.
        """
        seen = WorldConfig(self.benchmark_name, rig=self.rig, look=self.look, wording=self.wording).seen()
        wrong = {"camera_error_deg": self.camera_error_deg} if self.camera_error_deg else {}
        return {"claim": self.claim, **seen, **wrong, "rollout_config": asdict(self.rollout_config)}


def scenes(tasks: tuple[str, ...], seeds: range) -> list[Address]:
    """All seeds of each task, task by task."""
    addresses: list[Address] = []
    for task in tasks:
        addresses += [(task, seed) for seed in seeds]
    return addresses


CLAIMS = {
    "in_domain": "trained tasks, cameras and looks as in training, new scenes: the policy learned its tasks",
    "new_viewpoint": "the same scenes from azimuths that no training camera had: "
    "it acts from calibrated viewpoints it has never seen",
    "new_look": "the same scenes in a look that no training scene had: "
    "it acts by what matters, not by the look",
    "new_look_checkered": "the same scenes on checkered tables, as new_look was before it became a family",
    "new_task": "tasks that no training showed: what it learned carries over",
    "open_loop": "the trained tasks by one single plan, as the paper evaluates: "
    "how far one prediction carries without looking again",
    "paper": "kin of the paper's RLBench tasks, trained and never trained: its table, task by task",
    "paper_open_loop": "the same tasks by one single plan, as the paper evaluates",
}
"""Protocol -> the claim that success supports."""


def protocols_of(benchmark: Benchmark) -> dict[str, EvaluationProtocol]:
    """Name -> protocol, for those whose needs the benchmark meets.

    All share their seeds, so that scenes are paired across protocols and policies.
    """
    config = RolloutConfig(guard=benchmark.guard, steady_steps=benchmark.steady_steps)
    single_plan = replace(config, execution=Execution(num_steps=None, max_plans=1))
    usual = EvaluationProtocol("", benchmark.trained, benchmark_name=benchmark.name, rollout_config=config)
    offered = {
        "in_domain": usual,
        "new_viewpoint": replace(usual, rig=benchmark.held_out_rig),
        "new_look": replace(usual, look=benchmark.held_out_look),
        "new_task": replace(usual, tasks=benchmark.held_out),
        "open_loop": replace(usual, rollout_config=single_plan),
    }
    if benchmark.held_out_rig is None:
        del offered["new_viewpoint"]
    if benchmark.held_out_look is None:
        del offered["new_look"]
    with_tasks = {name: protocol for name, protocol in offered.items() if protocol.tasks}
    return {name: replace(protocol, claim=CLAIMS[name]) for name, protocol in with_tasks.items()}


def _checkered() -> EvaluationProtocol:
    """The embedded world's second look that is absent from training."""
    usual = protocols_of(find_benchmark(DEFAULT))["in_domain"]
    return replace(usual, look="checkered", claim=CLAIMS["new_look_checkered"])


def _protocols_of_the_paper() -> dict[str, EvaluationProtocol]:
    """Every task of the benchmark `paper`: in closed loop, and by one single plan."""
    benchmark, claimed = find_benchmark("paper"), {}
    for name, usual in (("paper", "in_domain"), ("paper_open_loop", "open_loop")):
        tasks = (*benchmark.trained, *benchmark.held_out)
        claimed[name] = replace(protocols_of(benchmark)[usual], tasks=tasks, claim=CLAIMS[name])
    return claimed


PROTOCOLS = {
    **protocols_of(find_benchmark(DEFAULT)),
    "new_look_checkered": _checkered(),
    **_protocols_of_the_paper(),
}
"""The protocols if no world is named: those of the default benchmark, and the paper's table."""


def protocol_named(name: str, benchmark_name: str = DEFAULT) -> EvaluationProtocol:
    """A protocol of a benchmark by name; raises ActionImagesError with all names if it does not exist."""
    found = PROTOCOLS if benchmark_name == DEFAULT else protocols_of(find_benchmark(benchmark_name))
    if name not in found:
        raise ActionImagesError(
            f"there is no protocol '{name}' for the world '{benchmark_name}'; there are: {', '.join(found)}"
        )
    return found[name]
