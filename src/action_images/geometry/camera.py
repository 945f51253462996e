"""A calibrated pinhole camera: world points to pixels, and back to rays."""

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor
from typing_extensions import Self

from action_images.device import constant
from action_images.errors import ActionImagesError
from action_images.geometry.pose import Pose
from action_images.structs import Array, Struct, as_tensor


@dataclass(frozen=True)
class Camera(Struct):
    """A pinhole camera with OpenCV axes (x right, y down, z forward), or a batch of them with one image size.

    `intrinsics` is [[fx, skew, cx], [0, fy, cy], [0, 0, 1]] in pixels with fx, fy > 0. The image spans [0,
    width] x [0, height]: pixel column i has its centre at x = i + 0.5. `size` is (height, width).
    """

    intrinsics: Float[Tensor, "*batch 3 3"]
    world_from_camera: Pose
    size: tuple[int, int]

    @classmethod
    def from_fov(cls, vertical_fov: float, world_from_camera: Pose, size: tuple[int, int]) -> Self:
        """Square pixels and a centred principal point from the vertical field of view (rad)."""
        if not 0 < vertical_fov < math.pi:
            raise ActionImagesError(
                f"a vertical field of view lies in (0, pi) rad, got {vertical_fov:g}; convert degrees with "
                "math.radians"
            )
        height, width = size
        focal = height / 2 / math.tan(vertical_fov / 2)
        intrinsics = world_from_camera.rotation.new_tensor(
            [[focal, 0, width / 2], [0, focal, height / 2], [0, 0, 1]]
        )
        return cls(intrinsics.expand(*world_from_camera.batch_shape, 3, 3), world_from_camera, size)

    @classmethod
    def from_opengl(
        cls, intrinsics: Float[Array, "*batch 3 3"], world_from_gl_camera: Pose, size: tuple[int, int]
    ) -> Self:
        """From a camera with OpenGL's axes (also MuJoCo, Blender): x right, y up, z backward; fx, fy > 0."""
        return cls(as_tensor(intrinsics, "intrinsics"), _turned(world_from_gl_camera, (1, -1, -1)), size)

    @classmethod
    def from_mujoco(
        cls,
        xpos: Float[Array, "*batch 3"],
        xmat: Float[Array, "*batch 3 3"],
        fovy_deg: float,
        size: tuple[int, int],
    ) -> Self:
        """From MuJoCo's `data.cam_xpos` (m), `data.cam_xmat` (as 3 x 3) and `model.cam_fovy` (degrees)."""
        pose = Pose(as_tensor(xmat, "xmat"), as_tensor(xpos, "xpos"))
        return cls.from_fov(math.radians(fovy_deg), _turned(pose, (1, -1, -1)), size)

    @classmethod
    def from_rlbench(
        cls, intrinsics: Float[Array, "*batch 3 3"], world_from_camera: Pose, size: tuple[int, int]
    ) -> Self:
        """From RLBench / CoppeliaSim: focal lengths are negative, poses are turned by diag(-1, -1, 1).

        Raises ValueError if a focal length is positive: such intrinsics are not in that convention.
        """
        intrinsics = as_tensor(intrinsics, "intrinsics", world_from_camera.dtype)
        if (intrinsics.diagonal(dim1=-2, dim2=-1)[..., :2] >= 0).any():
            raise ActionImagesError(
                "RLBench intrinsics have negative fx and fy; these do not: use Camera(...) if the axes are "
                "OpenCV's"
            )
        signs = torch.tensor([-1.0, -1.0, 1.0], dtype=intrinsics.dtype, device=intrinsics.device)
        return cls(intrinsics * signs, _turned(world_from_camera, (-1, -1, 1)), size)

    @classmethod
    def from_integer_centres(
        cls, intrinsics: Float[Array, "*batch 3 3"], world_from_camera: Pose, size: tuple[int, int]
    ) -> Self:
        """From intrinsics with pixel centres at integers, as `cv2.calibrateCamera` gives them."""
        intrinsics = as_tensor(intrinsics, "intrinsics", world_from_camera.dtype)
        return cls(_shift(intrinsics, 0.5, 0.5), world_from_camera, size)

    @classmethod
    def look_at(
        cls,
        eye: Float[Array, "*batch 3"],
        target: Float[Array, "*batch 3"],
        vertical_fov: float,
        size: tuple[int, int],
    ) -> Self:
        """A camera at `eye` (m) that looks at `target` (m), world z upward in its image; fov in rad."""
        eye, target = as_tensor(eye, "eye"), as_tensor(target, "target")
        forward = target.to(eye.dtype) - eye
        forward = forward / forward.norm(dim=-1, keepdim=True)
        up = torch.tensor([0.0, 0.0, 1.0], dtype=eye.dtype, device=eye.device).expand_as(forward)
        right = torch.linalg.cross(forward, up)
        if (right.norm(dim=-1) < 1e-6).any():
            raise ActionImagesError(
                "look_at: the camera looks straight up or down, so the world's z axis cannot point upward; "
                "move the eye aside"
            )
        right = right / right.norm(dim=-1, keepdim=True)
        rotation = torch.stack([right, torch.linalg.cross(forward, right), forward], -1)
        return cls.from_fov(vertical_fov, Pose(rotation, eye), size)

    def project(
        self, points: Float[Tensor, "*points 3"]
    ) -> tuple[Float[Tensor, "*result 2"], Float[Tensor, "*result"]]:
        """World points (m) to pixels (x right, y down; centres at +0.5) and depth (m; <= 0: behind).

        Batch axes of points and cameras broadcast. Pixels of points at or behind the camera are finite but
        meaningless.
        """
        return self.project_from_camera(self.world_from_camera.inverse().apply(points))

    def project_from_camera(
        self, in_camera: Float[Tensor, "*points 3"]
    ) -> tuple[Float[Tensor, "*result 2"], Float[Tensor, "*result"]]:
        """As `project`, for points in the camera's own frame (m; x right, y down, z forward)."""
        depth = in_camera[..., 2]
        # A division by zero would poison gradients even if the result is discarded.
        homogeneous = in_camera / torch.where(depth.abs() < 1e-9, 1e-9, depth)[..., None]
        return (self.intrinsics[..., :2, :] @ homogeneous[..., None]).squeeze(-1), depth

    def unproject(
        self, pixels: Float[Tensor, "*pixels 2"], depth: Float[Tensor, "*depth"]
    ) -> Float[Tensor, "*result 3"]:
        """Pixels and their depth along the optical axis (m) to world points (m); the inverse of `project`."""
        return self.world_from_camera.apply(self._towards(pixels) * depth[..., None])

    def rays(
        self, pixels: Float[Tensor, "*pixels 2"]
    ) -> tuple[Float[Tensor, "*batch 3"], Float[Tensor, "*result 3"]]:
        """The cameras' centres (m) and, in world axes, the unit directions in which they see these pixels."""
        direction = (self.world_from_camera.rotation @ self._towards(pixels)[..., None]).squeeze(-1)
        return self.world_from_camera.translation, direction / direction.norm(dim=-1, keepdim=True)

    def contains(self, pixels: Float[Tensor, "*pixels 2"]) -> Tensor:
        """True where a pixel position lies inside the image."""
        height, width = self.size
        x, y = pixels.unbind(-1)
        return (x >= 0) & (x <= width) & (y >= 0) & (y <= height)

    def reframe(self, box: tuple[float, float, float, float], size: tuple[int, int]) -> Self:
        """The camera of the image cut to `box` (top, left, height, width in px), then resized to `size`."""
        top, left, height, width = box
        if not (height > 0 and width > 0):
            raise ActionImagesError(f"a box needs a positive height and width, got {box}")
        scale = constant([size[1] / width, size[0] / height, 1.0], self.intrinsics)
        return type(self)(_shift(self.intrinsics, -left, -top) * scale[:, None], self.world_from_camera, size)

    def crop(self, top: int, left: int, height: int, width: int) -> Self:
        """The camera of the image cut to these pixels."""
        return self.reframe((top, left, height, width), (height, width))

    def resize(self, height: int, width: int) -> Self:
        """The camera of the image resized to height x width pixels."""
        return self.reframe((0, 0, *self.size), (height, width))

    def moved(self, new_from_world: Pose) -> Self:
        """The same cameras described in another world frame."""
        return type(self)(self.intrinsics, new_from_world @ self.world_from_camera, self.size)

    def per_frame(self, batch_shape: tuple[int, ...], num_frames: int) -> Self:
        """This rig, given as (view), (*batch view) or (*batch view frame), with axes (*batch view frame).

        A single axis is always `view`: the same still rig for the whole batch. Raises ValueError, naming both
        shapes, for anything else.
        """
        shape, depth = tuple(self.batch_shape), len(batch_shape)
        if len(shape) == 1:
            still = self[(None,) * depth]
        elif len(shape) == depth + 1 and shape[:-1] == batch_shape:
            still = self
        elif len(shape) == depth + 2 and shape[:-2] == batch_shape and shape[-1] == num_frames:
            return self
        else:
            raise ActionImagesError(
                f"cameras have batch axes {shape}, the data {tuple(batch_shape)} with {num_frames} frames: "
                "give cameras as "
                "(view), (*batch view) or, moving, (*batch view frame); a single moving camera is "
                "camera[None]"
            )
        return still[..., None].expand(*batch_shape, shape[-1], num_frames)

    def check(self, name: str = "camera") -> Self:
        """Return self; raise ValueError, naming field and remedy, unless a usable OpenCV pinhole camera."""
        if not isinstance(self.world_from_camera, Pose):
            kind = type(self.world_from_camera).__name__
            raise ActionImagesError(
                f"{name}.world_from_camera is a {kind}; give a Pose, as Pose.from_matrix(matrix) makes one"
            )
        shape = tuple(self.intrinsics.shape)
        if shape[-2:] != (3, 3):
            raise ActionImagesError(
                f"{name}.intrinsics has the shape {shape}, not (*batch 3 3); write fx, fy, cx, cy as "
                "[[fx, 0, cx], [0, fy, cy], [0, 0, 1]]"
            )
        height, width = self.size
        if height < 1 or width < 1:
            raise ActionImagesError(f"{name}.size is {self.size}; give (height, width) in pixels")
        self.world_from_camera.check(f"{name}.world_from_camera")
        intrinsics = self.intrinsics
        if not intrinsics.isfinite().all():
            raise ActionImagesError(
                f"{name}.intrinsics has numbers that are not finite; calibrate this camera or leave it out"
            )
        focal = torch.stack([intrinsics[..., 0, 0], intrinsics[..., 1, 1]], -1)
        if (focal < 0).any():
            raise ActionImagesError(
                f"{name}.intrinsics has a negative focal length; that is RLBench's convention: use "
                "Camera.from_rlbench"
            )
        if (focal < 1e-6).any():
            raise ActionImagesError(
                f"{name}.intrinsics is singular (a focal length of zero); give fx and fy in pixels"
            )
        rest = torch.cat(
            [intrinsics[..., 1, :1], intrinsics[..., 2, :] - intrinsics.new_tensor([0.0, 0.0, 1.0])], -1
        )
        if (rest.abs() > 1e-6).any():
            raise ActionImagesError(
                f"{name}.intrinsics must read [[fx, skew, cx], [0, fy, cy], [0, 0, 1]]; transposed or not "
                "normalised?"
            )
        return self

    def _towards(self, pixels: Tensor) -> Tensor:
        homogeneous = torch.cat([pixels, torch.ones_like(pixels[..., :1])], -1)
        return (torch.linalg.inv(self.intrinsics) @ homogeneous[..., None]).squeeze(-1)


def _turned(world_from_camera: Pose, signs: tuple[int, int, int]) -> Pose:
    flip = constant(signs, world_from_camera.rotation)
    return Pose(world_from_camera.rotation * flip, world_from_camera.translation)


def _shift(intrinsics: Tensor, dx: float, dy: float) -> Tensor:
    return constant([[1.0, 0.0, dx], [0.0, 1.0, dy], [0.0, 0.0, 1.0]], intrinsics) @ intrinsics
