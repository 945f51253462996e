"""The figures of clips over many windows, as rows of a table: means or medians with intervals."""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from action_images.evaluation.clip_modes import Measures
from action_images.evaluation.statistics import bootstrap_interval

MEDIANS = ("path mm", "path deg")
"""Figures with long tails, given as medians; all others are means."""


@dataclass(frozen=True)
class FigureRow:
    """A figure of a mode for a view and a frame (names, or 'all'), with its 95 % interval over windows."""

    mode: str
    figure: str
    view: str
    frame: str
    value: float
    low: float
    high: float
    num_windows: int


def rows(
    mode: str, measured: Sequence[Measures], views: Sequence[str], horizons: Sequence[int] = ()
) -> list[FigureRow]:
    """All figures of a mode: over everything, for each view, and at some frames (negative: from the end)."""
    made: list[FigureRow] = []
    for name in measured[0].figures:
        values = torch.stack([one.figures[name] for one in measured])
        made.append(_row(mode, name, values))
        if values.ndim == 3:
            of_views = dict(zip(views, values.unbind(1), strict=True))
            made += [replace(_row(mode, name, part), view=view) for view, part in of_views.items()]
        if _num_frames_with_values(values) > 1:
            of_frames = {frame % values.shape[-1]: values[..., frame] for frame in horizons}
            made += [replace(_row(mode, name, part), frame=str(frame)) for frame, part in of_frames.items()]
    if measured[0].grip is not None:
        counts = [one.grip for one in measured if one.grip is not None]
        made.append(_grip_row(mode, torch.stack(counts)))
    return made


def set_row(
    mode: str,
    figure: str,
    distance: Callable[[Tensor, Tensor], float],
    videos: Sequence[tuple[Tensor, Tensor]],
) -> FigureRow:
    """A distance of two sets of videos.

    It has no interval: resampling repeats videos, which would make the sets look more alike than they are.
    """
    real, made = (torch.stack(part) for part in zip(*videos, strict=True))
    value = distance(real, made)
    return FigureRow(
        mode,
        figure,
        view="all",
        frame="all",
        value=value,
        low=math.nan,
        high=math.nan,
        num_windows=len(videos),
    )


def _num_frames_with_values(values: Float[Tensor, "window *view frame"]) -> int:
    return int(values.isfinite().flatten(0, -2).any(0).sum())


def _row(mode: str, name: str, values: Float[Tensor, "window *rest"]) -> FigureRow:
    flat = values.reshape(len(values), -1).double()
    flat = torch.where(flat.isinf(), torch.nan, flat)

    def figure(windows: Tensor) -> float:
        chosen = flat[windows]
        return (chosen.nanquantile(0.5) if name in MEDIANS else chosen.nanmean()).item()

    return _with_interval(mode, name, figure, num_windows=len(flat))


def _grip_row(mode: str, counts: Float[Tensor, "window 3"]) -> FigureRow:
    def f1(windows: Tensor) -> float:
        right, wrongly_closed, wrongly_open = counts[windows].sum(0).tolist()
        total = 2 * right + wrongly_closed + wrongly_open
        return 2 * right / total if total else math.nan

    return _with_interval(mode, "grip F1", f1, num_windows=len(counts))


def _with_interval(mode: str, name: str, figure: Callable[[Tensor], float], *, num_windows: int) -> FigureRow:
    """A row over all views and frames; `figure` takes the indices of windows."""
    low, high = bootstrap_interval(figure, num_windows)
    return FigureRow(
        mode,
        name,
        view="all",
        frame="all",
        value=figure(torch.arange(num_windows)),
        low=low,
        high=high,
        num_windows=num_windows,
    )


def as_json(made: Iterable[FigureRow]) -> list[dict[str, Any]]:
    """Rows for a file: a number that is not finite is null."""
    return [_finite(asdict(row)) for row in made]


def _finite(values: dict[str, Any]) -> dict[str, Any]:
    lost = [name for name, value in values.items() if isinstance(value, float) and not math.isfinite(value)]
    return values | dict.fromkeys(lost)


def as_markdown(made: Iterable[FigureRow]) -> str:
    """Rows as a table for a page."""
    lines = ["| mode | figure | view | frame | value | 95 % interval |", "|---|---|---|---|---|---|"]
    for row in made:
        place = f"{row.mode} | {row.figure} | {row.view} | {row.frame}"
        lines.append(f"| {place} | {row.value:.4g} | {row.low:.4g} to {row.high:.4g} |")
    return "\n".join(lines) + "\n"
