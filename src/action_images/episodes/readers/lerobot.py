"""LeRobotDataset v3 of other writers: video only, unless calibration.json declares cameras and tool."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from action_images.episodes import lerobot_layout as layout
from action_images.episodes.dataset import Dataset
from action_images.episodes.episode import Episode, EpisodeError
from action_images.episodes.readers import EVERYTHING, Wanted
from action_images.episodes.readers.lerobot_calibration import Calibration
from action_images.episodes.shift import part_of, shifted
from action_images.episodes.strangers import check_inside
from action_images.episodes.words import Part, is_code, says_nothing

CALIBRATION = "calibration.json"
KNOWN_BESIDE = {CALIBRATION, layout.INFO, layout.TASKS, layout.STATS, "check.json", "import.json"}
BESIDE = (".json", ".jsonl", ".yaml", ".yml", ".xml", ".toml", ".csv", ".parquet", ".npy", ".npz", ".pkl")
"""Endings of files that may describe a data set."""
MOST_NAMED = 8
LIKE_CAMERA = re.compile(r"extrinsic|intrinsic|cam2base|cam2world|camera_pose|hand_eye", re.IGNORECASE)
TEXTS = ("string", "language", "large_string")
"""Types of features that hold words."""


@dataclass(frozen=True)
class _Piece:
    """A future episode: frames of one in the data set, or the reason of refusal."""

    place: int
    part: Part
    is_stale: bool = False
    is_cut: bool = False
    refusal: str | None = None


def _look_at_the_others(row: str, reason: str) -> None:
    """A row that cannot be an episode is refused by its own name."""


class LeRobot:
    """A LeRobotDataset v3, with the calibration.json of its folder if there is one.

    Instructions come from `task_index`. An episode whose task changes becomes several, `<id>/task0` and so
    on, or is refused if that is requested.
    """

    def __init__(self, root: Path, wanted: Wanted = EVERYTHING, calibration: Path | None = None):
        self._dataset = Dataset(root, leave_out=_look_at_the_others, told=True, wanted=wanted.views)
        self._wanted = wanted
        self._pieces: dict[str, _Piece] = {}
        for place, episode_id in enumerate(self._dataset.ids):
            self._pieces |= self._pieces_of(place, episode_id)
        path = root / CALIBRATION if calibration is None else calibration
        if calibration is None:
            check_inside(root, path)
        self._path = path
        is_declared = calibration is not None or path.is_file()
        self._is_calibrated = is_declared
        known = is_declared or wanted.columns is not None
        said = path if is_declared else None
        self._calibration = Calibration(said, self._dataset, wanted.columns) if known else None

    @classmethod
    def recognises(cls, root: Path) -> bool:
        """Whether info.json is where LeRobot has it."""
        return (root / layout.INFO).is_file()

    @property
    def ids(self) -> list[str]:
        """Our ids if we wrote them, else episode_000000 and so on.

        Rows that cannot be episodes come last.
        """
        return [*self._pieces, *self._dataset.impossible]

    @property
    def remarks(self) -> list[str]:
        """What was found or missing beside the episodes, and what is left out."""
        remarks = self._on_totals()
        remarks += [
            f"feature '{name}': {why}; it is left out"
            for name, why in layout.left_out(self._dataset.info).items()
        ]
        remarks += [
            f"feature '{key}' looks like a camera's calibration and is not read; name it in {CALIBRATION}"
            for key in self._dataset.info["features"]
            if LIKE_CAMERA.search(key) and not key.startswith(layout.CAMERAS) and not self._names(key)
        ]
        if self._is_calibrated:
            remarks.append(f"{CALIBRATION} is found: cameras and tool poses are taken from it")
        elif not any(key.startswith(layout.CAMERAS) for key in self._dataset.info["features"]):
            remarks.append(f"{CALIBRATION} is not there: cameras and tool poses are not known")
        if self._calibration is not None:
            remarks += self._calibration.assumptions
            late = [f"{name} by {frames}" for name, frames in self.shifts.items()]
            remarks += [f"pictures are late, as {CALIBRATION} declares: {', '.join(late)}"] if late else []
        named = set() if self._calibration is None else self._calibration.files
        remarks += _left_beside(self._dataset.path, named)
        return remarks + self._remarks_on_words()

    @property
    def shifts(self) -> dict[str, int]:
        """The late views that calibration.json declares, and by how many frames."""
        return {} if self._calibration is None else self._calibration.shifts()

    def calibrated_by(self, _episode_id: str) -> tuple[Path, ...]:
        """calibration.json and the files that it names, the same for every episode."""
        if self._calibration is None or not self._is_calibrated:
            return ()
        named = sorted(self._calibration.files)
        return self._path, *(self._path.parent / name for name in named)

    def _names(self, feature: str) -> bool:
        """Whether calibration.json names a feature."""
        return self._calibration is not None and self._calibration.names(feature)

    def _on_totals(self) -> list[str]:
        """A remark if info.json counts other episodes than the table has: a download may be incomplete."""
        info, impossible = self._dataset.info, len(self._dataset.impossible)
        lengths = sum(self._dataset.length(place) for place in range(len(self._dataset)))
        there = {"episodes": len(self._dataset) + impossible, "frames": None if impossible else lengths}
        claims = {what: info.get(f"total_{what}") for what in there}
        cure = "files may be missing: complete the download, or correct info.json"
        for what, count in there.items():
            if count is not None and claims[what] is not None and claims[what] != count:
                told = f"{layout.INFO} tells of {str(claims[what])[:40]} {what}"
                return [f"{told}, meta/episodes has {count}; {cure}"]
        return []

    def _remarks_on_words(self) -> list[str]:
        texts = [key for key, feature in self._dataset.info["features"].items() if feature["dtype"] in TEXTS]
        unread = "is not read; words are those that task_index binds"
        remarks = [f"feature '{layout.view_name(key)}' holds texts and {unread}" for key in texts]
        vague = sum(says_nothing(piece.part.text) for piece in self._pieces.values())
        if vague:
            told = "are told to do anything at all, or hold a placeholder"
            remarks.append(f"{vague} episodes {told}; that is no instruction")
        texts = [piece.part.text or "" for piece in self._pieces.values()]
        coded = [text for text in texts if is_code(text)]
        if coded:
            looks = f"{len(coded)} episodes have an instruction that is no plain text, as {coded[0][:60]!r}"
            remarks.append(f"{looks}; it is taken as it stands: write the words alone into {layout.TASKS}")
        stale = len({piece.place for piece in self._pieces.values() if piece.is_stale})
        if stale:
            remarks.append(
                f"'tasks' of meta/episodes is not what task_index and {layout.TASKS} say in {stale} "
                "episodes; "
                "the latter is taken"
            )
        cut = len({piece.place for piece in self._pieces.values() if piece.part.start > 0})
        if cut:
            remarks.append(f"{cut} episodes have several tasks, one after the other; they are cut there")
        return remarks

    def read(self, episode_id: str) -> Episode:
        """One episode with everything that the file or the calibration provides."""
        if episode_id in self._dataset.impossible:
            raise EpisodeError(self._dataset.impossible[episode_id])
        if episode_id not in self._pieces:
            raise EpisodeError(f"{self._dataset.path}: has no episode {episode_id[:80]!r}")
        piece = self._pieces[episode_id]
        if piece.refusal is not None:
            raise EpisodeError(piece.refusal)
        names = self._wanted.of(episode_id, self._dataset.view_names)
        text = None if says_nothing(piece.part.text) else piece.part.text
        episode = self._dataset.selected(piece.place, names, text)
        if self._calibration is not None:
            trajectory = self._calibration.trajectory(piece.place) or episode.trajectory
            views = tuple(
                self._calibration.calibrated(view, piece.place, trajectory) for view in episode.views
            )
            told = episode.told if trajectory is episode.trajectory else None
            episode = replace(episode, views=views, trajectory=trajectory, told=told)
        whole = replace(episode, id=episode_id, notes=(*episode.notes, *self._spare(piece, names)))
        part = part_of(whole, piece.part.start, piece.part.stop) if piece.is_cut else whole
        shifts = {} if self._calibration is None else self._calibration.shifts(piece.place)
        return shifted(part, {name: shift for name, shift in shifts.items() if name in names})

    def _spare(self, piece: _Piece, names: list[str]) -> Iterator[str]:
        """Remarks on files that continue after their last row."""
        for name in names:
            spare = self._dataset.spare_pictures(piece.place, name)
            if spare:
                longer = f"{name}: its video goes on for {spare} frames after the last row"
                yield f"{longer}; were rows lost, or do pictures and rows begin at different times?"

    def _pieces_of(self, place: int, episode_id: str) -> dict[str, "_Piece"]:
        """An episode split by tasks; one without readable tasks is refused when it is read."""
        try:
            parts = self._dataset.words(place)
        except EpisodeError as error:
            return {episode_id: _Piece(place, Part(0, 0, None), refusal=str(error))}
        told, bound = set(self._dataset.told(place)), {part.text for part in parts if part.text}
        is_stale = bool(told) and told != bound
        if len(parts) == 1:
            return {episode_id: _Piece(place, parts[0], is_stale=is_stale)}
        if self._wanted.several_tasks == "refuse":
            changes = (
                f"its task changes at frame {parts[1].start} (from {parts[0].text!r} to {parts[1].text!r})"
            )
            reason = f"{episode_id}: {changes}; import with --several-tasks cut"
            return {episode_id: _Piece(place, parts[0], refusal=reason)}
        return {
            f"{episode_id}/task{number}": _Piece(place, part, is_stale=is_stale, is_cut=True)
            for number, part in enumerate(parts)
        }


def _left_beside(root: Path, named: set[str]) -> list[str]:
    """Unread files in the set's folder and in meta, by name; `named` are those that calibration.json uses."""
    there = [*root.iterdir(), *(root / "meta").iterdir()]
    names = [path.relative_to(root).as_posix() for path in there if path.suffix.lower() in BESIDE]
    unread = sorted(name for name in names if name not in KNOWN_BESIDE | named)
    more = f" and {len(unread) - MOST_NAMED} more" if len(unread) > MOST_NAMED else ""
    return (
        [f"found beside the episodes and not read: {', '.join(unread[:MOST_NAMED])}{more}"] if unread else []
    )
