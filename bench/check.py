"""How often `action-images check` finds planted faults, and how often it finds some where there are none.

Record sets first, then measure; nothing is written but the table:

    action-images record --task trained --episodes 6 --size 128 --views 2 --every 2 --out sets
    python bench/check.py sets --per-set 3

Every episode is a set of its own, and so are `--per-set` neighbours. A fault is planted into each. Counted is
what the functions of `check` say: whether anything, and whether the fault is named.
"""

import argparse
import math
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from itertools import chain
from pathlib import Path

import torch
from torch import Tensor

from action_images.episodes.checks import looks
from action_images.episodes.checks.agreement import check_agreement
from action_images.episodes.checks.cameras import check_tool_in_view
from action_images.episodes.checks.evidence import gather
from action_images.episodes.checks.finding import Examined
from action_images.episodes.checks.paths import check_path
from action_images.episodes.checks.videos import check_contents
from action_images.episodes.dataset import Dataset
from action_images.episodes.episode import Episode, View
from action_images.geometry import Camera, Pose
from action_images.geometry import rotation as rotations

Pictures = Mapping[str, Tensor]
Plant = Callable[[Episode, Pictures, int], tuple[Episode, Pictures]]
"""An episode, its small pictures and a seed to the same with a fault."""


@dataclass(frozen=True)
class Fault:
    """A fault, and a part of the sentence that names it (None: no sentence names it)."""

    plant: Plant
    named: str | None = None


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


def _inverse(rotation: Tensor) -> Tensor:
    return rotation.mT


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


TURNED = {
    "flipped": ((-2,), "upside down"),
    "mirrored": ((-1,), "mirrored (fliplr)"),
    "turned 180": ((-2, -1), "turned by 180"),
}
CLOCK = in_first_pictures(_with_clock)
FAULTS: dict[str, Fault] = {
    "nothing": Fault(nothing),
    "nothing, but a logo and a clock burnt in": Fault(CLOCK),
    **{f"tool off by {cm} cm": Fault(in_tool(partial(_offset, cm / 100)), "beside it") for cm in (5, 10, 30)},
    **{f"cameras turned by {deg} degrees": Fault(in_cameras(partial(_tilted, deg))) for deg in (2, 5, 15)},
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
    "views swapped": Fault(swapped, "swapped"),
    **{
        f"one view late by {frames}": Fault(
            in_first_pictures(partial(_late, frames)), f"{frames} frames earlier"
        )
        for frames in (1, 2, 4, 8, 15)
    },
    "tool late by 2": Fault(in_tool(partial(_tool_late, 2)), "tool 2 frames earlier"),
    "one view in reverse": Fault(in_first_pictures(partial(_turned, (0,))), "reverse"),
    "one view black": Fault(in_first_pictures(torch.zeros_like), "black"),
    "tool jumps 2 m for a frame": Fault(in_tool(_jump), "jumps"),
    "cameras inverse": Fault(in_cameras(_inverse_camera), "inverse of the camera"),
    "intrinsics of half the size": Fault(in_cameras(_half), "doubled"),
    "rotations inverse": Fault(in_tool(partial(_rotation, _inverse)), "inverse of the tool's rotations"),
    "quaternions in another order": Fault(in_tool(partial(_rotation, _rolled)), "quaternions"),
    "Euler angles intrinsic": Fault(in_tool(partial(_rotation, _intrinsic)), "Euler"),
    "rotation vectors as Euler": Fault(in_tool(partial(_rotation, _vector_as_euler)), "rotation vectors"),
}


def examined(episode: Episode, pictures: Pictures) -> Examined:
    """What `check` notes of an episode in memory."""
    result = Examined(episode.id, episode.num_frames)
    assert episode.trajectory is not None
    for view in episode.views:
        check_contents(view, pictures[view.name], result.say)
    check_path(episode.trajectory, episode.fps, result.say)
    check_tool_in_view(list(episode.views), episode.trajectory, result.say)
    result.evidence = gather(list(episode.views), pictures, episode.trajectory, episode.fps)
    return result


def messages(results: list[Examined]) -> list[str]:
    """All that is said of a set of these episodes."""
    own = chain.from_iterable(result.findings for result in results)
    return [finding.message for finding in (*own, *check_agreement(results))]


def pictures_of(episode: Episode) -> Pictures:
    """All pictures of each view."""
    return {view.name: looks.decode_all(view.frames) for view in episode.views}


def measured(dataset: Dataset, per_set: int, step: int) -> Iterator[tuple[str, str, list[str]]]:
    """(fault, kind of set, what was said) for each set: single episodes, and `per_set` neighbours."""
    chosen = range(0, len(dataset), step)
    for begin in range(0, len(chosen) - per_set + 1, per_set):
        group = [dataset[index] for index in chosen[begin : begin + per_set]]
        pictures = list(map(pictures_of, group))
        for name, fault in FAULTS.items():
            planted = [fault.plant(one, shown, begin) for one, shown in zip(group, pictures, strict=True)]
            results = [examined(*one) for one in planted]
            yield from ((name, "one", messages([result])) for result in results)
            yield name, "several", messages(results)


def main() -> None:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("sets", type=Path)
    parser.add_argument("--per-set", type=int, default=3)
    parser.add_argument("--step", type=int, default=1, help="take every n-th episode")
    parser.add_argument("--show", default=None, help="a fault of which all that is said is printed")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    began = time.process_time()
    said: dict[tuple[str, str], list[list[str]]] = {}
    for name, kind, found in measured(Dataset(arguments.sets), arguments.per_set, arguments.step):
        said.setdefault((name, kind), []).append(found)
        if name == arguments.show:
            print(kind, found)
        if name == list(FAULTS)[-1] and kind == "several":
            print(f"{len(said[name, kind])} sets", file=sys.stderr, flush=True)
    print(f"| planted | found, one episode | named | found, {arguments.per_set} episodes | named |")
    print("|---|---|---|---|---|")
    for name, fault in FAULTS.items():
        cells = [_rates(said[name, kind], fault.named) for kind in ("one", "several")]
        print(f"| {name} | {cells[0]} | {cells[1]} |")
    counts = len(said["nothing", "one"]), len(said["nothing", "several"])
    print(f"{counts[0]} single episodes, {counts[1]} sets; {time.process_time() - began:.0f} s of CPU")


def _rates(said: list[list[str]], named: str | None) -> str:
    found = sum(bool(one) for one in said)
    by_name = "-" if named is None else f"{sum(named in ' '.join(one) for one in said) / len(said):.0%}"
    return f"{found}/{len(said)} | {by_name}"


if __name__ == "__main__":
    main()
