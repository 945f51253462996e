"""What environments of other simulators share."""

from collections.abc import Callable, Iterator
from typing import Any, ClassVar

import numpy as np

from action_images.geometry import Camera, Pose
from action_images.geometry import rotation as rotations
from action_images.robot import Observation, StepReport, TrialState
from action_images.sim.motion import Motion


class ForeignEnvironment:
    """What environments of other simulators share: one goal a scene, and words that demonstrations use.

    Subclasses set the attributes in `begin`, and have `tool`, `step` and `observation`.
    """

    cameras: Camera
    _views: Any
    _instruction: str
    _told: Pose
    _opening: float
    _done: bool

    @property
    def tool(self) -> Pose:
        """world_from_tool, as reached."""
        raise NotImplementedError

    def begin(self, seed: int) -> None:
        """Draw everything that this seed decides."""
        raise NotImplementedError

    def observation(self) -> Observation:
        """The current images and the state of the arm."""
        raise NotImplementedError

    def reset(self, seed: int) -> Observation:
        """Begin the trial and return its first observation."""
        self.begin(seed)
        return self.observation()

    def succeeded(self) -> bool:
        """Whether the simulator counts the last step as success."""
        return self._done

    def state(self) -> TrialState:
        """The trial's current state."""
        return TrialState(self._instruction, self.tool, self._told, self._opening, self.cameras)

    def rephrased(self, rng: np.random.Generator) -> None:
        """None: demonstrations use all phrasings."""

    def switch_goal(self, rng: np.random.Generator) -> None:
        """None: a scene has only one goal."""

    def close(self) -> None:
        """Free the graphics memory."""
        self._views.close()


class ScriptedEnvironment(ForeignEnvironment):
    """An environment whose experts are scripts of motions; each is carried out before the next is asked for.

    `lead` is by how many control steps the arm lags behind its target, `hold` for how many an expert keeps
    its last pose.
    """

    lead: ClassVar[float]
    hold: ClassVar[int] = 10
    _script: Callable[[Any], Iterator[Motion]] | None

    def step(self, world_from_tool: Pose, opening: float) -> StepReport:
        """Drive towards a tool pose and an opening for one control step."""
        raise NotImplementedError

    @property
    def told(self) -> Pose:
        """The pose last commanded."""
        return self._told

    def expert(self) -> Iterator[StepReport] | None:
        """The task's script, carried out through `step`; None if it has none."""
        return None if self._script is None else self._scripted(self._script)

    def _scripted(self, script: Callable[[Any], Iterator[Motion]]) -> Iterator[StepReport]:
        for motion in script(self):
            for pose in motion.poses(self._told):
                yield self.step(pose, motion.opening)
        for _ in range(self.hold):
            yield self.step(self._told, self._opening)

    def _ahead(self, asked: Pose) -> Pose:
        """The target that leads the arm to `asked` in spite of its lag."""
        way = asked.translation - self._told.translation
        turn = rotations.to_rotation_vector(asked.rotation @ self._told.rotation.mT)
        ahead = rotations.from_rotation_vector(self.lead * turn) @ asked.rotation
        return Pose(ahead, asked.translation + self.lead * way)
