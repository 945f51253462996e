"""Merge the paths of overlapping windows into one path, each frame weighted by confidence."""

from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor
from typing_extensions import Self

from action_images.errors import ActionImagesError
from action_images.geometry import Pose, Trajectory
from action_images.geometry import rotation as rotations
from action_images.inference.confidence import HALF_CONFIDENT_M, HALF_CONFIDENT_RAD
from action_images.structs import Struct, concatenate


@dataclass(frozen=True)
class Sure(Struct):
    """A path (frame) with its confidence in [0, 1]; confidence 0 means an unknown pose, which may be NaN."""

    path: Trajectory
    confidence: Float[Tensor, "*frames"]

    @property
    def num_frames(self) -> int:
        """The number of frames."""
        return self.path.num_frames

    def extended(self, window: Self, start: int) -> Self:
        """Add a window whose first frame is frame `start` of this path; frames that both have are blended.

        Raises ValueError if the window begins beyond the path's end, which would leave a gap.
        """
        if not 0 <= start <= self.num_frames:
            raise ActionImagesError(
                f"the window begins at frame {start}, the path so far has {self.num_frames}; "
                "windows must overlap or touch"
            )
        shared = min(self.num_frames - start, window.num_frames)
        middle = blend(self[start : start + shared], window[:shared])
        return concatenate([self[:start], middle, self[start + shared :], window[shared:]])

    def bridged(self) -> "Sure | None":
        """Interpolate every unknown pose between its known neighbours (held at the ends).

        None if no pose is known.
        """
        frames = (self.confidence > 0).nonzero().flatten()
        if not len(frames):
            return None
        numbers = np.interp(np.arange(self.num_frames), frames.numpy(), np.arange(len(frames)))
        poses = self.path[frames].at(torch.from_numpy(numbers)).world_from_tool
        return Sure(Trajectory(poses, self.path.opening), self.confidence)

    def at(self, frames: Float[Tensor, "num"]) -> Self:
        """The path at these frame numbers, which may be fractions; between two frames the lower confidence
        counts."""
        sure = torch.minimum(self.confidence[frames.floor().long()], self.confidence[frames.ceil().long()])
        return replace(self, path=self.path.at(frames), confidence=sure)


def blend(first: Sure, second: Sure) -> Sure:
    """Blend two estimates of the same frames into one: poses and openings averaged by confidence.

    The confidence is the weighted mean of both, lowered if they contradict each other: half their distance
    counts as a standard deviation does in `inference.confidence`.
    """
    a, b = first.confidence, second.confidence
    both, share = (a > 0) & (b > 0), torch.where(a + b > 0, b / (a + b).clamp_min(1e-9), 0.0)
    # An unknown pose must not turn the other one into NaN.
    mine, other = _chosen(a > 0, first.path, second.path), _chosen(b > 0, second.path, first.path)
    start, stop = mine.world_from_tool, other.world_from_tool
    metres, radians = start.distance(stop)
    turn = rotations.to_rotation_vector(start.rotation.mT @ stop.rotation) * share[:, None]
    pose = Pose(
        start.rotation @ rotations.from_rotation_vector(turn),
        torch.lerp(start.translation, stop.translation, share[:, None]),
    )
    agreed = 1 / (1 + metres / 2 / HALF_CONFIDENT_M + radians / 2 / HALF_CONFIDENT_RAD)
    mean = (a * a + b * b) / (a + b).clamp_min(1e-9)
    confidence = torch.where(both, mean * agreed, torch.maximum(a, b))
    return Sure(Trajectory(pose, torch.lerp(mine.opening, other.opening, share)), confidence)


def _chosen(first: Tensor, one: Trajectory, other: Trajectory) -> Trajectory:
    pick = first.float()[:, None]
    pose = Pose(
        torch.where(pick[..., None] > 0, one.world_from_tool.rotation, other.world_from_tool.rotation),
        torch.where(pick > 0, one.world_from_tool.translation, other.world_from_tool.translation),
    )
    return Trajectory(pose, torch.where(first, one.opening, other.opening))


def window_starts(num_frames: int, length: int, overlap: int) -> list[int]:
    """The first frames of windows of `length` frames that cover all frames; neighbours share `overlap`.

    The last window ends at the last frame. Raises ValueError unless 1 <= overlap < length.
    """
    if not 1 <= overlap < length:
        raise ActionImagesError(
            f"windows of {length} frames overlap by 1 to {length - 1} frames, not {overlap}"
        )
    return [*range(0, max(num_frames - length, 0), length - overlap), max(num_frames - length, 0)]
