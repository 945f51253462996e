"""A cache of a data set's decoded frames for all runs: made in parallel, resumable, and never stale."""

import os
import shutil
from collections.abc import Callable, Sequence
from functools import partial
from hashlib import sha256
from pathlib import Path

from action_images.episodes.dataset import Dataset
from action_images.episodes.episode import Episode, View
from action_images.errors import ActionImagesError
from action_images.files.lock import alone_in
from action_images.geometry.fitting import fit_camera
from action_images.parallel.processes import OnProcesses
from action_images.samples.stored_frames import Part

PART_BYTES = 96 << 20
"""A part ends with the episode that brings it to this size."""
SPARE_BYTES = 1 << 30
"""The disk space that stays free."""

Say = Callable[[str], None]


class FramesCache:
    """The frames of some views of a data set at one size, in files below a folder that runs share.

    Its episodes are those of the data set, with frames and cameras fitted to the size. No video is opened,
    and samples cut at that size are the same bit for bit.
    """

    def __init__(self, dataset: Dataset, folder: Path, size: tuple[int, int], views: Sequence[str]):
        """Make no frames yet. `folder` may also hold frames of other data sets, sizes and views."""
        self.dataset, self.size, self.views = dataset, size, tuple(views)
        where = os.path.relpath(dataset.path.resolve(), Path(folder).resolve())
        key = sha256(repr((where, size, self.views)).encode()).hexdigest()[:12]
        self.folder = Path(folder) / f"{dataset.path.resolve().name}-{size[0]}x{size[1]}-{key}"
        self.parts = _parts(dataset, self.folder, size, self.views)
        self._part_of: dict[int, Part] = {}
        for part in self.parts:
            self._part_of |= dict.fromkeys(part.episodes, part)
        self._opened: dict[int, Episode] = {}

    @property
    def num_bytes(self) -> int:
        """The total size on the disk."""
        return sum(part.num_bytes for part in self.parts)

    def make(self, say: Say = print, num_workers: int | None = None) -> None:
        """Make missing or stale frames, after printing their size; waits for another process's work.

        Frames made before a kill are kept. Raises ActionImagesError if the disk is too full, and EpisodeError
        for an episode that cannot be decoded.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        waiting = partial(say, f"{self.folder}: another process decodes these frames; waiting for it")
        with alone_in(self.folder, waiting):
            missing = [part for part in self.parts if not part.is_made(self.dataset)]
            self._remove_others()
            if missing:
                self._make(missing, say, num_workers or len(os.sched_getaffinity(0)))

    def episode(self, place: int) -> Episode:
        """The fitted episode at a place of the data set; it is kept in memory, as it has only numbers."""
        if place not in self._opened:
            self._opened[place] = self._open(place)
        return self._opened[place]

    def __getstate__(self) -> dict[str, object]:
        return {**self.__dict__, "_opened": {}}

    def _open(self, place: int) -> Episode:
        part = self._part_of[place]
        numbers = self.dataset.numbers(place, {view: part.sizes[view] for view in self.views})
        cameras = ((view, numbers.cameras[view]) for view in self.views)
        views = [
            View(view, part.frames(place, view), None if camera is None else fit_camera(camera, self.size))
            for view, camera in cameras
        ]
        return Episode(
            numbers.id,
            numbers.instruction,
            self.dataset.fps,
            tuple(views),
            numbers.trajectory,
            told=numbers.told,
        )

    def _make(self, missing: Sequence[Part], say: Say, num_workers: int) -> None:
        needed = sum(part.num_bytes for part in missing)
        num_episodes = sum(len(part.episodes) for part in missing)
        height, width = self.size
        say(
            f"decoding {num_episodes} of {len(self.dataset)} episodes of {self.dataset.path} once, at "
            f"{height} x {width} px: {needed / 1e9:.2f} GB in {self.folder}"
        )
        free = shutil.disk_usage(self.folder).free
        if needed + SPARE_BYTES > free:
            raise ActionImagesError(
                f"{self.folder}: the decoded frames of {self.dataset.path} take {needed / 1e9:.2f} GB and "
                f"{free / 1e9:.2f} GB are free (1 GB of it is left alone); free some, give --frames-cache "
                "another folder, or none with --frames-cache None"
            )
        numbers = [part.number for part in missing]
        begin = partial(_begin, self.dataset.path, self.parts)
        if num_workers == 1 or len(numbers) == 1:
            work = begin()
            made = map(work, numbers)
        else:
            made = OnProcesses(num_workers)(begin, numbers)
        for count, _ in enumerate(made, 1):
            if count == len(numbers) or count % max(1, len(numbers) // 10) == 0:
                say(f"decoded {count} of {len(numbers)} parts")

    def _remove_others(self) -> None:
        """Remove files of parts that the data set no longer has."""
        known = {part.pixels_path.name for part in self.parts}
        known |= {part.made_from_path.name for part in self.parts}
        for path in (*self.folder.glob("[0-9]*.npy"), *self.folder.glob("[0-9]*.json")):
            if path.name not in known:
                path.unlink()


def _begin(path: Path, parts: Sequence[Part]) -> Callable[[int], None]:
    """Open the data set in a worker; returns the function that makes the part with a number."""
    dataset = Dataset(path)
    return lambda number: parts[number].make(dataset)


def _parts(dataset: Dataset, folder: Path, size: tuple[int, int], views: tuple[str, ...]) -> tuple[Part, ...]:
    """All episodes in order, in parts of about `PART_BYTES`; new episodes do not change the first parts."""
    frame_bytes = size[0] * size[1] * 3 * len(views)
    parts: list[Part] = []
    begun, lengths = 0, list[int]()
    for place in range(len(dataset)):
        lengths.append(dataset.length(place))
        if sum(lengths) * frame_bytes >= PART_BYTES or place + 1 == len(dataset):
            parts.append(Part(len(parts), range(begun, place + 1), tuple(lengths), views, size, folder))
            begun, lengths = place + 1, []
    return tuple(parts)
