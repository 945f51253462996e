"""A calibration to look at: every picture with the corners that were found and where the calibration puts them."""

import math
from pathlib import Path

from action_images.calibration.solve import Calibration, Residual
from action_images.episodes.pictures import read_picture
from action_images.geometry import Pose

COLUMNS = 4


def save_calibration_picture(path: Path, result: Calibration, name: str) -> None:
    """One camera's pictures as png, the worst first: found corners green, projected ones (robot's poses as reported) red."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    worst_first = sorted(
        [*result.of(name), *(r for r in result.dropped if r.sighting.camera == name)],
        key=lambda residual: -residual.miss_px,
    )
    rows = math.ceil(len(worst_first) / COLUMNS)
    height, width = result.shots.sizes[name]
    figure, axes = plt.subplots(
        rows,
        COLUMNS,
        figsize=(4 * COLUMNS, rows * (4 * height / width + 0.3)),
        layout="constrained",
        squeeze=False,
    )
    for axis in axes.flat:
        axis.axis("off")
    for axis, residual in zip(axes.flat, worst_first, strict=False):
        _draw(axis, result, residual, name)
    figure.suptitle(f"{name}: corners found (green), projected (red) with the robot's poses as reported")
    part = path.with_name(path.name + ".part")
    figure.savefig(part, dpi=75, format="png")
    plt.close(figure)
    part.replace(path)


def _draw(axis, result: Calibration, residual: Residual, name: str) -> None:
    found, (height, width) = residual.sighting.found, result.shots.sizes[name]
    projected = project(result, residual)
    # The image spans [0, width] x [0, height], as pixels do here.
    axis.imshow(read_picture(residual.sighting.picture).movedim(0, -1), extent=(0, width, height, 0))
    axis.scatter(*found.pixels.T, s=28, facecolors="none", edgecolors="lime", linewidths=1.0)
    axis.scatter(*projected.T, s=28, c="red", marker="+", linewidths=1.0)
    left, top = found.pixels.amin(0).tolist()
    right, bottom = found.pixels.amax(0).tolist()
    margin = 0.1 * max(width, height)
    axis.set(
        xlim=(max(0, left - margin), min(width, right + margin)),
        ylim=(min(height, bottom + margin), max(0, top - margin)),
    )
    what = "left out: " if residual in result.dropped else "outlier: " if residual in result.outliers else ""
    title = f"{what}{residual.sighting.picture.name}: {residual.miss_px:.2f} px, {residual.miss * 1e3:.1f} mm"
    axis.set_title(title, fontsize=9, color="red" if what else "black")


def project(result: Calibration, residual: Residual):
    """Where the calibration puts a picture's corners (corner 2), with the robot's pose as it was reported."""
    known, sighting = result.refined.unknowns, residual.sighting
    index, world_from_tool = result.names.index(sighting.camera), result.shots.world_from_tool[sighting.pose]
    mount_from_holder: Pose = world_from_tool if result.mount == "world" else world_from_tool.inverse()
    camera_from_board = known.mount_from_camera[index].inverse() @ mount_from_holder @ known.holder_from_board
    return known.lens[index].project(camera_from_board.apply(result.shots.board.corners[sighting.found.ids]))
