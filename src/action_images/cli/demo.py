"""Watch the shipped policy drive the simulated arm: a film of each task, and a report.

action-images demo
action-images demo --task reach_target --instruction 'reach the green ball' --rig held_out
"""

from pathlib import Path
from typing import TYPE_CHECKING, Literal

from action_images.errors import ActionImagesError
from action_images.terminal.paths import OutFolder
from action_images.terminal.placing import planning_placed
from action_images.terminal.progress import working
from action_images.terminal.worlds import DEFAULT_WORLD, chosen_world

if TYPE_CHECKING:
    from action_images.benchmarks import Benchmark
    from action_images.robot import Observation, Plan, Policy, RepeatableEnvironment

SHOWN = ("reach_target", "push_button", "close_drawer")
"""The tasks that are shown if none is named."""
NUM_SCENES_SEARCHED = 500


def main(
    task: tuple[str, ...] = (),
    env: str = DEFAULT_WORLD,
    instruction: str | None = None,
    rig: str | None = None,
    look: str | None = None,
    scene: int = 0,
    views: int = 2,
    size: int = 128,
    policy: str = "shipped",
    device: str = "auto",
    dtype: Literal["auto", "float32", "bfloat16"] = "float32",
    execute: int = 16,
    out: OutFolder = Path("demo"),
) -> None:
    """Watch the shipped policy drive the simulated arm.

    The policy imagines videos and action images of the near future, reads the action images back into tool
    poses, executes some of them, and looks again. Films of the tasks and report.html are written to OUT.

    Args:
        task: Names of tasks or of groups of tasks; three of the embedded world if neither this nor --env is
            given.
        env: The world, or WORLD/TASK; 'action-images envs' lists them.
        instruction: The instruction for the policy instead of the scene's own, such as "reach the green
            ball". A scene is searched in which these words name the task's object; other worlds use --scene.
        rig: Where the cameras stand, in the embedded world fixed, sampled, around, held_out or moving; the
            rig of training if not given. No training camera stood where those of `held_out` stand.
        look: Colours and light, in the embedded world train, wide, unseen or checkered; the look of training
            if not given. `unseen` is for judging alone.
        scene: Number of the scene; no scene was trained on.
        views: How many cameras.
        size: Height and width of the camera images in px.
        policy: A folder of models, or `shipped`.
        device: Where the policy runs: cuda, cuda:1, mps, cpu, or auto for the first one available.
        dtype: Precision of its transformer and language model; auto takes what is fast on the device.
        execute: Control steps (of 1/20 s) of each plan that are executed before the policy looks again.
        out: The folder to write.
    """
    import time
    from dataclasses import replace

    from action_images.control import Execution
    from action_images.evaluation.closed_loop import EvaluationConfig, judge
    from action_images.evaluation.expert import expert_path
    from action_images.evaluation.protocols import EvaluationProtocol
    from action_images.evaluation.results_folder import open_results
    from action_images.evaluation.rollout import RolloutConfig
    from action_images.evaluation.trial import TRIALS, append_trial
    from action_images.files.lock import alone_in
    from action_images.policies import Planning, maker_of
    from action_images.reports.filmed_trial import write_filmed_trial
    from action_images.reports.report import write_report
    from action_images.robot import Doubting
    from action_images.terminal.console import PlainConsole

    usual = SHOWN if env == DEFAULT_WORLD else ()
    benchmark, tasks = chosen_world(env, task or usual)
    console = PlainConsole()
    planning = Planning(mode="joint", imagine=True, device=device, dtype=dtype)
    planner: Policy = maker_of(policy, planning_placed(policy, planning))()
    doubting = planner
    if instruction is not None:
        planner = Told(planner, instruction)
    rollout_config = RolloutConfig(Execution(num_steps=execute), benchmark.guard)
    claim = f"{rig or benchmark.rigs[0]} cameras, look '{look or 'train'}'"
    protocol = EvaluationProtocol(
        claim, tasks, benchmark_name=benchmark.name, rig=rig, look=look, rollout_config=rollout_config
    )
    config = EvaluationConfig("demo", protocol, policy, lambda: planner, views, (size, size))
    results = out / "results"
    # Report words that fit no scene before running anything and before replacing earlier results.
    seeds = {}
    for name in tasks:
        seeds[name] = find_scene(config.environment(name), scene, instruction, benchmark=benchmark)
    with alone_in(results):
        _forget(results)
        open_results(results, TRIALS, config.settings())
        for name, seed in seeds.items():
            environment = config.environment(name)
            began = time.monotonic()
            with working(name):
                trial, rollout = judge(planner, config, (name, seed), filming=True)
            took = time.monotonic() - began
            if instruction is not None:
                trial, rollout = (
                    replace(trial, instruction=instruction),
                    replace(rollout, instruction=instruction),
                )
            film = Path("films") / f"{name}.mp4"
            (results / film.parent).mkdir(exist_ok=True)
            expert = expert_path(environment, seed)
            goal = None if expert is None else expert.world_from_tool[-1]
            write_filmed_trial(rollout, results / film, trial.detail, goal)
            append_trial(results, replace(trial, film=str(film)))
            outcome = "done" if trial.succeeded else f"failed ({trial.failure})"
            told = f'{name}: "{trial.instruction}": {outcome}: {trial.detail}'
            colour = "green" if trial.succeeded else "red"
            planned = f"{trial.num_plans} plans of {trial.plan_ms:.0f} ms, {took:.1f} s in all"
            console.print(f"{told}. {planned}", style=colour)
            if isinstance(doubting, Doubting):
                for sentence in doubting.doubts(rollout.first_seen, rollout.plans):
                    console.print(f"  {sentence}", soft_wrap=True)
    written = write_report([results], out / "report.html")
    console.print(f"films: {results / 'films'}; report: {written.path}")


