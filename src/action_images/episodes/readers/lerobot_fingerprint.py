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
from action_images.episodes.mp4_samples import Samples, samples_of

Place = tuple[Any, ...]


class Fingerprints:
    """What tells the rows and pictures of a data set's episodes from others.

    `features` are those that calibration.json reads. `views` are the ones that are read.
    """

    def __init__(self, dataset: Dataset, views: Sequence[str], features: Iterable[str]):
        self._dataset = dataset
        self._columns = sorted({*features, *ROW_COLUMNS, *_ours(dataset)})
        self._pictures = _stored_as("image", dataset, views)
        self._views = [layout.view_name(key) for key in _stored_as("video", dataset, views)]
        self._rows: dict[Path, dict[int, str]] = {}
        self._in_rows: dict[Path, dict[int, str]] = {}
        self._samples: dict[Path, Samples | None] = {}
        self._files: dict[Path, str] = {}

    def of(self, index: int) -> dict[str, str]:
        """Hashes of an episode by the name of a part.

        LeRobot appends episodes to its last video files, and keeps the coded pictures of the others. So these
        are compared for each episode. Of files that are no plain mp4 the ends are: the part's name counts the
        episodes of a file, and an import compares the parts alone that both times have.
        """
        (data,) = self._dataset.files_of_pixels(index, ())
        if data not in self._rows:
            self._rows[data] = of_rows(data, self._columns)
        number = self._dataset.place_of_pixels(index, ())["episode_index"]
        told = f"{self._dataset.fps:g} {self._rows[data].get(number)}"
        return {"rows": of_text(told)} | self._of_rows_pictures(data, number) | self._of_videos(index)

    def _of_rows_pictures(self, data: Path, number: int) -> dict[str, str]:
        """The hash of the pictures in an episode's rows; none if all views are videos."""
        if not self._pictures:
            return {}
        if data not in self._in_rows:
            self._in_rows[data] = of_rows(data, [*self._pictures, "frame_index"])
        return {"pictures": of_text(f"{self._in_rows[data].get(number)}")}

    def _of_videos(self, index: int) -> dict[str, str]:
        found = {}
        for view, place in self._all_places[index].items():
            (_, path) = self._dataset.files_of_pixels(index, [view])
            if path not in self._samples:
                self._samples[path] = samples_of(path)
            samples = self._samples[path]
            if samples is not None:
                found[f"video of '{view}'"] = self._of_part(index, float(place[2]), samples)
                continue
            if path not in self._files:
                self._files[path] = of_path(path)
            shared = self._episodes_in[(view, *place[:2])]
            told = f"{place[2]} {self._files[path]}"
            found[f"video of '{view}' (one file of {shared} episodes)"] = of_text(told)
        return found

    def _of_part(self, index: int, start: float, samples: Samples) -> str:
        """The hash of an episode's coded pictures in a file; half a frame earlier, as times are rounded."""
        begin = start - 0.5 / self._dataset.fps
        stop = begin + self._dataset.length(index) / self._dataset.fps
        return of_text(f"{start:.3f} {samples.hash_between(begin, stop)}")

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


def _stored_as(dtype: str, dataset: Dataset, views: Sequence[str]) -> list[str]:
    """The features of these views whose pictures are videos ("video"), or stored in the rows ("image")."""
    described = dataset.info["features"]
    keys = [key for key, feature in described.items() if feature.get("dtype") == dtype]
    return [key for key in keys if layout.view_name(key) in views]


def _ours(dataset: Dataset) -> list[str]:
    """The features of cameras and of the tool's poses that are read without a calibration.json."""
    described = dataset.info["features"]
    poses = [key for key in (layout.STATE, layout.ACTION) if layout.is_tool_pose(described.get(key, {}))]
    return [*poses, *(key for key in described if key.startswith(layout.CAMERAS))]
