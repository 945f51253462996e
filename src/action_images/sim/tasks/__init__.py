"""The tasks, one file each, named after their RLBench counterparts; a new file here is a new task."""

import importlib
import pkgutil

from action_images.errors import no_such
from action_images.sim.task import Task


def _discovered() -> dict[str, type[Task]]:
    found = {}
    for module in pkgutil.iter_modules(__path__):
        inside = vars(importlib.import_module(f"{__name__}.{module.name}")).values()
        own = [
            thing
            for thing in inside
            if isinstance(thing, type)
            and issubclass(thing, Task)
            and thing.__module__.endswith(f".{module.name}")
        ]
        if len(own) != 1:
            raise ImportError(
                f"sim/tasks/{module.name}.py must define exactly one Task, it defines {len(own)}"
            )
        found[module.name] = own[0]
    return found


TASKS = _discovered()
"""Name -> task, all of them."""


def find_task(name: str) -> type[Task]:
    """A task by its name; raises ValueError with all names if there is none."""
    if name not in TASKS:
        raise no_such("task", name, TASKS)
    return TASKS[name]
