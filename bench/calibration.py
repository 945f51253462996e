"""Figures of calibration: how far off cameras are, in mm and px.

Boards are rendered in the embedded world, so the truth is known: the arm holds the board before two fixed
cameras, or carries a wrist camera over a board on the table. Nothing here depends on how fast the machine is.
"""

import argparse
import json
import math
import sys
import time
from collections.abc import Callable, Sequence
from itertools import chain, product
from pathlib import Path
from statistics import median
from typing import Any

import torch
from rich.box import SIMPLE
from rich.console import Console
from rich.progress import track
from rich.table import Table

from action_images.calibration import Calibration, CalibrationError, Shots, calibrate
from action_images.files.atomic import write_text

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
from board_scene import BOARD, Session, bent_session, fixed_session, noisy, wrist_session

CONSOLE = Console(width=180)
SETTINGS = {"two fixed cameras": fixed_session, "wrist camera": wrist_session}
"""What renders a session of so many poses; the wrist camera does not see the board at all of them."""

ROBOTS = {
    "exact": (0.0, 0.0),
    "1 mm, 0.2 deg": (1e-3, math.radians(0.2)),
    "3 mm, 0.6 deg": (3e-3, math.radians(0.6)),
}
"""How far off the robot's poses are: standard deviation along (m) and about (rad) each axis."""

ALMOST_EXACT = (5e-5, math.radians(0.01))
"""What the refinement is told of an exact robot; it needs some room."""

Rows = list[dict[str, Any]]


def robot(num_draws: int, counts: Sequence[int]) -> Rows:
    """Errors against the number of poses and the robot's error."""
    cases = list(product(SETTINGS, ROBOTS, counts))
    rows = []
    for setting, name, count in track(cases, "robot", console=CONSOLE):
        session, off = SETTINGS[setting](max(counts)).first(count), ROBOTS[name]
        draws = num_draws if max(off) > 0 else 1
        told = off if max(off) > 0 else ALMOST_EXACT
        rows.append(
            {
                "setting": setting,
                "robot is off by": name,
                "poses": count,
                **errors(session, off, told, range(draws)),
            }
        )
    return rows


def believed(num_draws: int) -> Rows:
    """What it costs to take the robot for exact: the same draws, refined with its error and without."""
    rows, off = [], ROBOTS["1 mm, 0.2 deg"]
    for setting, told in track(list(product(SETTINGS, (off, ALMOST_EXACT))), "believed", console=CONSOLE):
        session = SETTINGS[setting](20)
        rows.append(
            {
                "setting": setting,
                "taken as": "exact" if told is ALMOST_EXACT else "it is",
                **errors(session, off, told, range(num_draws)),
            }
        )
    return rows


def pictures(levels: Sequence[float]) -> Rows:
    """Errors of an exact robot against the noise of pictures (in grey levels of 255), with 20 poses."""
    rows = []
    for setting, level in track(list(product(SETTINGS, levels)), "pictures", console=CONSOLE):
        session = grainy(SETTINGS[setting](20), level)
        found = {"setting": setting, "noise": level, "corners_px": corner_error_px(session)}
        rows.append({**found, **errors(session, ROBOTS["exact"], ALMOST_EXACT, range(1))})
    return rows


def lens() -> Rows:
    """Errors of an exact robot with a lens of radial distortion, straightened, against how far it bends."""
    rows = []
    for radial in track([(-0.1, 0.02), (-0.25, 0.08)], "lens", console=CONSOLE):
        straight = fixed_session(20)
        bent, truth = bent_session(straight, radial)
        inside = torch.cat(
            [found.pixels for found in chain.from_iterable(straight.found) if found is not None]
        )
        bend_px = (truth.bent(inside) - inside).norm(dim=-1).max().item()
        figures = errors(bent, ROBOTS["exact"], ALMOST_EXACT, range(1), bent=True)
        rows.append({"k1, k2": f"{radial[0]}, {radial[1]}", "bends_px": bend_px, **figures})
    return rows


