"""Fidelity of a learned simulator: whether policies that succeed in the world also succeed in it."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import torch
from jaxtyping import Float
from torch import Tensor

from action_images.errors import ActionImagesError
from action_images.evaluation.protocols import Address
from action_images.evaluation.simulator_pairs import Pair
from action_images.evaluation.statistics import bootstrap_interval, pearson, spearman


@dataclass(frozen=True)
class PolicyRow:
    """One policy over all scenes: success rates, mean progress, and median distances of the tool."""

    policy: str
    num_scenes: int
    success: float
    success_inside: float
    real_progress: float
    imagined_progress: float
    real_missed_mm: float
    imagined_missed_mm: float


@dataclass(frozen=True)
class Figure:
    """A figure with its 95 % bootstrap interval over scenes.

    NaN if it is undefined (all policies alike).
    """

    name: str
    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Fidelity:
    """The result of the comparison. `threshold` is the progress from which pictures count as success.

    It is found on the world's own pictures.
    """

    threshold: float
    policies: tuple[PolicyRow, ...]
    figures: tuple[Figure, ...]


@dataclass(frozen=True)
class Columns:
    """All pairs of scenes that every policy was run in, each value by scene and policy.

    For success, 1 means yes: `succeeded` as the world says, `judged` by the world's pictures, `inside` by the
    imagined pictures.
    """

    succeeded: Float[Tensor, "scene policy"]
    judged: Float[Tensor, "scene policy"]
    inside: Float[Tensor, "scene policy"]
    real_progress: Float[Tensor, "scene policy"]
    imagined_progress: Float[Tensor, "scene policy"]

    def drawn(self, scenes: Tensor) -> "Columns":
        """The columns of these scenes (indices)."""
        return Columns(
            succeeded=self.succeeded[scenes],
            judged=self.judged[scenes],
            inside=self.inside[scenes],
            real_progress=self.real_progress[scenes],
            imagined_progress=self.imagined_progress[scenes],
        )


def fidelity(pairs: Sequence[Pair]) -> Fidelity:
    """Compare both worlds, on the scenes that all policies were run in.

    Raises ActionImagesError for fewer than two policies or no such scene.
    """
    names = list(dict.fromkeys(pair.policy for pair in pairs))
    scenes = _shared_scenes(pairs, names)
    if len(names) < 2 or not scenes:
        raise ActionImagesError(
            "policies are compared with each other: give at least two of different quality, "
            "run in the same scenes"
        )
    succeeded, real_progress = _column(scenes, names, "succeeded"), _column(scenes, names, "real_progress")
    imagined_progress = _column(scenes, names, "imagined_progress")
    threshold = best_threshold(real_progress.flatten(), succeeded.flatten() > 0.5)
    columns = Columns(
        succeeded=succeeded,
        judged=(real_progress >= threshold).double(),
        inside=(imagined_progress >= threshold).double(),
        real_progress=real_progress,
        imagined_progress=imagined_progress,
    )
    rows = [_policy_row(scenes, name, columns, place) for place, name in enumerate(names)]
    figures = [_figure(name, figure, columns) for name, figure in FIGURES.items()]
    return Fidelity(threshold, tuple(rows), tuple(figures))


def _shared_scenes(pairs: Sequence[Pair], names: Sequence[str]) -> list[dict[str, Pair]]:
    """For each scene that all policies were run in, its pairs by policy."""
    by_scene: dict[Address, dict[str, Pair]] = {}
    for pair in pairs:
        by_scene.setdefault((pair.task, pair.seed), {})[pair.policy] = pair
    return [found for found in by_scene.values() if len(found) == len(names)]


def _column(
    scenes: Sequence[Mapping[str, Pair]], names: Sequence[str], field: str
) -> Float[Tensor, "scene policy"]:
    by_policy = [_values(scenes, name, field) for name in names]
    return torch.stack(by_policy, 1)


def _values(scenes: Sequence[Mapping[str, Pair]], name: str, field: str) -> Float[Tensor, "scene"]:
    return torch.tensor([float(getattr(scene[name], field)) for scene in scenes], dtype=torch.float64)


def _policy_row(scenes: Sequence[Mapping[str, Pair]], name: str, columns: Columns, place: int) -> PolicyRow:
    return PolicyRow(
        name,
        num_scenes=len(scenes),
        success=columns.succeeded[:, place].mean().item(),
        success_inside=columns.inside[:, place].mean().item(),
        real_progress=columns.real_progress[:, place].mean().item(),
        imagined_progress=columns.imagined_progress[:, place].mean().item(),
        real_missed_mm=_values(scenes, name, "real_missed_mm").quantile(0.5).item(),
        imagined_missed_mm=_values(scenes, name, "imagined_missed_mm").quantile(0.5).item(),
    )


def _across_policies(columns: Columns, *, of: str, ranked: bool) -> float:
    """The correlation of a column's means over scenes with the success rates in the world."""
    first, second = getattr(columns, of).mean(0), columns.succeeded.mean(0)
    return spearman(first, second) if ranked else pearson(first, second)


def _alike(columns: Columns, *, of: str) -> float:
    """The share of trials with the same outcome as in the world."""
    return (getattr(columns, of) == columns.succeeded).double().mean().item()


def _progress_correlation(columns: Columns) -> float:
    return pearson(columns.imagined_progress.flatten(), columns.real_progress.flatten())


FIGURES: dict[str, Callable[[Columns], float]] = {
    "success inside and in MuJoCo, across policies (Pearson)": partial(
        _across_policies, of="inside", ranked=False
    ),
    "success inside and in MuJoCo, across policies (Spearman)": partial(
        _across_policies, of="inside", ranked=True
    ),
    "imagined progress and success in MuJoCo, across policies (Spearman)": partial(
        _across_policies, of="imagined_progress", ranked=True
    ),
    "the judge's ceiling: success by MuJoCo's pictures and in MuJoCo, across policies (Pearson)": partial(
        _across_policies, of="judged", ranked=False
    ),
    "trials that end alike inside and in MuJoCo": partial(_alike, of="inside"),
    "the judge's ceiling: trials that MuJoCo's pictures end alike": partial(_alike, of="judged"),
    "imagined and real progress, across trials (Pearson)": _progress_correlation,
}
"""Name -> figure.

Scripted policies do not use images, so their pictures alone are judged; other policies also act on them.
"""


def _figure(name: str, figure: Callable[[Columns], float], columns: Columns) -> Figure:
    def drawn(scenes: Tensor) -> float:
        return figure(columns.drawn(scenes))

    low, high = bootstrap_interval(drawn, len(columns.succeeded))
    return Figure(name, figure(columns), low=low, high=high)


def best_threshold(values: Tensor, positive: Tensor) -> float:
    """The threshold for saying yes that minimises the mean of both error rates.

    It lies halfway between two values. If all are positive it lies below all values, and if none is, above.
    """
    ordered = values.sort().values
    middle = (ordered[1:] + ordered[:-1]) / 2
    candidates = torch.cat([ordered[:1] - 1e-6, middle, ordered[-1:] + 1e-6])
    said = values[None] >= candidates[:, None]
    missed = (~said & positive).sum(1) / positive.sum().clamp_min(1)
    wrong = (said & ~positive).sum(1) / (~positive).sum().clamp_min(1)
    return candidates[(missed + wrong).argmin()].item()
