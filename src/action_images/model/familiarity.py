"""Whether pictures resemble those of training: a distance between statistics, and its bound."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor
from torch.nn import functional as F
from typing_extensions import Self

from action_images.errors import ActionImagesError
from action_images.files.atomic import write_json
from action_images.model.claims import read_object

FAMILIARITY = "pictures.json"
"""The file in a folder of models; it does not affect the models' name."""
SIDE, GRID, SCALES = 64, 4, 4
"""The size of pictures (px), the grid of their colours, and the number of scales of their edges."""
SHRINKAGE = 0.1
"""Shrinkage of the covariance towards its diagonal, as there are few pictures for so many statistics."""
FALSE_ALARMS = 0.01
"""The share of the training's own pictures that lie beyond the bound."""


@dataclass(frozen=True)
class Familiarity:
    """A Gaussian of the statistics of training pictures.

    The distance is Mahalanobis's over the square root of the number of statistics: about 1 in training.
    """

    mean: Float[Tensor, "statistic"]
    whiten: Float[Tensor, "statistic statistic"]
    bound: float
    """Pictures beyond this distance are unlike those of training."""
    false_alarms: float
    """The share of training pictures beyond the bound, among those not used for mean and covariance."""

    @classmethod
    def of(cls, pictures: Float[Tensor, "num 3 h w"] | UInt8[Tensor, "num 3 h w"]) -> Self:
        """Fit to pictures of training, in [-1, 1] or bytes.

        Three of four give the Gaussian, the others the bound. Raises ActionImagesError for too few.
        """
        seen = statistics(pictures)
        held_out = torch.arange(len(seen)) % 4 == 3
        fitted = seen[~held_out].double()
        if len(pictures) < LEAST_PICTURES:
            raise ActionImagesError(
                f"{len(pictures)} pictures are too few to say what is like them; give {LEAST_PICTURES}"
            )
        covariance = torch.cov(fitted.mT)
        covariance = torch.lerp(covariance, covariance.diagonal().diag(), SHRINKAGE)
        values, vectors = torch.linalg.eigh(covariance)
        whiten = vectors / values.clamp_min(1e-6 * values.max()).sqrt() / len(values) ** 0.5
        unbound = cls(fitted.mean(0).float(), whiten.float(), float("inf"), FALSE_ALARMS)
        distance = unbound.distance_of(seen[held_out])
        bound = float(distance.quantile(1 - FALSE_ALARMS))
        return cls(unbound.mean, unbound.whiten, bound, FALSE_ALARMS)

    def distance(
        self, pictures: Float[Tensor, "*batch 3 h w"] | UInt8[Tensor, "*batch 3 h w"]
    ) -> Float[Tensor, "*batch"]:
        """The distance of pictures, in [-1, 1] or bytes, from those of training; about 1 for the latter."""
        batch = pictures.shape[:-3]
        return self.distance_of(statistics(pictures.reshape(-1, *pictures.shape[-3:]))).view(batch)

    def distance_of(self, seen: Float[Tensor, "num statistic"]) -> Float[Tensor, "num"]:
        """The same for pictures' statistics."""
        return ((seen - self.mean) @ self.whiten).norm(dim=-1)

    def doubts(self, views: Float[Tensor, "view 3 h w"] | UInt8[Tensor, "view 3 h w"]) -> str | None:
        """A sentence if a view is unlike all pictures of training; else None."""
        distance = self.distance(views)
        if not (distance > self.bound).any():
            return None
        strange = int((distance > self.bound).sum())
        return (
            f"{strange} of {len(distance)} views look unlike the pictures that the models were trained on "
            f"(distance {float(distance.max()):.1f}; {self.false_alarms:.0%} of those exceed "
            f"{self.bound:.1f}): what they answer may mean nothing"
        )

    def save(self, folder: Path) -> None:
        """Write it beside the models."""
        values = {"mean": self.mean.tolist(), "whiten": self.whiten.tolist()}
        write_json(
            folder / FAMILIARITY,
            {**values, "bound": self.bound, "false_alarms": self.false_alarms},
            indent=None,
        )

    @classmethod
    def load(cls, folder: Path) -> "Familiarity | None":
        """The statistics beside the models; None if there are none.

        Raises ActionImagesError for a file with other contents.
        """
        path = folder / FAMILIARITY
        if not path.is_file():
            return None
        values = read_object(path)
        try:
            mean, whiten = _numbers(values["mean"], 1), _numbers(values["whiten"], 2)
            bound, false_alarms = float(values["bound"]), float(values["false_alarms"])
            fits = whiten.shape == 2 * mean.shape == (NUM_STATISTICS,) * 2
            if not (fits and 0 < bound < float("inf") and 0 <= false_alarms <= 1):
                raise ValueError("sizes or bounds do not fit")
        except (KeyError, TypeError, ValueError, OverflowError) as error:
            raise ActionImagesError(
                f"{path}: does not describe pictures ({error}); copy it again, or remove it"
            ) from error
        return cls(mean, whiten, bound, false_alarms)


def statistics(
    pictures: Float[Tensor, "num 3 h w"] | UInt8[Tensor, "num 3 h w"],
) -> Float[Tensor, "num statistic"]:
    """The statistics of pictures: colours on a coarse grid, and the strength of edges by scale.

    Edges are logarithms, for brightness and two colour differences, along both axes.
    """
    levels = pictures.float() * (2 / 255) - 1 if pictures.dtype == torch.uint8 else pictures.float()
    small = F.interpolate(levels, (SIDE, SIDE), mode="bilinear", antialias=True)
    colours = F.adaptive_avg_pool2d(small, GRID).flatten(1)
    red, green, blue = small.unbind(1)
    opponent = torch.stack([small.mean(1), red - green, blue - (red + green) / 2], 1)
    edges = []
    for _ in range(SCALES):
        edges += [opponent.diff(dim=axis).square().mean((-2, -1)).add(1e-5).log() for axis in (-1, -2)]
        opponent = F.avg_pool2d(opponent, 2)
    return torch.cat([colours, *edges], 1)


NUM_STATISTICS = 3 * GRID**2 + 2 * 3 * SCALES
LEAST_PICTURES = 4 * NUM_STATISTICS
"""The least number of pictures; a quarter of them sets the bound."""


def _numbers(values: Any, num_axes: int) -> Tensor:
    array = np.asarray(values, dtype=np.float32)
    if array.ndim != num_axes or not np.isfinite(array).all():
        raise ValueError("numbers that are none")
    return torch.from_numpy(array)
