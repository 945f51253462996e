"""Images of a MuJoCo state through calibrated cameras."""
# pyright: reportAttributeAccessIssue=false
# MuJoCo's names are in compiled modules without types.

import math
import weakref
from dataclasses import dataclass

import mujoco
import numpy as np
import torch
from jaxtyping import UInt8
from torch import Tensor

from action_images.errors import ActionImagesError
from action_images.geometry import Camera
from action_images.sim.gl import graphics

MAX_GEOMS = 1000


@dataclass(frozen=True)
class Rendering:
    """Settings for rendering a model.

    `geom_groups` are the groups shown, None for MuJoCo's own choice: models keep collision shapes in separate
    groups. `samples` is the number of samples of each pixel, None for the model's own; 0 is fastest, with
    jagged edges.
    """

    geom_groups: tuple[int, ...] | None = None
    shadows: bool = True
    samples: int | None = None

    def prepared(self, model: mujoco.MjModel, size: tuple[int, int]) -> mujoco.MjModel:
        """Prepare the model of another package for images of this size (height, width) in px."""
        whole = model.vis.global_
        whole.offheight, whole.offwidth = max(whole.offheight, size[0]), max(whole.offwidth, size[1])
        if self.samples is not None:
            model.vis.quality.offsamples = self.samples
        return model


class Renderer:
    """Renders one model at one size (height, width in px), in the thread that made it.

    The model needs a fixed camera, which is moved to the pose of each image. Close the renderer before the
    model is replaced.
    """

    def __init__(self, model: mujoco.MjModel, size: tuple[int, int], rendering: Rendering = Rendering()):
        model = rendering.prepared(model, size) if rendering != Rendering() else model
        limit = (model.vis.global_.offheight, model.vis.global_.offwidth)
        if size[0] > limit[0] or size[1] > limit[1] or min(size) < 1:
            raise ActionImagesError(
                f"images of {size} (height, width) cannot be rendered; the largest is {limit}"
            )
        self._model, self._size = model, size
        self._graphics = graphics()
        self._context = self._graphics.context(model)
        # Graphics memory is freed even if a world is never closed.
        self._freed = weakref.finalize(self, self._graphics.free, self._context)
        self._freed.atexit = False  # at exit, all contexts end in their own order
        self._scene = mujoco.MjvScene(model, MAX_GEOMS)
        self._scene.flags[int(mujoco.mjtRndFlag.mjRND_SHADOW)] &= rendering.shadows
        self._scene.flags[int(mujoco.mjtRndFlag.mjRND_REFLECTION)] &= rendering.shadows
        self._eye = mujoco.MjvCamera()
        self._eye.type, self._eye.fixedcamid = mujoco.mjtCamera.mjCAMERA_FIXED, _eye_of(model)
        self._option = mujoco.MjvOption()
        if rendering.geom_groups is not None:
            self._option.geomgroup[:] = [group in rendering.geom_groups for group in range(6)]

    def images(self, data: mujoco.MjData, cameras: Camera) -> UInt8[Tensor, "view 3 h w"]:
        """The images of the cameras (axis: view), RGB."""
        pictures = [self._picture(data, cameras[view]) for view in range(cameras.batch_shape[0])]
        return torch.from_numpy(np.stack(pictures)).movedim(-1, -3).contiguous()

    def bodies(self, data: mujoco.MjData, camera: Camera) -> np.ndarray:
        """The ids (h, w) of the bodies that one camera sees, -1 for pixels without a body."""
        flags = [int(mujoco.mjtRndFlag.mjRND_SEGMENT), int(mujoco.mjtRndFlag.mjRND_IDCOLOR)]
        self._scene.flags[flags] = True
        colours = self._picture(data, camera).astype(np.int64)
        self._scene.flags[flags] = False
        shown = (colours * (1, 1 << 8, 1 << 16)).sum(-1)
        body_of = np.full(self._scene.ngeom + 1, -1)
        for geom in self._scene.geoms[: self._scene.ngeom]:
            if geom.objtype == mujoco.mjtObj.mjOBJ_GEOM:
                body_of[geom.segid + 1] = self._model.geom_bodyid[geom.objid]
        return body_of[shown]

    def close(self) -> None:
        """Free the graphics memory."""
        self._freed()

    def _picture(self, data: mujoco.MjData, camera: Camera) -> np.ndarray:
        self._aim(data, camera)
        every = mujoco.mjtCatBit.mjCAT_ALL
        mujoco.mjv_updateScene(self._model, data, self._option, None, self._eye, every, self._scene)
        return self._pixels()

    def _pixels(self) -> np.ndarray:
        """The pixels of the current scene."""
        self._graphics.use(self._context)
        pixels, area = (
            np.empty((*self._size, 3), np.uint8),
            mujoco.MjrRect(0, 0, self._size[1], self._size[0]),
        )
        mujoco.mjr_render(area, self._scene, self._context)
        mujoco.mjr_readPixels(pixels, None, area, self._context)
        return pixels[::-1]  # OpenGL's rows run from bottom to top

    def _aim(self, data: mujoco.MjData, camera: Camera) -> None:
        (fx, _, cx), (_, fy, cy), _ = camera.intrinsics.tolist()
        height, width = self._size
        if tuple(camera.size) != (height, width):
            raise ActionImagesError(
                f"this renderer makes images of {(height, width)}, the camera is for {tuple(camera.size)}"
            )
        if abs(fx - fy) > 1e-3 or abs(cx - width / 2) > 1e-3 or abs(cy - height / 2) > 1e-3:
            raise ActionImagesError(
                "MuJoCo renders square pixels around a centred principal point only; "
                "use Camera.from_fov or look_at"
            )
        eye = self._eye.fixedcamid
        self._model.cam_fovy[eye] = math.degrees(2 * math.atan(height / 2 / fy))
        data.cam_xpos[eye] = camera.world_from_camera.translation.numpy()
        # OpenCV axes to MuJoCo's: y and z are reversed.
        data.cam_xmat[eye] = (camera.world_from_camera.rotation.numpy() * (1, -1, -1)).ravel()


def fixed_camera(model: mujoco.MjModel, data: mujoco.MjData, name: str, *, size: tuple[int, int]) -> Camera:
    """A camera of the model that is fixed in the world; `size` is (height, width) of its images in px.

    Raises ActionImagesError for one that moves with a body, or is not a pinhole camera with square pixels.
    """
    number = model.camera(name).id
    if model.cam_bodyid[number] != 0 or model.cam_sensorsize[number].any():
        raise ActionImagesError(f"the model's camera '{name}' is not a fixed pinhole; choose another rig")
    place, turn = data.cam_xpos[number].copy(), data.cam_xmat[number].reshape(3, 3).copy()
    fovy_deg = float(model.cam_fovy[number])
    camera = Camera.from_mujoco(torch.from_numpy(place), torch.from_numpy(turn), fovy_deg, size)
    return camera.to(torch.float32)


def _eye_of(model: mujoco.MjModel) -> int:
    """The camera that is moved to the pose of each image: `eye`, or the first plain one."""
    plain = ~model.cam_sensorsize.any(1)
    names = [model.camera(number).name for number in range(model.ncam)]
    if "eye" in names:
        return names.index("eye")
    if not plain.any():
        raise ActionImagesError("the model has no camera of its own to look through; add one to its file")
    return int(plain.argmax())
