"""A printed board in the simulator, held by the arm or lying on the table, and what cameras see of it."""

import math
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import cv2
import mujoco
import numpy as np
import torch

from action_images.calibration import Board, Shots
from action_images.calibration.board import Found
from action_images.calibration.lens import Lens
from action_images.calibration.refine import Mount
from action_images.calibration.sheet import picture
from action_images.calibration.shots import Sighting
from action_images.episodes.trajectory_file import save_trajectory
from action_images.geometry import Camera, Pose, Trajectory
from action_images.geometry.rotation import from_euler_xyz, from_rotation_vector
from action_images.reports.pictures import save_png
from action_images.sim import LOOKS
from action_images.sim.render import Renderer
from action_images.sim.scene import Scene
from action_images.sim.shapes import ghost
from action_images.sim.world import World
from action_images.structs import stack

BOARD = Board(7, 5, 0.03, 0.022)
SIZE = (480, 640)
THICKNESS = 0.002


def _pose(euler_deg: tuple[float, float, float], place: tuple[float, float, float]) -> Pose:
    return Pose(
        from_euler_xyz(torch.deg2rad(torch.tensor(euler_deg, dtype=torch.float64))),
        torch.tensor(place, dtype=torch.float64),
    )


HAND_FROM_BOARD = Pose(
    torch.tensor([[0, 0.6, -0.8], [-1, 0, 0], [0, 0.8, 0.6]], dtype=torch.float64),
    torch.tensor([0.015, 0.105, 0.11], dtype=torch.float64),
)
"""The board at the finger tips: with the tool pointing down, its face looks forward and upward."""

TOOL_FROM_HAND = Pose(torch.eye(3, dtype=torch.float64), torch.tensor([0, 0, -0.1034], dtype=torch.float64))
"""What the arm's model says of its hand."""

WORLD_FROM_BOARD = _pose((180, 0, 20), (0.336, 0.035, 0.003))
TOOL_FROM_CAMERA = _pose((0, -20, 90), (0.09, 0.0, -0.06))


def world_with_board(board: Board, parent: str | None, parent_from_board: Pose) -> World:
    """The embedded world with the board fixed to a body's frame (or the world's): a thin, pictured box."""
    scene = Scene(LOOKS["train"], np.random.default_rng(0), np.random.default_rng(0))
    per_square = 100
    face = picture(board, per_square / board.square).numpy()
    height, width = face.shape
    # MuJoCo's rows of a texture begin at the bottom of the face as it is seen from outside.
    texture = scene.spec.add_texture(
        name="board", type=mujoco.mjtTexture.mjTEXTURE_2D, width=width, height=height, nchannel=3
    )
    texture.data = np.repeat(face[..., None], 3, -1).tobytes()
    material = scene.spec.add_material(
        name="board", specular=0.0, shininess=0.0, emission=0.35, texuniform=False
    )
    material.textures[mujoco.mjtTextureRole.mjTEXROLE_RGB] = "board"
    body = scene.spec.worldbody if parent is None else scene.spec.body(parent)
    place, paper = _box(board, parent_from_board, 0.0), _box(board, parent_from_board, 0.001)
    size = [board.columns * board.square / 2, board.rows * board.square / 2, THICKNESS / 2]
    ghost(body.add_geom(name="board", type=mujoco.mjtGeom.mjGEOM_BOX, size=size, material="board", **place))
    margin = [size[0] + 0.008, size[1] + 0.008, THICKNESS / 2]
    ghost(
        body.add_geom(name="paper", type=mujoco.mjtGeom.mjGEOM_BOX, size=margin, rgba=[1, 1, 1, 1], **paper)
    )
    return World(scene.compile())


def _box(board: Board, parent_from_board: Pose, deeper: float) -> dict:
    centre = torch.tensor(
        [board.columns * board.square / 2, board.rows * board.square / 2, THICKNESS / 2 + deeper],
        dtype=torch.float64,
    )
    # The box's +z face is the picture: it looks out of the paper, along the board's -z.
    rotation = parent_from_board.rotation @ torch.diag(torch.tensor([1.0, -1.0, -1.0], dtype=torch.float64))
    quaternion = np.empty(4)
    mujoco.mju_mat2Quat(quaternion, rotation.numpy().ravel())
    return {"pos": parent_from_board.apply(centre).tolist(), "quat": quaternion.tolist()}


