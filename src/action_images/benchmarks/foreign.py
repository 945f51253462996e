"""Shared code for other simulators: independent random numbers from a seed, and cameras on MuJoCo."""
# pyright: reportAttributeAccessIssue=false
# MuJoCo's names are in compiled modules without types.

import zlib
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from jaxtyping import UInt8
from torch import Tensor

from action_images.errors import ActionImagesError
from action_images.geometry import Camera, Pose
from action_images.sim.cameras import Rig
from action_images.sim.render import Renderer, Rendering, fixed_camera
from action_images.structs import stack


@dataclass(frozen=True)
class Pointing:
    """One trial: a task and a seed. The same seed of two tasks gives independent random numbers."""

    task: str
    seed: int

    def streams(self, num: int) -> list[np.random.Generator]:
        """`num` independent random generators, the same in every run of this trial."""
        entropy = np.random.SeedSequence([self.seed, zlib.crc32(self.task.encode())])
        return [np.random.default_rng(child) for child in entropy.spawn(num)]


@dataclass
class MuJoCoViews:
    """Calibrated views of a MuJoCo model: from a rig, or from the model's own fixed cameras by name."""

    rig: Rig | tuple[str, ...]
    num_views: int
    size: tuple[int, int]
    rendering: Rendering = field(default_factory=Rendering)
    _model: Any = None
    _renderer: Renderer | None = None

    def begin(self, model: Any, data: Any, rng: np.random.Generator) -> Camera:
        """The cameras of a new trial (axis: view)."""
        if model is not self._model:
            self.close()
        self._model = model
        if isinstance(self.rig, Rig):
            return self.rig.draw(rng, self.num_views, self.size).at(0.0)
        if self.num_views > len(self.rig):
            raise ActionImagesError(
                f"this rig has {len(self.rig)} cameras, {self.num_views} views were asked for; ask for fewer"
            )
        names = self.rig[: self.num_views]
        return stack([_upright(fixed_camera(model, data, name, size=self.size)) for name in names])

    def images(self, data: Any, cameras: Camera) -> UInt8[Tensor, "view 3 h w"]:
        """The cameras' images."""
        if self._renderer is None:
            self._renderer = Renderer(self._model, self.size, self.rendering)
        return self._renderer.images(data, cameras)

    def twin(self) -> "MuJoCoViews":
        """The same views of another model."""
        return replace(self, _model=None, _renderer=None)

    def close(self) -> None:
        """Free the graphics memory; the next images allocate it again."""
        if self._renderer is not None:
            self._renderer.close()
            self._renderer = None


def _upright(camera: Camera) -> Camera:
    """The same camera, turned by half a turn if it shows the world upside down."""
    pose = camera.world_from_camera
    if pose.rotation[2, 1] <= 0.1:  # the image's y axis points down
        return camera
    turned = pose.rotation * pose.rotation.new_tensor([-1.0, -1.0, 1.0])
    return replace(camera, world_from_camera=Pose(turned, pose.translation))