def errors(
    session: Session,
    off: tuple[float, float],
    told: tuple[float, float],
    seeds: Sequence[int],
    *,
    bent: bool = False,
) -> dict[str, Any]:
    """Median and worst of several draws of the robot's error, over all cameras.

    `position` is the camera's, `miss_px` how far off (rms) it draws the board's true corners at the tool's
    true poses, `predicted` the standard deviation that the calibration itself states.
    """
    position, rotation, miss, predicted, refused = [], [], [], [], 0
    for seed in seeds:
        shots = session.shots(noisy(session.world_from_tool, *off, seed=seed) if max(off) > 0 else None)
        result = calibrated(shots, session, told, bent=bent)
        if result is None:
            refused += 1
            continue
        for i, camera in enumerate(result.mounted().values()):
            metres, radians = camera.world_from_camera.distance(session.truth[i].world_from_camera)
            position.append(1e3 * metres.item())
            rotation.append(math.degrees(radians.item()))
            miss.append(session.miss_px(i, camera))
            predicted.append(1e3 * result.refined.position_std[i].item())
    shown = sum(found is not None for found in chain.from_iterable(session.found))
    row: dict[str, Any] = {"pictures": shown, "draws": len(seeds), "refused": refused}
    for name, values in (("position_mm", position), ("rotation_deg", rotation), ("miss_px", miss)):
        row |= {name: median(values) if values else None, f"{name}_worst": max(values, default=None)}
    return {**row, "predicted_mm": median(predicted) if predicted else None}


def calibrated(
    shots: Shots, session: Session, told: tuple[float, float], *, bent: bool
) -> Calibration | None:
    """None where the calibration refuses, which it does when it would be off by more than a centimetre."""
    try:
        return calibrate(shots, session.mount, pose_std=told, bent=bent)
    except CalibrationError as error:
        CONSOLE.print(f"refused: {error}", markup=False)
        return None


def grainy(session: Session, level: float) -> Session:
    """The same session with independent Gaussian noise in every channel of its pictures."""
    if level == 0:
        return session
    generator = torch.Generator().manual_seed(0)
    noise = level * torch.randn(session.pictures.shape, generator=generator)
    return session.with_pictures((session.pictures + noise).round().clamp(0, 255).to(torch.uint8))


def corner_error_px(session: Session) -> float:
    """How far (rms, px) corners are found from where the true camera shows them."""
    misses = []
    for i, camera in enumerate(session.found):
        for pose, found in enumerate(camera):
            if found is not None:
                truth = (
                    session.truth[i]
                    if session.mount == "world"
                    else session.truth[i].moved(session.world_from_tool[pose])
                )
                points = session.world_from_board[pose].apply(BOARD.corners[found.ids])
                misses.append(truth.project(points)[0] - found.pixels)
    return torch.cat(misses).square().sum(-1).mean().sqrt().item()


def show(title: str, rows: Rows) -> None:
    table = Table(*rows[0], title=title, box=SIMPLE)
    for row in rows:
        table.add_row(
            *(
                f"{value:.2f}" if isinstance(value, float) else "" if value is None else str(value)
                for value in row.values()
            )
        )
    CONSOLE.print(table)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--json", type=Path, help="write all figures here")
    names = ("robot", "believed", "pictures", "lens")
    parser.add_argument("--only", nargs="+", choices=names, default=list(names))
    parser.add_argument("--draws", type=int, default=5, help="of the robot's error")
    parser.add_argument("--poses", type=int, nargs="+", default=[8, 12, 20, 30], help="numbers of poses")
    parser.add_argument(
        "--noise",
        type=float,
        nargs="+",
        default=[0.0, 5.0, 10.0, 20.0],
        help="of the pictures, in grey levels",
    )
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    parts: dict[str, tuple[str, Callable[[], Rows]]] = {
        "robot": ("number of poses and the robot's error", lambda: robot(arguments.draws, arguments.poses)),
        "believed": (
            "20 poses of a robot that is off by 1 mm and 0.2 degrees, taken as it is and as exact",
            lambda: believed(arguments.draws),
        ),
        "pictures": ("20 poses of an exact robot, pictures with noise", lambda: pictures(arguments.noise)),
        "lens": ("20 poses of an exact robot, a bent lens, straightened", lens),
    }
    figures: dict[str, Any] = {}
    for name in arguments.only:
        start = time.perf_counter()
        title, measure = parts[name]
        figures[name] = measure()
        show(f"{title} ({time.perf_counter() - start:.0f} s)", figures[name])
    if arguments.json:
        write_text(arguments.json, json.dumps(figures, indent=1) + "\n")


if __name__ == "__main__":
    main()
