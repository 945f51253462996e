"""The episodes of a LeRobotDataset v3, ours or foreign: listed from its table alone, opened one by one."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Any

from action_images.episodes import lerobot_layout as layout
from action_images.episodes.checks.report_file import DEADLY, CheckReport, load_report
from action_images.episodes.names import EpisodeError
from action_images.episodes.tables import read_table
from action_images.reports.viewing.shelf import Entry

if TYPE_CHECKING:
    from action_images.episodes.dataset import Dataset
    from action_images.episodes.episode import Episode
    from action_images.episodes.readers.lerobot_calibration import Calibration
    from action_images.reports.viewing.viewable import ShownPart, Viewable

COLUMNS, OPTIONAL = ["episode_index", "length"], ("episode_id", "tasks")
"""Columns of the table, in the order in which an entry takes them."""
LABEL_SETTINGS = "labels/settings.json"
"""A file that only labelled copies have."""
LABELS_UNSHIFTED = "labels count the frames of the files, so the declared 'shift' is not shown here"
MAX_TOLD = 300
"""The largest number of characters of an instruction in a list."""


class DatasetShelf:
    """Lists the rows of meta/episodes; an invalid entry gives an error when it is opened.

    `labels` is a folder that `action-images label` wrote for this data set; its paths are shown beside the
    set's own. Raises EpisodeError if this is not a data set.
    """

    is_live = False

    def __init__(self, path: Path, labels: Path | None = None):
        self.path, self.title = path, path.resolve().name
        self._info = layout.read_info(path)
        self._report = load_report(path)
        self._labels = labels
        self._entries = _entries(path, float(self._info["fps"]), self._report)
        self.notes = _notes(self._report, len(self._entries))

    def version(self) -> str:
        """Constant: a data set is shown as it was when opened."""
        return "0"

    def entries(self) -> Sequence[Entry]:
        """All episodes, in the order of the table."""
        return self._entries

    def open(self, number: int) -> "Viewable":
        """An episode with its findings; damaged views are left out and named in its warnings."""
        from action_images.reports.viewing.viewable import of_episode

        entry = self._entries[number]
        findings = self._report.of(entry.id)
        if any(one.kind == DEADLY for one in findings):
            raise EpisodeError(
                f"{entry.id}: reading it ended the process of 'action-images check'; repair it"
            )
        dataset, place = self._dataset, self._places.get(entry.id)
        if place is None:
            why = dataset.impossible.get(entry.id, "its row of meta/episodes can be no episode")
            raise EpisodeError(f"{entry.id}: {why}; 'action-images check {quote(str(self.path))}' says more")
        episode, warnings = _whole_parts(dataset, place)
        is_late = self._calibration is not None and bool(self._calibration.shifts(place))
        shown = of_episode(self._calibrated(episode, place))
        shown = replace(shown, parts=self._parts(place))
        if is_late and self._is_labelled:
            # Labels count the frames of the files, clicks those that readers give.
            shown = replace(shown, is_episode=False)
            warnings.append(("warning", f"{LABELS_UNSHIFTED}: {', '.join(self._late(place))}"))
        told = tuple((one.level, one.message) for one in findings)
        return self._labelled(replace(shown, warnings=(*shown.warnings, *warnings, *told)), place)

    @cached_property
    def _dataset(self) -> "Dataset":
        from action_images.episodes.checks.check import open_possible

        return open_possible(self.path)

    @cached_property
    def _places(self) -> dict[str, int]:
        return {name: place for place, name in enumerate(self._dataset.ids)}

    @cached_property
    def _calibration(self) -> "Calibration | None":
        from action_images.episodes.readers.lerobot import CALIBRATION
        from action_images.episodes.readers.lerobot_calibration import Calibration

        file = self.path / CALIBRATION
        if not file.is_file():
            return None
        layout.check_inside(self.path, file)
        return Calibration(file, self._dataset)

    def _calibrated(self, episode: "Episode", place: int) -> "Episode":
        """The episode with the calibration of the data set's calibration.json, if there is one.

        Late views are set right, so that frames have the numbers that readers give them: damaged views
        count too. Labels count the frames of the files, so beside labels nothing is shifted.
        """
        from action_images.episodes.readers.lerobot import CALIBRATION
        from action_images.episodes.shift import part_of, shifted

        calibration = self._calibration
        if calibration is None:
            return episode
        path = calibration.trajectory(place) or episode.trajectory
        views = tuple(calibration.calibrated(view, place, path) for view in episode.views)
        calibrated = replace(episode, views=views, trajectory=path)
        names = {view.name for view in views}
        early, late = self._left_out(place)
        if not (early or late):
            return calibrated
        own = {name: by for name, by in calibration.shifts(place).items() if name in names}
        right, (own_early, _) = shifted(calibrated, own), left_out(own)
        start, num_frames = early - own_early, calibrated.num_frames - early - late
        told = ", ".join(self._late(place))
        note = f"pictures are late, as {CALIBRATION} declares, and are set right: {told}"
        return replace(part_of(right, start, start + num_frames), notes=(*calibrated.notes, note))

    def _left_out(self, place: int) -> tuple[int, int]:
        """How many frames at either end have no picture in some view once late views are set right."""
        if self._calibration is None or self._is_labelled:
            return 0, 0
        shifts, names = self._calibration.shifts(place), self._dataset.view_names
        return left_out({name: by for name, by in shifts.items() if name in names})

    def _parts(self, place: int) -> "tuple[ShownPart, ...]":
        """The episodes that readers make of one whose task changes; none if it does not."""
        from action_images.reports.viewing.viewable import ShownPart

        try:
            parts = self._dataset.words(place)
        except EpisodeError:
            return ()
        if len(parts) == 1:
            return ()
        name, lost = self._dataset.ids[place], sum(self._left_out(place))
        return tuple(
            ShownPart(part_name(name, number), part.start, max(part.start, part.stop - lost))
            for number, part in enumerate(parts)
        )

    def _late(self, place: int) -> list[str]:
        """The views with a declared delay, in words."""
        assert self._calibration is not None
        return [f"{name} by {frames}" for name, frames in self._calibration.shifts(place).items()]

    @property
    def _is_labelled(self) -> bool:
        return self._labels is not None or (self.path / LABEL_SETTINGS).is_file()

    def _labelled(self, shown: "Viewable", place: int) -> "Viewable":
        if not self._is_labelled:
            return shown
        from action_images.reports.viewing.labels import labelled_copy, labelled_from

        if self._checked_labels is None:
            return labelled_copy(self.path, shown, place)
        return labelled_from(self._checked_labels, shown, place)

    @cached_property
    def _checked_labels(self) -> Path | None:
        from action_images.reports.viewing.labels import check_labels

        if self._labels is not None:
            check_labels(self._labels, self.path)
        return self._labels


def _entries(path: Path, fps: float, report: CheckReport) -> list[Entry]:
    """All rows of the episode table in their order; reading columns is far faster than reading rows."""
    found: dict[str, list[Any]] = {name: [] for name in (*COLUMNS, *OPTIONAL)}
    files = sorted(path.glob("meta/episodes/*/*.parquet"))
    if not files:
        raise EpisodeError(f"{path}: is an empty data set; import or record episodes first")
    for file in files:
        layout.check_inside(path, file)
        table = read_table(file, COLUMNS, optional=OPTIONAL)
        for name, column in found.items():
            has = name in table.column_names
            column += table[name].to_pylist() if has else [None] * table.num_rows
    rows = sorted(zip(*found.values(), strict=True), key=lambda row: row[0] or 0)
    return [_entry(place, row, fps, report) for place, row in enumerate(rows)]


def _entry(place: int, row: tuple[Any, ...], fps: float, report: CheckReport) -> Entry:
    number, length, name, tasks = row
    name = f"episode_{number or 0:06.0f}" if name is None else str(name)
    told = "; ".join(map(str, tasks or ()))[:MAX_TOLD]
    detail = f"{length or 0:.0f} frames, {(length or 0) / fps:.1f} s"
    if not report.exists:
        return Entry(name, told, detail, version=str(place))
    findings = report.of(name)
    levels = {one.level for one in findings}
    kinds = dict.fromkeys(f"{one.level}: {one.kind}" for one in findings)
    return Entry(
        name,
        told,
        detail,
        level=next((one for one in ("error", "warning") if one in levels), ""),
        facets={"finding": tuple(kinds) or ("no finding",)},
        words=" ".join(one.message for one in findings),
        version=str(place),
    )


def _notes(report: CheckReport, num_episodes: int) -> list[str]:
    if not report.exists:
        return ["Not checked yet: 'action-images check' finds what is wrong, and then it is listed here."]
    if report.num_episodes != num_episodes:
        told = f"check looked at {report.num_episodes} episodes, there are {num_episodes} now"
        return [f"The findings are old: {told}. Run 'action-images check' again."]
    general = [f"{one.level}: {one.message}" for one in report.of("")]
    return [*general, report.conclusion] if report.conclusion else general


def _whole_parts(dataset: "Dataset", place: int) -> "tuple[Episode, list[tuple[str, str]]]":
    """The episode without its damaged parts, and a list of these."""
    from action_images.episodes.episode import Episode, View

    views: list[View] = []
    path, warnings = None, []
    for name, read in dataset.parts(place):
        try:
            part = read()
        except EpisodeError as error:
            warnings.append(("error", f"{name} cannot be shown: {error}"))
            continue
        if isinstance(part, View):
            views.append(part)
        else:
            path = part
    if not views:
        raise EpisodeError(warnings[0][1] if warnings else f"{dataset.ids[place]}: has no view")
    words, told = _words(dataset, place)
    episode = Episode(dataset.ids[place], words, dataset.fps, tuple(views), path)
    return episode, [*warnings, *told]


def _words(dataset: "Dataset", place: int) -> tuple[str | None, list[tuple[str, str]]]:
    """The instruction; if the task changes, all instructions with their first frames."""
    try:
        parts = dataset.words(place)
    except EpisodeError as error:
        return None, [("warning", str(error))]
    if len(parts) == 1:
        return parts[0].text, []
    told = "; ".join(f"from frame {part.start}: {part.text}" for part in parts)
    name = dataset.ids[place]
    cut = f"'action-images import' cuts it into {part_name(name, 0)} to {part_name(name, len(parts) - 1)}"
    return told, [("warning", f"the task changes {len(parts) - 1} times; {cut}")]


def part_name(episode_id: str, number: int) -> str:
    """The name that readers give to a part of an episode whose task changes."""
    return f"{episode_id}/task{number}"


def left_out(shifts: Mapping[str, int]) -> tuple[int, int]:
    """The frames at the beginning and at the end of an episode that `shift.shifted` leaves out."""
    return max([0, *(-by for by in shifts.values())]), max([0, *shifts.values()])
