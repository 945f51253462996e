"""Rotation matrices: conversions to and from other common notations."""

import torch
from jaxtyping import Float
from torch import Tensor


def from_euler_xyz(angles: Float[Tensor, "*batch 3"]) -> Float[Tensor, "*batch 3 3"]:
    """Extrinsic xyz Euler angles (rad) to matrices: R = Rz(c) Ry(b) Rx(a), as in the 7-vector on disk."""
    (sa, sb, sc), (ca, cb, cc) = angles.sin().unbind(-1), angles.cos().unbind(-1)
    rows = [
        cc * cb, cc * sb * sa - sc * ca, cc * sb * ca + sc * sa,
        sc * cb, sc * sb * sa + cc * ca, sc * sb * ca - cc * sa,
        -sb, cb * sa, cb * ca,
    ]  # fmt: skip
    return torch.stack(rows, -1).unflatten(-1, (3, 3))


def to_euler_xyz(rotation: Float[Tensor, "*batch 3 3"]) -> Float[Tensor, "*batch 3"]:
    """Matrices to extrinsic xyz Euler angles (rad): a, c in (-pi, pi], b in [-pi/2, pi/2].

    At gimbal lock c is 0.
    """
    sb = -rotation[..., 2, 0]
    cb = torch.hypot(rotation[..., 0, 0], rotation[..., 1, 0])
    locked = cb < 8 * torch.finfo(rotation.dtype).eps
    a = torch.where(
        locked,
        torch.atan2(-rotation[..., 1, 2], rotation[..., 1, 1]),
        torch.atan2(rotation[..., 2, 1], rotation[..., 2, 2]),
    )
    c = torch.where(locked, torch.zeros_like(sb), torch.atan2(rotation[..., 1, 0], rotation[..., 0, 0]))
    return torch.stack([a, torch.atan2(sb, cb), c], -1)


def from_quaternion_xyzw(quaternion: Float[Tensor, "*batch 4"]) -> Float[Tensor, "*batch 3 3"]:
    """Quaternions in the order x y z w, of any non-zero length, to matrices."""
    x, y, z, w = (quaternion / quaternion.norm(dim=-1, keepdim=True)).unbind(-1)
    rows = [
        1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w),
        2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w),
        2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y),
    ]  # fmt: skip
    return torch.stack(rows, -1).unflatten(-1, (3, 3))


def to_quaternion_xyzw(rotation: Float[Tensor, "*batch 3 3"]) -> Float[Tensor, "*batch 4"]:
    """Matrices to unit quaternions in the order x y z w, with w >= 0."""
    m = rotation
    xx, yy, zz = m[..., 0, 0], m[..., 1, 1], m[..., 2, 2]
    wx, wy, wz = m[..., 2, 1] - m[..., 1, 2], m[..., 0, 2] - m[..., 2, 0], m[..., 1, 0] - m[..., 0, 1]
    xy, xz, yz = m[..., 0, 1] + m[..., 1, 0], m[..., 0, 2] + m[..., 2, 0], m[..., 1, 2] + m[..., 2, 1]
    # The four rows are 4 q_i q for i = x y z w: dividing the longest one loses no digits.
    rows = [
        1 + xx - yy - zz, xy, xz, wx,
        xy, 1 - xx + yy - zz, yz, wy,
        xz, yz, 1 - xx - yy + zz, wz,
        wx, wy, wz, 1 + xx + yy + zz,
    ]  # fmt: skip
    candidates = torch.stack(rows, -1).unflatten(-1, (4, 4))
    best = candidates.diagonal(dim1=-2, dim2=-1).argmax(-1)
    quaternion = candidates.gather(-2, best[..., None, None].expand(*best.shape, 1, 4)).squeeze(-2)
    quaternion = quaternion / quaternion.norm(dim=-1, keepdim=True)
    return torch.where(quaternion[..., 3:] < 0, -quaternion, quaternion)


def from_six_numbers(numbers: Float[Tensor, "*batch 6"]) -> Float[Tensor, "*batch 3 3"]:
    """The continuous 6-D notation (the first two columns, made orthonormal in order) to matrices.

    Source: Zhou et al., "On the Continuity of Rotation Representations in Neural Networks", 2019, eq. 15.
    """
    first, second = numbers.unflatten(-1, (2, 3)).unbind(-2)
    x = first / first.norm(dim=-1, keepdim=True)
    y = second - (x * second).sum(-1, keepdim=True) * x
    y = y / y.norm(dim=-1, keepdim=True)
    return torch.stack([x, y, torch.linalg.cross(x, y)], -1)


def to_six_numbers(rotation: Float[Tensor, "*batch 3 3"]) -> Float[Tensor, "*batch 6"]:
    """Matrices to the continuous 6-D notation: the first column, then the second."""
    return rotation[..., :2].mT.flatten(-2)


def from_rotation_vector(vector: Float[Tensor, "*batch 3"]) -> Float[Tensor, "*batch 3 3"]:
    """Rotation vectors (axis times angle in rad) to matrices; smooth at zero."""
    return torch.linalg.matrix_exp(hat(vector))


def to_rotation_vector(rotation: Float[Tensor, "*batch 3 3"]) -> Float[Tensor, "*batch 3"]:
    """Matrices to rotation vectors (axis times angle in rad), angle in [0, pi]."""
    xyz, w = to_quaternion_xyzw(rotation).split([3, 1], -1)
    sin_half = xyz.norm(dim=-1, keepdim=True)
    angle = 2 * torch.atan2(sin_half, w)
    # angle / sin(angle / 2) tends to 2 as both vanish.
    return xyz * torch.where(sin_half > 1e-12, angle / sin_half.clamp_min(1e-12), 2.0)


def hat(vector: Float[Tensor, "*batch 3"]) -> Float[Tensor, "*batch 3 3"]:
    """The skew-symmetric matrix of the cross product: hat(v) @ u = v x u."""
    x, y, z = vector.unbind(-1)
    zero = torch.zeros_like(x)
    return torch.stack([zero, -z, y, z, zero, -x, -y, x, zero], -1).unflatten(-1, (3, 3))


def nearest_rotation(matrix: Float[Tensor, "*batch 3 3"]) -> Float[Tensor, "*batch 3 3"]:
    """The rotation that is closest in the Frobenius norm (orthogonal Procrustes, determinant +1)."""
    u, _, vh = torch.linalg.svd(matrix)
    signs = torch.ones_like(matrix[..., 0])
    signs[..., 2] = torch.linalg.det(u @ vh).sign()
    return u @ (signs[..., None] * vh)


def angle_between(a: Float[Tensor, "*batch 3 3"], b: Float[Tensor, "*batch 3 3"]) -> Float[Tensor, "*batch"]:
    """The angle (rad, in [0, pi]) of the rotation from one to the other; exact for small angles too."""
    # The chord |a - b| = 2 sqrt(2) sin(angle / 2) keeps digits that the trace's arccos loses.
    half_sine = torch.linalg.matrix_norm(a - b) / 8**0.5
    return 2 * torch.asin(half_sine.clamp_max(1.0))
