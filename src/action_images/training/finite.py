"""Stop a run whose loss or gradient is not finite, with a list of the samples."""

import math
from collections.abc import Iterable
from pathlib import Path

from action_images.errors import ActionImagesError
from action_images.samples.loader import Batch


class NotFiniteError(ActionImagesError):
    """The loss or its gradient was not finite."""


def check_finite(
    out: Path, step: int, *, loss: float, norm: float, batches: Iterable[Batch], process: int
) -> None:
    """Raise NotFiniteError unless a step's loss and the norm of its gradient are finite.

    All processes see the same two numbers, so all of them stop. Each lists its own samples in `out`.
    """
    if math.isfinite(loss) and math.isfinite(norm):
        return
    path = out / f"not_finite_step_{step}_process_{process}.txt"
    lines: list[str] = []
    for batch in batches:
        lines += [f"{draw.source} {draw.window} {draw.mode}\n" for draw in batch.draws]
    path.write_text("".join(lines))
    raise NotFiniteError(
        f"step {step}: the loss is {loss}, the norm of its gradient {norm}; the samples are listed in "
        f"{path}: look at their episodes with 'action-images check', or take a lower learning rate; "
        "the last checkpoint is as it was"
    )
