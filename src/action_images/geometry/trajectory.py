"""A tool's path: its pose and its gripper's opening, frame by frame."""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor
from typing_extensions import Self

from action_images.errors import ActionImagesError
from action_images.geometry import rotation as rotations
from action_images.geometry.neighbours import steady_euler_xyz, steady_quaternions
from action_images.geometry.pose import Pose
from action_images.structs import Array, Struct, as_tensor


@dataclass(frozen=True)
class Trajectory(Struct):
    """Poses of the tool in the world with the gripper's opening (0 closed, 1 open; booleans become these).

    Both are (*batch frame): the last axis is time, and indexing covers it, so `trajectory[3:9]` is six frames
    of one.
    """

    world_from_tool: Pose
    opening: Float[Tensor, "*frames"]

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.opening.dtype is torch.bool:
            object.__setattr__(self, "opening", self.opening.to(self.world_from_tool.dtype))

    @property
    def num_frames(self) -> int:
        """Number of frames on the last batch axis."""
        return self.opening.shape[-1]

    @classmethod
    def from_vector(cls, vector: Float[Array, "*batch frame numbers"]) -> Self:
        """From the 7- or 8-vectors of files.

        Seven numbers: x y z (m), extrinsic xyz Euler angles (rad), opening. Eight: x y z (m), quaternion x y
        z w, opening. Raises ValueError for another length, numbers that are not finite, a quaternion that is
        not of unit length (within 1 %), or an opening outside [0, 1].
        """
        vector = as_tensor(vector, "vector")
        if vector.ndim == 0 or vector.shape[-1] not in (7, 8):
            raise ActionImagesError(
                "a trajectory vector has 7 numbers (xyz, Euler xyz, opening) or 8 (xyz, quaternion xyzw, "
                f"opening), got the shape {tuple(vector.shape)}"
            )
        bad = ~vector.isfinite().all(-1)
        if bad.any():
            raise ActionImagesError(
                f"trajectory row {bad.nonzero()[0].tolist()} has numbers that are not finite; drop or "
                "repair it"
            )
        position, turn, opening = vector[..., :3], vector[..., 3:-1], vector[..., -1]
        if turn.shape[-1] == 4:
            off = (turn.norm(dim=-1) - 1).abs() > 0.01
            if off.any():
                row = off.nonzero()[0].tolist()
                raise ActionImagesError(
                    f"trajectory row {row} has a quaternion that is not of unit length; check that its "
                    "columns are x y z w"
                )
            rotation = rotations.from_quaternion_xyzw(turn)
        else:
            rotation = rotations.from_euler_xyz(turn)
        return cls(Pose(rotation, position), opening).check()

    def to_vector(self, numbers: int = 8) -> Float[Tensor, "*batch frame numbers"]:
        """To the 7- or 8-vectors of `from_vector`; rows are close to each other wherever the poses are."""
        if numbers not in (7, 8):
            raise ActionImagesError(f"a trajectory vector has 7 or 8 numbers, got {numbers}")
        pose = self.world_from_tool
        if numbers == 8:
            turn = steady_quaternions(rotations.to_quaternion_xyzw(pose.rotation))
        else:
            turn = steady_euler_xyz(rotations.to_euler_xyz(pose.rotation))
        return torch.cat([pose.translation, turn, self.opening[..., None]], -1)

    def at(self, frames: Float[Tensor, "num"]) -> Self:
        """The trajectory at these frame numbers, fractions allowed: straight lines and constant turns.

        Raises ValueError for a frame number outside [0, num_frames - 1]: nothing is extrapolated.
        """
        last = self.num_frames - 1
        if ((frames < 0) | (frames > last)).any():
            raise ActionImagesError(
                f"frame numbers lie in [0, {last}], got {frames.min().item():g} to {frames.max().item():g}"
            )
        before = frames.floor().long().clamp(max=max(last - 1, 0))
        after = (before + 1).clamp(max=last)
        share = (frames - before).to(self.opening)
        start, stop = self.world_from_tool[..., before], self.world_from_tool[..., after]
        turn = rotations.to_rotation_vector(start.rotation.mT @ stop.rotation)
        rotation = start.rotation @ rotations.from_rotation_vector(turn * share[:, None])
        translation = torch.lerp(start.translation, stop.translation, share[:, None])
        opening = torch.lerp(self.opening[..., before], self.opening[..., after], share)
        return type(self)(Pose(rotation, translation), opening)

    def check(self, name: str = "trajectory") -> Self:
        """Return self; raise ValueError unless it has a frame, rigid poses and openings in [0, 1]."""
        if self.opening.ndim == 0 or self.num_frames == 0:
            raise ActionImagesError(f"{name} has no frames; give at least one")
        self.world_from_tool.check(f"{name}.world_from_tool")
        bad = ~((self.opening >= -1e-6) & (self.opening <= 1 + 1e-6))
        if bad.any():
            where = bad.nonzero()[0].tolist()
            value = self.opening[tuple(where)].item()
            raise ActionImagesError(
                f"{name}.opening{where} is {value:g}; openings lie in [0, 1], 1 = open: rescale the "
                "source's gripper"
            )
        return self