def _forget(results: Path) -> None:
    """Remove the results of an earlier demo; raises ActionImagesError for results that are not a demo's."""
    from action_images.evaluation.trial import SETTINGS, TRIALS
    from action_images.files.settings import load_settings

    settings, trials = results / SETTINGS, results / TRIALS
    is_demo = settings.is_file() and load_settings(settings).get("protocol") == "demo"
    if not is_demo and (trials.is_file() or settings.is_file()):
        raise ActionImagesError(
            f"{results}: holds results that are not a demo's, and would be replaced; choose another --out"
        )
    trials.unlink(missing_ok=True)
    settings.unlink(missing_ok=True)


def find_scene(
    environment: "RepeatableEnvironment", scene: int, instruction: str | None, *, benchmark: "Benchmark"
) -> int:
    """The seed of a scene; with an instruction, of the first scene from there on that fits it.

    Raises ActionImagesError if none of the next scenes fits, or if the words are not about this task.
    """
    first = benchmark.seeds.for_judging(scene + 1)[-1]
    if instruction is None or benchmark.name != DEFAULT_WORLD:
        return first
    from action_images.sim import Tabletop
    from action_images.sim.wording import tells

    assert isinstance(environment, Tabletop)
    for seed in range(first, first + NUM_SCENES_SEARCHED):
        environment.begin(seed)
        if tells(instruction, environment.trial):
            return seed
    raise ActionImagesError(
        f"none of {NUM_SCENES_SEARCHED} scenes of this task is about what '{instruction}' says; it is told "
        "as "
        f"'{environment.instruction}'; choose a --task that fits"
    )


class Told:
    """A policy that always gets the same instruction, whatever the scene's own is."""

    def __init__(self, policy: "Policy", instruction: str):
        self.policy, self.instruction = policy, instruction

    def plan(self, observation: "Observation") -> "Plan":
        """The plan for the given instruction."""
        from dataclasses import replace

        return self.policy.plan(replace(observation, instruction=self.instruction))
