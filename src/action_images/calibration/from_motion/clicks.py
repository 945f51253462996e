"""A person's clicks on the tool's origin: a table of episode, frame, view and pixel."""

import csv
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from jaxtyping import Float

from action_images.calibration.from_motion.observations import Observations, observe
from action_images.calibration.from_motion.tracks import Track
from action_images.calibration.opencv import CalibrationError
from action_images.episodes.dataset import Dataset
from action_images.episodes.lerobot_layout import INFO
from action_images.episodes.readers.lerobot import CALIBRATION
from action_images.episodes.readers.lerobot_calibration import Calibration

COLUMNS = ("episode", "frame", "view", "x", "y")
MOST_BYTES = 1 << 20
PART = re.compile(r"/task\d+$")
"""The end of a name that readers give to a part of an episode whose task changes."""
CURE = "give rows of episode,frame,view,x,y: the pixel (x right, y down) of the point between the finger tips"


@dataclass(frozen=True)
class Click:
    """The pixel (px, centres at +0.5) of the tool's origin in one frame of a view."""

    episode: str
    frame: int
    view: str
    pixel: tuple[float, float]


def load_clicks(path: Path) -> list[Click]:
    """The clicks of a csv file; raises CalibrationError, naming file and row, for invalid ones."""
    if not path.is_file():
        raise CalibrationError(f"{path}: there is no such file; {CURE}")
    if path.stat().st_size > MOST_BYTES:
        raise CalibrationError(f"{path}: is too large for a list of clicks; {CURE}")
    try:
        rows = list(csv.DictReader(path.read_text(encoding="utf-8").splitlines()))
    except (UnicodeDecodeError, csv.Error) as error:
        raise CalibrationError(f"{path}: is no csv file ({error}); {CURE}") from None
    if not rows or set(rows[0]) != set(COLUMNS):
        has = ", ".join(map(str, rows[0])) if rows else "no row"
        raise CalibrationError(f"{path}: has {has[:120]}; {CURE}")
    return [_click(row, f"{path}: row {number}") for number, row in enumerate(rows, 1)]


def _click(row: Mapping[str, str | None], where: str) -> Click:
    try:
        frame = int(row["frame"] or "")
        x, y = float(row["x"] or ""), float(row["y"] or "")
    except ValueError:
        raise CalibrationError(f"{where}: frame, x and y must be numbers; {CURE}") from None
    if frame < 0 or not np.isfinite([x, y]).all() or not row["episode"] or not row["view"]:
        raise CalibrationError(f"{where}: is no click; {CURE}")
    return Click(row["episode"], frame, row["view"], (x, y))


def counted_as_read(clicks: Sequence[Click], dataset: Path, views: Sequence[str]) -> list[Click]:
    """The clicks with their frames counted as readers of these views (none: all) count them.

    Clicks count the frames of episodes with all views. Where pictures of a view are early (a negative
    `shift`), frames at the beginning are left out, unless that view is left out itself.
    """
    if not views or not (dataset / CALIBRATION).is_file() or not (dataset / INFO).is_file():
        return list(clicks)
    whole = Dataset(dataset, leave_out=_leave_to_readers, wanted=views)
    calibration = Calibration(dataset / CALIBRATION, whole)
    places = {name: place for place, name in enumerate(whole.ids)}
    counted = []
    for click in clicks:
        place = places.get(click.episode, places.get(PART.sub("", click.episode)))
        shifts = {} if place is None else calibration.shifts(place)
        early = {name: max(0, -by) for name, by in shifts.items() if name in whole.view_names}
        kept = {name: by for name, by in early.items() if name in views}
        more = max(early.values(), default=0) - max(kept.values(), default=0)
        counted.append(replace(click, frame=click.frame + more))
    return counted


def _leave_to_readers(row: str, reason: str) -> None:
    """A row that cannot be an episode is refused where it is read."""


def clicked(
    clicks: Sequence[Click],
    view: str,
    episodes: Mapping[str, Float[np.ndarray, "frame 4 4"]],
    size: tuple[int, int],
    *,
    shift: float = 0.0,
) -> Observations | None:
    """A view's clicks as observations of the tool's origin; None if it has none.

    `shift` is the delay of its pictures in frames. Raises CalibrationError for a missing episode or frame,
    and for pixels outside the picture.
    """
    ids = list(episodes)
    mine: list[list[Track]] = [[] for _ in ids]
    for click in clicks:
        if click.view != view:
            continue
        where = f"click on '{view}' in frame {click.frame} of {click.episode[:80]}"
        if click.episode not in episodes:
            raise CalibrationError(f"{where}: no such episode was looked at; they are as {ids[0]!r}")
        if click.frame >= len(episodes[click.episode]):
            raise CalibrationError(f"{where}: the episode has {len(episodes[click.episode])} frames")
        (x, y), (height, width) = click.pixel, size
        if not (0 <= x <= width and 0 <= y <= height):
            raise CalibrationError(f"{where}: ({x:g}, {y:g}) lies outside the {width} x {height} px picture")
        place = ids.index(click.episode)
        mine[place].append(Track(np.array([click.frame]), np.array([click.pixel])))
    if not any(mine):
        return None
    seen = observe(mine, list(episodes.values()), shift=shift, least_seen=1)
    return seen if len(seen) else None
