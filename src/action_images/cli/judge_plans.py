"""Judge a policy's single plans in held-out scenes: errors against the expert, and whether they follow the instruction."""

from pathlib import Path
from typing import Literal

from action_images.errors import ActionImagesError


def main(
    policy: str,
    out: Path,
    task: tuple[str, ...] = (),
    scenes: int = 20,
    rig: Literal["sampled", "held_out", "fixed"] = "sampled",
    look: Literal["train", "new"] = "train",
    views: int = 2,
    size: int | None = None,
    sampling: str | None = None,
    token_file: Path | None = None,
    actions: Literal["matrix", "pose", "euler", "delta"] | None = None,
) -> None:
    """Judge single plans, none of which is executed, against the expert's path over the same control steps.

    Each scene is asked as in the demonstrations, from a later instant, in words that no demonstration used, with another
    goal, and as controls without words and with another scene's images. Writes OUT/plans.jsonl as it goes (the same
    command goes on where it was stopped, or adds scenes) and OUT/plans.md, and prints the table.

    Args:
        policy: a folder of models, `shipped`, ws://HOST:PORT, or one of hold, random.
        out: results folder; one of another policy or other conditions is refused.
        task: names of tasks; all trained ones if not given.
        scenes: how many scenes of each task.
        rig: where the cameras stand.
        look: colours and light.
        views: how many cameras.
        size: height and width of what the cameras show in px; the models' own where it is left out.
        sampling: how to sample, a name of generation.GENERATIONS; the models' own where it is left out.
        token_file: a file with the token that the policy server at ws:// asks for.
        actions: the format of actions (docs/serving.md) that the server at ws:// is asked for, and that a server which names none
            answers in; `matrix` where it is left out.
    """
    from rich.console import Console
    from rich.progress import track

    from action_images.cli.evaluate import policy_of
    from action_images.evaluation.open_loop import Scenes, judge_plans, load_plans, markdown, summarise
    from action_images.files.atomic import commit_file
    from action_images.sim import FIRST_EVALUATION_SEED, LOOKS, RIGS, TRAINED, find_task

    if scenes < 1:
        raise ActionImagesError(f"--scenes {scenes}: give at least one")
    if policy in ("expert", "expert-video"):
        raise ActionImagesError(
            f"--policy {policy}: plans are judged against the expert's; give another policy"
        )
    for name in task:
        find_task(name)
    policy_name, make, own_size, _ = policy_of(policy, "policy", False, sampling, 0, 1, token_file, actions)
    conditions = Scenes(RIGS[rig], LOOKS[look], views, own_size if size is None else (size, size))
    addresses = [
        (name, FIRST_EVALUATION_SEED + trial)
        for trial in range(scenes)
        for name in dict.fromkeys(task or TRAINED)
    ]
    for _ in track(
        judge_plans(make(), policy_name, conditions, addresses, out),
        "judging",
        len(addresses),
        console=Console(stderr=True),
    ):
        pass
    asked = set(addresses)
    table = markdown(summarise(scene for scene in load_plans(out) if (scene.task, scene.seed) in asked))
    part = out / "plans.md.part"
    part.write_text(table)
    commit_file(part, out / "plans.md")
    print(table, end="")
