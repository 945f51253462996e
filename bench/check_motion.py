"""How often `check` finds small errors of still cameras by the motion of the hand, in sets of ten episodes.

    python bench/from_motion.py record --out sets --scenes a b
    python bench/check_motion.py sets/a sets/b --sets 10

Sets are drawn from the recordings. Errors are planted into the declared cameras or poses.
"""

import argparse
import math
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from itertools import chain
from pathlib import Path

import numpy as np
import torch
from check import rate
from from_motion_faults import Change, bumped, squeezed

from action_images.calibration.from_motion.compare import Compared, compare_gathered
from action_images.calibration.from_motion.gather import Followable, Gathered, gather
from action_images.calibration.from_motion.kept import Seen
from action_images.calibration.from_motion.pinhole import Pinhole
from action_images.episodes.dataset import Dataset
from action_images.files import jsonl
from action_images.geometry import Camera
from action_images.geometry.rotation import from_rotation_vector

Planted = tuple[Gathered, dict[str, Camera]]
Plant = Callable[[Planted, np.random.Generator], Planted]


def nothing(right: Planted, rng: np.random.Generator) -> Planted:
    """No fault."""
    del rng
    return right


def tool_off(metres: float, right: Planted, rng: np.random.Generator) -> Planted:
    """All poses lie so far off in the world."""
    gathered, cameras = right
    step = rng.normal(size=3)
    offset = np.zeros((4, 4))
    offset[:3, 3] = metres * step / np.linalg.norm(step)
    episodes = [replace(one, poses=one.poses + offset) for one in gathered.episodes]
    return replace(gathered, episodes=episodes), cameras


def cameras_turned(degrees: float, right: Planted, rng: np.random.Generator) -> Planted:
    """Each camera is turned about a direction of its own."""
    gathered, cameras = right
    return gathered, {name: _turned(camera, degrees, rng) for name, camera in cameras.items()}


def _turned(camera: Camera, degrees: float, rng: np.random.Generator) -> Camera:
    step = torch.from_numpy(rng.normal(size=3)).float()
    turn = from_rotation_vector(math.radians(degrees) * step / step.norm())
    pose = camera.world_from_camera
    return replace(camera, world_from_camera=replace(pose, rotation=pose.rotation @ turn))


def off_centre(pixels: float, right: Planted, rng: np.random.Generator) -> Planted:
    """Principal points lie so far off."""
    gathered, cameras = right
    moved = {}
    for name, camera in cameras.items():
        step = torch.from_numpy(rng.normal(size=2)).float()
        intrinsics = camera.intrinsics.clone()
        intrinsics[:2, 2] += pixels * step / step.norm()
        moved[name] = replace(camera, intrinsics=intrinsics)
    return gathered, moved


def in_pictures(change: Change, right: Planted, rng: np.random.Generator) -> Planted:
    """The pictures of each view are changed, not its declared camera."""
    gathered, cameras = right
    seen = {
        name: change(list(gathered.episodes), name, Pinhole.of(camera), rng)
        for name, camera in cameras.items()
    }
    episodes = []
    for place, one in enumerate(gathered.episodes):
        followed = {name: those[place].followed[name] for name, those in seen.items()}
        episodes.append(replace(one, followed=followed))
    return replace(gathered, episodes=episodes), cameras


def pressed(aspect: float) -> Change:
    """Pictures squeezed from side to side."""

    def change(episodes: list[Seen], view: str, camera: Pinhole, rng: np.random.Generator) -> list[Seen]:
        del rng
        return squeezed(episodes, view, camera, aspect)[0]

    return change


FAULTS: dict[str, Plant] = {
    "nothing": nothing,
    **{f"tool off by {cm} cm": partial(tool_off, cm / 100) for cm in (1, 2, 5)},
    **{f"cameras turned by {deg} degrees": partial(cameras_turned, deg) for deg in (0.5, 1.0, 2.0)},
    **{f"principal points off by {px} px": partial(off_centre, px) for px in (5, 10)},
    **{
        f"pictures squeezed to {share:g}": partial(in_pictures, pressed(share)) for share in (0.95, 0.9, 0.75)
    },
    **{f"the last third turned by {deg:g} degrees": partial(in_pictures, bumped(deg)) for deg in (1.0, 3.0)},
}


def sets_of(path: Path, count: int, most: int) -> Iterator[tuple[int, Planted]]:
    """Sets of at most so many of a recording's episodes, with its cameras."""
    dataset = Dataset(path)
    cameras = {view.name: view.camera for view in dataset[0].views if view.camera is not None}
    with tempfile.TemporaryDirectory() as folder:
        whole = gather(Followable(path), Path(folder), num_workers=0, most=len(dataset))
    size = min(most, len(whole.episodes))
    for number in range(count):
        chosen = np.random.default_rng(number).choice(len(whole.episodes), size, replace=False)
        episodes = [whole.episodes[place] for place in sorted(chosen)]
        yield number, (replace(whole, episodes=episodes), cameras)


def main() -> None:
    """Measure, go on from where it was stopped, and show the rates."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("recordings", type=Path, nargs="+")
    parser.add_argument("--results", type=Path, default=Path("check_motion.jsonl"))
    parser.add_argument("--sets", type=int, default=10, help="drawn from each recording")
    parser.add_argument(
        "--episodes", type=int, default=10, help="the most in a set; a file of results for each"
    )
    parser.add_argument("--minutes", type=float, default=14)
    parser.add_argument("--faults", nargs="*", default=[""], help="parts of the names of what is planted")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    records = jsonl.load(arguments.results) if arguments.results.is_file() else []
    done = {(record["recording"], record["set"], record["fault"]) for record in records}
    began = time.monotonic()
    for path in arguments.recordings:
        for number, right in sets_of(path, arguments.sets, arguments.episodes):
            for name, plant in FAULTS.items():
                if not any(part in name for part in arguments.faults):
                    continue
                if (path.name, number, name) in done or time.monotonic() - began > 60 * arguments.minutes:
                    continue
                planted, cameras = plant(right, np.random.default_rng(1000 + number))
                found = list(compare_gathered(planted, cameras, 0))
                record = {
                    "recording": path.name,
                    "set": number,
                    "fault": name,
                    "views": list(map(told, found)),
                }
                jsonl.append(arguments.results, record, sync=False)
                records.append(record)
    print("| planted | found (sets) | views | not known (views) |\n|---|---|---|---|")
    for name in FAULTS:
        sets = [record["views"] for record in records if record["fault"] == name]
        views = list(chain.from_iterable(sets))
        known = [view for view in views if view["known"]]
        in_sets = rate(sum(map(any_off, sets)), len(sets))
        in_views = rate(sum(view["off"] for view in known), len(known))
        print(f"| {name} | {in_sets} | {in_views} | {len(views) - len(known)}/{len(views)} |")


def told(one: Compared) -> dict[str, object]:
    """What a record keeps of a view."""
    numbers = {"px": round(one.off_px, 2), "predicted": round(one.predicted_px, 2)}
    return {"view": one.view, "known": one.why_not is None, "off": one.is_off, **numbers, "why": one.why_not}


def any_off(views: list[dict[str, object]]) -> bool:
    """Whether a view of a set is said to be off."""
    return any(view["off"] for view in views)


if __name__ == "__main__":
    main()
