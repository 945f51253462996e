"""Curves of a training log or a sweep: one line of JSON for each point, with a curve for each number."""

import json
import math
from pathlib import Path

from action_images.errors import ActionImagesError

MAX_CURVES, MAX_POINTS, MAX_BYTES = 200, 400, 256 << 20
AXES = ("step", "samples", "x")
"""The x axis of a curve: the first of these values in a line, else the line's own number."""


def load_curves(path: Path) -> dict[str, list[tuple[float, float]]]:
    """Name -> points (x, y) in the order of the file, thinned to a few hundred.

    Names of nested numbers are joined by dots. Steps that a resumed run took again replace the earlier ones.
    Raises ActionImagesError, naming the line, for a line that is
    not a JSON object, and for a log with no curve or more than MAX_CURVES.
    """
    if path.stat().st_size > MAX_BYTES:
        raise ActionImagesError(
            f"{path}: {path.stat().st_size >> 20} MB; "
            f"a log of at most {MAX_BYTES >> 20} MB is drawn: thin it first"
        )
    curves: dict[str, list[tuple[float, float]]] = {}
    for number, line in enumerate(path.read_text(encoding="utf-8", errors="replace").splitlines(), 1):
        if line.strip():
            values = _numbers(_parsed(path, number, line))
            axis = next((name for name in AXES if name in values), None)
            x = float(number) if axis is None else values.pop(axis)
            for name, y in values.items():
                points = curves.setdefault(name, [])
                while axis == "step" and points and points[-1][0] >= x:
                    points.pop()  # a killed run takes its last steps again; the later ones count
                points.append((x, y))
    drawn = {name: points for name, points in curves.items() if len(points) > 1}
    if not drawn:
        raise ActionImagesError(
            f"{path}: holds no curve; "
            "a log has one JSON object a line, with at least two values of one number"
        )
    if len(drawn) > MAX_CURVES:
        raise ActionImagesError(
            f"{path}: holds {len(drawn)} curves; a page of at most {MAX_CURVES} is drawn: leave some out"
        )
    return {name: _thinned(points) for name, points in drawn.items()}


def _parsed(path: Path, number: int, line: str) -> dict:
    try:
        values = json.loads(line)
    except (json.JSONDecodeError, RecursionError) as error:
        raise ActionImagesError(f"{path}, line {number}: not JSON ({error}); remove the line") from error
    if not isinstance(values, dict):
        raise ActionImagesError(
            f"{path}, line {number}: {type(values).__name__}, not an object; a log has one JSON object a line"
        )
    return values


def _numbers(values: dict, prefix: str = "") -> dict[str, float]:
    found: dict[str, float] = {}
    for name, value in values.items():
        if isinstance(value, dict):
            found.update(_numbers(value, f"{prefix}{name}."))
        elif (
            isinstance(value, int | float)
            and not isinstance(value, bool)
            and abs(value) < 1e300
            and math.isfinite(value)
        ):
            found[f"{prefix}{name}"] = float(value)
    return found


def _thinned(points: list[tuple[float, float]]) -> list[tuple[float, float]]:
    step = (len(points) - 1) / (MAX_POINTS - 1)
    return (
        points if len(points) <= MAX_POINTS else [points[round(index * step)] for index in range(MAX_POINTS)]
    )
