"""Joint refinement over all corners of all pictures of all cameras, with the robot's own inaccuracy."""

import math
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import torch
from jaxtyping import Float, Int64
from torch import Tensor
from torch.func import jvp, vmap

from action_images.calibration.lens import Lens
from action_images.calibration.opencv import CalibrationError
from action_images.geometry import Pose
from action_images.geometry.rotation import from_quaternion_xyzw

Mount = Literal["world", "tool"]
"""The part that carries the cameras; the other one carries the board."""

CORNER_STD_PX = 0.2
"""Accuracy of a detected corner (standard deviation, px), measured on rendered boards."""


@dataclass(frozen=True)
class Corners:
    """All corners in all pictures as one list: camera, pose, position on the board and pixel."""

    camera: Int64[Tensor, "corner"]
    pose: Int64[Tensor, "corner"]
    on_board: Float[Tensor, "corner 3"]
    pixels: Float[Tensor, "corner 2"]


@dataclass(frozen=True)
class Unknowns:
    """The unknowns: lenses and mount_from_camera (camera), holder_from_board, tool_from_true_tool (pose)."""

    lens: Lens
    mount_from_camera: Pose
    holder_from_board: Pose
    tool_from_true_tool: Pose

    def moved(self, step: Float[Tensor, "numbers"]) -> "Unknowns":
        """The unknowns after a step: focal lengths (relative), px, k1 k2, then (turn, shift) per pose."""
        num_cameras, num_poses = len(self.lens.focal), len(self.tool_from_true_tool.translation)
        lens, eyes, board, tools = step.split([6 * num_cameras, 6 * num_cameras, 6, 6 * num_poses])
        focal, centre, radial = lens.view(num_cameras, 3, 2).unbind(1)
        return Unknowns(
            Lens(self.lens.focal * focal.exp(), self.lens.centre + centre, self.lens.radial + radial),
            _moved(self.mount_from_camera, eyes.view(num_cameras, 6)),
            _moved(self.holder_from_board, board),
            _moved(self.tool_from_true_tool, tools.view(num_poses, 6)),
        )

    def exact_robot(self) -> "Unknowns":
        """The unknowns with the robot's poses as reported."""
        return replace(
            self,
            tool_from_true_tool=Pose.identity(len(self.tool_from_true_tool.translation), dtype=torch.float64),
        )


@dataclass(frozen=True)
class Problem:
    """Corners, the robot's poses (pose), what carries the cameras, and the poses' accuracy (std, m and rad).

    `free` says for each camera whether its focal length and centre are estimated; `bent` says whether all
    lenses have distortion.
    """

    corners: Corners
    world_from_tool: Pose
    mount: Mount
    pose_std: tuple[float, float]
    free: tuple[bool, ...]
    bent: bool

    def in_camera(self, unknowns: Unknowns) -> Float[Tensor, "corner 3"]:
        """The corners (m) in the axes of the camera that saw them."""
        world_from_tool = self.world_from_tool @ unknowns.tool_from_true_tool
        mount_from_holder = world_from_tool if self.mount == "world" else world_from_tool.inverse()
        mount_from_board = mount_from_holder @ unknowns.holder_from_board
        camera_from_mount = unknowns.mount_from_camera.inverse()
        in_mount = mount_from_board[self.corners.pose].apply(self.corners.on_board)
        return camera_from_mount[self.corners.camera].apply(in_mount)

    def residual_px(self, unknowns: Unknowns) -> Float[Tensor, "corner 2"]:
        """Projected minus found."""
        return unknowns.lens[self.corners.camera].project(self.in_camera(unknowns)) - self.corners.pixels

    def estimated(self) -> Tensor:
        """Marks the free numbers of a step."""
        lens = torch.tensor([[free] * 4 + [self.bent] * 2 for free in self.free])
        # A pose without remaining pictures gets no correction.
        used = torch.zeros(len(self.world_from_tool.translation), dtype=torch.bool)
        used[self.corners.pose] = True
        others = torch.ones(6 * len(self.free) + 6, dtype=torch.bool)
        return torch.cat([lens.flatten(), others, used.repeat_interleave(6)])


@dataclass(frozen=True)
class Refined:
    """The best unknowns, and the standard deviations of the cameras' poses (m and rad)."""

    unknowns: Unknowns
    position_std: Float[Tensor, "camera"]
    rotation_std: Float[Tensor, "camera"]


