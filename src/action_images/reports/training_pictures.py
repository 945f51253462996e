"""Pictures of a training run after each validation."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from action_images.training.validation import Judged

SHEETS, CURVES = "sheets", "curves.png"


def pictures_into(run: Path) -> "Callable[[int, Judged], None]":
    """A `show` for `training.train.train`: held-out samples in RUN/sheets, all curves in RUN/curves.png."""

    def show(num_steps: int, judged: "Judged") -> None:
        from action_images.reports.contact_sheet import save_contact_sheet
        from action_images.reports.training_curves import plot_training

        save_contact_sheet(run / SHEETS / f"step-{num_steps:08d}.png", judged)
        plot_training([run], run / CURVES)

    return show
