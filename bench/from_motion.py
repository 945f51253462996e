"""Figures of cameras from motion: how wrong they are, how wrong they say they are, and what is refused.

Recordings of the embedded world are stripped of their cameras and calibrated again; the truth is known.

    python bench/from_motion.py record --out sets           # some scenes with still cameras, many minutes
    python bench/from_motion.py run sets --out runs.jsonl   # resumable; --minutes 13 ends it in time
    python bench/from_motion.py table runs.jsonl

Pictures are spoilt before they are followed, poses before they are used; lenses and bumps move the tracks.
True and predicted error are of drawn tool points (median over the workspace, px).
"""

import argparse
import math
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import chain, product
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch
from rich.box import SIMPLE
from rich.console import Console
from rich.table import Table

from action_images.calibration.from_motion.clicks import Click
from action_images.calibration.from_motion.conventions import read_poses
from action_images.calibration.from_motion.gather import Gathered
from action_images.calibration.from_motion.judge import judge
from action_images.calibration.from_motion.kept import Seen, load, place_of, save
from action_images.calibration.from_motion.pinhole import Pinhole, rotation_of
from action_images.calibration.from_motion.predicted import distance_px, tool_points
from action_images.calibration.from_motion.search import calibrate_from_motion
from action_images.calibration.from_motion.tracks import Followed, Track, follow
from action_images.calibration.from_motion.view import Asked
from action_images.calibration.opencv import opencv
from action_images.episodes.dataset import Dataset
from action_images.episodes.episode import Episode, Frames, FramesInMemory, FramesSelected
from action_images.episodes.video import VideoFrames, write_video
from action_images.files import jsonl

CONSOLE = Console(width=200)
FLAGGED_PX = 3.0


# --- recordings
# -----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Scene:
    """Still cameras, and how large their pictures are."""

    name: str
    azimuth_deg: tuple[float, ...]
    elevation_deg: float
    distance: float
    fov_deg: float
    size: int
    num_episodes: int


SCENES = (
    Scene("a", (-47.0, 31.0), 33.0, 1.03, 44.0, 256, 40),
    Scene("b", (-28.0, 55.0), 45.0, 0.98, 41.0, 256, 24),
    Scene("c", (8.0, 66.0), 27.0, 1.10, 50.0, 256, 24),
    Scene("large", (40.0,), 35.0, 1.05, 42.0, 720, 8),
)


def record_scenes(out: Path, names: Sequence[str]) -> None:
    """Record experts' episodes of all trained tasks before each scene's cameras."""
    from action_images.benchmarks import DEFAULT, find_benchmark
    from action_images.sim import LOOKS
    from action_images.sim.cameras import Rig
    from action_images.sim.record import RecordingConfig, record

    tasks = find_benchmark(DEFAULT).trained
    for place, scene in enumerate(SCENES):
        if names and scene.name not in names:
            continue
        sectors = tuple((one, one) for one in scene.azimuth_deg)
        elevation, distance, fov = (
            (one, one) for one in (scene.elevation_deg, scene.distance, scene.fov_deg)
        )
        rig = Rig(sectors, elevation, distance, fov)
        config = RecordingConfig(rig, LOOKS["train"], len(sectors), (scene.size, scene.size))
        seeds = range(1000 * place, 1000 * place + scene.num_episodes)
        wanted = [(tasks[number % len(tasks)], seed) for number, seed in enumerate(seeds)]
        for one, succeeded in record(out / scene.name, wanted, config):
            CONSOLE.print(scene.name, *one, "recorded" if succeeded else "failed")


# --- pictures that are hard to follow
# -------------------------------------------------------------------------


@dataclass(frozen=True)
class Spoilt:
    """Frames of another video, changed as they are read."""

    frames: Frames
    change: Callable[[torch.Tensor, Sequence[int]], torch.Tensor]

    @property
    def size(self) -> tuple[int, int]:
        return self.frames.size

    def __len__(self) -> int:
        return len(self.frames)

    def read(self, indices: Sequence[int]) -> torch.Tensor:
        return self.change(self.frames.read(indices), indices)


