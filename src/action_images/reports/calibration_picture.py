"""Pictures of a calibration: its corners as found in every picture, and as projected by it.

Needs matplotlib (the extra `view`).
"""

import math
from pathlib import Path
from typing import TYPE_CHECKING

from jaxtyping import Float
from torch import Tensor

from action_images.calibration.solve import Calibration, Residual
from action_images.episodes.pictures import read_picture
from action_images.files.atomic import whole_file
from action_images.geometry import Pose

if TYPE_CHECKING:
    from matplotlib.axes import Axes

NUM_COLUMNS = 4
COLUMN_WIDTH, TITLE_HEIGHT = 4.0, 0.3
"""Sizes on the sheet in inches."""
MARGIN = 0.1
"""Margin around the corners found, as a share of the picture's longer side."""


def save_calibration_picture(path: Path, result: Calibration, name: str) -> None:
    """Write one camera's pictures as png, the worst first.

    Corners found in the picture are green. Red ones are projected with the robot's reported poses.
    """
    from matplotlib.figure import Figure

    dropped = [residual for residual in result.dropped if residual.sighting.camera == name]
    worst_first = sorted([*result.of(name), *dropped], key=lambda residual: -residual.miss_px)
    num_rows = math.ceil(len(worst_first) / NUM_COLUMNS)
    height, width = result.shots.sizes[name]
    row_height = COLUMN_WIDTH * height / width + TITLE_HEIGHT
    figure = Figure(figsize=(NUM_COLUMNS * COLUMN_WIDTH, num_rows * row_height), layout="constrained")
    places = figure.subplots(num_rows, NUM_COLUMNS, squeeze=False).ravel()
    for axes in places:
        axes.axis("off")
    for axes, residual in zip(places, worst_first, strict=False):
        _draw(axes, result, residual, name)
    figure.suptitle(f"{name}: corners found (green), projected (red) with the robot's poses as reported")
    with whole_file(path) as unfinished:
        figure.savefig(unfinished, dpi=75, format="png")


def _draw(axes: "Axes", result: Calibration, residual: Residual, name: str) -> None:
    found, (height, width) = residual.sighting.found, result.shots.sizes[name]
    # The image spans [0, width] x [0, height], as pixel coordinates do here.
    axes.imshow(read_picture(residual.sighting.picture).movedim(0, -1).numpy(), extent=(0, width, height, 0))
    axes.scatter(*found.pixels.T, s=28, facecolors="none", edgecolors="lime", linewidths=1.0)
    axes.scatter(*project(result, residual).T, s=28, c="red", marker="+", linewidths=1.0)
    left, top = found.pixels.amin(0).tolist()
    right, bottom = found.pixels.amax(0).tolist()
    margin = MARGIN * max(width, height)
    axes.set_xlim(max(0, left - margin), min(width, right + margin))
    axes.set_ylim(min(height, bottom + margin), max(0, top - margin))
    fate = _fate(result, residual)
    missed = f"{residual.miss_px:.2f} px, {residual.miss * 1e3:.1f} mm"
    title = f"{fate}{residual.sighting.picture.name}: {missed}"
    axes.set_title(title, fontsize=9, color="red" if fate else "black")


def _fate(result: Calibration, residual: Residual) -> str:
    """The problem of a picture, as the beginning of its title; empty for a good one."""
    if residual in result.dropped:
        return "left out: "
    return "outlier: " if residual in result.outliers else ""


def project(result: Calibration, residual: Residual) -> Float[Tensor, "corner 2"]:
    """The projection of a picture's corners (px) by the calibration, with the robot's reported pose."""
    known, sighting = result.refined.unknowns, residual.sighting
    index, world_from_tool = result.names.index(sighting.camera), result.shots.world_from_tool[sighting.pose]
    mount_from_holder: Pose = world_from_tool if result.mount == "world" else world_from_tool.inverse()
    camera_from_board = known.mount_from_camera[index].inverse() @ mount_from_holder @ known.holder_from_board
    return known.lens[index].project(camera_from_board.apply(result.shots.board.corners[sighting.found.ids]))
