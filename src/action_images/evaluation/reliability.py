"""Whether confidence predicts the errors of poses: errors by confidence, rank correlation, and bounds."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import torch
from jaxtyping import Float, Int
from torch import Tensor

from action_images.errors import ActionImagesError
from action_images.evaluation.clip_modes import LOST_DEG, LOST_MM
from action_images.evaluation.statistics import bootstrap_interval, spearman
from action_images.inference.clip_generator import ClipGenerator
from action_images.inference.confidence import confidence
from action_images.model.reliability import WORDS, WRONG_DEG, WRONG_MM, Bounds
from action_images.samples.sample import Sample, collate

EDGES = (0.0, 1e-9, 0.1, 0.15, 0.2, 0.25, 0.3, 0.35, 0.4, 1.0)
"""The confidences that separate the table's rows; the first row has the poses that could not be read."""
WRONG_OF_GOOD, WRONG_OF_UNREADABLE = 0.1, 0.5
"""The least confident good poses are wrong at most as often as the first value. The most confident unreadable
poses are wrong at least as often as the second."""
LEAST_BOUND = 1e-6
"""A pose that could not be read has confidence 0, and its only word is unreadable."""


@dataclass(frozen=True)
class JudgedPoses:
    """Poses with their confidence and their error; poses of different windows (`window`) are independent."""

    confidence: Float[Tensor, "pose"]
    mm: Float[Tensor, "pose"]
    deg: Float[Tensor, "pose"]
    window: Int[Tensor, "pose"]

    @property
    def wrong(self) -> Float[Tensor, "pose"]:
        """1 for wrong poses, else 0."""
        return ((self.mm > WRONG_MM) | (self.deg > WRONG_DEG)).float()

    @property
    def num_windows(self) -> int:
        """The number of windows that the poses are from."""
        return len(self.window.unique())

    def where(self, chosen: Tensor) -> "JudgedPoses":
        """The chosen poses."""
        return JudgedPoses(*(values[chosen] for values in (self.confidence, self.mm, self.deg, self.window)))

    def halves(self) -> tuple["JudgedPoses", "JudgedPoses"]:
        """The poses of every other window, and those of the windows between."""
        even = self.window % 2 == 0
        return self.where(even), self.where(~even)


@dataclass(frozen=True)
class Bin:
    """Poses with a confidence from `low` to below `high`: their number and their errors.

    `wrong` is a share (0 to 1), `interval` its 95 % bootstrap interval over windows.
    """

    low: float
    high: float
    num_poses: int
    wrong: float
    interval: tuple[float, float]
    median_mm: float
    median_deg: float


def judge_poses(generator: ClipGenerator, windows: Iterable[Sample], mode: str, seed: int = 0) -> JudgedPoses:
    """Run a mode on recorded windows, as the commands do; frame 0 may be given and is left out.

    Labels are made without the instruction, and compared frame by frame. Plans are made with it. A plan may
    be a model frame early or late, so its positions are compared with the recorded path within that time.
    Poses that could not be read count as far off.
    """
    parts: list[tuple[Tensor, Tensor, Tensor]] = []
    for window in windows:
        assert window.trajectory is not None
        is_label = mode.startswith("label")
        scene = collate([replace(window, instruction=None if is_label else window.instruction)])
        prediction = generator.generate(scene, mode, [seed], ["action"])
        assert prediction.reading is not None
        sure = confidence(prediction, generator.sigma_px)[0]
        found, recorded = prediction.reading.trajectory[0].world_from_tool, window.trajectory.world_from_tool
        metres, radians = found.distance(recorded)
        if not is_label:
            metres = off_path(found.translation, recorded.translation)
        mm = torch.where(sure > 0, 1e3 * metres, LOST_MM).nan_to_num(LOST_MM)
        deg = torch.where(sure > 0, radians.rad2deg(), LOST_DEG).nan_to_num(LOST_DEG)
        parts.append((sure[1:], mm[1:], deg[1:]))
    if not parts:
        raise ActionImagesError("there is no window to judge")
    numbers = torch.arange(len(parts)).repeat_interleave(len(parts[0][0]))
    sure, mm, deg = (torch.cat(values) for values in zip(*parts, strict=True))
    return JudgedPoses(sure, mm, deg, numbers)


