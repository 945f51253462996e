"""Pictures with lens distortion removed, as taken by a pinhole camera with the same intrinsics."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, UInt8
from torch import Tensor
from torch.nn.functional import grid_sample

from action_images.episodes.calibration_files.found import Distortion
from action_images.episodes.episode import Frames


@dataclass(frozen=True)
class FramesStraightened:
    """Frames that are undistorted when they are read; black where the lens saw nothing."""

    frames: Frames
    intrinsics: Float[Tensor, "3 3"]
    """In px of these frames, pixel centres at +0.5."""
    distortion: Distortion

    @property
    def size(self) -> tuple[int, int]:
        """(height, width)"""
        return self.frames.size

    @property
    def fps(self) -> float | None:
        """Frames per second, if the video has a rate."""
        return getattr(self.frames, "fps", None)

    @property
    def notes(self) -> tuple[str, ...]:
        """Remarks on the video, and how far the lens bends it."""
        height, width = self.size
        corners = torch.tensor(
            [[0.5, 0.5], [width - 0.5, 0.5], [0.5, height - 0.5], [width - 0.5, height - 0.5]]
        )
        moved = distorted(corners, self.intrinsics, self.distortion) - corners
        bent = f"its lens's distortion is undone, by {float(moved.norm(dim=-1).max()):.0f} px in a corner"
        return (*getattr(self.frames, "notes", ()), bent)

    def __len__(self) -> int:
        return len(self.frames)

    def read(self, indices: Sequence[int]) -> UInt8[Tensor, "frame 3 h w"]:
        """Exactly these frames, in this order."""
        pictures = self.frames.read(indices)
        height, width = self.size
        y, x = torch.meshgrid(torch.arange(height) + 0.5, torch.arange(width) + 0.5, indexing="ij")
        bent = distorted(torch.stack([x, y], -1), self.intrinsics, self.distortion)
        places = (2 * bent / torch.tensor([width, height]) - 1)[None]
        straight = [grid_sample(picture[None].float(), places, align_corners=False) for picture in pictures]
        return torch.cat(straight).round().clamp(0, 255).to(torch.uint8)


def distorted(
    pixels: Float[Tensor, "*batch 2"], intrinsics: Float[Tensor, "3 3"], distortion: Distortion
) -> Float[Tensor, "*batch 2"]:
    """Positions at which a lens shows a pinhole's pixels (OpenCV's models, docs of `calib3d`)."""
    inverse = torch.linalg.inv(intrinsics.double())
    plane = pixels.double() @ inverse[:2, :2].T + inverse[:2, 2]
    bend = _fisheye if distortion.model == "fisheye" else _radial_tangential
    bent = bend(plane, distortion.coefficients)
    return (bent @ intrinsics[:2, :2].double().T + intrinsics[:2, 2].double()).to(pixels.dtype)


def _radial_tangential(plane: Tensor, coefficients: Sequence[float]) -> Tensor:
    """k1 k2 p1 p2 k3, and k4 k5 k6 of the rational model; missing ones are zero."""
    k1, k2, p1, p2, k3, k4, k5, k6 = (*coefficients, *[0.0] * 8)[:8]
    x, y = plane.unbind(-1)
    squared = x * x + y * y
    radial = 1 + squared * (k1 + squared * (k2 + squared * k3))
    radial = radial / (1 + squared * (k4 + squared * (k5 + squared * k6)))
    bent_x = x * radial + 2 * p1 * x * y + p2 * (squared + 2 * x * x)
    bent_y = y * radial + p1 * (squared + 2 * y * y) + 2 * p2 * x * y
    return torch.stack([bent_x, bent_y], -1)


def _fisheye(plane: Tensor, coefficients: Sequence[float]) -> Tensor:
    """The equidistant model: k1 k2 k3 k4 over the angle from the optical axis."""
    k1, k2, k3, k4 = (*coefficients, *[0.0] * 4)[:4]
    radius = plane.norm(dim=-1, keepdim=True)
    angle = radius.atan()
    squared = angle.square()
    bent = angle * (1 + squared * (k1 + squared * (k2 + squared * (k3 + squared * k4))))
    return plane * torch.where(radius > 1e-9, bent / radius.clamp_min(1e-9), 1.0)
