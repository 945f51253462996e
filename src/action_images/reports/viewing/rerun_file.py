"""A Viewable as an .rrd file for the viewer of rerun.io; needs the extra `rerun`.

Rerun has our camera convention: x right, y down, z forward, and an image that spans [0, width] x [0, height]
with pixel centres at +0.5 (https://github.com/rerun-io/rerun/issues/3896). So intrinsics are used unchanged.
"""

import re
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from action_images.codec.format import POINTS
from action_images.files.atomic import whole_file
from action_images.geometry import Camera
from action_images.reports.theme import SPOTS
from action_images.reports.viewing.document import AXIS_LENGTH
from action_images.reports.viewing.encoded import picture
from action_images.reports.viewing.viewable import Layer, ShownPath, ShownView, Viewable

FRAMES_AT_ONCE = 16
MAX_HEIGHT = 720
"""The largest height (px) of written pictures."""
OVER_OPACITY = 0.5
"""Opacity of action images, which lie over the camera's picture."""


def write_rerun(path: Path, viewable: Viewable) -> None:
    """Write it, completely or not at all: `/world/VIEW` is a camera, `/world/VIEW/LAYER` its pictures.

    `/world/path/NAME` are paths, `/world/tool/NAME` the tool's three spots, `/gripper/NAME` and
    `/confidence/NAME` numbers. The timelines are `frame_index`, `timestamp` and, if there are several plans,
    `replan`, the number of the plan in force.
    """
    import rerun as rr  # pyright: ignore[reportMissingImports]

    with whole_file(path) as unfinished:
        recording = rr.RecordingStream("action_images", recording_id=viewable.id or "view")
        recording.save(unfinished)
        writing = _Writing(rr, recording, viewable)
        writing.write()
        recording.flush()
        recording.disconnect()