def refine(problem: Problem, start: Unknowns) -> Refined:
    """Maximum likelihood with Huber's loss, starting from the closed form's result.

    Errors of corners are `CORNER_STD_PX`, those of the robot's poses `pose_std`. Each pose gets a small
    correction of its own, shared by all cameras that looked at that moment. So the robot's error does not
    distort lenses and cameras.
    """
    from scipy.optimize import least_squares

    free = problem.estimated()
    places = free.nonzero().flatten()
    metres, radians = problem.pose_std
    scale = torch.tensor([radians] * 3 + [metres] * 3, dtype=torch.float64).repeat(
        len(problem.world_from_tool.translation)
    )
    prior = torch.diag(
        1 / torch.cat([torch.full((len(free) - len(scale),), torch.inf, dtype=torch.float64), scale])
    )[-len(scale) :]

    def step(numbers: np.ndarray) -> Tensor:
        return torch.zeros(len(free), dtype=torch.float64).index_put((places,), torch.from_numpy(numbers))

    def residuals(numbers: np.ndarray) -> np.ndarray:
        moved = step(numbers)
        return torch.cat(
            [problem.residual_px(start.moved(moved)).flatten() / CORNER_STD_PX, prior @ moved]
        ).numpy()

    def jacobian(numbers: np.ndarray) -> np.ndarray:
        corners = _derivative(problem, start, step(numbers)).flatten(0, 1) / CORNER_STD_PX
        return torch.cat([corners, prior])[:, places].numpy()

    first = np.zeros(len(places))
    answer = least_squares(residuals, first, jacobian, loss="huber", f_scale=3.0, x_scale="jac", ftol=1e-6)  # type: ignore[arg-type]
    if not answer.success:
        raise CalibrationError(
            "the refinement does not settle; are pictures and poses of one session, in one order?"
        )
    return Refined(
        start.moved(step(answer.x)), *_stds(torch.from_numpy(answer.jac), answer.cost, problem, places)
    )


def _derivative(problem: Problem, start: Unknowns, step: Tensor) -> Float[Tensor, "corner 2 numbers"]:
    """Derivatives of residuals (px) by a step's numbers.

    A corner depends on one camera, the board and one pose. The first numbers of all cameras (or poses) are
    therefore moved at once, then their second ones, and so on. This takes 24 directions for any number of
    pictures, all in one forward pass.
    """
    num_cameras, num_poses, corners = (
        len(problem.free),
        len(problem.world_from_tool.translation),
        problem.corners,
    )
    owners = (
        (corners.camera, num_cameras),
        (corners.camera, num_cameras),
        (torch.zeros_like(corners.camera), 1),
        (corners.pose, num_poses),
    )
    numbers, first = [], 0
    for owner, count in owners:
        numbers += [first + number + 6 * owner for number in range(6)]
        first += 6 * count
    ours = torch.stack(
        numbers
    )  # (direction, corner): which number of the step moves this corner along this direction
    directions = torch.zeros(len(ours), len(step), dtype=step.dtype).scatter_(1, ours, 1.0)

    def along(direction: Tensor) -> Tensor:
        return jvp(lambda numbers: problem.residual_px(start.moved(numbers)), (step,), (direction,))[1]

    changes = vmap(along)(directions)
    result = torch.zeros(*corners.pixels.shape, len(step), dtype=step.dtype)
    return result.scatter_(-1, ours.T[:, None].expand(-1, 2, -1), changes.movedim(0, -1))


def _stds(jacobian: Tensor, cost: float, problem: Problem, places: Tensor) -> tuple[Tensor, Tensor]:
    """Standard deviations of the cameras' positions and turns, wider if residuals exceed the assumed ones."""
    num_cameras = len(problem.free)
    surplus = jacobian.shape[0] - jacobian.shape[1]
    widened = max(1.0, 2 * cost / max(surplus, 1))
    covariance = torch.linalg.pinv(jacobian.T @ jacobian, hermitian=True) * widened
    variance = torch.zeros(int(places.max()) + 1, dtype=torch.float64).index_put(
        (places,), covariance.diagonal()
    )
    turn, shift = (
        variance[6 * num_cameras : 12 * num_cameras].view(num_cameras, 2, 3).sum(-1).sqrt().unbind(1)
    )
    return shift, turn


def _moved(pose: Pose, step: Float[Tensor, "*batch 6"]) -> Pose:
    """A turn about the pose's own axes (first three, rad, to first order) and a shift in its parent's (m)."""
    quaternion = torch.cat([step[..., :3] / 2, torch.ones_like(step[..., :1])], -1)
    return Pose(pose.rotation @ from_quaternion_xyzw(quaternion), pose.translation + step[..., 3:])


def rms(values: Float[Tensor, "*batch numbers"]) -> float:
    """Root of the mean squared length of vectors."""
    return math.sqrt(values.square().sum(-1).mean().item())
