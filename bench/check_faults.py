"""Faults that `bench/check.py` plants into episodes in memory, and the words that name them."""

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial

import torch
from torch import Tensor

from action_images.episodes.episode import Episode, View
from action_images.geometry import Camera, Pose
from action_images.geometry import rotation as rotations

Pictures = Mapping[str, Tensor]
Plant = Callable[[Episode, Pictures, int], tuple[Episode, Pictures]]
"""An episode, its small pictures and a seed to the same with a fault."""


@dataclass(frozen=True)
class Fault:
    """A fault, a part of the sentence that names it (None: none does), and whether it is one in an episode.

    `visible`: by how much it moves what is seen (m, or 1 where an opening moves); below `LEAST` it is none.
    `doubt`: what `check` says where it could not verify this. `offset_cm`: by how much things seem displaced.
    """

    plant: Plant
    named: str | None = None
    visible: Callable[[Episode, Episode], float] | None = None
    doubt: str = ""
    offset_cm: float = math.inf

    def doubted(self, verification: str) -> bool:
        """Whether `check` says that it could not verify this in a set."""
        unmeasured = ("Not verified: cameras", "Not verified: view '", self.doubt)
        if any(words in verification for words in unmeasured if words):
            return True
        below = re.search(r"distances(?: below (\d+) cm)?", verification)
        return (
            below is not None and self.offset_cm < math.inf and self.offset_cm <= float(below[1] or math.inf)
        )


LEAST = 0.03
"""A rotation is wrong where points of the hand lie so far (m) from where they belong, in the median."""
HAND = torch.tensor([[0.0, 0.04, -0.1], [0.0, -0.04, -0.1], [0.04, 0.0, -0.1]])
"""Points of the hand (m) in the tool's frame."""


def _moved_hand(right: Episode, wrong: Episode) -> float:
    assert right.trajectory is not None
    assert wrong.trajectory is not None
    points = [one.trajectory.world_from_tool[:, None].apply(HAND) for one in (right, wrong)]
    return float((points[0] - points[1]).norm(dim=-1).median())


def _moved_opening(right: Episode, wrong: Episode) -> float:
    del wrong
    assert right.trajectory is not None
    opening = right.trajectory.opening
    return float(opening.max() - opening.min() >= 0.5)


def _moved_later(right: Episode, wrong: Episode) -> float:
    """How far (m) the tool goes after the middle."""
    del wrong
    assert right.trajectory is not None
    place = right.trajectory.world_from_tool.translation
    middle = len(place) // 2
    return float((place[middle:] - place[middle]).norm(dim=-1).max())


def _direction(seed: int) -> Tensor:
    direction = torch.randn(3, generator=torch.Generator().manual_seed(seed))
    return direction / direction.norm()


def nothing(episode: Episode, pictures: Pictures, seed: int) -> tuple[Episode, Pictures]:
    """No fault."""
    del seed
    return episode, pictures


def in_tool(change: Callable[[Pose, int], Pose]) -> Plant:
    """A fault of the tool's path."""

    def plant(episode: Episode, pictures: Pictures, seed: int) -> tuple[Episode, Pictures]:
        assert episode.trajectory is not None
        pose = change(episode.trajectory.world_from_tool, seed)
        return replace(episode, trajectory=replace(episode.trajectory, world_from_tool=pose)), pictures

    return plant


def in_cameras(change: Callable[[Camera, int], Camera]) -> Plant:
    """A fault of every camera."""

    def plant(episode: Episode, pictures: Pictures, seed: int) -> tuple[Episode, Pictures]:
        views = [_with_camera(view, change, seed + place) for place, view in enumerate(episode.views)]
        return replace(episode, views=tuple(views)), pictures

    return plant


def _with_camera(view: View, change: Callable[[Camera, int], Camera], seed: int) -> View:
    assert view.camera is not None
    return replace(view, camera=change(view.camera, seed))


def in_first_pictures(change: Callable[[Tensor], Tensor]) -> Plant:
    """A fault of the first view's pictures alone."""

    def plant(episode: Episode, pictures: Pictures, seed: int) -> tuple[Episode, Pictures]:
        del seed
        name = episode.views[0].name
        return episode, {**pictures, name: change(pictures[name])}

    return plant


def swapped(episode: Episode, pictures: Pictures, seed: int) -> tuple[Episode, Pictures]:
    """The first two views have one another's pictures."""
    del seed
    one, other = episode.views[0].name, episode.views[1].name
    return episode, {**pictures, one: pictures[other], other: pictures[one]}


def both(one: Plant, other: Plant) -> Plant:
    """Two faults at once."""

    def plant(episode: Episode, pictures: Pictures, seed: int) -> tuple[Episode, Pictures]:
        return other(*one(episode, pictures, seed), seed)

    return plant


def _offset(metres: float, pose: Pose, seed: int) -> Pose:
    return replace(pose, translation=pose.translation + metres * _direction(seed))


def _scaled(factor: float, pose: Pose, seed: int) -> Pose:
    del seed
    return replace(pose, translation=factor * pose.translation)


