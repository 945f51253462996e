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
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import chain, product
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch
from from_motion_faults import (
    Change,
    bent,
    both,
    bumped,
    in_convention,
    jittering,
    late,
    mirrored,
    nothing,
    off_by_episode,
    rolling,
    squeezed,
    stale,
    unturned,
    upright,
)
from from_motion_pictures import Pictures, followed_set, pictures_by_name
from from_motion_scenes import SCENES, record_scenes
from rich.box import SIMPLE
from rich.console import Console
from rich.table import Table

from action_images.calibration.from_motion.clicks import Click
from action_images.calibration.from_motion.gather import Gathered
from action_images.calibration.from_motion.judge import judge
from action_images.calibration.from_motion.kept import Seen
from action_images.calibration.from_motion.pinhole import Pinhole
from action_images.calibration.from_motion.predicted import distance_px, tool_points
from action_images.calibration.from_motion.search import calibrate_from_motion
from action_images.calibration.from_motion.view import Asked
from action_images.episodes.dataset import Dataset
from action_images.files import jsonl

CONSOLE = Console(width=200)
FLAGGED_PX = 3.0


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
    scenes: tuple[str, ...] = ("a", "b", "c", "d")


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
    Case("60 frames/s", scenes=("fast",)),
    Case("a glossy hand", scenes=("glossy",)),
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
    Case("the tool never turns", change=unturned),
    Case("the tool never turns, 6 clicks", change=unturned, num_clicks=6),
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
    if run.case.change in (upright, unturned):
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
