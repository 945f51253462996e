"""Watch the shipped policy drive the simulated arm: a film of each task, and a report."""

from pathlib import Path
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from action_images.robot import Observation, Plan, Policy
    from action_images.sim import Tabletop

NUM_SCENES_SEARCHED = 500


def main(
    task: tuple[str, ...] = ("reach_target", "push_button", "close_drawer"),
    instruction: str | None = None,
    rig: Literal["sampled", "held-out", "fixed", "moving"] = "sampled",
    look: Literal["train", "new"] = "train",
    scene: int = 0,
    views: int = 2,
    size: int = 128,
    policy: str = "shipped",
    execute: int = 16,
    out: Path = Path("demo"),
) -> None:
    """Watch the shipped policy drive the simulated arm.

    It imagines videos and action images of the near future, reads the action images back into tool poses, executes some
    of them, and looks again. OUT gets a film of each task and report.html.

    Args:
        task: Names of tasks.
        instruction: What the policy is told instead of the scene's own words, as "reach the green ball"; a scene is
            looked for in which these words name what the task is about.
        rig: Where the cameras stand; no camera of training stood where `held-out` ones do.
        look: Colours and light; `new` ones were never trained on.
        scene: Which scene; none of them was trained on.
        views: How many cameras.
        size: Height and width of what the cameras show in px.
        policy: A folder of models, or `shipped`.
        execute: Control steps (of 1/20 s) of each plan that are executed before it looks again.
        out: The folder to write.
    """
    import time
    from dataclasses import replace

    from rich.console import Console

    from action_images.cli.evaluate import generative_policy
    from action_images.control import Execution
    from action_images.evaluation.closed_loop import Judgement, expert_path, judge, open_results
    from action_images.evaluation.film import write_film
    from action_images.evaluation.protocols import SIMULATED, EvaluationProtocol
    from action_images.evaluation.report import write_report
    from action_images.evaluation.rollout import Conduct
    from action_images.evaluation.trial import TRIALS, append_trial
    from action_images.model.shipped import models_folder
    from action_images.sim import LOOKS, RIGS, find_task

    for name in task:
        find_task(name)
    console = Console(highlight=False)
    planner: Policy = generative_policy(models_folder(policy), "joint", True, None, 0)
    if instruction is not None:
        planner = Told(planner, instruction)
    conduct = Conduct(Execution(num_steps=execute), SIMULATED)
    protocol = EvaluationProtocol(f"{rig} cameras, look '{look}'", task, RIGS[rig.replace("-", "_")], LOOKS[look], conduct)
    judgement = Judgement("demo", protocol, policy, lambda: planner, views, (size, size))
    results = out / "results"
    (results / TRIALS).unlink(missing_ok=True)
    (results / "settings.json").unlink(missing_ok=True)
    open_results(results, judgement)
    for name in task:
        environment = judgement.environment(name)
        seed = find_scene(environment, scene, instruction)
        began = time.monotonic()
        trial, rollout = judge(planner, judgement, (name, seed), filming=True)
        took = time.monotonic() - began
        film = Path("films") / f"{name}.mp4"
        (results / film.parent).mkdir(exist_ok=True)
        write_film(rollout, results / film, trial.detail, expert_path(environment, seed).world_from_tool[-1])
        append_trial(results, replace(trial, film=str(film)))
        outcome = "[green]done[/green]" if trial.succeeded else f"[red]failed[/red] ({trial.failure})"
        told = instruction or trial.instruction
        console.print(
            f'{name}: "{told}": {outcome}: {trial.detail}. {trial.num_plans} plans of {trial.plan_ms:.0f} ms, {took:.1f} s in all'
        )
    written = write_report([results], out / "report.html")
    console.print(f"films: {results / 'films'}; report: {written.path}")


def find_scene(environment: "Tabletop", scene: int, instruction: str | None) -> int:
    """The seed of a scene; of the first from there on whose colours and words the instruction has, where one is given.

    Raises ValueError where none of the next scenes fits.
    """
    from action_images.sim import FIRST_EVALUATION_SEED

    first = FIRST_EVALUATION_SEED + scene
    if instruction is None:
        return first
    said = set(instruction.lower().replace(",", " ").replace(".", " ").split())
    for seed in range(first, first + NUM_SCENES_SEARCHED):
        environment.begin(seed)
        words = {
            value for name, value in vars(environment.trial).items() if isinstance(value, str) and f"{{{name}}}" in spoken(environment)
        }
        if words <= said:
            return seed
    raise ValueError(
        f"none of {NUM_SCENES_SEARCHED} scenes is about what '{instruction}' names; this task is told as '{environment.instruction}'"
    )


def spoken(environment: "Tabletop") -> str:
    """All phrasings of a task in one text."""
    return " ".join(environment.task.phrasings)


class Told:
    """A policy that is told the same whatever the scene's own instruction is."""

    def __init__(self, policy: "Policy", instruction: str):
        self.policy, self.instruction = policy, instruction

    def plan(self, observation: "Observation") -> "Plan":
        """The plan for the instruction that was given."""
        from dataclasses import replace

        return self.policy.plan(replace(observation, instruction=self.instruction))
