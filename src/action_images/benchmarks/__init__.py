"""Simulators by name: each makes environments for its tasks and describes its conditions of evaluation."""

from action_images.benchmarks.benchmark import Benchmark, Box, Seeds
from action_images.benchmarks.registry import (
    DEFAULT,
    benchmark_names,
    find_benchmark,
    missing_modules,
    require_installed,
    require_task,
    tasks_named,
    untried,
)
from action_images.benchmarks.world_config import WorldConfig

__all__ = [
    "DEFAULT",
    "Benchmark",
    "Box",
    "Seeds",
    "WorldConfig",
    "benchmark_names",
    "find_benchmark",
    "missing_modules",
    "require_installed",
    "require_task",
    "tasks_named",
    "untried",
]
