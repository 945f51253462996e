"""`--env`: choose a command's world and tasks by the typed names."""

import sys
from typing import TYPE_CHECKING

from action_images.errors import ActionImagesError

if TYPE_CHECKING:
    from action_images.benchmarks import Benchmark

DEFAULT_WORLD = "tabletop"
"""The default of `--env`."""


def chosen_world(
    env: str, task: tuple[str, ...] = (), *, usual: str = "trained"
) -> "tuple[Benchmark, tuple[str, ...]]":
    """The world of `NAME` or `NAME/TASKS`, and the tasks: those of `env`, of `task`, or the usual group.

    In the embedded world `paper` stands for the usual group of the world `paper`.

    Prints a warning on stderr if the simulator's version was never tested. Raises ActionImagesError, with the
    remedy, for an unknown world or task and for a simulator that is not installed.
    """
    from action_images.benchmarks import find_benchmark, require_installed, tasks_named, untried

    name, _, group = env.partition("/")
    if group and task:
        raise ActionImagesError(
            f"--env {env} names tasks, and --task {' '.join(task)} does too; give them once"
        )
    benchmark = find_benchmark(name)
    require_installed(benchmark)
    said = untried(benchmark)
    if said is not None:
        print(f"warning: {said}", file=sys.stderr)
    named: list[str] = []
    for one in (group,) if group else task or (usual,):
        # The paper's tasks are a world of their own in the same simulator.
        is_paper = one == "paper" and name == DEFAULT_WORLD
        named += tasks_named(find_benchmark("paper"), (usual,)) if is_paper else (one,)
    tasks = tasks_named(benchmark, named)
    if not tasks:
        raise ActionImagesError(
            f"the world '{name}' has no tasks in the group {' '.join(named)}; name one of its groups: "
            f"{', '.join(benchmark.suites)}"
        )
    return benchmark, tasks
