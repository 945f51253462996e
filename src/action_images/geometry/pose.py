"""Rigid transforms between named frames."""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor
from typing_extensions import Self

from action_images.errors import ActionImagesError
from action_images.geometry import rotation as rotations
from action_images.structs import Array, Struct, as_tensor


@dataclass(frozen=True)
class Pose(Struct):
    """The pose of one frame in another: a variable `a_from_b` maps points of frame b to frame a.

    `rotation` is orthonormal with determinant +1; `translation` (m) is the origin of b in a.
    """

    rotation: Float[Tensor, "*batch 3 3"]
    translation: Float[Tensor, "*batch 3"]

    @classmethod
    def from_matrix(cls, matrix: Float[Array, "*batch rows 4"]) -> Self:
        """From [R | t] as (3, 4) or (4, 4) matrices.

        Raises ActionImagesError if R is no rotation (see `check`), or the fourth row is not 0 0 0 1.
        """
        matrix = as_tensor(matrix, "matrix")
        if tuple(matrix.shape[-2:]) not in ((3, 4), (4, 4)):
            raise ActionImagesError(f"a pose's matrix is 3 x 4 or 4 x 4, got the shape {tuple(matrix.shape)}")
        if matrix.shape[-2] == 4:
            last_row = matrix.new_tensor([0.0, 0.0, 0.0, 1.0])
            wrong = ~((matrix[..., 3, :] - last_row).abs() <= 1e-4).all(-1)  # NaN is wrong too
            cure = "is it transposed, or of another shape?"
            _refuse(wrong, "pose", "has a last row that is not 0 0 0 1", cure)
        return cls(matrix[..., :3, :3], matrix[..., :3, 3]).check()

    @classmethod
    def identity(
        cls, *batch_shape: int, dtype: torch.dtype | None = None, device: torch.device | None = None
    ) -> Self:
        """The identity transform."""
        eye = torch.eye(3, dtype=dtype, device=device).expand(*batch_shape, 3, 3)
        return cls(eye, torch.zeros(*batch_shape, 3, dtype=dtype, device=device))

    def matrix(self) -> Float[Tensor, "*batch 4 4"]:
        """As homogeneous 4 x 4 matrices."""
        top = torch.cat([self.rotation, self.translation[..., None]], -1)
        bottom = torch.tensor([0.0, 0.0, 0.0, 1.0], dtype=self.dtype, device=self.device).expand(
            *top.shape[:-2], 1, 4
        )
        return torch.cat([top, bottom], -2)

    def __matmul__(self, other: "Pose") -> "Pose":
        """Compose: `a_from_b @ b_from_c` is `a_from_c`; batch axes broadcast."""
        return Pose(self.rotation @ other.rotation, self.apply(other.translation))

    def apply(self, points: Float[Tensor, "*points 3"]) -> Float[Tensor, "*result 3"]:
        """Map points (m) of frame b into frame a; batch axes broadcast."""
        return (self.rotation @ points[..., None]).squeeze(-1) + self.translation

    def inverse(self) -> Self:
        """`a_from_b` to `b_from_a`."""
        transposed = self.rotation.mT
        return type(self)(transposed, -(transposed @ self.translation[..., None]).squeeze(-1))

    def check(self, name: str = "pose") -> Self:
        """Return self; raise ValueError, naming the first bad entry, unless all are rigid transforms.

        Rotations are finite and orthonormal (within 1e-3) with determinant +1, translations finite.
        """
        _check_shapes(self, name)
        finite = self.rotation.isfinite().all(-1).all(-1) & self.translation.isfinite().all(-1)
        _refuse(
            ~finite,
            name,
            "has numbers that are not finite",
            "drop or repair this entry; absent values are None, not NaN",
        )
        gram = self.rotation.double() @ self.rotation.double().mT
        eye = torch.eye(3, dtype=torch.float64, device=self.device)
        skewed = (gram - eye).abs().amax((-2, -1)) > 1e-3
        cure = "pass a proper rotation, or clean it with geometry.rotation.nearest_rotation"
        _refuse(skewed, name, "has a rotation that is not orthonormal", cure)
        mirrored = torch.linalg.det(self.rotation.double()) < 0
        _refuse(
            mirrored,
            name,
            "has a mirrored rotation (determinant -1)",
            "an axis is flipped: check the handedness of the source",
        )
        return self

    def distance(self, other: "Pose") -> tuple[Float[Tensor, "*batch"], Float[Tensor, "*batch"]]:
        """The distance between two transforms: translation (m) and angle (rad)."""
        metres = (self.translation - other.translation).norm(dim=-1)
        return metres, rotations.angle_between(self.rotation, other.rotation)


def _check_shapes(pose: Pose, name: str) -> None:
    turn, place = tuple(pose.rotation.shape), tuple(pose.translation.shape)
    if turn[-2:] != (3, 3):
        raise ActionImagesError(
            f"{name}.rotation has the shape {turn}, not (*batch 3 3); convert quaternions with "
            "geometry.rotation.from_quaternion_xyzw, Euler angles with from_euler_xyz"
        )
    if place[-1:] != (3,) or place[:-1] != turn[:-2]:
        raise ActionImagesError(
            f"{name}.translation has the shape {place}, the rotation {turn}; give (*batch 3) and (*batch 3 3)"
        )


def _refuse(bad: Tensor, name: str, what: str, cure: str) -> None:
    if bad.any():
        where = bad.nonzero()[0].tolist()
        raise ActionImagesError(f"{name}{where if where else ''} {what}; {cure}")