class _Writing:
    """One file under way."""

    def __init__(self, rr: Any, recording: Any, viewable: Viewable):
        self.rr, self.recording, self.viewable = rr, recording, viewable

    def write(self) -> None:
        """Write everything in the order of the frames."""
        rr, viewable = self.rr, self.viewable
        self._log(("world",), rr.ViewCoordinates.RIGHT_HAND_Z_UP, static=True)
        told = viewable.instruction or "no instruction"
        self._log(("instruction",), rr.TextDocument(told), static=True)
        for view in viewable.views:
            if view.camera is not None and not view.camera.batch_shape:
                self._log_camera(view, view.camera, static=True)
        for path in viewable.paths:
            if path.shown is None:
                self._log(("world", "path", path.name), self._lines(path), static=True)
        for start in range(0, viewable.num_frames, FRAMES_AT_ONCE):
            self._frames(range(start, min(start + FRAMES_AT_ONCE, viewable.num_frames)))

    def _frames(self, frames: range) -> None:
        """Write some frames; their pictures are decoded together."""
        views = self.viewable.views
        decoded = [_layers(view, frames) for view in views]
        for at, frame in enumerate(frames):
            self._set_time(frame)
            for view, layers in zip(views, decoded, strict=True):
                if view.camera is not None and view.camera.batch_shape:
                    self._log_camera(view, view.camera[frame])
                for layer, pictures in zip(view.layers, layers, strict=True):
                    self._log_picture(view, layer, pictures[at])
            for path in self.viewable.paths:
                self._log_pose(path, frame)

    def _set_time(self, frame: int) -> None:
        self.recording.set_time("frame_index", sequence=frame)
        self.recording.set_time("timestamp", duration=frame / self.viewable.fps)
        plans = [path for path in self.viewable.paths if path.shown is not None]
        in_force = [number for number, path in enumerate(plans, 1) if path.shown and frame >= path.shown[0]]
        if in_force:
            self.recording.set_time("replan", sequence=in_force[-1])

    def _log(self, names: tuple[str, ...], what: Any, *, static: bool = False) -> None:
        """Log with escaped names, so that a stranger's view name is always one part of the entity's path."""
        self.recording.log(self.rr.new_entity_path(list(names)), what, static=static)

    def _log_camera(self, view: ShownView, camera: Camera, *, static: bool = False) -> None:
        rr, pose = self.rr, camera.world_from_camera
        height, width = view.size
        rotation, place = pose.rotation.cpu().numpy(), pose.translation.cpu().numpy()
        transform = rr.Transform3D(translation=place, mat3x3=rotation)
        intrinsics = camera.intrinsics.cpu().numpy()
        pinhole = rr.Pinhole(
            image_from_camera=intrinsics, resolution=[width, height], camera_xyz=rr.ViewCoordinates.RDF
        )
        self._log(("world", view.name), transform, static=static)
        self._log(("world", view.name), pinhole, static=static)

    def _log_picture(self, view: ShownView, layer: Layer, encoded: bytes) -> None:
        order = 1.0 if layer.is_action else 0.0
        opacity = OVER_OPACITY if layer.is_action else 1.0
        image = self.rr.EncodedImage(
            contents=encoded, media_type="image/jpeg", opacity=opacity, draw_order=order
        )
        self._log(("world", view.name, layer.name), image)

    def _lines(self, path: ShownPath) -> Any:
        return self.rr.LineStrips3D(_strips(path), colors=_levels(path.colour), radii=0.002)

    def _log_pose(self, path: ShownPath, frame: int) -> None:
        """Log the tool at a frame, and for a plan's path its line while the plan is in force."""
        rr, pose = self.rr, frame - path.start
        if path.shown is not None:
            if frame == path.shown[0]:
                self._log(("world", "path", path.name), self._lines(path))
            elif frame == path.shown[1]:
                for kind in ("path", "tool"):
                    self._log(("world", kind, path.name), rr.Clear(recursive=False))
            if not path.shown[0] <= frame < path.shown[1]:
                return
        if not 0 <= pose < path.trajectory.num_frames:
            return
        tool = path.trajectory[pose]
        points = tool.world_from_tool[None].apply(AXIS_LENGTH * tool.opening.new_tensor(POINTS)).cpu().numpy()
        if np.isfinite(points).all():
            self._log(
                ("world", "tool", path.name),
                rr.Points3D(points, colors=[_levels(one) for one in SPOTS], radii=0.008),
            )
        if np.isfinite(float(tool.opening)):
            self._log(("gripper", path.name), rr.Scalars(float(tool.opening)))
        if path.confidence is not None and np.isfinite(float(path.confidence[pose])):
            self._log(("confidence", path.name), rr.Scalars(float(path.confidence[pose])))


def _levels(colour: str) -> list[int]:
    """`#rrggbb` as three levels; white for any other notation."""
    if not re.fullmatch("#[0-9a-fA-F]{6}", colour):
        return [255, 255, 255]
    return list(bytes.fromhex(colour[1:]))


def _layers(view: ShownView, frames: range) -> list[list[bytes]]:
    return [_pictures(layer, frames) for layer in view.layers]


def _pictures(layer: Layer, frames: range) -> list[bytes]:
    """The pictures of these frames, each decoded and encoded once."""
    wanted = [frame if layer.shows is None else layer.shows[frame] for frame in frames]
    chosen = list(dict.fromkeys(wanted))
    encoded = [picture(frame, MAX_HEIGHT) for frame in layer.frames.read(chosen)]
    by_number = dict(zip(chosen, encoded, strict=True))
    return [by_number[number] for number in wanted]


def _strips(path: ShownPath) -> list[NDArray[np.float32]]:
    """The known positions of a path, split at unknown ones."""
    points = path.trajectory.world_from_tool.translation.cpu().numpy()
    known = np.isfinite(points).all(-1)
    cuts = np.flatnonzero(np.diff(known.astype(int))) + 1
    pieces = np.split(points, cuts)
    return [piece for piece in pieces if np.isfinite(piece).all() and len(piece) > 1]
