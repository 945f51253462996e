"""Rotations of a path as numbers that change as little as the rotations do, for clients that interpolate."""

import math

import torch
from jaxtyping import Float
from torch import Tensor

TURN = 2 * math.pi


def steady_quaternions(quaternions: Float[Tensor, "*batch frame 4"]) -> Float[Tensor, "*batch frame 4"]:
    """The same rotations (x y z w, or any order), each with the sign nearer to the previous one."""
    agree = (quaternions[..., 1:, :] * quaternions[..., :-1, :]).sum(-1) >= 0
    flips = torch.where(agree, 1.0, -1.0).to(quaternions)
    signs = torch.cat([torch.ones_like(quaternions[..., :1, 0]), flips.cumprod(-1)], -1)
    return quaternions * signs[..., None]


def steady_euler_xyz(angles: Float[Tensor, "*batch frame 3"]) -> Float[Tensor, "*batch frame 3"]:
    """The same rotations (extrinsic xyz, rad), each in the angles nearest to the previous ones.

    Angles continue beyond half a turn, and the middle one continues beyond a quarter turn. This is possible
    because (a, b, c) is the same rotation as (a + pi, pi - b, c + pi).
    """
    steady = [angles[..., 0, :]]
    for frame in range(1, angles.shape[-2]):
        plain = angles[..., frame, :]
        other = torch.stack([plain[..., 0] + math.pi, math.pi - plain[..., 1], plain[..., 2] + math.pi], -1)
        plain, other = (_nearest(candidate, steady[-1]) for candidate in (plain, other))
        nearer = (plain - steady[-1]).norm(dim=-1) <= (other - steady[-1]).norm(dim=-1)
        steady.append(torch.where(nearer[..., None], plain, other))
    return torch.stack(steady, -2)


def _nearest(angles: Float[Tensor, "*batch 3"], to: Float[Tensor, "*batch 3"]) -> Float[Tensor, "*batch 3"]:
    """The same angles, each moved by whole turns to within half a turn of another."""
    return angles - TURN * ((angles - to) / TURN).round()
