"""What `calibrate` prints of its results: a table of the cameras, and sentences."""

import math
from collections.abc import Sequence
from pathlib import Path
from shlex import quote
from statistics import median

from rich.console import Console
from rich.table import Table

from action_images.calibration.from_motion.judge import Finding
from action_images.calibration.from_motion.search import SetResult
from action_images.calibration.solve import Calibration


def say_calibrated(console: Console, result: Calibration, out: Path, *, straighten: bool) -> None:
    """Print the figures of cameras from a board; with `straighten` the commands that straighten videos."""
    table = Table("camera", "n", "corners px", "miss px", "miss mm", "± mm", "± deg", "focal px")
    for i, name in enumerate(result.names):
        mine = result.of(name)
        middle = [
            f"{median(values):.2f}"
            for values in zip(*((r.corner_px, r.miss_px, r.miss * 1e3) for r in mine), strict=True)
        ]
        stds = (
            f"{result.refined.position_std[i] * 1e3:.1f}",
            f"{math.degrees(result.refined.rotation_std[i]):.2f}",
        )
        table.add_row(name, str(len(mine)), *middle, *stds, f"{result.refined.unknowns.lens.focal[i, 0]:.1f}")
    console.print(table)
    console.print(
        "Medians over n pictures. corners: the robot's poses corrected; miss: as reported. ±: of position "
        "and turn, predicted.",
        soft_wrap=True,
    )
    for path in result.shots.blind:
        console.print(f"board not found: {path}", soft_wrap=True)
    rule = "more than 4 times the median and 2 px"
    for residual in result.dropped:
        console.print(
            f"left out ({rule}): {residual.sighting.picture}: {residual.miss_px:.1f} px",
            soft_wrap=True,
        )
    for residual in result.outliers:
        found = f"{residual.sighting.picture}: {residual.miss_px:.1f} px"
        text = f"outlier ({rule}), kept: {found}; look at it, then --drop-outliers"
        console.print(text, soft_wrap=True)
    if straighten:
        for i, name in enumerate(result.names):
            k1, k2 = result.refined.unknowns.lens.radial[i].tolist()
            options = f"--cameras {quote(f'{out}/cameras.json')} --radial {k1:.6f} {k2:.6f} --out OUT"
            command = f"action-images calibrate straighten {quote(f'{name}.mp4')} {options}"
            console.print(
                f"{name}: its videos must be straightened: {command}",
                soft_wrap=True,
            )
    console.print(
        f"{out}/cameras.json, report.json and a picture for each camera: look at them", soft_wrap=True
    )


def say_found(
    console: Console,
    dataset: Path,
    out: Path,
    result: SetResult,
    findings: Sequence[Finding],
    *,
    written: bool,
) -> None:
    """Print the figures of cameras from motion, what was read how, and each finding."""
    table = Table("view", "state", "± px", "± mm", "held out", "points", "late by", "focal px")
    for view in result.views:
        name = view.view.name
        levels = {finding.level for finding in findings if finding.view in (None, name)}
        state = "refused" if "refused" in levels else "warning" if "warning" in levels else "good"
        predicted = ("-", "-")
        if view.predicted is not None:
            predicted = (f"{view.predicted.px:.2f}", f"{1e3 * view.predicted.metres:.1f}")
        held_out = "-" if view.held_out_px is None else f"{view.held_out_px:.2f}"
        late = f"{view.shift:.2f} ± {view.shift_error:.2f}" if view.shift else "none"
        focal = "-" if view.solved is None else f"{view.camera.focal:.1f}"
        table.add_row(name, state, *predicted, held_out, str(view.num_shared), late, focal)
    console.print(table)
    errors = "±: predicted error of the drawn tool, the median over the workspace."
    residuals = "held out: residual (px) on the tool in episodes that the camera was not fitted to."
    console.print(f"{errors} {residuals} late by: frames.", soft_wrap=True)
    told = [_conventions(result)]
    told += [f"refused {one}: {reason}" for one, reason in result.gathered.refused.items()]
    told += [f"{one.level}: {one.view or dataset}: {one.message}" for one in findings]
    for sentence in told:
        console.print(sentence, soft_wrap=True)
    print(f"look at them: {out}/from_motion.html; figures: {out}/report.json")
    usable = out / "cameras.json"
    declared = f"cameras of mirrored videos: {dataset / 'calibration.json'}"
    print(f"cameras: {usable}" if usable.is_file() else declared if written else "no camera may be used")


def _conventions(result: SetResult) -> str:
    used = f"{len(result.gathered.episodes)} of {result.gathered.num_episodes} episodes"
    reading = f"read '{result.convention}', {100 * result.share:.0f} % of the tracks move with the tool"
    if not result.rivals:
        return f"{used}: {reading}; no other convention was tried"
    next_one = result.rivals[0]
    behind = f"{100 * next_one.behind:.1f} ± {100 * next_one.error:.1f} % less"
    return f"{used}: {reading}; the next convention, '{next_one.convention}', explains {behind}"
