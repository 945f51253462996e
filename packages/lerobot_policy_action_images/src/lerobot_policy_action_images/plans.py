"""The source of plans, and the arms that follow them: one for each robot or environment of a batch."""

import logging
import warnings
from importlib.metadata import PackageNotFoundError, version
from math import inf

import torch
from torch import Tensor

from action_images.control import Asked, Execution, Follower, Guard
from action_images.errors import ActionImagesError
from action_images.extras import cure_of
from action_images.geometry import Pose, Trajectory
from action_images.policies import Planning, load_policy
from action_images.robot import Observation, Plan, Policy
from lerobot_policy_action_images.configuration_action_images import ActionImagesConfig

SHIPPED = "shipped"
UNSURE = 0.1
"""A real arm is not driven to a pose below this confidence."""
TABLE = ((0.25, -0.45, 0.01), (0.75, 0.45, 0.60))
"""The box of the shipped models' world."""


def planner(config: ActionImagesConfig, folder: str) -> Policy:
    """The policy of a folder of models, `shipped` or a server's address.

    Raises ActionImagesError if models cannot be loaded in this process, and names the alternative.
    """
    with models_here():
        return load_policy(folder, planning(config))


def planning(config: ActionImagesConfig) -> Planning:
    """The settings of planning for action-images; a server gets its own at its start."""
    if config.is_served:
        return Planning()
    return Planning(
        mode=config.mode,  # type: ignore[arg-type]
        imagine=config.save_predicted_video,
        sampling=config.sampling,
        seed=config.seed,
        best_of=config.best_of,
        device=config.device or "auto",
        dtype=config.dtype,  # type: ignore[arg-type]
    )


class models_here:
    """Name missing packages or wrong versions for models in this process, with the two solutions."""

    def __enter__(self) -> None:
        return None

    def __exit__(self, _: object, error: BaseException | None, __: object) -> bool:
        if isinstance(error, ImportError):
            raise ActionImagesError(_conflict(error)) from error
        return False


def _conflict(error: ImportError) -> str:
    cure = cure_of(error, "model") if isinstance(error, ModuleNotFoundError) else None
    here = ", ".join(f"{name} {_version(name)}" for name in ("lerobot", "diffusers", "transformers", "av"))
    return (
        f"models cannot run in this process: {cure or error} (here: {here}). Two ways out: an environment "
        "in which both fit, without the extras of lerobot that bind other versions (docs/lerobot.md lists "
        "them): pip install . 'packages/lerobot_policy_action_images[models]' 'lerobot[training]' in a clone "
        "of action-images; or models in a process of their own: action-images serve --policy MODELS in "
        "another environment, and here --policy.models=ws://localhost:8000"
    )


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "none"


def guard(config: ActionImagesConfig) -> Guard:
    """The limits of commands: the config's own rails; for the shipped models the table's box."""
    is_shipped = config.models == SHIPPED
    box = TABLE if is_shipped else ((-inf,) * 3, (inf,) * 3)
    if config.workspace is not None:
        box = (tuple(config.workspace[:3]), tuple(config.workspace[3:]))
    unsure = 0.0 if is_shipped else UNSURE
    return Guard(
        low=box[0],  # type: ignore[arg-type]
        high=box[1],  # type: ignore[arg-type]
        max_speed=config.max_speed,
        max_turning_speed=config.max_turning_speed,
        min_confidence=unsure if config.min_confidence is None else config.min_confidence,
    )


class Arm:
    """One arm in one trial: it takes an observation in each control step, and gives the command."""

    def __init__(self, policy: Policy, config: ActionImagesConfig, *, with_matrix: bool = False) -> None:
        self._policy, self._config, self._with_matrix = policy, config, with_matrix
        self._follower: Follower | None = None
        self._asked: Asked | None = None
        self._stopped: Asked | None = None
        self._turn: Tensor | None = None

    def act(self, observation: Observation) -> tuple[Tensor, Plan | None]:
        """The eight numbers of the current action (float32), and the plan if one was made for it.

        If a guard rail stops the arm for good, it stands still from then on; that is logged once.
        """
        follower, plan = self._followed(observation), None
        if self._stopped is not None:
            return self._row(self._stopped), None
        if follower.wants_plan:
            plan = plan_of(self._policy, observation)
            follower.add(plan)
        asked = follower.ask()
        if follower.stops(asked):
            logging.warning("the arm is stopped: %s", asked.held)
            self._stopped = asked
        elif asked.held is not None:
            logging.info("the tool is held: %s", asked.held)
        self._asked = asked
        return self._row(asked), plan

    def _followed(self, observation: Observation) -> Follower:
        """The follower, updated with the tool's current pose."""
        if self._follower is None:
            self._follower = Follower(
                Execution(num_steps=self._config.n_action_steps, settle=self._config.settle),
                guard(self._config),
                observation.world_from_tool,
                opening=float(observation.opening),
                control_hz=self._config.control_hz,
            )
            self._turn = vector_of(observation.world_from_tool, observation.opening)[3:7]
        elif self._asked is not None and self._stopped is None:
            self._follower.driven(self._asked, observation.world_from_tool)
        return self._follower

    def _row(self, asked: Asked) -> Tensor:
        if self._with_matrix:
            return matrices_of(Trajectory(asked.pose[None], torch.tensor([asked.opening])))[0]
        row = vector_of(asked.pose, torch.tensor(asked.opening))
        assert self._turn is not None
        if row[3:7] @ self._turn < 0:
            row[3:7] *= -1
        self._turn = row[3:7].clone()
        return row


def plan_of(policy: Policy, observation: Observation) -> Plan:
    """A plan; warnings of a server or the models about it are logged."""
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        plan = policy.plan(observation).to("cpu")
    for one in said:
        logging.warning("%s", one.message)
    return plan


def vector_of(pose: Pose, opening: Tensor) -> Tensor:
    """x y z qx qy qz qw opening, float32."""
    path = Trajectory(pose.to(torch.float32)[None], opening.to(torch.float32)[None])
    return path.to_vector()[0]


def matrices_of(path: Trajectory) -> Tensor:
    """Poses as (frame 13): x y z, the rotation row by row, opening; float32 and free of rounding."""
    pose = path.world_from_tool.to(torch.float32)
    return torch.cat([pose.translation, pose.rotation.flatten(-2), path.opening.float()[..., None]], -1)


def chunk_of(plan: Plan, observation: Observation, least: float, *, with_matrix: bool = False) -> Tensor:
    """All rows (frame 8, or 13 with a matrix) of a plan.

    Rows with a confidence below `least` repeat the previous row; those before the first confident row repeat
    the tool's pose.
    """
    path, now = plan.trajectory, vector_of(observation.world_from_tool, observation.opening)
    rows = matrices_of(path) if with_matrix else path.to_vector().float()
    sure = rows.isfinite().all(-1)
    if plan.confidence is not None:
        sure &= plan.confidence >= max(least, 1e-9)
    if with_matrix:
        here = Trajectory(observation.world_from_tool[None], observation.opening[None])
        now = matrices_of(here)[0]
    elif rows[0, 3:7] @ now[3:7] < 0:
        rows[:, 3:7] *= -1
    if not sure.all():
        logging.warning(
            "%d of the plan's %d poses are not sure, and repeat those before", (~sure).sum(), len(sure)
        )
    for place in (~sure).nonzero()[:, 0].tolist():
        rows[place] = rows[place - 1] if place else now
    return rows
