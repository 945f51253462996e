"""Hashes of a LeRobotDataset's episodes: their rows, and the video files that show them."""

from collections import Counter
from collections.abc import Iterable, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from action_images.episodes import lerobot_layout as layout
from action_images.episodes.dataset import ROW_COLUMNS, Dataset
from action_images.episodes.episode_table import is_place
from action_images.episodes.fingerprint import of_path, of_rows, of_text

Place = tuple[Any, ...]


class Fingerprints:
    """What tells the rows and pictures of a data set's episodes from others.

    `features` are those that calibration.json reads. `views` are the ones that are read.
    """

    def __init__(self, dataset: Dataset, views: Sequence[str], features: Iterable[str]):
        self._dataset, self._views = dataset, views
        self._columns = sorted({*features, *ROW_COLUMNS, *_ours(dataset)})
        self._rows: dict[Path, dict[int, str]] = {}
        self._files: dict[Path, str] = {}

    def of(self, index: int) -> dict[str, str]:
        """Hashes of an episode by the name of a part.

        LeRobot appends episodes to its last video files. So a part's name counts the episodes of a file, and
        an import compares the parts alone that both times have.
        """
        (data,) = self._dataset.files_of_pixels(index, ())
        if data not in self._rows:
            self._rows[data] = of_rows(data, self._columns)
        number = self._dataset.place_of_pixels(index, ())["episode_index"]
        told = f"{self._dataset.fps:g} {self._rows[data].get(number)}"
        return {"rows": of_text(told)} | self._of_videos(index)

    def _of_videos(self, index: int) -> dict[str, str]:
        found = {}
        for view, place in self._all_places[index].items():
            (_, path) = self._dataset.files_of_pixels(index, [view])
            if path not in self._files:
                self._files[path] = of_path(path)
            shared = self._episodes_in[(view, *place[:2])]
            told = f"{place[2]} {self._files[path]}"
            found[f"video of '{view}' (one file of {shared} episodes)"] = of_text(told)
        return found

    def _places(self, index: int) -> dict[str, Place]:
        """Chunk, file and begin (s) of each view's video that meta/episodes names for an episode."""
        places = {}
        for view in self._views:
            found = self._dataset.place_of_pixels(index, [view])
            place = tuple(value for name, value in found.items() if name.startswith("videos/"))
            if all(is_place(number) for number in place):
                places[view] = place
        return places

    @cached_property
    def _all_places(self) -> list[dict[str, Place]]:
        return [self._places(index) for index in range(len(self._dataset))]

    @cached_property
    def _episodes_in(self) -> Counter[Place]:
        """How many episodes each video file has."""
        counts: Counter[Place] = Counter()
        for places in self._all_places:
            counts.update((view, *place[:2]) for view, place in places.items())
        return counts


def _ours(dataset: Dataset) -> list[str]:
    """The features of cameras and of the tool's poses that are read without a calibration.json."""
    described = dataset.info["features"]
    poses = [key for key in (layout.STATE, layout.ACTION) if layout.is_tool_pose(described.get(key, {}))]
    return [*poses, *(key for key in described if key.startswith(layout.CAMERAS))]