@dataclass(frozen=True, eq=False)
class Session:
    """Pictures of one session (camera picture 3 h w), what they show, where the tool was, and the truth.

    `truth` (camera) is in the frame of its mount, `world_from_board` (picture) where the board was. Cameras
    are called camera0, camera1, ...
    """

    pictures: torch.Tensor
    found: list[list[Found | None]]
    world_from_tool: Pose
    truth: Camera
    world_from_board: Pose
    mount: Mount

    def first(self, num: int) -> "Session":
        """Its first pictures alone."""
        pictures, found = self.pictures[:, :num], [camera[:num] for camera in self.found]
        return Session(
            pictures, found, self.world_from_tool[:num], self.truth, self.world_from_board[:num], self.mount
        )

    def camera(self, index: int) -> "Session":
        """One camera's pictures alone."""
        return replace(
            self, pictures=self.pictures[[index]], found=[self.found[index]], truth=self.truth[[index]]
        )

    def with_pictures(self, pictures: torch.Tensor) -> "Session":
        """The same session had the pictures been others."""
        return replace(self, pictures=pictures, found=find(pictures))

    def shots(self, world_from_tool: Pose | None = None) -> Shots:
        """What `load_shots` would read if these pictures were saved, with the poses that a robot says."""
        sightings, blind = [], []
        for i, camera in enumerate(self.found):
            for pose, found in enumerate(camera):
                path = Path(f"camera{i}") / f"{pose}.png"
                if found is None:
                    blind.append(path)
                else:
                    sightings.append(Sighting(f"camera{i}", path, pose, found))
        sizes = {f"camera{i}": tuple(self.truth.size) for i in range(len(self.pictures))}
        return Shots(
            BOARD,
            self.world_from_tool if world_from_tool is None else world_from_tool,
            sizes,
            tuple(sightings),
            tuple(blind),
        )

    def miss_px(self, index: int, mounted: Camera) -> float:
        """How far off (rms, px) a calibrated camera draws the board's true corners at the true poses."""
        points = self.world_from_board[:, None].apply(BOARD.corners)
        pair = (mounted.to(torch.float64), self.truth[index])
        if self.mount == "tool":
            pair = tuple(camera.expand(len(points)).moved(self.world_from_tool)[:, None] for camera in pair)
        (found, _), (true, depth) = (camera.project(points) for camera in pair)
        seen = self.truth[index].contains(true) & (depth > 0)
        return (found - true)[seen].square().sum(-1).mean().sqrt().item()


def find(pictures: torch.Tensor) -> list[list[Found | None]]:
    """The board in every picture (camera picture 3 h w)."""
    return [[BOARD.find(image) for image in camera] for camera in pictures]


def poses_of(
    centre: tuple[float, float, float], num: int, seed: int, tilt: float = 0.45, reach: float = 0.08
) -> Pose:
    """Tool poses around a place, pointing down and tilted about all axes (rad)."""
    rng = torch.Generator().manual_seed(seed)
    draw = lambda *shape: 2 * torch.rand(*shape, generator=rng, dtype=torch.float64) - 1  # noqa: E731
    down = torch.diag(torch.tensor([1.0, -1.0, -1.0], dtype=torch.float64))
    turn = from_rotation_vector(draw(num, 3) * torch.tensor([tilt, tilt, tilt], dtype=torch.float64))
    return Pose(turn @ down, torch.tensor(centre, dtype=torch.float64) + reach * draw(num, 3))