def off_path(found: Float[Tensor, "frame 3"], recorded: Float[Tensor, "frame 3"]) -> Float[Tensor, "frame"]:
    """Distance (m) of each position from the recorded path between the frame before and the frame after.

    The path is straight between frames.
    """
    start, along = recorded[:-1], recorded.diff(dim=0)
    from_start = found[:, None] - start
    share = (from_start * along).sum(-1) / along.square().sum(-1).clamp_min(1e-12)
    distance = (from_start - share.clamp(0, 1)[..., None] * along).norm(dim=-1)  # frame segment
    frame, segment = torch.arange(len(found))[:, None], torch.arange(len(along))
    is_near = (segment == frame - 1) | (segment == frame)
    return torch.where(is_near, distance, torch.inf).amin(1)


def bins(poses: JudgedPoses, edges: Sequence[float] = EDGES) -> list[Bin]:
    """The table of errors by confidence; empty rows are left out."""
    rows = []
    for number, (low, high) in enumerate(pairwise(edges)):
        is_last = number == len(edges) - 2
        below = poses.confidence <= high if is_last else poses.confidence < high
        chosen = poses.where((poses.confidence >= low) & below)
        if len(chosen.mm):
            rows.append(_bin(chosen, low, high))
    return rows


def by_word(poses: JudgedPoses, bounds: Bounds) -> dict[str, Bin]:
    """The errors of the poses that each word describes; words that never occur are left out."""
    edges = {
        "good": (bounds.good, 1.0),
        "doubtful": (bounds.doubtful, bounds.good),
        "unreadable": (0.0, bounds.doubtful),
    }
    words = [bounds.word(one) for one in poses.confidence.tolist()]
    made = {}
    for word in WORDS:
        chosen = poses.where(torch.tensor([one == word for one in words]))
        if len(chosen.mm):
            made[word] = _bin(chosen, *edges[word])
    return made


def rank_correlation(poses: JudgedPoses) -> float:
    """Spearman's correlation of confidence and error (mm): -1 if confidence ranks errors exactly."""
    return spearman(poses.confidence, poses.mm)


def bounds_of(poses: JudgedPoses) -> Bounds:
    """The confidences at which the probability of being wrong crosses WRONG_OF_GOOD and WRONG_OF_UNREADABLE.

    Both are chosen on every other window, by an isotonic regression of that probability on confidence. The
    stated shares are measured on the windows between.
    """
    from scipy.optimize import isotonic_regression

    chosen_on, stated_on = poses.halves()
    order = chosen_on.confidence.argsort()
    sure = chosen_on.confidence[order]
    fit = isotonic_regression(chosen_on.wrong[order].double().numpy(), increasing=False)
    chance = torch.from_numpy(fit.x.copy())
    read = sure[sure > 0]
    least = float(read.min()) if len(read) else LEAST_BOUND
    is_good, is_lost = chance <= WRONG_OF_GOOD, chance >= WRONG_OF_UNREADABLE
    good = float(sure[is_good][0]) if is_good.any() else 1.0
    above = sure[~is_lost]
    doubtful = max(least, float(above[0])) if len(above) else good
    bounds = Bounds(max(good, doubtful, LEAST_BOUND), max(doubtful, LEAST_BOUND))
    shares = {word: row.wrong for word, row in by_word(stated_on, bounds).items()}
    return replace(bounds, wrong=shares)


def _bin(poses: JudgedPoses, low: float, high: float) -> Bin:
    wrong, window = poses.wrong, poses.window
    of_windows = [wrong[window == number] for number in window.unique()]

    def rate(items: Tensor) -> float:
        drawn = torch.cat([of_windows[number] for number in items.tolist()])
        return float(drawn.mean())

    return Bin(
        low,
        high,
        len(wrong),
        float(wrong.mean()),
        bootstrap_interval(rate, len(of_windows)) if len(of_windows) > 1 else (math.nan, math.nan),
        float(poses.mm.median()),
        float(poses.deg.median()),
    )