def _mirrored_world(pose: Pose, seed: int) -> Pose:
    del seed
    signs = torch.tensor([1.0, -1.0, 1.0])
    return Pose(signs[:, None] * pose.rotation * signs, signs * pose.translation)


def _tool_late(frames: int, pose: Pose, seed: int) -> Pose:
    del seed
    return pose[(torch.arange(len(pose.translation)) - frames).clamp(0)]


def _between(frames: float, pose: Pose, seed: int) -> Pose:
    """Late by a part of a frame too: places between those of two frames."""
    before, after = _tool_late(math.ceil(frames), pose, seed), _tool_late(math.floor(frames), pose, seed)
    return Pose(after.rotation, torch.lerp(after.translation, before.translation, frames % 1))


def _at_flange(pose: Pose, seed: int) -> Pose:
    """Poses of the flange, 10 cm up the hand."""
    del seed
    return replace(pose, translation=pose.translation - 0.1 * pose.rotation[..., 2])


def _jump(pose: Pose, seed: int) -> Pose:
    place = pose.translation.clone()
    place[len(place) // 2] += 2 * _direction(seed)
    return replace(pose, translation=place)


def _rotation(change: Callable[[Tensor], Tensor], pose: Pose, seed: int) -> Pose:
    del seed
    return replace(pose, rotation=change(pose.rotation))


def _rolled(rotation: Tensor) -> Tensor:
    return rotations.from_quaternion_xyzw(rotations.to_quaternion_xyzw(rotation).roll(1, -1))


def _intrinsic(rotation: Tensor) -> Tensor:
    return rotations.from_euler_xyz(-rotations.to_euler_xyz(rotation)).mT


def _vector_as_euler(rotation: Tensor) -> Tensor:
    return rotations.from_euler_xyz(rotations.to_rotation_vector(rotation))


def _euler_as_vector(rotation: Tensor) -> Tensor:
    return rotations.from_rotation_vector(rotations.to_euler_xyz(rotation))


def _euler_reversed(rotation: Tensor) -> Tensor:
    return rotations.from_euler_xyz(rotations.to_euler_xyz(rotation).flip(-1))


def _z_into_hand(rotation: Tensor) -> Tensor:
    return rotation * torch.tensor([1.0, -1.0, -1.0])


def _x_out_of_hand(rotation: Tensor) -> Tensor:
    """The columns are y, z and x of the right one."""
    return rotation[..., [2, 0, 1]]


def _inverse(rotation: Tensor) -> Tensor:
    return rotation.mT


def _inverted_gripper(episode: Episode, pictures: Pictures, seed: int) -> tuple[Episode, Pictures]:
    del seed
    assert episode.trajectory is not None
    opening = 1 - episode.trajectory.opening
    return replace(episode, trajectory=replace(episode.trajectory, opening=opening)), pictures


def _tilted(degrees: float, camera: Camera, seed: int) -> Camera:
    turn = rotations.from_rotation_vector(math.radians(degrees) * _direction(seed))
    pose = camera.world_from_camera
    return replace(camera, world_from_camera=replace(pose, rotation=pose.rotation @ turn))


def _inverse_camera(camera: Camera, seed: int) -> Camera:
    del seed
    return replace(camera, world_from_camera=camera.world_from_camera.inverse())


def _half(camera: Camera, seed: int) -> Camera:
    del seed
    return replace(camera, intrinsics=camera.intrinsics * torch.tensor([[0.5], [0.5], [1.0]]))


def _off_centre(pixels: float, camera: Camera, seed: int) -> Camera:
    direction = torch.randn(2, generator=torch.Generator().manual_seed(seed))
    moved = camera.intrinsics.clone()
    moved[..., :2, 2] += pixels * direction / direction.norm()
    return replace(camera, intrinsics=moved)


def _stuck(pictures: Tensor) -> Tensor:
    return pictures[torch.arange(len(pictures)).clamp(max=len(pictures) // 2)]


def _slow(pictures: Tensor) -> Tensor:
    return pictures[torch.arange(len(pictures)) // 2 * 2]


def _late(frames: int, pictures: Tensor) -> Tensor:
    return pictures[(torch.arange(len(pictures)) - frames).clamp(0)]


def _turned(flips: tuple[int, ...], pictures: Tensor) -> Tensor:
    return pictures.flip(flips)


def _quarter(pictures: Tensor) -> Tensor:
    return pictures.rot90(1, (-2, -1))


def _with_clock(pictures: Tensor) -> Tensor:
    """A logo that stays and a bar code that counts the frames, burnt in."""
    marked = pictures.clone()
    marked[:, :, -14:, -30:] = torch.tensor([250, 20, 20], dtype=torch.uint8)[:, None, None]
    for frame, picture in enumerate(marked):
        for bit in range(12):
            picture[:, :8, 8 * bit : 8 * bit + 7] = 245 if (frame >> bit) & 1 else 10
    return marked


def _others_moving(episode: Episode, pictures: Pictures, seed: int) -> tuple[Episode, Pictures]:
    """A checked board, as large as the hand, wanders through all pictures at the speed of a hand."""
    generator = torch.Generator().manual_seed(seed)
    first, rate = 6 * torch.rand(2, generator=generator), 0.5 + torch.rand(2, generator=generator)
    phase = first + rate * torch.arange(episode.num_frames)[:, None] / episode.fps
    centres = (36 + 34 * phase.sin()).long()
    board = 60 + 150 * ((torch.arange(24)[:, None] // 6 + torch.arange(24) // 6) % 2)
    shown = {name: video.clone() for name, video in pictures.items()}
    for video in shown.values():
        for picture, (row, column) in zip(video, centres.tolist(), strict=True):
            picture[:, row : row + 24, column : column + 24] = board.to(torch.uint8)
    return episode, shown


def _in_rotation(change: Callable[[Tensor], Tensor], words: str) -> Fault:
    return Fault(in_tool(partial(_rotation, change)), words, _moved_hand, "rotations (")


CONVENTIONS: dict[str, tuple[Callable[[Tensor], Tensor], str]] = {
    "inverse": (_inverse, "inverse of the tool's rotations"),
    "quaternions in another order": (_rolled, "quaternions"),
    "intrinsic Euler angles": (_intrinsic, "Euler"),
    "rotation vectors as Euler angles": (_vector_as_euler, "rotation vectors"),
    "Euler angles as rotation vectors": (_euler_as_vector, "Euler"),
    "Euler angles z y x": (_euler_reversed, "Euler"),
    "z axis into the hand": (_z_into_hand, "z axis"),
    "x axis out of the hand": (_x_out_of_hand, "x axis"),
}
TURNED = {
    "flipped": ((-2,), "upside down"),
    "mirrored": ((-1,), "mirrored (fliplr)"),
    "turned 180": ((-2, -1), "turned by 180"),
}
CLOCK = in_first_pictures(_with_clock)
FAULTS: dict[str, Fault] = {
    "nothing": Fault(nothing),
    "nothing, but a logo and a clock burnt in": Fault(CLOCK),
    "nothing, but something else moves": Fault(_others_moving),
    **{
        f"tool off by {cm} cm": Fault(in_tool(partial(_offset, cm / 100)), "cm away from", offset_cm=cm)
        for cm in (5, 10, 30)
    },
    "tool's point 10 cm up the hand": Fault(in_tool(_at_flange), "cm away from", offset_cm=10),
    "principal points off by 10 px": Fault(
        in_cameras(partial(_off_centre, 10.0)), "cm away from", offset_cm=7
    ),
    **{
        f"cameras turned by {deg} degrees": Fault(in_cameras(partial(_tilted, deg)), offset_cm=cm)
        for deg, cm in {2: 3.5, 5: 9, 15: 26}.items()
    },
    "tool in mm": Fault(in_tool(partial(_scaled, 1000.0)), "mm"),
    "world mirrored": Fault(in_tool(_mirrored_world), "mirrored along y"),
    **{
        f"pictures of one view {name}": Fault(in_first_pictures(partial(_turned, flips)), words)
        for name, (flips, words) in TURNED.items()
    },
    "pictures turned by 90": Fault(in_first_pictures(_quarter), "turned by 90"),
    "flipped, with a clock burnt in": Fault(
        both(CLOCK, in_first_pictures(partial(_turned, (-2,)))), "upside down"
    ),
    "flipped, and something else moves": Fault(
        both(_others_moving, in_first_pictures(partial(_turned, (-2,)))), "upside down"
    ),
    "views swapped": Fault(swapped, "swapped"),
    **{
        f"one view late by {frames}": Fault(
            in_first_pictures(partial(_late, frames)), f"{frames} frames earlier", doubt="delays ("
        )
        for frames in (1, 2, 4, 8, 15)
    },
    "tool late by 2": Fault(in_tool(partial(_tool_late, 2)), "tool 2 frames earlier", doubt="delays ("),
    "tool late by 150 ms": Fault(in_tool(partial(_between, 1.5)), "earlier", doubt="delays ("),
    "one view stuck from the middle": Fault(in_first_pictures(_stuck), "nothing new", _moved_later),
    "one view at half the rate": Fault(in_first_pictures(_slow), "nothing new"),
    "one view in reverse": Fault(in_first_pictures(partial(_turned, (0,))), "reverse"),
    "one view black": Fault(in_first_pictures(torch.zeros_like), "black"),
    "tool jumps 2 m for a frame": Fault(in_tool(_jump), "jumps"),
    "cameras inverse": Fault(in_cameras(_inverse_camera), "inverse of the camera"),
    "intrinsics of half the size": Fault(in_cameras(_half), "doubled", doubt="focal lengths ("),
    **{f"rotations: {name}": _in_rotation(change, words) for name, (change, words) in CONVENTIONS.items()},
    "gripper inverted": Fault(
        _inverted_gripper, "the other way round", _moved_opening, "which way the gripper"
    ),
}
