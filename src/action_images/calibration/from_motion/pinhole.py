"""A still pinhole camera with one focal length and one term of radial distortion, for fitting."""

from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Float

from action_images.geometry import Camera, Pose

LEAST_DEPTH = 0.05
"""Points nearer to the camera (m), or behind it, are not visible."""
NOWHERE_PX = 100.0
"""The residual (along each axis) of an invisible point."""


@dataclass(frozen=True)
class Pinhole:
    """camera_from_world, the focal length (px), the principal point (px, centres at +0.5), k1 and fx / fy.

    A point (x, y, 1) before the lens appears at focals * (x, y) * (1 + radial * (x^2 + y^2)) + centre.
    `focal` is the geometric mean of both focal lengths; `aspect`, fx / fy, is taken as known in all fits but
    the one that tests it.
    """

    focal: float
    rotation: Float[np.ndarray, "3 3"]
    translation: Float[np.ndarray, "3"]
    centre: Float[np.ndarray, "2"]
    radial: float = 0.0
    aspect: float = 1.0

    @classmethod
    def of(cls, camera: Camera) -> "Pinhole":
        """From a still calibrated camera."""
        camera_from_world = camera.to(torch.float64).world_from_camera.inverse()
        intrinsics = camera.intrinsics.double().numpy()
        focal = float(np.sqrt(intrinsics[0, 0] * intrinsics[1, 1]))
        pose = camera_from_world.rotation.numpy(), camera_from_world.translation.numpy()
        aspect = float(intrinsics[0, 0] / intrinsics[1, 1])
        return cls(focal, *pose, intrinsics[:2, 2].copy(), aspect=aspect)

    @property
    def focals(self) -> Float[np.ndarray, "2"]:
        """fx and fy (px)."""
        return self.focal * np.array([np.sqrt(self.aspect), 1 / np.sqrt(self.aspect)])

    @property
    def eye(self) -> Float[np.ndarray, "3"]:
        """The camera's position (m) in the world."""
        return -self.rotation.T @ self.translation

    def camera(self, size: tuple[int, int]) -> Camera:
        """The camera as one of ours, float32, for pictures of (height, width) without distortion."""
        x, y = self.centre
        across, down = self.focals
        intrinsics = torch.tensor([[across, 0, x], [0, down, y], [0, 0, 1]])
        turn = torch.from_numpy(self.rotation.T.copy())
        pose = Pose(turn, torch.from_numpy(self.eye))
        return Camera(intrinsics, pose, size).to(torch.float32).check()

    def project(
        self, points: Float[np.ndarray, "*points 3"]
    ) -> tuple[Float[np.ndarray, "*points 2"], Float[np.ndarray, "*points"]]:
        """World points (m) to pixels and depth (m); pixels of points behind the camera are meaningless."""
        in_camera = points @ self.rotation.T + self.translation
        depth = in_camera[..., 2]
        flat = in_camera[..., :2] / np.where(np.abs(depth) < 1e-6, 1e-6, depth)[..., None]
        bend = 1 + self.radial * (flat**2).sum(-1, keepdims=True)
        return self.focals * flat * bend + self.centre, depth

    def moved(self, step: Float[np.ndarray, "9"]) -> "Pinhole":
        """After a turn (rad, in the camera's axes), a shift (m), and changes of log focal length, k1 and log
        aspect."""
        turn = rotation_of(step[:3])
        return replace(
            self,
            focal=self.focal * float(np.exp(step[6])),
            rotation=turn @ self.rotation,
            translation=self.translation + step[3:6],
            radial=self.radial + float(step[7]),
            aspect=self.aspect * float(np.exp(step[8])),
        )

    def derivatives(
        self, points: Float[np.ndarray, "seen 3"]
    ) -> tuple[Float[np.ndarray, "seen 2 9"], Float[np.ndarray, "seen 2 3"]]:
        """Derivatives of pixels by the numbers of `moved`, and by the points (m, in the camera's axes)."""
        turned = points @ self.rotation.T
        in_camera = turned + self.translation
        depth = np.maximum(in_camera[:, 2], 0.02)
        flat = in_camera[:, :2] / depth[:, None]
        square = (flat**2).sum(-1)
        bend = 1 + self.radial * square
        by_point = np.zeros((len(points), 2, 3))
        by_point[:, 0, 0] = by_point[:, 1, 1] = 1 / depth
        by_point[:, :, 2] = -flat / depth[:, None]
        lens = bend[:, None, None] * np.eye(2) + 2 * self.radial * flat[:, :, None] * flat[:, None, :]
        by_point = self.focals[:, None] * lens @ by_point
        by_focal = self.focals * flat * bend[:, None]
        by_radial = self.focals * flat * square[:, None]
        by_aspect = by_focal * [0.5, -0.5]
        by_lens = np.stack([by_focal, by_radial, by_aspect], -1)
        return np.concatenate([-by_point @ hat(turned), by_point, by_lens], -1), by_point


def hat(vectors: Float[np.ndarray, "*batch 3"]) -> Float[np.ndarray, "*batch 3 3"]:
    """The matrices of the cross product: hat(v) @ u = v x u."""
    x, y, z = np.moveaxis(vectors, -1, 0)
    zero = np.zeros_like(x)
    rows = np.stack([zero, -z, y, z, zero, -x, -y, x, zero], -1)
    return rows.reshape(*vectors.shape, 3)


def rotation_of(vector: Float[np.ndarray, "3"]) -> Float[np.ndarray, "3 3"]:
    """The rotation about a vector by its length (rad) (Rodrigues)."""
    angle = float(np.linalg.norm(vector))
    if angle < 1e-12:
        return np.eye(3) + hat(vector)
    axis = hat(vector / angle)
    return np.eye(3) + np.sin(angle) * axis + (1 - np.cos(angle)) * axis @ axis
