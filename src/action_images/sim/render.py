"""Images of a MuJoCo state through calibrated cameras."""

import math

import mujoco
import numpy as np
import torch
from jaxtyping import UInt8
from torch import Tensor

from action_images.geometry import Camera
from action_images.sim.gl import cannot_render


class Renderer:
    """Renders one model at one size; close it before the model is replaced."""

    def __init__(self, model: mujoco.MjModel, size: tuple[int, int]):
        limit = (model.vis.global_.offheight, model.vis.global_.offwidth)
        if size[0] > limit[0] or size[1] > limit[1] or min(size) < 1:
            raise ValueError(f"images of {size} (height, width) cannot be rendered; the largest is {limit}")
        self._model = model
        try:
            self._renderer = mujoco.Renderer(model, *size)
        except Exception as error:  # EGL, OSMesa and GLFW each fail in their own way
            raise cannot_render(error) from error

    def images(self, data: mujoco.MjData, cameras: Camera) -> UInt8[Tensor, "view 3 h w"]:
        """What each of the cameras (axis: view) sees, RGB."""
        pictures = [self._look(data, cameras[view]) for view in range(cameras.batch_shape[0])]
        return torch.from_numpy(np.stack(pictures)).movedim(-1, -3).contiguous()

    def bodies(self, data: mujoco.MjData, camera: Camera) -> np.ndarray:
        """(h, w) ids of the bodies that one camera sees, -1 where there is none."""
        self._renderer.enable_segmentation_rendering()
        ids, kinds = np.moveaxis(self._look(data, camera), -1, 0)
        self._renderer.disable_segmentation_rendering()
        return np.where(kinds == mujoco.mjtObj.mjOBJ_GEOM, self._model.geom_bodyid[ids], -1)

    def close(self) -> None:
        """Give the graphics memory back."""
        self._renderer.close()

    def _look(self, data: mujoco.MjData, camera: Camera) -> np.ndarray:
        (fx, _, cx), (_, fy, cy), _ = camera.intrinsics.tolist()
        height, width = camera.size
        if abs(fx - fy) > 1e-3 or abs(cx - width / 2) > 1e-3 or abs(cy - height / 2) > 1e-3:
            raise ValueError("MuJoCo renders square pixels around a centred principal point only; use Camera.from_fov or look_at")
        self._model.cam_fovy[0] = math.degrees(2 * math.atan(height / 2 / fy))
        data.cam_xpos[0] = camera.world_from_camera.translation.numpy()
        # OpenCV axes to MuJoCo's: y and z turn round.
        data.cam_xmat[0] = (camera.world_from_camera.rotation.numpy() * (1, -1, -1)).ravel()
        self._renderer.update_scene(data, camera=0)
        return self._renderer.render().copy()
