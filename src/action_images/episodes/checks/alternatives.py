"""Other conventions that an episode may follow; each is tested against its pictures."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial

import torch
from torch import Tensor

from action_images.episodes.checks.follow import Scene, shifted, stretched
from action_images.geometry import Camera, Pose
from action_images.geometry import rotation as rotations

SHIFTS = (1, 2, 3, 4, 5, 6, 8, 10, 12, 15)
"""Tested shifts in frames between views and tool."""
RATES = (0.9, 0.94, 0.97, 1.03, 1.06, 1.1)
"""Tested ratios between the rates of pictures and tool, as separate clocks cause."""


@dataclass(frozen=True)
class Alternative:
    """Another reading of the same files; `says` completes "fits better ..." and may name {view}."""

    says: str
    change: Callable[[Scene], Scene]


def _turned(right: tuple[float, float], down: tuple[float, float], scene: Scene) -> Scene:
    """Read the pictures with these directions for right and down."""
    turn = torch.tensor([right, down]).T
    return replace(scene, turn=turn.expand_as(scene.turn))


def _reversed(scene: Scene) -> Scene:
    return replace(scene, world_from_tool=scene.world_from_tool.map(_last_first))


def _last_first(values: Tensor) -> Tensor:
    return values.flip(0)


def _camera(change: Callable[[Camera], Camera], scene: Scene) -> Scene:
    return replace(scene, camera=change(scene.camera))


def _inverse_camera(camera: Camera) -> Camera:
    return replace(camera, world_from_camera=camera.world_from_camera.inverse())


def _opengl_camera(camera: Camera) -> Camera:
    return Camera.from_opengl(camera.intrinsics, camera.world_from_camera, camera.size)


def _moved_camera(factor: float, camera: Camera) -> Camera:
    pose = camera.world_from_camera
    return replace(camera, world_from_camera=replace(pose, translation=factor * pose.translation))


def _other_size(factor: float, camera: Camera) -> Camera:
    return replace(camera, intrinsics=camera.intrinsics * torch.tensor([[factor], [factor], [1.0]]))


def _tool(change: Callable[[Pose], Pose], scene: Scene) -> Scene:
    return replace(scene, world_from_tool=change(scene.world_from_tool))


def _scaled_tool(factor: float, pose: Pose) -> Pose:
    return replace(pose, translation=factor * pose.translation)


def _mirrored_tool(axis: int, pose: Pose) -> Pose:
    signs = torch.ones(3)
    signs[axis] = -1
    return Pose(signs[:, None] * pose.rotation * signs, signs * pose.translation)


def _rotation(change: Callable[[Tensor], Tensor], scene: Scene) -> Scene:
    pose = scene.world_from_tool
    return replace(scene, world_from_tool=replace(pose, rotation=change(pose.rotation)))


def _inverse(rotation: Tensor) -> Tensor:
    return rotation.mT


def rolled_quaternion(places: int, rotation: Tensor) -> Tensor:
    """Rotations whose quaternion has its numbers (x y z w) moved on by so many places."""
    return rotations.from_quaternion_xyzw(rotations.to_quaternion_xyzw(rotation).roll(places, -1))


def _intrinsic_euler(rotation: Tensor) -> Tensor:
    return rotations.from_euler_xyz(-rotations.to_euler_xyz(rotation)).mT


def _reversed_euler(rotation: Tensor) -> Tensor:
    return rotations.from_euler_xyz(rotations.to_euler_xyz(rotation).flip(-1))


def _reversed_z(rotation: Tensor) -> Tensor:
    return rotation * torch.tensor([1.0, -1.0, -1.0])


def _extrinsic_euler(rotation: Tensor) -> Tensor:
    return rotations.from_euler_xyz(-rotations.to_euler_xyz(rotation.mT))


def _vector_for_euler(rotation: Tensor) -> Tensor:
    return rotations.from_rotation_vector(rotations.to_euler_xyz(rotation))


def _euler_for_vector(rotation: Tensor) -> Tensor:
    return rotations.from_euler_xyz(rotations.to_rotation_vector(rotation))


def frozen(scene: Scene) -> Scene:
    """The scene with a tool that never turns; if it fits as well, pictures do not verify rotations."""
    pose = scene.world_from_tool
    start = pose.rotation[len(pose.rotation) // 2]
    return replace(scene, world_from_tool=replace(pose, rotation=start.expand_as(pose.rotation)))


PICTURES: Mapping[str, Alternative] = {
    "upside down": Alternative(
        "with the pictures of '{view}' turned upside down (flipud)",
        partial(_turned, (1.0, 0.0), (0.0, -1.0)),
    ),
    "mirrored": Alternative(
        "with the pictures of '{view}' mirrored (fliplr)", partial(_turned, (-1.0, 0.0), (0.0, 1.0))
    ),
    "turned 180": Alternative(
        "with the pictures of '{view}' turned by 180 degrees", partial(_turned, (-1.0, 0.0), (0.0, -1.0))
    ),
    "turned left": Alternative(
        "with the pictures of '{view}' turned by 90 degrees to the left",
        partial(_turned, (0.0, 1.0), (-1.0, 0.0)),
    ),
    "turned right": Alternative(
        "with the pictures of '{view}' turned by 90 degrees to the right",
        partial(_turned, (0.0, -1.0), (1.0, 0.0)),
    ),
}
CAMERAS: Mapping[str, Alternative] = {
    "inverse camera": Alternative(
        "with the inverse of the camera of '{view}' (world_from_camera, not camera_from_world, is wanted)",
        partial(_camera, _inverse_camera),
    ),
    "OpenGL camera": Alternative(
        "with OpenGL axes for the camera of '{view}' (turn its y and z axes)",
        partial(_camera, _opengl_camera),
    ),
    "camera in mm": Alternative(
        "with the position of the camera of '{view}' in mm, not m",
        partial(_camera, partial(_moved_camera, 1e-3)),
    ),
    "half intrinsics": Alternative(
        "with the intrinsics of '{view}' halved: they are for pictures of twice the size",
        partial(_camera, partial(_other_size, 0.5)),
    ),
    "double intrinsics": Alternative(
        "with the intrinsics of '{view}' doubled: they are for pictures of half the size",
        partial(_camera, partial(_other_size, 2.0)),
    ),
}
TOOL: Mapping[str, Alternative] = {
    "tool in mm": Alternative(
        "with the tool's positions in mm, not m", partial(_tool, partial(_scaled_tool, 1e-3))
    ),
    "tool in cm": Alternative(
        "with the tool's positions in cm, not m", partial(_tool, partial(_scaled_tool, 1e-2))
    ),
    "tool in hm": Alternative(
        "with the tool's positions multiplied by 100 (or those of the cameras divided by it)",
        partial(_tool, partial(_scaled_tool, 1e2)),
    ),
    "tool in km": Alternative(
        "with the tool's positions multiplied by 1000 (or those of the cameras divided by it)",
        partial(_tool, partial(_scaled_tool, 1e3)),
    ),
    "inverse tool": Alternative(
        "with the inverse of the tool's poses (world_from_tool is wanted)", partial(_tool, Pose.inverse)
    ),
    "mirrored x": Alternative(
        "with the tool's world mirrored along x", partial(_tool, partial(_mirrored_tool, 0))
    ),
    "mirrored y": Alternative(
        "with the tool's world mirrored along y", partial(_tool, partial(_mirrored_tool, 1))
    ),
    "mirrored z": Alternative(
        "with the tool's world mirrored along z", partial(_tool, partial(_mirrored_tool, 2))
    ),
}
ROTATIONS: Mapping[str, Alternative] = {
    "inverse rotation": Alternative("with the inverse of the tool's rotations", partial(_rotation, _inverse)),
    "quaternion wxyz": Alternative(
        "with the tool's quaternions in the order w x y z "
        '(import it again and declare "rotation": "quaternion_wxyz")',
        partial(_rotation, partial(rolled_quaternion, -1)),
    ),
    "quaternion xyzw": Alternative(
        "with the tool's quaternions in the order x y z w, which were taken for w x y z "
        '(declare "rotation": "quaternion_xyzw", or leave it out)',
        partial(_rotation, partial(rolled_quaternion, 1)),
    ),
    "intrinsic Euler": Alternative(
        "with the tool's Euler angles as intrinsic x y z (extrinsic z y x)",
        partial(_rotation, _intrinsic_euler),
    ),
    "extrinsic Euler": Alternative(
        "with the tool's Euler angles as extrinsic x y z", partial(_rotation, _extrinsic_euler)
    ),
    "rotation vector": Alternative(
        "with the tool's three angles as rotation vectors, not Euler angles",
        partial(_rotation, _vector_for_euler),
    ),
    "Euler angles": Alternative(
        "with the tool's rotation vectors as Euler angles", partial(_rotation, _euler_for_vector)
    ),
    "reversed Euler": Alternative(
        "with the tool's Euler angles in the order z y x", partial(_rotation, _reversed_euler)
    ),
    "z axis reversed": Alternative(
        "with the tool's z axis the other way round (it should point out of the hand)",
        partial(_rotation, _reversed_z),
    ),
}


def _late(frames: int) -> str:
    return f"with the pictures of '{{view}}' {abs(frames)} frames {'earlier' if frames > 0 else 'later'}"


def _faster(rate: float) -> str:
    return f"with the pictures of '{{view}}' at {rate:g} times their rate: its clock runs otherwise"


TIMES: Mapping[str, Alternative] = {
    f"shift {frames:+d}": Alternative(_late(frames), partial(shifted, frames=frames))
    for frames in sorted((*SHIFTS, *(-shift for shift in SHIFTS)))
}
TIMES |= {f"rate {rate:g}": Alternative(_faster(rate), partial(stretched, rate=rate)) for rate in RATES}
TIMES |= {"reversed": Alternative("with the pictures of '{view}' in the reverse order", _reversed)}
