"""The world of trials as plain values, from which any process makes the same environments."""

from dataclasses import dataclass
from typing import Any

from action_images.benchmarks.benchmark import Benchmark
from action_images.benchmarks.registry import (
    DEFAULT,
    find_benchmark,
    installed_versions,
    require_installed,
    require_task,
)
from action_images.errors import ActionImagesError
from action_images.robot import RepeatableEnvironment


@dataclass(frozen=True)
class WorldConfig:
    """A benchmark by name, with the cameras and look of its trials; `size` is (height, width) in px.

    `rig` and `look` are the benchmark's own names, None for those of its training. `wording` is one of its
    `wordings`, if it has several, None for the usual one. Raises ActionImagesError if the benchmark has no
    such rig, look or wording.
    """

    benchmark_name: str = DEFAULT
    rig: str | None = None
    look: str | None = None
    num_views: int = 2
    size: tuple[int, int] = (128, 128)
    wording: str | None = None

    def __post_init__(self) -> None:
        benchmark = self.benchmark
        _require_offered(benchmark.name, "rig", self.rig, benchmark.rigs)
        _require_offered(benchmark.name, "look", self.look, benchmark.looks)
        _require_offered(benchmark.name, "wording", self.wording, getattr(benchmark, "wordings", ()))

    @property
    def benchmark(self) -> Benchmark:
        """The benchmark of this name."""
        return find_benchmark(self.benchmark_name)

    def environment(self, task: str) -> RepeatableEnvironment:
        """An environment of this task, in which no trial has begun.

        Raises ActionImagesError if the simulator is not installed or has no such task.
        """
        benchmark = self.benchmark
        require_installed(benchmark)
        require_task(benchmark, task)
        rig, look = self._seen_by(benchmark)
        worded = {} if self.wording is None else {"wording": self.wording}
        return benchmark.make(task, rig=rig, look=look, num_views=self.num_views, size=self.size, **worded)

    def seen(self) -> dict[str, Any]:
        """The benchmark, its version, and the contents of its rig and look, as JSON values."""
        benchmark = self.benchmark
        rig, look = self._seen_by(benchmark)
        versions = installed_versions(benchmark)
        installed = {"installed": versions} if versions else {}
        worded = {} if self.wording is None else {"wording": self.wording}
        name = [benchmark.name, benchmark.version]
        return {"benchmark": name, **installed, **benchmark.seen(rig, look), **worded}

    def _seen_by(self, benchmark: Benchmark) -> tuple[str, str | None]:
        usual_look = benchmark.looks[0] if benchmark.looks else None
        return self.rig or benchmark.rigs[0], self.look or usual_look


def _require_offered(benchmark_name: str, kind: str, name: str | None, offered: tuple[str, ...]) -> None:
    if name is None or name in offered:
        return
    has = f"it has: {', '.join(offered)}" if offered else f"it has none to choose from, leave the {kind} out"
    raise ActionImagesError(f"the world '{benchmark_name}' has no {kind} '{name}'; {has}")
