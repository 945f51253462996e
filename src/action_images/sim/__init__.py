"""The embedded MuJoCo world: a table, an arm, calibrated cameras and tasks with experts.

It does not depend on any model.
"""

from action_images.sim.gl import load_mujoco

load_mujoco()

from action_images.sim.cameras import RIGS, Rig  # noqa: E402
from action_images.sim.environment import Tabletop  # noqa: E402
from action_images.sim.expert import demonstrate  # noqa: E402
from action_images.sim.gym import register_all  # noqa: E402
from action_images.sim.look import Look  # noqa: E402
from action_images.sim.look_family import LookFamily  # noqa: E402
from action_images.sim.looks import LOOKS  # noqa: E402
from action_images.sim.task import Task  # noqa: E402
from action_images.sim.tasks import TASKS, find_task  # noqa: E402

register_all()

__all__ = [
    "LOOKS",
    "RIGS",
    "TASKS",
    "Look",
    "LookFamily",
    "Rig",
    "Tabletop",
    "Task",
    "demonstrate",
    "find_task",
]
