"""A person's clicks on the tool's origin: a table of episode, frame, view, pixel and picture."""

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
from action_images.episodes.episode import Episode
from action_images.episodes.lerobot_layout import INFO
from action_images.episodes.picture_numbers import AS_STORED, MIRRORED_BACK, changes_of, numbers_of
from action_images.episodes.readers import Reader
from action_images.episodes.readers.lerobot import CALIBRATION
from action_images.episodes.readers.lerobot_calibration import Calibration

COLUMNS = ("episode", "frame", "view", "x", "y")
PICTURE_COLUMNS = ("picture", "changes")
"""Columns of files that the page of `view` saves; files written by hand may lack them."""
MOST_BYTES = 1 << 20
PART = re.compile(r"/task\d+$")
"""The end of a name that readers give to a part of an episode whose task changes."""
CURE = "give rows of episode,frame,view,x,y: the pixel (x right, y down) of the point between the finger tips"


@dataclass(frozen=True)
class Click:
    """The pixel (px, centres at +0.5) of the tool's origin in one frame of a view.

    `picture` is the number of the frame's picture in the video file, `changes` how pictures were changed as
    they were read (`changes_of`); None: not known.
    """

    episode: str
    frame: int
    view: str
    pixel: tuple[float, float]
    picture: int | None = None
    changes: str | None = None


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
    if not rows or set(rows[0]) not in (set(COLUMNS), {*COLUMNS, *PICTURE_COLUMNS}):
        has = ", ".join(map(str, rows[0])) if rows else "no row"
        raise CalibrationError(f"{path}: has {has[:120]}; {CURE}")
    return [_click(row, f"{path}: row {number}") for number, row in enumerate(rows, 1)]


def _click(row: Mapping[str, str | None], where: str) -> Click:
    try:
        frame = int(row["frame"] or "")
        x, y = float(row["x"] or ""), float(row["y"] or "")
        picture = int(row["picture"] or "") if "picture" in row else None
    except ValueError:
        raise CalibrationError(f"{where}: frame, x, y and picture must be numbers; {CURE}") from None
    if frame < 0 or not np.isfinite([x, y]).all() or not row["episode"] or not row["view"]:
        raise CalibrationError(f"{where}: is no click; {CURE}")
    return Click(row["episode"], frame, row["view"], (x, y), picture, row.get("changes"))


def counted_as_read(
    clicks: Sequence[Click], dataset: Path, views: Sequence[str], reader: Reader
) -> list[Click]:
    """The clicks in the frames and pixels that the reader of these views (none: all) gives now.

    Clicks that name their picture keep it, also if the set now declares another `shift` or mirrored videos.
    Raises CalibrationError for one whose picture is not read any more, or is straightened otherwise.
    """
    plain = _counted_by_frames([click for click in clicks if click.picture is None], dataset, views)
    named = [click for click in clicks if click.picture is not None]
    read = {name: reader.read(name) for name in {click.episode for click in named} & set(reader.ids)}
    return [*plain, *(_as_read(click, read.get(click.episode)) for click in named)]


def _as_read(click: Click, episode: Episode | None) -> Click:
    view = next((one for one in episode.views if one.name == click.view), None) if episode else None
    if view is None:
        return click  # names that the set does not have are refused with all others
    where = f"click on '{click.view}' in frame {click.frame} of {click.episode[:80]}"
    numbers, changes = numbers_of(view.frames), changes_of(view.frames)
    if click.picture not in numbers:
        cure = "click again in the page of 'action-images view'"
        raise CalibrationError(f"{where}: its picture {click.picture} of the video is not read now; {cure}")
    x, y = click.pixel
    if click.changes != changes:
        if {click.changes, changes} != {AS_STORED, MIRRORED_BACK}:
            told = f"pictures were read {click.changes!r}, now they are read {changes!r}"
            raise CalibrationError(f"{where}: {told}; click again in the page of 'action-images view'")
        x = view.frames.size[1] - x
    return replace(click, frame=numbers.index(click.picture), pixel=(x, y), changes=changes)


def _counted_by_frames(clicks: Sequence[Click], dataset: Path, views: Sequence[str]) -> list[Click]:
    """Clicks without pictures, with their frames counted as readers of these views (none: all) count them.

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