def noisy(std: float, gain: float, frames: Frames) -> Frames:
    """Gaussian noise in grey levels, after the light was reduced."""

    def change(pictures: torch.Tensor, indices: Sequence[int]) -> torch.Tensor:
        noise = [torch.randn(pictures.shape[1:], generator=torch.Generator().manual_seed(i)) for i in indices]
        return (gain * pictures.float() + std * torch.stack(noise)).round().clamp(0, 255).to(torch.uint8)

    return Spoilt(frames, change)


def flickering(frames: Frames) -> Frames:
    """Light that changes by a fifth, as of lamps and passing shadows."""

    def change(pictures: torch.Tensor, indices: Sequence[int]) -> torch.Tensor:
        gain = torch.tensor([1 + 0.2 * math.sin(1.3 * i) for i in indices])
        return (gain[:, None, None, None] * pictures.float()).round().clamp(0, 255).to(torch.uint8)

    return Spoilt(frames, change)


def with_somebody(frames: Frames) -> Frames:
    """A textured thing as large as a person's arm that wanders through the picture, before the robot too."""
    height, width = frames.size
    rows, columns = height // 2, width // 6
    texture = torch.randint(0, 255, (3, rows // 6, columns // 6), generator=torch.Generator().manual_seed(0))
    shown = torch.nn.functional.interpolate(texture[None].float(), (rows, columns))[0].to(torch.uint8)

    def change(pictures: torch.Tensor, indices: Sequence[int]) -> torch.Tensor:
        pictures = pictures.clone()
        for picture, index in zip(pictures, indices, strict=True):
            left = round((width - columns) * (0.5 + 0.5 * math.sin(0.08 * index)))
            top = round((height - rows) * (0.5 + 0.5 * math.cos(0.05 * index)))
            picture[:, top : top + rows, left : left + columns] = shown
        return pictures

    return Spoilt(frames, change)


def exposed_long(frames: Frames) -> Frames:
    """Each picture is the mean of two that follow one another: half of the time between every fourth."""
    count = len(frames)

    def change(pictures: torch.Tensor, indices: Sequence[int]) -> torch.Tensor:
        after = frames.read([min(index + 1, count - 1) for index in indices])
        return ((pictures.float() + after.float()) / 2).round().to(torch.uint8)

    return Spoilt(frames, change)


def compressed(crf: int, folder: Path, frames: Frames) -> Frames:
    """Written as H.264 of low quality and read again."""
    path = folder / "compressed.mp4"
    path.unlink(missing_ok=True)
    write_video(path, iter(frames.read(range(len(frames)))), 20.0, crf)
    return FramesInMemory(VideoFrames(path).read(range(len(frames))))


def smaller(side: int, frames: Frames) -> Frames:
    """Reduced to so many rows and columns."""
    cv2 = opencv()
    pictures = [
        cv2.resize(one.permute(1, 2, 0).numpy(), (side, side), interpolation=cv2.INTER_AREA)
        for one in frames.read(range(len(frames)))
    ]
    return FramesInMemory(torch.from_numpy(np.stack(pictures)).permute(0, 3, 1, 2))


def plain(frames: Frames) -> Frames:
    """As they were rendered."""
    return frames


@dataclass(frozen=True)
class Pictures:
    """How pictures are spoilt; every `every`-th frame is taken, `side` (None: unchanged) are rows and
    columns."""

    spoil: Callable[[Frames], Frames] = plain
    every: int = 1
    side: int | None = None


def pictures_by_name(scratch: Path) -> dict[str, Pictures]:
    """All ways to spoil pictures."""
    return {
        "as rendered": Pictures(),
        "10 frames/s": Pictures(every=2),
        "5 frames/s": Pictures(every=4),
        "5 frames/s, long exposure": Pictures(exposed_long, every=4),
        "noise of 4 levels": Pictures(partial(noisy, 4.0, 1.0)),
        "noise of 12 levels": Pictures(partial(noisy, 12.0, 1.0)),
        "a fifth of the light, noise of 3": Pictures(partial(noisy, 3.0, 0.2)),
        "flickering light": Pictures(flickering),
        "somebody in the picture": Pictures(with_somebody),
        "compressed, crf 38": Pictures(partial(compressed, 38, scratch)),
        "128 px": Pictures(partial(smaller, 128), side=128),
        "96 px": Pictures(partial(smaller, 96), side=96),
    }


def followed_set(
    dataset: Dataset, name: str, how: Pictures, cache: Path
) -> tuple[list[Seen], dict[str, Pinhole]]:
    """Every episode followed in such pictures, and the true cameras; what was followed is kept in `cache`."""
    folder = cache / name.replace(" ", "_").replace("/", "_").replace(",", "")
    seen, cameras = [], {}
    for episode in dataset:
        kept = load(place_of(folder, episode.id), ())
        assert episode.trajectory is not None
        poses = episode.trajectory.world_from_tool.matrix().double().numpy()[:: how.every]
        for view in episode.views:
            assert view.camera is not None
            camera = view.camera if how.side is None else view.camera.resize(how.side, how.side)
            cameras[view.name] = Pinhole.of(camera)
        if kept is None:
            one = _followed(episode, how, poses)
            save(place_of(folder, episode.id), one, ())
        else:
            one = Seen(episode.id, episode.fps / how.every, poses, kept.sizes, kept.followed)
        seen.append(one)
    return seen, cameras


def _followed(episode: Episode, how: Pictures, poses: np.ndarray) -> Seen:
    followed, sizes = {}, {}
    for view in episode.views:
        frames = how.spoil(view.frames)
        some = FramesSelected(frames, range(0, len(frames), how.every))
        followed[view.name] = follow(some, episode.fps / how.every)
        sizes[view.name] = frames.size
    return Seen(episode.id, episode.fps / how.every, poses, sizes, followed)


# --- poses and lenses that are wrong
# --------------------------------------------------------------------------

Change = Callable[[list[Seen], str, Pinhole, np.random.Generator], list[Seen]]
"""Episodes with one view, its name and true camera, and chance, to the same with a fault."""


def nothing(episodes: list[Seen], view: str, camera: Pinhole, rng: np.random.Generator) -> list[Seen]:
    """No fault."""
    del view, camera, rng
    return episodes


def off_by_episode(mm: float, degrees: float) -> Change:
    """Each episode's poses are off by a constant, as where a robot is homed anew."""

    def change(episodes: list[Seen], view: str, camera: Pinhole, rng: np.random.Generator) -> list[Seen]:
        del view, camera
        return [replace(one, poses=_moved(one.poses, mm, degrees, rng, each=False)) for one in episodes]

    return change


def jittering(mm: float) -> Change:
    """Each pose is off by its own error."""

    def change(episodes: list[Seen], view: str, camera: Pinhole, rng: np.random.Generator) -> list[Seen]:
        del view, camera
        return [replace(one, poses=_moved(one.poses, mm, 0.0, rng, each=True)) for one in episodes]

    return change


def _moved(
    path: np.ndarray, mm: float, degrees: float, rng: np.random.Generator, *, each: bool
) -> np.ndarray:
    count = len(path) if each else 1
    path = path.copy()
    path[:, :3, 3] += 1e-3 * mm * rng.normal(size=(count, 3))
    turn = rotation_of(np.radians(degrees) * rng.normal(size=3))
    path[:, :3, :3] = turn @ path[:, :3, :3]
    return path


def stale(episodes: list[Seen], view: str, camera: Pinhole, rng: np.random.Generator) -> list[Seen]:
    """Every fourth pose is the one before over again."""
    del view, camera, rng
    changed = []
    for one in episodes:
        path = one.poses.copy()
        path[3::4] = path[2::4][: len(path[3::4])]
        changed.append(replace(one, poses=path))
    return changed


def late(frames: float) -> Change:
    """The pictures are late: poses are those of so many frames later."""

    def change(episodes: list[Seen], view: str, camera: Pinhole, rng: np.random.Generator) -> list[Seen]:
        del view, camera, rng
        return [
            replace(one, poses=_between(one.poses, np.arange(len(one.poses)) + frames)) for one in episodes
        ]

    return change


def _between(path: np.ndarray, times: np.ndarray) -> np.ndarray:
    inside = np.clip(times, 0, len(path) - 1)
    before = np.minimum(inside.astype(int), len(path) - 2)
    share = (inside - before)[:, None, None]
    mixed = path[before] * (1 - share) + path[before + 1] * share
    left, _, right = np.linalg.svd(mixed[:, :3, :3])
    mixed[:, :3, :3] = left @ right
    return mixed


def in_convention(name: str) -> Change:
    """The poses are declared in another convention than they are written in."""

    def change(episodes: list[Seen], view: str, camera: Pinhole, rng: np.random.Generator) -> list[Seen]:
        del view, camera, rng
        return [replace(one, poses=read_poses([one.poses], name)[0]) for one in episodes]

    return change


def upright(episodes: list[Seen], view: str, camera: Pinhole, rng: np.random.Generator) -> list[Seen]:
    """The tool never tilts: tracks are what the hand's points would show then."""
    points = rng.uniform([-0.05, -0.05, -0.13], [0.05, 0.05, 0.01], (12, 3))
    changed = []
    for one in episodes:
        path = one.poses.copy()
        heading = np.arctan2(path[:, 1, 0], path[:, 0, 0])
        c, s, zero = np.cos(heading), np.sin(heading), np.zeros(len(path))
        rows = np.stack([c, s, zero, s, -c, zero, zero, zero, zero - 1], -1)
        path[:, :3, :3] = rows.reshape(-1, 3, 3)
        tracks = []
        for start in range(0, len(path) - 20, 20):
            part = slice(start, start + 20)
            for point in points:
                pixels = camera.project(path[part, :3, :3] @ point + path[part, :3, 3])[0]
                tracks.append(
                    Track(np.arange(start, start + 20), pixels + 0.3 * rng.normal(size=pixels.shape))
                )
        followed = replace(one.followed[view], tracks=tuple(tracks))
        changed.append(replace(one, poses=path, followed={view: followed}))
    return changed


def bumped(degrees: float) -> Change:
    """After two thirds of the episodes the camera is turned about its own centre."""

    def change(episodes: list[Seen], view: str, camera: Pinhole, rng: np.random.Generator) -> list[Seen]:
        axis = rng.normal(size=3)
        turn = rotation_of(np.radians(degrees) * axis / np.linalg.norm(axis))
        first = 2 * len(episodes) // 3
        moved = [_tracks_changed(one, view, partial(_turned, camera, turn)) for one in episodes[first:]]
        return [*episodes[:first], *moved]

    return change


def _turned(camera: Pinhole, turn: np.ndarray, pixels: np.ndarray) -> np.ndarray:
    rays = np.concatenate([(pixels - camera.centre) / camera.focal, np.ones((len(pixels), 1))], -1) @ turn.T
    return camera.focal * rays[:, :2] / rays[:, 2:] + camera.centre


def bent(radial: float) -> Change:
    """A lens with k1."""

    def change(episodes: list[Seen], view: str, camera: Pinhole, rng: np.random.Generator) -> list[Seen]:
        del rng
        return [_tracks_changed(one, view, partial(_bent, camera, radial)) for one in episodes]

    return change


def _bent(camera: Pinhole, radial: float, pixels: np.ndarray) -> np.ndarray:
    flat = (pixels - camera.centre) / camera.focal
    return camera.focal * flat * (1 + radial * (flat**2).sum(-1, keepdims=True)) + camera.centre


def squeezed(episodes: list[Seen], view: str, camera: Pinhole, aspect: float) -> tuple[list[Seen], Pinhole]:
    """Pictures squeezed towards their middle column so that fx / fy is `aspect`, and their true camera."""

    def change(pixels: np.ndarray) -> np.ndarray:
        return (pixels - camera.centre) * [aspect, 1.0] + camera.centre

    truth = replace(camera, focal=camera.focal * math.sqrt(aspect), aspect=aspect)
    return [_tracks_changed(one, view, change) for one in episodes], truth


def rolling(share: float) -> Change:
    """A rolling shutter: rows are read one after the other, in this share of the time between pictures."""

    def change(episodes: list[Seen], view: str, camera: Pinhole, rng: np.random.Generator) -> list[Seen]:
        del rng
        height = 2 * camera.centre[1]
        return [_rolled(one, view, share, height) for one in episodes]

    return change


def _rolled(one: Seen, view: str, share: float, height: float) -> Seen:
    old = one.followed[view]
    tracks = [Track(track.frames, _read_late(track, share, height)) for track in old.tracks]
    return replace(one, followed={view: Followed(tuple(tracks), old.looked_at, old.motion)})


def _read_late(track: Track, share: float, height: float) -> np.ndarray:
    """Where a feature is seen when its row is read, as fast as it moves in the picture."""
    if len(track.frames) < 2:
        return track.pixels
    speed = np.gradient(track.pixels, track.frames, axis=0)
    return track.pixels + share * (track.pixels[:, 1:] / height - 0.5) * speed


def mirrored(episodes: list[Seen], view: str, camera: Pinhole, rng: np.random.Generator) -> list[Seen]:
    """The pictures are mirrored."""
    del rng
    width = 2 * camera.centre[0]
    flip = np.array([-1.0, 1.0])
    return [_tracks_changed(one, view, lambda pixels: pixels * flip + [width, 0.0]) for one in episodes]


def _tracks_changed(one: Seen, view: str, change: Callable[[np.ndarray], np.ndarray]) -> Seen:
    tracks = [Track(track.frames, change(track.pixels)) for track in one.followed[view].tracks]
    old = one.followed[view]
    return replace(one, followed={view: Followed(tuple(tracks), old.looked_at, old.motion)})


def both(first: Change, second: Change) -> Change:
    """Two faults at once."""

    def change(episodes: list[Seen], view: str, camera: Pinhole, rng: np.random.Generator) -> list[Seen]:
        return second(first(episodes, view, camera, rng), view, camera, rng)

    return change


# --- cases
# ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Case:
    """One row of the table: pictures, a fault, and how many episodes (of those there are, drawn by
    chance)."""

    name: str
    pictures: str = "as rendered"
    change: Change = nothing
    num_episodes: int = 16
    num_draws: int = 1
    search: bool = False
    expected: str | None = None
    num_clicks: int = 0
    radial: bool = False
    aspect: float = 1.0
    scenes: tuple[str, ...] = ("a", "b", "c")


CASES = (
    *(Case(f"{count} episodes", num_episodes=count, num_draws=2) for count in (3, 4, 8, 16)),
    Case("24 episodes", num_episodes=24),
    Case("40 episodes", num_episodes=40, scenes=("a",)),
    *(
        Case(name, name)
        for name in pictures_by_name(Path())
        if name not in ("as rendered", "5 frames/s", "5 frames/s, long exposure")
    ),
    Case("5 frames/s", "5 frames/s", num_episodes=24),
    Case("5 frames/s, long exposure", "5 frames/s, long exposure", num_episodes=24),
    Case("720 px, 8 episodes", num_episodes=8, scenes=("large",)),
    Case("poses off by 3 mm, .6 deg an episode", change=off_by_episode(3, 0.6)),
    Case("poses off by 5 mm, 1 deg an episode", change=off_by_episode(5, 1.0)),
    Case("poses jitter by 1 mm", change=jittering(1)),
    Case("poses jitter by 3 mm", change=jittering(3)),
    Case("every fourth pose stale", change=stale),
    Case("k1 = -.3", change=bent(-0.3)),
    Case("k1 = -.3, estimated", change=bent(-0.3), radial=True),
    Case("rolling shutter over half a frame", change=rolling(0.5)),
    Case("rolling shutter over a whole frame", change=rolling(1.0)),
    *(Case(f"squeezed to {aspect:g}", aspect=aspect) for aspect in (0.75, 0.9, 0.95, 1.1)),
    Case("the tool never tilts", change=upright),
    Case("the tool never tilts, 3 clicks", change=upright, num_clicks=3),
    Case("camera bumped by 1 deg", change=bumped(1.0)),
    Case("camera bumped by 3 deg", change=bumped(3.0)),
    *(Case(f"pictures late by {frames:g}", change=late(frames)) for frames in (0.25, 0.5, 1.0, 3.0, -2.0)),
    Case("nothing hidden", search=True, expected="as declared"),
    Case("mirrored", change=mirrored, search=True, expected="as declared, mirrored"),
    *(
        Case(f"hidden: {name}", change=in_convention(there), search=True, expected=name)
        for name, there in (
            ("inverse rotation", "inverse rotation"),
            ("quaternion wxyz", "quaternion xyzw"),
            ("rotation vector", "Euler angles"),
        )
    ),
    Case(
        "mirrored, inverse rotation, late by 2",
        change=both(both(in_convention("inverse rotation"), late(2.0)), mirrored),
        search=True,
        expected="inverse rotation, mirrored",
    ),
)


@dataclass(frozen=True)
class Run:
    """A case with one view of one scene, and chance."""

    case: Case
    scene: str
    view: int
    draw: int

    @property
    def key(self) -> str:
        return f"{self.case.name} | {self.scene} | {self.view} | {self.draw}"


def all_runs(scenes: Sequence[str]) -> Iterator[Run]:
    """Scene after scene, so that what was followed is kept in memory."""
    for scene in SCENES:
        if scene.name not in scenes:
            continue
        mine = [case for case in CASES if scene.name in case.scenes]
        for case, view in product(mine, range(len(scene.azimuth_deg))):
            for draw in range(case.num_draws):
                yield Run(case, scene.name, view, draw)


def run_all(sets: Path, out: Path, minutes: float, names: Sequence[str], parts: Sequence[str]) -> None:
    """Do what has not been done yet, until the time is over; `parts` of cases' names choose some."""
    began = time.monotonic()
    jsonl.repair(out)
    done = {row["key"] for row in jsonl.load(out)}
    there = [scene.name for scene in SCENES if (sets / scene.name).is_dir()]
    there = [name for name in there if not names or name in names]
    ways = pictures_by_name(sets)
    memory: dict[tuple[str, str], Any] = {}
    for run in all_runs(there):
        if run.key in done or (parts and not any(part in run.case.name for part in parts)):
            continue
        if time.monotonic() - began > 60 * minutes:
            CONSOLE.print("the time is over; the same command goes on")
            return
        which = (run.scene, run.case.pictures)
        if which not in memory:
            memory = {which: _of(sets, *which, ways)}
        row = one_run(run, *memory[which])
        jsonl.append(out, row)
        CONSOLE.print(
            row["key"], f"{row['px']} px, predicted {row['predicted_px']}", row["refused"], row["seconds"]
        )


def _of(
    sets: Path, scene: str, pictures: str, ways: dict[str, Pictures]
) -> tuple[list[Seen], dict[str, Pinhole]]:
    return followed_set(Dataset(sets / scene), pictures, ways[pictures], sets / "followed" / scene)


def one_run(run: Run, everything: list[Seen], cameras: dict[str, Pinhole]) -> dict[str, Any]:
    """Calibrate, and compare with the truth."""
    began = time.monotonic()
    seed = abs(hash_of(run.key))
    rng = np.random.default_rng(seed)
    name = list(cameras)[run.view]
    truth = cameras[name]
    count = min(run.case.num_episodes, len(everything))
    chosen = np.sort(rng.choice(len(everything), count, replace=False))
    episodes = [_one_view(everything[place], name) for place in chosen]
    points = tool_points([one.poses for one in episodes])
    changed = run.case.change(episodes, name, truth, rng)
    if run.case.aspect != 1:
        changed, truth = squeezed(changed, name, truth, run.case.aspect)
    if run.case.change is upright:
        points = tool_points([one.poses for one in changed])
    asked = Asked(radial=run.case.radial, clicks=clicks(changed, name, truth, run.case.num_clicks, rng))
    gathered = Gathered(changed, num_episodes=count)
    result = calibrate_from_motion(gathered, {name: asked}, search=run.case.search)
    (view,) = result.views
    findings = judge(result)
    row: dict[str, Any] = {"key": run.key, "case": run.case.name, "scene": run.scene, "view": run.view}
    row |= {"draw": run.draw, "episodes": count, "expected": run.case.expected}
    row["found"] = result.convention + (", mirrored" if view.reading.mirrored else "")
    row["refused"] = sorted({one.kind for one in findings if one.level == "refused"})
    row["warned"] = sorted({one.kind for one in findings if one.level == "warning"})
    row |= {"late": view.shift, "shared": view.num_shared, "moved": len(view.moved)}
    row |= dict.fromkeys(("px", "mm", "deg", "focal", "predicted_px"))
    if view.solved is not None:
        row |= errors(view.camera, truth, points)
    if view.predicted is not None:
        row["predicted_px"] = round(min(view.predicted.px, 1e6), 3)
        row["parts"] = [
            round(min(one, 1e6), 3)
            for one in (
                view.predicted.by_information_px,
                view.predicted.by_groups_px,
                view.predicted.by_sharing_px,
            )
        ]
    if view.pixel_shape is not None:
        row["pixel_shape"] = [round(view.pixel_shape.found, 4), round(view.pixel_shape.error, 4)]
    row["jitter_mm"] = round(1e3 * view.jitter, 3)
    row["steady"] = round(view.steady, 4)
    row["held_out"] = [view.held_out_px, round(view.held_out_share, 4)]
    row["best_share"], row["agreement"] = round(result.share, 4), round(view.agreement, 4)
    row["rivals"] = [(one.convention, round(one.behind, 4), round(one.error, 4)) for one in result.rivals[:2]]
    row["seconds"] = round(time.monotonic() - began, 2)
    return row


def clicks(
    episodes: list[Seen], view: str, camera: Pinhole, count: int, rng: np.random.Generator
) -> tuple[Click, ...]:
    """A person's clicks on the tool's origin, off by 1 px along each axis, where it lies in the picture."""
    found: list[Click] = []
    for _ in range(100):
        if len(found) == count:
            break
        one = episodes[rng.integers(len(episodes))]
        frame = int(rng.integers(len(one.poses)))
        x, y = camera.project(one.poses[frame, :3, 3])[0] + rng.normal(size=2)
        if 0 < x < one.sizes[view][1] and 0 < y < one.sizes[view][0]:
            found.append(Click(one.id, frame, view, (float(x), float(y))))
    return tuple(found)


def hash_of(text: str) -> int:
    """The same in every process."""
    import zlib

    return zlib.crc32(text.encode())


def _one_view(one: Seen, name: str) -> Seen:
    return replace(one, sizes={name: one.sizes[name]}, followed={name: one.followed[name]})


def errors(camera: Pinhole, truth: Pinhole, points: np.ndarray) -> dict[str, float]:
    """Of drawn tool points (median px), position, rotation and focal length (%)."""
    cosine = (np.trace(camera.rotation @ truth.rotation.T) - 1) / 2
    return {
        "px": round(distance_px(camera, truth, points), 3),
        "mm": round(1e3 * float(np.linalg.norm(camera.eye - truth.eye)), 2),
        "deg": round(math.degrees(math.acos(min(1.0, max(-1.0, cosine)))), 3),
        "focal": round(100 * (camera.focal / truth.focal - 1), 2),
    }


# --- the table
# ------------------------------------------------------------------------------------------------


def table(paths: Sequence[Path]) -> None:
    """Every case, and what holds over all of them."""
    rows = list(chain.from_iterable(map(jsonl.load, paths)))
    by_case: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for row in rows:
        by_case[row["case"]].append(row)
    shown = Table(
        "case",
        "runs",
        "px",
        "worst used",
        "mm",
        "deg",
        "focal %",
        "predicted px",
        "refused",
        "right",
        box=SIMPLE,
    )
    for name in dict.fromkeys(case.name for case in CASES):
        if mine := by_case.get(name):
            shown.add_row(*_cells(name, mine))
    CONSOLE.print(shown)
    known = [row for row in rows if row["px"] is not None]
    predicted = [row for row in known if row["predicted_px"] is not None]
    enough = sum(row["predicted_px"] >= row["px"] for row in predicted)
    used = [row for row in known if not row["refused"]]
    silent = [row for row in used if row["px"] > FLAGGED_PX and not row["warned"]]
    CONSOLE.print(f"{len(rows)} runs, {len(rows) - len(used)} refused or without a camera")
    CONSOLE.print(f"predicted >= true in {enough} of {len(predicted)}; {_interval(enough, len(predicted))}")
    good = sum(row["predicted_px"] >= row["px"] for row in used)
    CONSOLE.print(f"of those used: {good} of {len(used)}; {_interval(good, len(used))}")
    CONSOLE.print(
        f"beyond {FLAGGED_PX:g} px and neither refused nor warned of: {[row['key'] for row in silent]}"
    )


def _cells(name: str, rows: list[dict[str, Any]]) -> list[str]:
    used = [row for row in rows if not row["refused"] and row["px"] is not None]
    known = [row for row in rows if row["px"] is not None]
    middle = [_median_of(known, key) for key in ("px", "mm", "deg", "focal")]
    worst = f"{max(row['px'] for row in used):.2f}" if used else "-"
    predicted = _median([row["predicted_px"] for row in rows if row["predicted_px"] is not None])
    reasons = sorted(set().union(*(row["refused"] for row in rows)))
    refused = f"{len(rows) - len(used)}: {', '.join(reasons)}" if reasons else "0"
    asked = [row for row in rows if row["expected"] is not None]
    right = sum(row["found"] == row["expected"] for row in asked)
    named = f"{right} of {len(asked)}" if asked else ""
    return [name, str(len(rows)), middle[0], worst, *middle[1:], predicted, refused, named]


def _median_of(rows: list[dict[str, Any]], key: str) -> str:
    return _median([abs(row[key]) for row in rows])


def _median(values: list[float]) -> str:
    return f"{median(values):.2f}" if values else "-"


def _interval(good: int, count: int) -> str:
    from scipy.stats import binomtest

    if not count:
        return ""
    low, high = binomtest(good, count).proportion_ci(method="wilson")
    return f"{100 * good / count:.0f} % ({100 * low:.0f} to {100 * high:.0f})"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(dest="command", required=True)
    one = commands.add_parser("record")
    one.add_argument("--out", type=Path, required=True)
    one.add_argument("--scenes", nargs="*", default=[])
    one = commands.add_parser("run")
    one.add_argument("sets", type=Path)
    one.add_argument("--out", type=Path, required=True)
    one.add_argument("--minutes", type=float, default=1e9)
    one.add_argument("--scenes", nargs="*", default=[])
    one.add_argument("--cases", nargs="*", default=[])
    one = commands.add_parser("table")
    one.add_argument("runs", type=Path, nargs="+")
    asked = parser.parse_args()
    torch.set_num_threads(1)
    if asked.command == "record":
        record_scenes(asked.out, asked.scenes)
    elif asked.command == "run":
        run_all(asked.sets, asked.out, asked.minutes, asked.scenes, asked.cases)
    else:
        table(asked.runs)


if __name__ == "__main__":
    sys.exit(main())