@cache
def fixed_session(num: int = 16, seed: int = 0, azimuth_deg: tuple[float, ...] = (-30, 35)) -> Session:
    """The arm holds the board before fixed cameras."""
    world = world_with_board(BOARD, "hand", HAND_FROM_BOARD)
    eyes = []
    for azimuth in azimuth_deg:
        a = math.radians(azimuth)
        eyes.append([0.45 + 0.62 * math.cos(a), 0.62 * math.sin(a), 0.62])
    eye = torch.tensor(eyes, dtype=torch.float64)
    target = torch.tensor([0.47, 0.0, 0.36], dtype=torch.float64).expand_as(eye)
    truth = Camera.look_at(eye, target, math.radians(45), SIZE)
    renderer, pictures, reached = Renderer(world.model, SIZE), [], []
    asked = poses_of((0.45, 0.0, 0.42), num, seed)
    for i in range(num):
        world.arm.place(asked[i])
        reached.append(world.tool)
        pictures.append(renderer.images(world.data, truth))
    renderer.close()
    shown, world_from_tool = torch.stack(pictures, 1), stack(reached)
    return Session(
        shown,
        find(shown),
        world_from_tool,
        truth,
        world_from_tool @ TOOL_FROM_HAND @ HAND_FROM_BOARD,
        "world",
    )


@cache
def wrist_session(num: int = 30, seed: int = 1) -> Session:
    """A camera on the hand looks at the board on the table."""
    world = world_with_board(BOARD, None, WORLD_FROM_BOARD)
    renderer, pictures, reached = Renderer(world.model, SIZE), [], []
    asked = poses_of((0.46, 0.0, 0.30), num, seed, tilt=0.35, reach=0.06)
    truth = Camera.from_fov(math.radians(60), TOOL_FROM_CAMERA, SIZE)
    for i in range(num):
        world.arm.place(asked[i])
        reached.append(world.tool)
        pictures.append(renderer.images(world.data, truth.moved(world.tool)[None])[0])
    renderer.close()
    shown = torch.stack(pictures)[None]
    return Session(shown, find(shown), stack(reached), truth[None], stack([WORLD_FROM_BOARD] * num), "tool")


def bent_session(session: Session, radial: tuple[float, float]) -> tuple[Session, Lens]:
    """The same pictures as a lens with distortion takes them."""
    matrix = session.truth.intrinsics[0].double()
    lens = Lens(matrix.diagonal()[:2], matrix[:2, 2], torch.tensor(radial, dtype=torch.float64))
    height, width = session.truth.size
    x, y = np.meshgrid(np.arange(width) + 0.5, np.arange(height) + 0.5)
    pixels = np.stack([x, y], -1).reshape(-1, 1, 2)
    distortion = np.array([*radial, 0, 0])
    straight = cv2.undistortPoints(pixels, matrix.numpy(), distortion, P=matrix.numpy())
    source = (straight.reshape(height, width, 2) - 0.5).astype(np.float32)

    def warped(image: torch.Tensor) -> torch.Tensor:
        channels_last = np.ascontiguousarray(image.movedim(0, -1).numpy())
        return torch.from_numpy(cv2.remap(channels_last, source, None, cv2.INTER_CUBIC)).movedim(-1, 0)

    pictures = session.pictures
    bent = torch.stack([warped(image) for image in pictures.flatten(0, 1)])
    return session.with_pictures(bent.unflatten(0, pictures.shape[:2])), lens


def noisy(world_from_tool: Pose, metres: float, radians: float, seed: int = 5) -> Pose:
    """What a robot says that is off by as much (standard deviation along and about each axis)."""
    rng = torch.Generator().manual_seed(seed)
    num = len(world_from_tool.translation)
    shift, turn = torch.randn(2, num, 3, generator=rng, dtype=torch.float64)
    return world_from_tool @ Pose(from_rotation_vector(radians * turn), metres * shift)


def write_session(
    folder: Path, session: Session, names: tuple[str, ...], world_from_tool: Pose | None = None
) -> list[Path]:
    """As a user has it: a folder of pictures for each camera, and poses.csv."""
    for name, pictures in zip(names, session.pictures, strict=True):
        (folder / name).mkdir(parents=True)
        for i, picture_ in enumerate(pictures):
            save_png(folder / name / f"{i}.png", picture_)
    poses = session.world_from_tool if world_from_tool is None else world_from_tool
    save_trajectory(
        folder / "poses.csv", Trajectory(poses, torch.ones(len(poses.translation), dtype=torch.float64))
    )
    return [folder / name for name in names]
