"""LIBERO as an Environment: robosuite's arm, moved in small steps by LIBERO's own controller."""
# pyright: reportAttributeAccessIssue=false, reportMissingImports=false
# MuJoCo's names are in compiled modules without types; LIBERO need not be installed.

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout, suppress
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from io import StringIO
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch

from action_images.benchmarks.foreign import MuJoCoViews
from action_images.benchmarks.libero import SEEDS
from action_images.benchmarks.robosuite_environment import SITE_FROM_TOOL, Robosuite, Script, quiet
from action_images.errors import ActionImagesError
from action_images.geometry import Pose
from action_images.geometry import rotation as rotations

MOST_METRES, MOST_RADIANS = 0.05, 0.5
"""The meaning of 1 in an action of LIBERO's controller, and so the largest step of the arm."""
TRIES = 20
"""The number of attempts to lay objects out if they do not fit."""


@dataclass(frozen=True)
class SceneFiles:
    """Scenes in a folder of a package: `libero`, or `liberopro` with perturbed ones. Files bear their tasks'
    names."""

    package: str
    folder: str

    def description(self, task: str) -> Path:
        """The file that describes a task's scene."""
        return _package(self.package) / "bddl_files" / self.folder / f"{task}.bddl"

    def words(self, task: str) -> str:
        """The instruction in that file.

        Raises ActionImagesError if there is none.
        """
        path = self.description(task)
        found = re.search(r"\(:language ([^)]*)\)", path.read_text())
        if found is None:
            raise ActionImagesError(f"{path}: has no instruction; install {self.package} again")
        return found[1].strip()

    def initial_states(self, task: str) -> np.ndarray:
        """The package's initial states of a task: (state, number), the simulator's flattened state."""
        path = _package(self.package) / "init_files" / self.folder / f"{task}.pruned_init"
        return np.asarray(torch.load(path, weights_only=False))  # trusted like the package's code

    def make_simulator(self, task: str) -> Any:
        """LIBERO's own environment of a task."""
        quiet()
        description = str(self.description(task))
        with redirect_stdout(StringIO()), redirect_stderr(StringIO()):  # gym prints that it is outdated
            envs = f"{self.package}.{self.package}.envs"
            ControlEnv = import_module(f"{envs}.env_wrapper").ControlEnv
            Panda = import_module(f"{envs}.robots.on_the_ground_panda").OnTheGroundPanda

        # The package has None, which robosuite 1.5.2 cannot look up.
        Panda.default_base = property(lambda robot: "NullMount")  # noqa: ARG005
        return ControlEnv(
            description,
            use_camera_obs=False,
            has_offscreen_renderer=False,
            control_freq=20,
            horizon=1_000_000,
            ignore_done=True,
            hard_reset=False,
        ).env


class Libero(Robosuite):
    """One task (a RepeatableEnvironment) of a suite, which is a folder of a package.

    Seeds for evaluation are the package's fifty initial states.
    """

    settling_steps = 10  # as in published results

    def __init__(
        self,
        task: str,
        phrasings: tuple[str, ...],
        views: MuJoCoViews,
        *,
        files: SceneFiles,
        max_steps: int,
        script: Script | None,
    ):
        self._files = files
        make = files.make_simulator
        super().__init__(task, phrasings, views, max_steps=max_steps, script=script, make=make)
        self._initial_states = files.initial_states(task)

    def twin(self) -> "Libero":
        """Another environment of the same task with the same views."""
        return Libero(
            self.task,
            self._phrasings,
            self._views.twin(),
            files=self._files,
            max_steps=self.max_steps,
            script=self._script,
        )

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


@cache
def _package(name: str) -> Path:
    """The folder of a package; its paths are configured without writing into the home folder.

    Raises ActionImagesError if its textures and shapes are missing.
    """
    found = find_spec(name)
    places = found.submodule_search_locations if found else None
    if not places:
        raise ActionImagesError(f"{name} is not installed; in a clone: make env-libero")
    package = Path(places[0]) / name
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
