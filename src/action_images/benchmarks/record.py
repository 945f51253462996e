"""Record demonstrations of any world's experts as episodes."""

from dataclasses import dataclass

from action_images.benchmarks.world_config import WorldConfig
from action_images.episodes.episode import Episode
from action_images.errors import ActionImagesError
from action_images.sim.record import Film


@dataclass(frozen=True)
class WorldRecording:
    """The settings for recording demonstrations of a world (a `sim.record.Recording`).

    A frame is recorded every `every` control steps. After the task the expert keeps still for `hold` steps.
    """

    world: WorldConfig
    every: int = 1
    hold: int = 0

    @property
    def fps(self) -> float:
        """Recorded frames a second."""
        return self.world.benchmark.control_hz / self.every

    @property
    def num_views(self) -> int:
        """The number of cameras."""
        return self.world.num_views

    @property
    def size(self) -> tuple[int, int]:
        """(height, width) of their images in px."""
        return self.world.size

    def episode_id(self, task: str, seed: int) -> str:
        """The name of a seed's demonstration in a data set."""
        return f"{self.world.benchmark_name}/{task}/{seed:07d}"

    def demonstration(self, task: str, seed: int) -> Episode | None:
        """The expert's trial of a seed; None if an evaluation would not count it as success.

        Raises ActionImagesError if the task has no expert.
        """
        environment = self.world.environment(task)
        film = Film(environment, self.every, environment.reset(seed))
        steps = environment.expert()
        if steps is None:
            raise ActionImagesError(f"the task '{task}' has no expert to record; choose another task")
        num_steady, done = 0, False
        for _ in steps:
            film.after_step()
            num_steady = num_steady + 1 if environment.succeeded() else 0
            done = done or num_steady >= self.world.benchmark.steady_steps
        for _ in range(self.hold if done else 0):
            state = environment.state()
            environment.step(state.told, state.opening)
            film.after_step()
        environment.close()
        return film.episode(self.episode_id(task, seed), self.fps) if done else None
