"""Calibrated views of a SAPIEN scene, rendered by Vulkan on a processor or a card."""
# pyright: reportMissingImports=false
# ManiSkill need not be installed.

import os
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import UInt8
from torch import Tensor

from action_images.errors import ActionImagesError
from action_images.geometry import Camera, Pose
from action_images.sim.cameras import Rig
from action_images.structs import stack

FROM_SAPIEN = torch.tensor([[0.0, 0, 1], [-1, 0, 0], [0, -1, 0]])
"""sapien_from_camera: SAPIEN's cameras look along x, with y to the left and z upward."""
NEAR, FAR = 0.01, 100.0
"""The range of depths that is drawn (m), as in ManiSkill."""
OWN_DRIVERS = Path(sys.prefix) / "share" / "vulkan" / "icd.d"
"""Drivers that `make env-maniskill` puts into its environment where the system's are too old."""
NO_DRIVER = (
    "ManiSkill draws with Vulkan, and no Vulkan driver was found that SAPIEN takes; "
    "install one that draws on the processor: sudo apt-get install libvulkan1 mesa-vulkan-drivers, "
    "version 24.3 or newer (Debian 12 has it in bookworm-backports; in a clone make env-maniskill fetches it)"
)


@dataclass
class SapienViews:
    """Cameras in ManiSkill's scene: from a rig, or its own cameras of the task by name."""

    rig: Rig | tuple[str, ...]
    num_views: int
    size: tuple[int, int]
    _simulator: Any = None
    _eyes: tuple[Any, ...] = ()

    def begin(self, simulator: Any, rng: np.random.Generator) -> Camera:
        """The cameras of a new trial (axis: view)."""
        self._simulator = simulator
        if isinstance(self.rig, Rig):
            return self.rig.draw(rng, self.num_views, self.size).at(0.0)
        if self.num_views > len(self.rig):
            raise ActionImagesError(
                f"this rig has {len(self.rig)} cameras, {self.num_views} views were asked for; ask for fewer"
            )
        own = {**simulator._sensors, **simulator._human_render_cameras}
        return stack([_camera(own[name].config, self.size) for name in self.rig[: self.num_views]])

    def images(self, cameras: Camera) -> UInt8[Tensor, "view 3 h w"]:
        """The cameras' images."""
        if not self._eyes:
            self._eyes = tuple(_eye(self._simulator, self.size) for _ in range(self.num_views))
        for view, eye in enumerate(self._eyes):
            _aim(eye, cameras[view])
        self._scene.update_render()
        for eye in self._eyes:
            eye.take_picture()
        pixels = np.stack([eye.get_picture("Color")[..., :3] for eye in self._eyes])
        return torch.from_numpy(pixels).movedim(-1, -3).contiguous()

    def twin(self) -> "SapienViews":
        """The same views of another simulator."""
        return replace(self, _simulator=None, _eyes=())

    def close(self) -> None:
        """Free the cameras' graphics memory; the next images allocate it again."""
        for eye in self._eyes:
            self._scene.remove_entity(eye.entity)
        self._eyes = ()

    @property
    def _scene(self) -> Any:
        return self._simulator.scene.sub_scenes[0]


def require_driver() -> None:
    """Raise ActionImagesError, with the package that brings one, if there is no Vulkan driver."""
    drivers = sorted(map(str, OWN_DRIVERS.glob("*.json")))
    if drivers and "VK_DRIVER_FILES" not in os.environ:
        os.environ.setdefault("VK_ICD_FILENAMES", os.pathsep.join(drivers))
    import sapien

    try:
        sapien.render.RenderSystem(sapien.Device("cpu"))
    except RuntimeError as error:
        raise ActionImagesError(NO_DRIVER) from error


def _camera(config: Any, size: tuple[int, int]) -> Camera:
    """One of ManiSkill's own cameras, which are fixed in the world."""
    matrix = torch.from_numpy(np.asarray(config.pose.sp.to_transformation_matrix())).float()
    world_from_camera = Pose(matrix[:3, :3] @ FROM_SAPIEN, matrix[:3, 3])
    return Camera.from_fov(float(config.fov), world_from_camera, size)


def _eye(simulator: Any, size: tuple[int, int]) -> Any:
    """A camera of SAPIEN that is moved to the pose of each image; `size` is (height, width) in px."""
    from mani_skill.render import PREBUILT_SHADER_CONFIGS, set_shader_pack

    set_shader_pack(PREBUILT_SHADER_CONFIGS["minimal"])
    height, width = size
    scene = simulator.scene.sub_scenes[0]
    return scene.add_camera("eye", width=width, height=height, fovy=1.0, near=NEAR, far=FAR)


def _aim(eye: Any, camera: Camera) -> None:
    import sapien

    (fx, skew, cx), (_, fy, cy), _ = camera.intrinsics.tolist()
    eye.set_perspective_parameters(NEAR, FAR, fx, fy, cx, cy, skew)
    pose = np.eye(4)
    pose[:3, :3] = (camera.world_from_camera.rotation @ FROM_SAPIEN.mT).numpy()
    pose[:3, 3] = camera.world_from_camera.translation.numpy()
    eye.entity.set_pose(sapien.Pose(pose))
