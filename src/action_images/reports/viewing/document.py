"""The JSON document of a Viewable for a page: names and numbers; pictures come in separate parts."""

from typing import Any

import numpy as np
import torch
from torch import Tensor

from action_images.errors import ActionImagesError
from action_images.geometry import Camera, Trajectory
from action_images.geometry.rotation import to_euler_xyz
from action_images.reports.theme import SPOT_KEY
from action_images.reports.viewing.encoded import FRAMES_IN_PART
from action_images.reports.viewing.viewable import (
    Layer,
    ShownPart,
    ShownPath,
    ShownView,
    Source,
    Viewable,
)

FORMAT, VERSION = "action-images/view", 1
MAX_FRAMES = 50_000
"""The largest number of frames whose numbers a browser holds without trouble."""
AXIS_LENGTH = 0.1
"""Length of the tool's drawn axes (m), the same as in an action image."""


def document_of(viewable: Viewable) -> dict[str, Any]:
    """Names and numbers of a Viewable; raises ActionImagesError if it has more than MAX_FRAMES frames."""
    if viewable.num_frames > MAX_FRAMES:
        raise ActionImagesError(
            f"{viewable.id}: has {viewable.num_frames} frames, a page shows at most {MAX_FRAMES}; cut it"
        )
    return {
        "format": FORMAT,
        "version": VERSION,
        "id": viewable.id,
        "is_episode": viewable.is_episode,
        "parts": [_part(part) for part in _parts(viewable)],
        "instruction": viewable.instruction,
        "fps": viewable.fps,
        "num_frames": viewable.num_frames,
        "frames_in_part": FRAMES_IN_PART,
        "axis_length": AXIS_LENGTH,
        "spot_key": [list(pair) for pair in SPOT_KEY.items()],
        "facts": [list(fact) for fact in viewable.facts],
        "notes": list(viewable.notes),
        "warnings": [list(warning) for warning in viewable.warnings],
        "views": [_view(view) for view in viewable.views],
        "paths": [_path(path) for path in viewable.paths],
    }


def _parts(viewable: Viewable) -> tuple[ShownPart, ...]:
    """The episodes that readers make of it: itself, if they do not cut it."""
    return viewable.parts or (ShownPart(viewable.id, 0, viewable.num_frames),)


def _part(part: ShownPart) -> dict[str, Any]:
    return {"id": part.id, "start": part.start, "stop": part.stop}


def _view(view: ShownView) -> dict[str, Any]:
    return {
        "name": view.name,
        "size": list(view.size),
        "camera": None if view.camera is None else _camera(view.camera),
        "spots": None if view.spots is None else _numbers(view.spots, 2),
        "source": None if view.source is None else _source(view.source),
        "layers": [_layer(layer) for layer in view.layers],
    }


def _source(source: Source) -> dict[str, Any]:
    return {"numbers": list(source.numbers), "changes": source.changes}


def _layer(layer: Layer) -> dict[str, Any]:
    return {
        "name": layer.name,
        "is_action": layer.is_action,
        "num_pictures": len(layer.frames),
        "shows": None if layer.shows is None else list(layer.shows),
    }


def _camera(camera: Camera) -> dict[str, Any]:
    """`intrinsics` (9) and `world_from_camera` (12: rows of rotation and place), once or for each frame."""
    pose = camera.world_from_camera
    rows = torch.cat([pose.rotation, pose.translation[..., None]], -1)
    return {
        "is_moving": bool(camera.batch_shape),
        "intrinsics": _numbers(camera.intrinsics, 4),
        "world_from_camera": _numbers(rows, 6),
    }


def _path(path: ShownPath) -> dict[str, Any]:
    trajectory = path.trajectory
    return {
        "name": path.name,
        "colour": path.colour,
        "start": path.start,
        "shown": None if path.shown is None else list(path.shown),
        "positions": _numbers(trajectory.world_from_tool.translation, 5),
        "rotations": _numbers(trajectory.world_from_tool.rotation, 6),
        "angles_deg": _angles_deg(trajectory),
        "opening": _numbers(trajectory.opening, 4),
        "confidence": None if path.confidence is None else _numbers(path.confidence, 4),
    }


def _angles_deg(trajectory: Trajectory) -> list[float | None]:
    """Extrinsic xyz Euler angles (frame, 3) flat, without jumps of whole turns between known poses."""
    angles = np.degrees(to_euler_xyz(trajectory.world_from_tool.rotation.double()).cpu().numpy())
    known = np.isfinite(angles).all(-1)
    angles[known] = np.unwrap(angles[known], axis=0, period=360)
    return _numbers(torch.from_numpy(angles), 2)


def _numbers(values: Tensor, decimals: int) -> list[float | None]:
    """Values flat and rounded; values that are not finite are null, as JSON has no NaN."""
    flat = values.detach().double().cpu().flatten()
    return [round(value, decimals) if np.isfinite(value) else None for value in flat.tolist()]
