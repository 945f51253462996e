"""Lenses: a pinhole with radial distortion."""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from action_images.calibration.opencv import CalibrationError, opencv
from action_images.geometry import Camera, Pose
from action_images.structs import Struct


@dataclass(frozen=True)
class Lens(Struct):
    """Focal lengths, principal point (px, centres at +0.5) and radial distortion k1, k2 (OpenCV's model).

    With `radial` zero it is the pinhole of `geometry.Camera`.
    """

    focal: Float[Tensor, "*batch 2"]
    centre: Float[Tensor, "*batch 2"]
    radial: Float[Tensor, "*batch 2"]

    def project(self, in_camera: Float[Tensor, "*batch 3"]) -> Float[Tensor, "*batch 2"]:
        """Points in front of the camera (m, OpenCV axes) to pixels."""
        plane = in_camera[..., :2] / in_camera[..., 2:]
        return self.focal * self._bent(plane) + self.centre

    def bent(self, pixels: Float[Tensor, "*batch 2"]) -> Float[Tensor, "*batch 2"]:
        """Pixels at which the lens shows what a pinhole would show at these pixels."""
        return self.focal * self._bent((pixels - self.centre) / self.focal) + self.centre

    def pinhole(self) -> "Lens":
        """The same lens without distortion."""
        return Lens(self.focal, self.centre, torch.zeros_like(self.radial))

    def intrinsics(self) -> Float[Tensor, "*batch 3 3"]:
        """The pinhole's matrix, as in `geometry.Camera`."""
        matrix = torch.diag_embed(torch.cat([self.focal, torch.ones_like(self.focal[..., :1])], -1))
        matrix[..., :2, 2] = self.centre
        return matrix

    def camera(self, world_from_camera: Pose, size: tuple[int, int]) -> Camera:
        """The pinhole camera of (undistorted) pictures through this lens."""
        return Camera(self.intrinsics(), world_from_camera, size)

    def _bent(self, plane: Tensor) -> Tensor:
        squared = plane.square().sum(-1, keepdim=True)
        k1, k2 = self.radial[..., :1], self.radial[..., 1:]
        return plane * (1 + squared * (k1 + squared * k2))


def lens_of(camera: Camera) -> Lens:
    """The lens of a still pinhole camera; raises CalibrationError if the camera is skewed or moves."""
    if camera.batch_shape or camera.intrinsics[0, 1].abs() > 1e-6:
        raise CalibrationError("given intrinsics must be of a still camera without skew")
    matrix = camera.intrinsics.double()
    return Lens(matrix.diagonal()[:2].clone(), matrix[:2, 2].clone(), torch.zeros(2, dtype=torch.float64))


def estimate_lens(
    points: list[Float[Tensor, "_ 3"]],
    pixels: list[Float[Tensor, "_ 2"]],
    size: tuple[int, int],
    *,
    straight: bool,
    known: Lens | None = None,
) -> tuple[Lens, float]:
    """A lens from several pictures of a flat board (Zhang 2000), and its residual (rms, px).

    `points` are the corners on the board (m), `pixels` their positions in each picture; `straight` allows no
    distortion. The focal length and centre of a `known` lens stay as they are.
    """
    cv2 = opencv()
    flags = (
        cv2.CALIB_ZERO_TANGENT_DIST
        | cv2.CALIB_FIX_K3
        | (cv2.CALIB_FIX_K1 | cv2.CALIB_FIX_K2 if straight else 0)
    )
    as_numpy = lambda tensors: [tensor.numpy().astype(np.float32) for tensor in tensors]  # noqa: E731
    # OpenCV sees only our pixels here, so its principal point comes back in our convention.
    guess = None
    if known is not None:
        flags |= cv2.CALIB_USE_INTRINSIC_GUESS | cv2.CALIB_FIX_FOCAL_LENGTH | cv2.CALIB_FIX_PRINCIPAL_POINT
        guess = known.intrinsics().numpy()
    rms, matrix, distortion, _, _ = cv2.calibrateCamera(
        as_numpy(points), as_numpy(pixels), size[::-1], guess, None, flags=flags
    )
    matrix = torch.from_numpy(matrix)
    radial = torch.from_numpy(distortion.ravel()[:2].copy())
    return Lens(matrix.diagonal()[:2].clone(), matrix[:2, 2].clone(), radial), rms


def board_pose(lens: Lens, points: Float[Tensor, "corner 3"], pixels: Float[Tensor, "corner 2"]) -> Pose:
    """camera_from_board of one picture."""
    cv2 = opencv()
    distortion = np.array([*lens.radial.tolist(), 0.0, 0.0])
    good, turn, shift = cv2.solvePnP(points.numpy(), pixels.numpy(), lens.intrinsics().numpy(), distortion)
    if not good:
        raise CalibrationError("OpenCV finds no pose for a picture of the board; leave it out")
    return Pose(torch.from_numpy(cv2.Rodrigues(turn)[0]), torch.from_numpy(shift.ravel()))


def straighten(frames: UInt8[Tensor, "frame 3 h w"], lens: Lens) -> UInt8[Tensor, "frame 3 h w"]:
    """Pictures of a pinhole with the same focal length and principal point; black if the lens saw nothing."""
    cv2 = opencv()
    height, width = frames.shape[-2:]
    y, x = torch.meshgrid(torch.arange(height) + 0.5, torch.arange(width) + 0.5, indexing="ij")
    # OpenCV samples at integer pixel centres.
    source = (lens.bent(torch.stack([x, y], -1).double()) - 0.5).float().numpy()
    straight = [
        cv2.remap(np.ascontiguousarray(frame.movedim(0, -1).numpy()), source, None, cv2.INTER_LINEAR)
        for frame in frames
    ]
    return torch.from_numpy(np.stack(straight)).movedim(-1, -3).contiguous()
