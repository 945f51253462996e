"""What is said of a run while it goes: a line now and then, and curves for whoever tracks them."""

import time
from collections.abc import Mapping
from typing import Any

from accelerate import Accelerator
from rich.console import Console
from rich.table import Table

SECONDS_BETWEEN_LINES = 15.0
SMOOTHING = 0.98


class Log:
    """Lines on stdout from the first process; curves through accelerate's trackers."""

    def __init__(self, accelerator: Accelerator, num_steps: int, first_step: int, config: dict[str, Any] | None):
        self.accelerator, self.num_steps = accelerator, num_steps
        self.console = Console(quiet=not accelerator.is_main_process, highlight=False)
        self._tracked = config is not None
        if config is not None:
            flat = {name: str(value) for name, value in config.items()}
            accelerator.init_trackers("training", config=flat)
        self._smooth: float | None = None
        self._began = self._said = time.monotonic()
        self._first = first_step

    def step(self, step: int, loss: float, norm: float, rate: float, num_samples: int) -> None:
        """After each step."""
        self._smooth = loss if self._smooth is None else SMOOTHING * self._smooth + (1 - SMOOTHING) * loss
        now = time.monotonic()
        speed = (step + 1 - self._first) * num_samples / (now - self._began)
        if self._tracked:
            self.accelerator.log({"loss": loss, "gradient norm": norm, "learning rate": rate, "samples/s": speed}, step=step)
        if now - self._said >= SECONDS_BETWEEN_LINES or step + 1 == self.num_steps:
            minutes = (self.num_steps - step - 1) * num_samples / speed / 60
            said = f"loss {self._smooth:.4f}  norm {norm:.2f}  {speed:.1f} samples/s  {minutes:.0f} min left"
            self.console.print(f"step {step + 1}/{self.num_steps}  {said}")
            self._said = now

    def validated(self, step: int, figures: Mapping[str, Mapping[str, float]]) -> None:
        """A table of a validation: a row for each task."""
        columns = list(dict.fromkeys(name for row in figures.values() for name in row))
        table = Table("task", *columns, title=f"held-out windows after step {step + 1}")
        for task, row in figures.items():
            table.add_row(task, *(f"{row[name]:.3g}" if name in row else "" for name in columns))
        self.console.print(table)
        if self._tracked:
            flat = {f"held out/{task}/{name}": value for task, row in figures.items() for name, value in row.items()}
            self.accelerator.log(flat, step=step)

    def close(self) -> None:
        """Finish the trackers' files."""
        if self._tracked:
            self.accelerator.end_training()
