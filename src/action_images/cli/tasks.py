"""List the tasks of the embedded world: their instructions, and which tasks training may show.

action-images tasks
action-images tasks --pictures tasks.png
"""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

from action_images.terminal.choices import TASK_NAMES
from action_images.terminal.paths import OutFile

if TYPE_CHECKING:
    from action_images.sim import Task


def main(
    task: Annotated[tuple[str, ...], tyro.conf.Positional] = (), pictures: OutFile | None = None
) -> None:
    """Without TASK, lists all tasks with one wording each. With TASK, lists all wordings of these tasks.

    Words in braces differ from scene to scene. `kept out` wordings are used in judging alone.

    Args:
        task: Which tasks.
        pictures: Also write a .png file with a scene of each task, seen by two cameras.
    """
    from rich.table import Table

    from action_images.benchmarks import DEFAULT, find_benchmark
    from action_images.sim import TASKS
    from action_images.terminal.console import PlainConsole

    benchmark, paper, console = find_benchmark(DEFAULT), find_benchmark("paper"), PlainConsole()
    names = task or TASK_NAMES
    table = Table("task", "shown in training of", "steps", "the arm is told", box=None, pad_edge=False)
    for name in names:
        kind = TASKS[name]
        wordings = [kind.phrasings[0]]
        if task:
            wordings = [*kind.phrasings, *(f"kept out: {one}" for one in kind.kept_out), *_told_by(kind)]
        groups = [group.name for group in (benchmark, paper) if name in group.trained]
        table.add_row(name, " ".join(groups) or "never shown", str(kind.max_steps), "\n".join(wordings))
    console.print(table)
    console.print("\nA control step takes 1/20 s; a policy is given this many.")
    console.print(f"See one: action-images watch --task {names[0]}")
    if pictures is not None:
        _draw(pictures, names)
        console.print(f"written: {pictures}", soft_wrap=True)


def _told_by(kind: "type[Task]") -> list[str]:
    """How many sentences of each kind a task's grammar has, with an example."""
    said = []
    for wording in ("grammar", "new_wording", "new_pair"):
        sentences = [] if kind.grammar is None else list(kind.grammar.sentences(wording))
        if sentences:
            said.append(f"{wording}: {len(sentences)} sentences, such as '{sentences[len(sentences) // 2]}'")
    return said


def _draw(path: Path, names: tuple[str, ...]) -> None:
    import torch

    from action_images.reports.pictures import save_png
    from action_images.sim import Tabletop

    scenes = []
    for name in names:
        world = Tabletop(name)
        scenes.append(torch.cat(list(world.reset(seed=0).images), -1))
        world.close()
    wide = [torch.cat(scenes[first : first + 3], -1) for first in range(0, len(scenes), 3)]
    width = wide[0].shape[-1]
    padded = [torch.nn.functional.pad(row, (0, width - row.shape[-1]), value=255) for row in wide]
    save_png(path, torch.cat(padded, -2))
