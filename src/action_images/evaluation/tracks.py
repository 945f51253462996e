"""Accuracy of point tracks through a video (TAP-Vid's figures), and a tracker without learning."""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
from jaxtyping import Bool, Float, UInt8
from torch import Tensor

SIDE_PX = 256
"""Distances are measured in an image scaled to this height and width."""
THRESHOLDS_PX = (1, 2, 4, 8, 16)


@dataclass(frozen=True)
class Tracks:
    """Points tracked through a video of `size` (height, width): px, pixel centres at +0.5.

    The position of a point that is not visible is a guess.
    """

    position: Float[Tensor, "*batch frame point 2"]
    visible: Bool[Tensor, "*batch frame point"]
    size: tuple[int, int]

    def scaled(self) -> Float[Tensor, "*batch frame point 2"]:
        """Positions in an image of 256 x 256 px."""
        height, width = self.size
        return self.position * self.position.new_tensor([SIDE_PX / width, SIDE_PX / height])


def jaccard(truth: Tracks, found: Tracks) -> dict[int, Float[Tensor, "*batch"]]:
    """The Jaccard index in [0, 1] at each threshold (px of 256), over all points and frames but the first.

    A visible point found within the threshold is a true positive. A point found though it is not visible, or
    found beyond the threshold, is a false positive. A visible point not found within the threshold is a false
    negative, so a misplaced point counts as both. NaN if no point is visible and none is found. Source:
    Doersch et al., TAP-Vid, 2022, section 3 (queried in the first frame).
    """
    distance = (truth.scaled() - found.scaled()).norm(dim=-1)[..., 1:, :]
    there, said = truth.visible[..., 1:, :], found.visible[..., 1:, :]
    scores = {}
    for threshold in THRESHOLDS_PX:
        right = there & said & (distance < threshold)
        positives, wrong = there.sum((-2, -1)), (said & ~right).sum((-2, -1))
        scores[threshold] = right.sum((-2, -1)) / (positives + wrong)
    return scores


def average_jaccard(truth: Tracks, found: Tracks) -> Float[Tensor, "*batch"]:
    """The mean of the Jaccard indices over the thresholds, in [0, 1]."""
    return torch.stack(list(jaccard(truth, found).values())).mean(0)


def track_error_px(truth: Tracks, found: Tracks) -> Float[Tensor, "*batch frame"]:
    """The mean error (px of 256) of the visible points in each frame; NaN if none is visible."""
    distance = (truth.scaled() - found.scaled()).norm(dim=-1)
    return torch.where(truth.visible, distance, torch.nan).nanmean(-1)


def lucas_kanade(video: UInt8[Tensor, "frame 3 h w"], points: Float[Tensor, "point 2"]) -> Tracks:
    """Track points (px) of the first frame from frame to frame by OpenCV's pyramidal Lucas-Kanade flow.

    A point counts as not visible once its flow is lost, leaves the image, or, run backwards, misses its start
    by more than a pixel. Needs opencv-python-headless (the extra `judge`).
    """
    import cv2

    size = (video.shape[-2], video.shape[-1])
    grey = [
        cv2.cvtColor(np.ascontiguousarray(frame.movedim(0, -1).numpy()), cv2.COLOR_RGB2GRAY)
        for frame in video
    ]
    side = max(7, min(size) // 8 | 1)
    flow = {
        "winSize": (side, side),
        "maxLevel": 3,
        "criteria": (cv2.TERM_CRITERIA_EPS | cv2.TERM_CRITERIA_COUNT, 30, 0.01),
    }
    # OpenCV has pixel centres at whole numbers.
    places = [points.float().sub(0.5).numpy().reshape(-1, 1, 2)]
    alive = [np.ones(len(points), bool)]
    for before, after in pairwise(grey):
        forth, found, _ = cv2.calcOpticalFlowPyrLK(before, after, places[-1], places[-1].copy(), **flow)
        back, returned, _ = cv2.calcOpticalFlowPyrLK(after, before, forth, forth.copy(), **flow)
        closed = np.linalg.norm(back - places[-1], axis=-1)[:, 0] < 1
        alive.append(alive[-1] & (found[:, 0] == 1) & (returned[:, 0] == 1) & closed)
        places.append(forth)
    position = torch.from_numpy(np.stack(places)[:, :, 0]).add(0.5)
    inside = ((position >= 0) & (position <= torch.tensor([size[1], size[0]]))).all(-1)
    return Tracks(position, torch.from_numpy(np.stack(alive)) & inside, size)
