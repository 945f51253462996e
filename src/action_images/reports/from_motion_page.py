"""A page on cameras from motion: tracks, the fit's projection of their points, the tool, and all findings."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import UInt8
from markupsafe import Markup
from torch import Tensor

from action_images.calibration.from_motion.judge import Finding
from action_images.calibration.from_motion.observations import Observations
from action_images.calibration.from_motion.pinhole import LEAST_DEPTH
from action_images.calibration.from_motion.search import SetResult
from action_images.calibration.from_motion.shared import assign
from action_images.calibration.from_motion.view import ON_TOOL_PX, ViewResult
from action_images.codec.format import POINTS
from action_images.episodes.episode import Episode
from action_images.episodes.readers import Reader
from action_images.reports.inlined import data_uri
from action_images.reports.pages import write_page
from action_images.reports.pictures import to_pillow, to_tensor
from action_images.reports.theme import EXECUTED, MUTED, PLANNED, SPOT_KEY, SPOTS
from action_images.reports.thumbnails import Line, draw_lines, jpeg

NUM_PICTURES = 6
LEAST_HEIGHT = 360
"""Smaller pictures (px) are shown enlarged."""
TAIL = 8
"""The number of past frames drawn of a track."""
AXIS_LENGTH = 0.08
"""Length of the lines along the tool's x axis and against its z axis (m)."""
ON_TOOL, OTHER, PROJECTED = PLANNED, MUTED, EXECUTED
KEY = {
    "track of a point on the tool": ON_TOOL,
    "another track": OTHER,
    "from where it was seen to where the camera puts it": PROJECTED,
} | SPOT_KEY


@dataclass(frozen=True)
class Shown:
    """A view as the page shows it."""

    name: str
    result: ViewResult
    findings: list[Finding]
    pictures: list[tuple[str, Markup]]
    state: str
    mirror_margin: tuple[float, float] | None


def write_from_motion_page(
    path: Path, title: str, result: SetResult, findings: Sequence[Finding], reader: Reader
) -> None:
    """Write the page, completely or not at all; it shows at most `NUM_PICTURES` frames of each view."""
    general = [finding for finding in findings if finding.view is None]
    views = []
    for view in result.views:
        mine = [finding for finding in findings if finding.view == view.view.name]
        levels = {finding.level for finding in mine + general}
        state = "refused" if "refused" in levels else "with warnings" if "warning" in levels else "good"
        margin = result.mirrored[view.view.name]
        views.append(Shown(view.view.name, view, mine, _pictures(view, reader), state, margin))
    write_page(
        path,
        "from_motion.html",
        title=title,
        result=result,
        general=general,
        views=views,
        key=KEY,
    )


def _pictures(result: ViewResult, reader: Reader) -> list[tuple[str, Markup]]:
    """Frames of several episodes, each with a caption; none if no camera was found."""
    if result.solved is None or not result.num_shared:
        return []
    seen = result.view.observed(result.reading, result.shift)
    label = assign(result.camera, seen, result.solved.places, farthest_px=ON_TOOL_PX)
    pictures = []
    for place in _spread(result):
        frame = _busiest_frame(seen, label, place)
        if frame is None:
            continue
        episode = reader.read(result.view.ids[place])
        picture = jpeg(_picture(result, episode, seen, label, place, frame))
        held_out = ", held out" if result.view.held_out[place] else ""
        caption = f"{episode.id}, frame {frame}{held_out}"
        pictures.append((caption, data_uri("image/jpeg", picture)))
    return pictures


def _spread(result: ViewResult) -> list[int]:
    """Indices of a few episodes, including those that do not fit."""
    bad = [place for place, one in enumerate(result.episodes) if not one.fits][:2]
    count = len(result.episodes)
    evenly = np.linspace(0, count - 1, min(count, NUM_PICTURES - len(bad))).round().astype(int)
    return sorted({*bad, *evenly.tolist()})


def _busiest_frame(seen: Observations, label: np.ndarray, place: int) -> int | None:
    """The frame of an episode with the most tracks that have a past and lie on the tool, else with a past."""
    has_past = np.zeros(len(seen), bool)
    has_past[3:] = seen.point[3:] == seen.point[:-3]
    mine = (seen.episode == place) & has_past
    on_tool = mine & (label[seen.point] >= 0)
    frames = seen.frame[on_tool if on_tool.any() else mine]
    return int(np.bincount(frames).argmax()) if len(frames) else None


def _picture(
    result: ViewResult, episode: Episode, seen: Observations, label: np.ndarray, place: int, frame: int
) -> UInt8[Tensor, "3 h w"]:
    view = episode.view(result.view.name)
    plain = view.frames.read([frame])[0]
    plain = plain.flip(-1) if result.reading.mirrored else plain
    scale = max(1, -(-LEAST_HEIGHT // plain.shape[-2]))
    large = to_pillow(plain).resize((plain.shape[-1] * scale, plain.shape[-2] * scale))
    lines = [*_track_lines(result, seen, label, place, frame), *_tool(result, episode.id, frame)]
    scaled = [(points * scale, colour, radius) for points, colour, radius in lines]
    return draw_lines(to_tensor(large), scaled)


def _track_lines(
    result: ViewResult, seen: Observations, label: np.ndarray, place: int, frame: int
) -> list[Line]:
    assert result.solved is not None
    mine = (seen.episode == place) & (seen.frame <= frame) & (seen.frame > frame - TAIL)
    others, on_tool, misses = [], [], []
    for point in np.unique(seen.point[(seen.episode == place) & (seen.frame == frame)]):
        rows = np.flatnonzero(mine & (seen.point == point))
        tail = torch.from_numpy(seen.pixels[rows]).float()
        if label[point] < 0:
            others.append((tail, OTHER, 0.5))
            continue
        on_tool.append((tail, ON_TOOL, 0.8))
        row = rows[-1]
        world = seen.rotation[row] @ result.solved.places[label[point]] + seen.position[row]
        there = torch.from_numpy(result.camera.project(world)[0]).float()
        misses.append((torch.stack([tail[-1], there]), PROJECTED, 1.2))
    return [*others, *on_tool, *misses]


def _tool(result: ViewResult, episode_id: str, frame: int) -> list[Line]:
    """The tool's three spots as projected by the camera."""
    path = result.view.paths(result.reading)[result.view.ids.index(episode_id)]
    pose = path[int(np.clip(round(frame - result.shift), 0, len(path) - 1))]
    points = AXIS_LENGTH * np.array(POINTS) @ pose[:3, :3].T + pose[:3, 3]
    pixels, depth = result.camera.project(points)
    if (depth < LEAST_DEPTH).any():
        return []
    origin, *tips = torch.from_numpy(pixels).float()
    lines = [(torch.stack([origin, tip]), colour, 1.4) for tip, colour in zip(tips, SPOTS[1:], strict=True)]
    return [*lines, (torch.stack([origin, origin]), SPOTS[0], 2.4)]
