"""LeRobotDataset v3 of other writers: video only, unless calibration.json declares cameras and tool."""

import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import pairwise
from pathlib import Path

from action_images.episodes import lerobot_layout as layout
from action_images.episodes.dataset import Dataset
from action_images.episodes.episode import Episode, EpisodeError
from action_images.episodes.fingerprint import of_text
from action_images.episodes.readers import EVERYTHING, Wanted
from action_images.episodes.readers.lerobot_calibration import Calibration
from action_images.episodes.readers.lerobot_fingerprint import Fingerprints
from action_images.episodes.readers.lerobot_rows import told_order
from action_images.episodes.shift import part_of, shifted
from action_images.episodes.strangers import check_inside
from action_images.episodes.words import Part, says_nothing

CALIBRATION = "calibration.json"
KNOWN_BESIDE = {CALIBRATION, layout.INFO, layout.TASKS, layout.STATS, "check.json", "import.json"}
BESIDE = (".json", ".jsonl", ".yaml", ".yml", ".xml", ".toml", ".csv", ".parquet", ".npy", ".npz", ".pkl")
"""Endings of files that may describe a data set."""
MOST_NAMED = 8
LIKE_CAMERA = re.compile(r"extrinsic|intrinsic|cam2base|cam2world|camera_pose|hand_eye", re.IGNORECASE)
DONE = "next.done"
"""LeRobot's mark of an episode's last row."""
DONE_BEFORE = f"'{DONE}' is true before its last row; is it several episodes, or does it go on too long?"
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
    left_out: int = 0
    """Frames of the whole episode that have no row."""


def _look_at_the_others(row: str, reason: str) -> None:
    """A row that cannot be an episode is refused by its own name."""


