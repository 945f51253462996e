"""Judge a policy's single plans in held-out scenes: errors, and whether they follow the instruction.

action-images judge-plans --policy shipped --out plans
action-images judge-plans --policy run/model --env metaworld/mt10 --out plans
"""

from typing import TYPE_CHECKING, Annotated, Literal

import tyro

from action_images.errors import ActionImagesError
from action_images.terminal.paths import OutFolder
from action_images.terminal.placing import planning_placed
from action_images.terminal.server_options import ServerOptions
from action_images.terminal.worlds import DEFAULT_WORLD, chosen_world

if TYPE_CHECKING:
    from action_images.benchmarks import Benchmark


def main(
    policy: str,
    out: OutFolder,
    task: tuple[str, ...] = (),
    scenes: int = 20,
    env: str = DEFAULT_WORLD,
    rig: str | None = None,
    look: str | None = None,
    wording: Literal["phrasings", "grammar", "new_wording", "new_pair"] = "phrasings",
    views: int = 2,
    size: int | None = None,
    sampling: str | None = None,
    device: str = "auto",
    dtype: Literal["auto", "float32", "bfloat16"] = "float32",
    server: Annotated[ServerOptions, tyro.conf.arg(name="")] = ServerOptions(),
) -> None:
    """Judge single plans against the expert's path over the same control steps; no plan is executed.

    Plans for each scene are made as in the demonstrations, from a later instant, in words that no
    demonstration used, and with another goal. Controls have no words, or another scene's images. Writes
    OUT/plans.jsonl as it goes and OUT/plans.md, and prints the table. The same command resumes a stopped run
    or adds scenes.

    Args:
        policy: a folder of models, `shipped`, ws://HOST:PORT, hold or random.
        out: results folder; one of another policy or other conditions is refused.
        task: names of tasks or of groups of tasks; all trained ones if not given.
        scenes: how many scenes of each task.
        env: the world, or WORLD/TASK; 'action-images envs' lists them.
        rig: where the cameras stand, in the embedded world fixed, sampled, around, held_out or moving; the
            rig of the world's training if not given.
        look: colours and light, in the embedded world train, wide, unseen or checkered; the look of the
            world's training if not given.
        wording: how tasks are worded (docs/world.md); with a grammar, `rephrased` is a held-out sentence.
        views: how many cameras.
        size: height and width of the camera images in px; the models' own if not given.
        sampling: name of the sampling (docs/model.md); the models' own if not given.
        device: where the models run: cuda, cuda:1, mps, cpu, or auto for the first one available.
        dtype: precision of the transformer and the language model; auto takes what is fast on the device.
    """
    from rich.progress import track

    from action_images.benchmarks import WorldConfig
    from action_images.evaluation.open_loop import judge_plans, load_plans, markdown, summarise
    from action_images.files.atomic import write_text
    from action_images.policies import Planning, policy_named
    from action_images.terminal.console import PlainConsole

    if policy in ("expert", "expert-video"):
        raise ActionImagesError(
            f"--policy {policy}: plans are judged against the expert's; give another policy"
        )
    if scenes < 1:
        raise ActionImagesError(f"--scenes {scenes}: give at least one")
    benchmark, names = chosen_world(env, task)
    asked = _addresses(benchmark, names, scenes)
    planning = planning_placed(policy, Planning(sampling=sampling, device=device, dtype=dtype))
    judged = policy_named(policy, planning, server.access())
    shown = judged.image_size if size is None else (size, size)
    told = None if wording == "phrasings" else wording
    world = WorldConfig(benchmark.name, rig=rig, look=look, num_views=views, size=shown, wording=told)
    running = judge_plans(judged.make(), judged.name, world, asked, out=out)
    for _ in track(running, "judging", len(asked), console=PlainConsole(stderr=True)):
        pass
    wanted = set(asked)
    table = markdown(summarise(scene for scene in load_plans(out) if scene.address in wanted))
    write_text(out / "plans.md", table)
    print(table, end="")


def _addresses(benchmark: "Benchmark", names: tuple[str, ...], num_scenes: int) -> list[tuple[str, int]]:
    """Addresses ordered by scene, so that a stopped run has judged all tasks equally."""
    addresses = []
    for seed in benchmark.seeds.for_judging(num_scenes):
        addresses += [(name, seed) for name in names]
    return addresses
