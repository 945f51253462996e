"""LIBERO as an Environment: robosuite's arm, moved in small steps by LIBERO's own controller."""
# pyright: reportAttributeAccessIssue=false, reportMissingImports=false
# MuJoCo's names are in compiled modules without types; LIBERO need not be installed.

import os
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout, suppress
from functools import cache, partial
from importlib.util import find_spec
from io import StringIO
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch

from action_images.benchmarks.foreign import MuJoCoViews
from action_images.benchmarks.libero import SEEDS
from action_images.benchmarks.libero_scripts import script_for
from action_images.benchmarks.robosuite_environment import SITE_FROM_TOOL, Robosuite, quiet
from action_images.errors import ActionImagesError
from action_images.geometry import Pose
from action_images.geometry import rotation as rotations

MOST_METRES, MOST_RADIANS = 0.05, 0.5
"""The meaning of 1 in an action of LIBERO's controller, and so the largest step of the arm."""
TRIES = 20
"""The number of attempts to lay objects out if they do not fit."""


class Libero(Robosuite):
    """One task (a RepeatableEnvironment) of a suite, which is a folder of the package.

    Seeds for evaluation are the package's fifty initial states.
    """

    settling_steps = 10  # as in published results

    def __init__(
        self, task: str, phrasings: tuple[str, ...], views: MuJoCoViews, *, folder: str, max_steps: int
    ):
        self._folder = folder
        make = partial(make_simulator, folder)
        super().__init__(task, phrasings, views, max_steps=max_steps, script=script_for(task), make=make)
        self._initial_states = initial_states(folder, task)

    def twin(self) -> "Libero":
        """Another environment of the same task with the same views."""
        views = self._views.twin()
        return Libero(self.task, self._phrasings, views, folder=self._folder, max_steps=self.max_steps)

    def _lay_out(self, rng: np.random.Generator, seed: int) -> None:
        number = seed - SEEDS.first_for_judging
        if number >= len(self._initial_states):
            raise ActionImagesError(
                f"seed {seed}: LIBERO has {len(self._initial_states)} initial states for '{self.task}'; "
                f"give a seed up to {SEEDS.first_for_judging + len(self._initial_states) - 1}"
            )
        with _global_chance(rng):
            self._reset(rng)
        if number >= 0:
            self.simulator.sim.set_state_from_flattened(self._initial_states[number])
            self.simulator.sim.forward()

    def _reset(self, rng: np.random.Generator) -> None:
        from robosuite.utils.errors import RandomizationError

        self.simulator.rng = rng
        for _ in range(TRIES):
            with suppress(RandomizationError):
                self.simulator.reset()
                return
        raise ActionImagesError(
            f"'{self.task}': things could not be laid out in {TRIES} tries; take another seed"
        )

    def _arm_action(self, goal: Pose) -> np.ndarray:
        """Six numbers in [-1, 1]: the difference between the goal and the arm's pose."""
        site_turn = torch.from_numpy(self.data.site_xmat[self._site].reshape(3, 3).copy())
        here = torch.from_numpy(self.data.site_xpos[self._site].copy())
        turn = rotations.to_rotation_vector(goal.rotation @ torch.from_numpy(SITE_FROM_TOOL.T) @ site_turn.mT)
        way = (goal.translation - here) / MOST_METRES
        return np.clip(np.concatenate([way.numpy(), turn.numpy() / MOST_RADIANS]), -1, 1)


def make_simulator(folder: str, task: str) -> Any:
    """LIBERO's own environment of a task."""
    quiet()
    package = _package()
    with redirect_stdout(StringIO()), redirect_stderr(StringIO()):  # gym prints that it is outdated
        from libero.libero.envs.env_wrapper import ControlEnv
        from libero.libero.envs.robots.on_the_ground_panda import OnTheGroundPanda

    # The package has None, which robosuite 1.5.2 cannot look up.
    OnTheGroundPanda.default_base = property(lambda robot: "NullMount")  # noqa: ARG005
    return ControlEnv(
        str(package / "bddl_files" / folder / f"{task}.bddl"),
        use_camera_obs=False,
        has_offscreen_renderer=False,
        control_freq=20,
        horizon=1_000_000,
        ignore_done=True,
        hard_reset=False,
    ).env


def initial_states(folder: str, task: str) -> np.ndarray:
    """The package's initial states of a task: (state, number), the simulator's flattened state."""
    path = _package() / "init_files" / folder / f"{task}.pruned_init"
    return np.asarray(torch.load(path, weights_only=False))  # a file of the package, trusted like its code


@cache
def _package() -> Path:
    """The folder of the package; its paths are configured without writing into the home folder.

    Raises ActionImagesError if its textures and shapes are missing.
    """
    found = find_spec("libero")
    places = found.submodule_search_locations if found else None
    if not places:
        raise ActionImagesError("LIBERO is not installed; in a clone: make env-libero")
    package = Path(places[0]) / "libero"
    if not (package / "assets").is_dir():
        raise ActionImagesError(
            f"LIBERO's shapes and textures are missing at {package / 'assets'}; in a clone: make env-libero"
        )
    if "LIBERO_CONFIG_PATH" not in os.environ:
        folder = _kept_until_the_end()
        places = {"benchmark_root": "", "bddl_files": "bddl_files", "init_states": "init_files"}
        places |= {"datasets": "../datasets", "assets": "assets"}
        lines = [f"{name}: {package / place}\n" for name, place in places.items()]
        (folder / "config.yaml").write_text("".join(lines))
        os.environ["LIBERO_CONFIG_PATH"] = str(folder)
    return package


_FOLDERS: list[TemporaryDirectory] = []


def _kept_until_the_end() -> Path:
    """A folder that is removed when the process ends."""
    _FOLDERS.append(TemporaryDirectory(prefix="libero-"))
    return Path(_FOLDERS[-1].name)


@contextmanager
def _global_chance(rng: np.random.Generator) -> Iterator[None]:
    """Seed numpy's global random generator, which LIBERO uses, and restore it afterwards."""
    before = np.random.get_state()  # noqa: NPY002
    np.random.seed(int(rng.integers(2**31)))  # noqa: NPY002
    try:
        yield
    finally:
        np.random.set_state(before)  # noqa: NPY002
