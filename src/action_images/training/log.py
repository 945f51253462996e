"""The log of a run: a line now and then, a file of all steps, and curves for trackers."""

import importlib.util
import time
from collections.abc import Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

from accelerate import Accelerator
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table
from typing_extensions import Self

from action_images.errors import ActionImagesError
from action_images.files import jsonl

SECONDS_BETWEEN_LINES = 15.0
SMOOTHING = 0.98
LOG = "log.jsonl"

Figures = Mapping[str, Mapping[str, float]]
"""Mode -> name -> value."""


def check_trackers(trackers: Sequence[str]) -> None:
    """Raise ValueError for a tracker that is not installed."""
    for name in trackers:
        if importlib.util.find_spec(name) is None:
            raise ActionImagesError(
                f"{name} is not installed; pip install {name}, "
                f"or train without it ({LOG} has all figures too)"
            )


def plain_console(accelerator: Accelerator) -> Console:
    """The console of the first process; the others print nothing."""
    return Console(quiet=not accelerator.is_main_process, highlight=False, markup=False)


class Log:
    """Logs in the first process; the others print nothing.

    `log.jsonl` has a line for each step and each validation. After a killed run continues from its last
    checkpoint, the steps since then are in it twice.
    """

    def __init__(
        self,
        accelerator: Accelerator,
        out: Path,
        num_steps: int,
        first_step: int,
        config: dict[str, Any] | None,
    ):
        """`config` is passed to the trackers; None: there are none."""
        self.accelerator, self.num_steps = accelerator, num_steps
        self.console = plain_console(accelerator)
        self._path = out / LOG if accelerator.is_main_process else None
        if self._path is not None:
            # A row left half-written by a full disk or a power cut would corrupt the next one.
            jsonl.repair(self._path)
        self._tracked = config is not None
        if config is not None:
            accelerator.init_trackers("training", config={name: str(value) for name, value in config.items()})
        self._smooth: float | None = None
        self._began = self._said = time.monotonic()
        self._first = first_step
        self._seconds: float | None = None
        columns = (TextColumn("training"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        is_seen = self.console.is_terminal and accelerator.is_main_process
        self._bar = Progress(*columns, console=self.console, transient=True, disable=not is_seen)
        self._task = self._bar.add_task("training", total=num_steps, completed=first_step)

    def __enter__(self) -> Self:
        """Show a bar, on a terminal, until the end."""
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()

    def step(self, step: int, loss: float, norm: float, rate: float, num_samples: int) -> None:
        """Log a step (counted from 0)."""
        self._smooth = loss if self._smooth is None else SMOOTHING * self._smooth + (1 - SMOOTHING) * loss
        self._bar.update(self._task, completed=step + 1)
        now = time.monotonic()
        speed = (step + 1 - self._first) * num_samples / (now - self._began)
        self._write(
            {
                "step": step + 1,
                "loss": loss,
                "norm": norm,
                "rate": rate,
                "samples_per_second": round(speed, 2),
            }
        )
        if self._tracked:
            self.accelerator.log(
                {"loss": loss, "gradient norm": norm, "learning rate": rate, "samples/s": speed},
                step=step + 1,
            )
        if now - self._said >= SECONDS_BETWEEN_LINES or step + 1 == self.num_steps:
            left = (self.num_steps - step - 1) * num_samples / speed
            steps = f"{step + 1}/{self.num_steps}"
            if self._seconds is not None:
                left, steps = self._seconds - (now - self._began), f"{step + 1}"
            said = (
                f"loss {self._smooth:.4f}  norm {norm:.2f}  {speed:.1f} samples/s  {left / 60:.0f} min left"
            )
            self.console.print(f"step {steps}  {said}")
            self._said = now

    def ends_at(self, seconds: float) -> None:
        """Show the remaining time, until `seconds` after the log's start, instead of steps."""
        self._seconds = seconds

    def ends_after(self, num_steps: int) -> None:
        """Show steps, whose number is now known."""
        self.num_steps, self._seconds = num_steps, None
        self._bar.update(self._task, total=num_steps)
        self.console.print(f"from here the learning rate falls; the run ends after step {num_steps}")

    def validated(self, num_steps: int, figures: Figures) -> None:
        """Print a table of the validation after `num_steps` steps, with a column for each mode."""
        self._write({"step": num_steps, "validation": figures})
        names = dict.fromkeys(chain.from_iterable(figures.values()))
        table = Table(f"after step {num_steps}", *figures, title="held-out windows")
        for name in names:
            cells = [f"{row[name]:.3g}" if name in row else "" for row in figures.values()]
            table.add_row(name, *cells)
        self.console.print(table)
        if self._tracked:
            flat = {}
            for mode, row in figures.items():
                flat |= {f"held out/{mode}/{name}": value for name, value in row.items()}
            self.accelerator.log(flat, step=num_steps)

    @property
    def last_validation(self) -> Figures:
        """The figures of the last validation, of this or an earlier process; empty if there was none."""
        rows = [] if self._path is None else jsonl.load(self._path)
        return next((row["validation"] for row in reversed(rows) if "validation" in row), {})

    def close(self) -> None:
        """Finish the trackers' files."""
        if self._tracked:
            self.accelerator.end_training()

    def _write(self, row: dict[str, Any]) -> None:
        if self._path is not None:
            jsonl.append(self._path, row, sync="validation" in row)


def read_log(out: Path) -> list[dict[str, Any]]:
    """The rows of a run's log, without a last line that a killed process left half-written."""
    return jsonl.load(out / LOG)