class LeRobot:
    """A LeRobotDataset v3, with the calibration.json of its folder if there is one.

    Instructions come from `task_index`. An episode whose task changes becomes several, `<id>/task0` and so
    on, or is refused if that is requested. One whose rows leave frames out is refused, or becomes several if
    that is requested, `<id>/part0` and so on.
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
        remarks = [*self._on_totals(), *self._on_order()]
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
        return remarks + self._remarks_on_words() + self._remarks_on_gaps()

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

    def fingerprint(self, episode_id: str) -> dict[str, str]:
        """Hashes of an episode's words, rows and videos."""
        piece = self._pieces.get(episode_id)
        if piece is None:
            return {}
        part = piece.part
        return {"words": of_text(f"{part.start} {part.stop} {part.text}")} | self._contents.of(piece.place)

    @cached_property
    def _contents(self) -> Fingerprints:
        features = () if self._calibration is None else self._calibration.features
        asked = self._wanted.views
        views = [name for name in self._dataset.view_names if not asked or name in asked]
        return Fingerprints(self._dataset, views, features)

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

    def _on_order(self) -> Iterator[str]:
        """Remarks on videos and rows whose episodes do not follow each other by their index."""
        for view in self._dataset.view_names:
            found = self._dataset.out_of_order(view)
            if found is not None and (not self._wanted.views or view in self._wanted.views):
                lies = f"by meta/episodes the pictures of {found[1]} lie before those of {found[0]}"
                cause = "were from_timestamp or file indexes exchanged? 'check' compares pictures with paths"
                yield f"view '{view}': {lies}; {cause}"
        told = told_order(self._dataset)
        yield from [] if told is None else [told]

    def _remarks_on_words(self) -> list[str]:
        texts = [key for key, feature in self._dataset.info["features"].items() if feature["dtype"] in TEXTS]
        unread = "is not read; words are those that task_index binds"
        remarks = [f"feature '{layout.view_name(key)}' holds texts and {unread}" for key in texts]
        vague = sum(says_nothing(piece.part.text) for piece in self._pieces.values())
        if vague:
            told = "are told to do anything at all, or hold a placeholder"
            remarks.append(f"{vague} episodes {told}; that is no instruction")
        stale = len({piece.place for piece in self._pieces.values() if piece.is_stale})
        if stale:
            remarks.append(
                f"'tasks' of meta/episodes is not what task_index and {layout.TASKS} say in {stale} "
                "episodes; "
                "the latter is taken"
            )
        words: dict[int, set[str | None]] = {}
        for piece in self._pieces.values():
            words.setdefault(piece.place, set()).add(piece.part.text)
        cut = sum(len(told) > 1 for told in words.values())
        if cut:
            remarks.append(f"{cut} episodes have several tasks, one after the other; they are cut there")
        return remarks

    def _remarks_on_gaps(self) -> list[str]:
        left_out = {piece.place: piece.left_out for piece in self._pieces.values() if piece.left_out}
        told = f"the rows of {len(left_out)} episodes leave out {sum(left_out.values())} frames"
        return [f"{told}; they are cut there"] if left_out else []

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
        with_gaps = piece.left_out > 0
        episode = self._dataset.selected(piece.place, names, text, with_gaps=with_gaps)
        if self._calibration is not None:
            trajectory = self._calibration.trajectory(piece.place) or episode.trajectory
            views = tuple(
                self._calibration.calibrated(view, piece.place, trajectory) for view in episode.views
            )
            told = episode.told if trajectory is episode.trajectory else None
            episode = replace(episode, views=views, trajectory=trajectory, told=told)
        notes = (*episode.notes, *self._on_files(piece, names), *self._done_before(piece))
        notes = (*notes, *self._other_sizes(episode))
        whole = replace(episode, id=episode_id, notes=notes)
        part = part_of(whole, piece.part.start, piece.part.stop) if piece.is_cut else whole
        shifts = {} if self._calibration is None else self._calibration.shifts(piece.place)
        return shifted(part, {name: shift for name, shift in shifts.items() if name in names})

    def _on_files(self, piece: _Piece, names: list[str]) -> Iterator[str]:
        """Remarks on files of another rate, and on those that continue after their last row."""
        for name in names:
            told = self._dataset.told_of_file(piece.place, name, piece.left_out)
            if told is not None:
                yield f"{name}: {told}"

    def _other_sizes(self, episode: Episode) -> Iterator[str]:
        """Remarks on pictures of another size than info.json says: intrinsics may be for that one."""
        for view in episode.views:
            said, size = self._dataset.view_shape(view.name), tuple(view.frames.size)
            if said != size:
                told = f"its pictures are {size[0]} x {size[1]} px, info.json says {said[0]} x {said[1]}"
                yield f"{view.name}: {told}; are its intrinsics for the pictures that are there?"

    def _done_before(self, piece: _Piece) -> Iterator[str]:
        """A remark on an episode that is done before its last row."""
        if DONE not in self._dataset.info["features"]:
            return
        with suppress(EpisodeError):  # info.json may name a column that the file has not
            values = self._dataset.column(piece.place, DONE)[piece.part.start : piece.part.stop - 1]
            if any(value not in (False, None, [False], [0]) for value in values):
                yield DONE_BEFORE

    def _pieces_of(self, place: int, episode_id: str) -> dict[str, "_Piece"]:
        """An episode split by tasks; one without readable tasks is refused when it is read."""
        try:
            parts = self._dataset.words(place)
        except EpisodeError as error:
            return {episode_id: _Piece(place, Part(0, 0, None), refusal=str(error))}
        told, bound = set(self._dataset.told(place)), {part.text for part in parts if part.text}
        is_stale = bool(told) and told != bound
        if len(parts) > 1 and self._wanted.several_tasks == "refuse":
            changes = (
                f"its task changes at frame {parts[1].start} (from {parts[0].text!r} to {parts[1].text!r})"
            )
            reason = f"{episode_id}: {changes}; import with --several-tasks cut"
            return {episode_id: _Piece(place, parts[0], refusal=reason)}
        try:
            gaps = self._dataset.gaps(place) if self._wanted.gaps == "cut" else {}
        except EpisodeError as error:
            return {episode_id: _Piece(place, parts[0], refusal=str(error))}
        named: dict[str, Part] = {}
        for name, part in _named(episode_id, "task", parts).items():
            named |= _named(name, "part", _cut(part, gaps))
        piece = _Piece(place, parts[0], is_stale=is_stale, is_cut=len(named) > 1, left_out=sum(gaps.values()))
        return {name: replace(piece, part=part) for name, part in named.items()}


def _named(name: str, kind: str, parts: Sequence[Part]) -> dict[str, Part]:
    """Parts by name, `<name>/task0` and so on; a single one keeps the name."""
    if len(parts) == 1:
        return {name: parts[0]}
    return {f"{name}/{kind}{number}": part for number, part in enumerate(parts)}


def _cut(part: Part, gaps: Iterable[int]) -> list[Part]:
    """A part, cut before these rows."""
    inside = sorted(row for row in gaps if part.start < row < part.stop)
    return [Part(start, stop, part.text) for start, stop in pairwise([part.start, *inside, part.stop])]


def _left_beside(root: Path, named: set[str]) -> list[str]:
    """Unread files in the set's folder and in meta, by name; `named` are those that calibration.json uses."""
    there = [*root.iterdir(), *(root / "meta").iterdir()]
    names = [path.relative_to(root).as_posix() for path in there if path.suffix.lower() in BESIDE]
    unread = sorted(name for name in names if name not in KNOWN_BESIDE | named)
    more = f" and {len(unread) - MOST_NAMED} more" if len(unread) > MOST_NAMED else ""
    return (
        [f"found beside the episodes and not read: {', '.join(unread[:MOST_NAMED])}{more}"] if unread else []
    )
