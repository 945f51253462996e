"""RLDS data sets (DROID, Open X-Embodiment) as TensorFlow Datasets stores them: TFRecord files of episodes.

A record is an episode, `steps/...` its frames: pictures as jpg or png, and concatenated numbers. The format
has neither an episode's frame rate nor the meaning of its numbers. Rates of some sets are known by their
names; poses are read if DROID's own names are found (x y z in m, Euler xyz in rad, gripper 0 open).
"""

import re
from collections.abc import Iterator, Sequence
from itertools import chain
from pathlib import Path

import numpy as np
import torch

from action_images.episodes.episode import Episode, EpisodeError, View
from action_images.episodes.fingerprint import of_text
from action_images.episodes.pictures import Pictures, has_colour
from action_images.episodes.readers import EVERYTHING, Wanted
from action_images.episodes.readers.droid import trajectory_of
from action_images.episodes.readers.folders import cleaned, natural, safe_part, same_length, told_links
from action_images.episodes.readers.tfrecord import Record, Values, checksum_of, read_example, records_of
from action_images.episodes.strangers import check_inside
from action_images.episodes.words import says_nothing
from action_images.geometry import Trajectory

RATES = {"droid": 15.0, "r2d2": 15.0, "bridge": 5.0, "fractal20220817": 3.0}
"""Frames per second of sets by prefix of their files' names."""
DROIDS = ("droid", "r2d2")
PICTURES = (b"\xff\xd8\xff", b"\x89PNG")
STEPS, OBSERVATION = "steps/", "steps/observation/"
LEAST_PICTURE = 512
"""Least size in bytes of a picture stored without a format; texts are shorter."""
FAILURE = "/failure/"
PLACES = ("episode_metadata/file_path", "episode_metadata/recording_folderpath")
"""Features in which DROID names an episode's recording."""
WORDS = (
    "steps/language_instruction",
    "steps/language_instruction_2",
    "steps/language_instruction_3",
    "steps/observation/natural_language_instruction",
    "steps/observation/language_instruction",
)
UNREADABLE = "\N{REPLACEMENT CHARACTER}"
"""What bytes that are no UTF-8 are decoded to."""
REWORDED = re.compile(r"_[23]$")
FIRST, LAST, TERMINAL = "steps/is_first", "steps/is_last", "steps/is_terminal"
POSE, GRIPPER = "steps/observation/cartesian_position", "steps/observation/gripper_position"
SHARD = re.compile(r"^(?P<name>.+)\.tfrecord(?:-(?P<shard>\d+)-of-(?P<count>\d+))?$")


class Rlds:
    """A folder with TFRecord files of episodes."""

    def __init__(self, root: Path, wanted: Wanted = EVERYTHING):
        self._wanted = wanted
        self._records: dict[str, Record | str] = {}
        paths = sorted(root.glob("**/*.tfrecord*"), key=lambda path: natural(str(path)))
        self.remarks = [*_missing_files(paths), *told_links(root)]
        _check_writings(paths)
        prefixes = _prefixes(root, paths)
        self.former_ids: dict[str, str] = {}
        """Ids that earlier versions made otherwise, each with the former one."""
        for path, (prefix, former) in prefixes.items():
            found = _numbered(root, path, prefix)
            self._records |= found
            if former != prefix:
                self.former_ids |= {name: former + name.removeprefix(prefix) for name in found}

    @classmethod
    def recognises(cls, root: Path) -> bool:
        """Whether there are TFRecord files beside a features.json somewhere below."""
        return any(next(path.parent.glob("*.tfrecord*"), None) for path in root.glob("**/features.json"))

    @property
    def ids(self) -> list[str]:
        """<folders>/<file's name>-<shard>/<record>"""
        return list(self._records)

    def fingerprint(self, episode_id: str) -> dict[str, str]:
        """A hash of an episode's record: of its length, and of the checksum that its file has of it."""
        record = self._records[episode_id]
        return {"record": of_text(record if isinstance(record, str) else checksum_of(record))}

    def read(self, episode_id: str) -> Episode:
        """One episode; cameras are not calibrated."""
        record = self._records.get(episode_id, f"there is no episode {episode_id[:80]!r}")
        if isinstance(record, str):
            raise EpisodeError(record)
        fps = self._wanted.fps or _rate(record.path)
        features = read_example(record)
        cut = _check_one_episode(episode_id, features)
        pictures = {name: values for name, values in features.items() if _are_pictures(name, values)}
        why_not = _why_left_out(features, pictures)
        keys = _by_view(episode_id, [name for name in pictures if name not in why_not])
        names = self._wanted.of(episode_id, sorted(keys))
        views = tuple(View(name, Pictures(tuple(pictures[keys[name]])), None) for name in names)
        num_frames = same_length(episode_id, {view.name: len(view.frames) for view in views})
        path = _path(features, num_frames)
        notes = [*cut, *(f"feature '{name}': {why}; it is left out" for name, why in why_not.items())]
        notes += [*_other_words(features), *_on_failure(features), *_on_path(record, features, num_frames)]
        return Episode(episode_id, _words(episode_id, features), fps, views, path, notes=tuple(notes))


def _why_left_out(features: dict[str, Values], pictures: dict[str, Values]) -> dict[str, str]:
    """The features that are no views although they are pictures, or are called so, each with the reason."""
    why_not = {name: why for name in pictures if (why := _why_no_view(name, pictures[name])) is not None}
    raw = [name for name, values in features.items() if _are_raw(name, values)]
    empty = [name for name, values in features.items() if _are_empty(name, values)]
    why_not |= dict.fromkeys(raw, "it holds no png or jpg")
    return why_not | dict.fromkeys(empty, "none of its steps has a picture")


def _on_failure(features: dict[str, Values]) -> Iterator[str]:
    places = chain.from_iterable(_texts(features.get(name)) for name in PLACES)
    if any(FAILURE in text for text in places):
        yield "its recording lies in a folder of failures: the robot did not do what it was asked"


def _on_path(record: Record, features: dict[str, Values], num_frames: int) -> Iterator[str]:
    """A remark on a missing tool path, or on the notation that is taken for it."""
    if _path(features, num_frames) is None:
        yield f"{_why_no_path(features, num_frames)}, so it has no tool path"
    elif not record.path.name.startswith(DROIDS):
        units = "x y z in m, Euler xyz in rad, 0 open"
        yield f"'{POSE}' and '{GRIPPER}' are read as DROID's: {units}"


def _check_one_episode(episode_id: str, features: dict[str, Values]) -> list[str]:
    """Raise EpisodeError if a record holds several episodes, or steps behind its last one.

    Returns remarks on a record that has no first or last step, or ends before its last one.
    """
    flags = (np.asarray(features.get(name, ()), float).ravel() for name in (FIRST, LAST, TERMINAL))
    first, last, terminal = flags
    begins, ends = np.flatnonzero(first[1:]), np.flatnonzero(last[:-1])
    if len(begins):
        told = f"'{FIRST}' is set at step {begins[0] + 1} as well"
        raise EpisodeError(f"{episode_id}: {told}, so it is several episodes; write them apart")
    if len(ends):
        told = f"'{LAST}' is set at step {ends[0]}, and {len(last) - 1 - ends[0]} steps follow"
        raise EpisodeError(f"{episode_id}: {told}; write what follows apart, or leave it out")
    told = "no step is marked as its {}; was the record cut?"
    marks = {"first": first[:1], "last": last[-1:]}
    remarks = [told.format(name) for name, mark in marks.items() if len(mark) and not mark[0]]
    if terminal[:-1].any():
        told = f"'{TERMINAL}' is set before the last step"
        remarks.append(f"{told}; does its record go on after the end, or hold several episodes?")
    return remarks


def _by_view(episode_id: str, names: Sequence[str]) -> dict[str, str]:
    """Features by view names: the last part of a feature's name, or all of it if two agree.

    Raises EpisodeError if two still agree.
    """
    short = [name.rpartition("/")[2] for name in names]
    whole = [cleaned(name.removeprefix(OBSERVATION).replace("/", "_")) for name in names]
    called = [one if short.count(one) == 1 else other for one, other in zip(short, whole, strict=True)]
    keys: dict[str, str] = {}
    for view, name in zip(called, names, strict=True):
        if view in keys:
            both = f"features '{keys[view]}' and '{name}'"
            raise EpisodeError(f"{episode_id}: {both} are both the view '{view}'; write one by another name")
        keys[view] = name
    return keys


def _prefixes(root: Path, paths: list[Path]) -> dict[Path, tuple[str, str]]:
    """Each file of records with the begin of its episodes' ids, and with that of earlier versions.

    Raises EpisodeError if two files have the same.
    """
    found: dict[Path, tuple[str, str]] = {}
    owners: dict[str, Path] = {}
    for path in paths:
        match = SHARD.match(path.name)
        if match is None:
            continue
        name = match["name"] if match["shard"] is None else f"{match['name']}-{match['shard']}"
        parts = [*path.relative_to(root).parts[:-1], name]
        prefix = "/".join(safe_part(part) for part in parts)
        if prefix in owners:
            both = f"{owners[prefix]} and {path}"
            raise EpisodeError(f"{both} would give their episodes the same ids; rename or remove one of them")
        owners[prefix] = path
        found[path] = prefix, "/".join(cleaned(part) for part in parts)
    return found


def _check_writings(paths: list[Path]) -> None:
    """Raise EpisodeError if a set lies there twice, written into different numbers of files."""
    first: dict[tuple[Path, str], Path] = {}
    for path in paths:
        match = SHARD.match(path.name)
        if match is None:
            continue
        other = first.setdefault((path.parent, match["name"]), path)
        counts = [_count(one) for one in (other, path)]
        if counts[0] != counts[1]:
            told = f"'{match['name']}' is there twice: {other.name} and {path.name} are of two writings"
            raise EpisodeError(f"{path.parent}: {told}; remove the files of one of them")


def _count(path: Path) -> int | None:
    """The number of files that a file of records is one of, as its name says; None if it has no number."""
    match = SHARD.match(path.name)
    return int(match["count"]) if match is not None and match["count"] is not None else None


def _numbered(root: Path, path: Path, prefix: str) -> dict[str, Record | str]:
    """The records of a file by episode id; a damaged file gives one id with the reason."""
    try:
        check_inside(root, path)
        records = records_of(path)
    except EpisodeError as error:
        return {prefix: str(error)}
    return {f"{prefix}/{number:04d}": record for number, record in enumerate(records)}


def _missing_files(paths: list[Path]) -> Iterator[str]:
    """Sets with missing files, judged by the names of the others."""
    there: dict[tuple[Path, str, int], int] = {}
    for path in paths:
        match = SHARD.match(path.name)
        if match is not None and match["count"] is not None:
            key = path.parent, match["name"], int(match["count"])
            there[key] = there.get(key, 0) + 1
    for (_, name, count), found in there.items():
        if found < count:
            yield f"{found} of {count} files of '{name}' are here; the episodes of the others are not read"


def _rate(path: Path) -> float:
    for name, rate in RATES.items():
        if path.name.startswith(name):
            return rate
    raise EpisodeError(
        f"{path}: RLDS does not say how fast its episodes run; give the frames a second with --fps"
    )


def _are_pictures(name: str, values: Values) -> bool:
    return (
        name.startswith(STEPS)
        and isinstance(values, list)
        and any(value.startswith(PICTURES) for value in values)
    )


def _why_no_view(name: str, values: Values) -> str | None:
    if "depth" in name:
        return "it is a depth map"
    if not all(values):
        return "some of its steps have no picture"
    return None if has_colour(values[0]) else "it has one channel"


def _are_raw(name: str, values: Values) -> bool:
    """Whether a feature holds long bytes that are neither pictures nor texts: pictures without a format."""
    is_bytes = name.startswith(OBSERVATION) and isinstance(values, list) and bool(values)
    return is_bytes and len(values[0]) >= LEAST_PICTURE and not _are_pictures(name, values)


def _are_empty(name: str, values: Values) -> bool:
    """Whether a feature that is called an image holds nothing at all."""
    is_image = name.startswith(OBSERVATION) and "image" in name.rpartition("/")[2]
    return is_image and isinstance(values, list) and bool(values) and not any(values)


def _path(features: dict[str, Values], num_frames: int) -> Trajectory | None:
    """The tool's path if DROID's names and numbers are found, else None."""
    pose, gripper = features.get(POSE), features.get(GRIPPER)
    if pose is None or gripper is None or (len(pose), len(gripper)) != (6 * num_frames, num_frames):
        return None
    numbers = torch.tensor(pose).float().reshape(num_frames, 6)
    return trajectory_of(numbers, torch.tensor(gripper).float())


def _why_no_path(features: dict[str, Values], num_frames: int) -> str:
    pose, gripper = features.get(POSE), features.get(GRIPPER)
    if pose is None and gripper is None:
        return "what its numbers mean is not written down"
    if pose is None or gripper is None:
        there, missing = (POSE, GRIPPER) if gripper is None else (GRIPPER, POSE)
        return f"it has '{there}' and no '{missing}'"
    has = f"{len(pose)} numbers in '{POSE}' and {len(gripper)} in '{GRIPPER}'"
    return f"it has {has}, {num_frames} frames need {6 * num_frames} and {num_frames}"


def _words(episode_id: str, features: dict[str, Values]) -> str | None:
    """The first instruction with words; raises EpisodeError if it is no text or changes on the way."""
    for name in WORDS:
        values = features.get(name)
        texts = _texts(values)
        if any(UNREADABLE in text for text in texts):
            raise EpisodeError(f"{episode_id}: '{name}' is no text in UTF-8; write it so")
        if len(set(texts)) > 1:
            changes = next(step for step, text in enumerate(texts) if text != texts[0])
            raise EpisodeError(f"{episode_id}: '{name}' changes at step {changes}; cut the episode there")
        if texts and texts[0] and not says_nothing(texts[0]):
            return texts[0]
    return None


def _other_words(features: dict[str, Values]) -> Iterator[str]:
    """Remarks on features that say something else than the first one with text.

    DROID's `language_instruction_2` and `_3` are rewordings.
    """
    firsts = {name: _texts(features.get(name))[:1] for name in WORDS if not REWORDED.search(name)}
    texts = {name: found[0] for name, found in firsts.items() if found}
    said = {name: text for name, text in texts.items() if text and not says_nothing(text)}
    taken, *others = said or [""]
    for name in others:
        if said[name].casefold() != said[taken].casefold():
            yield f"feature '{name}' holds other words than '{taken}', whose are taken"


def _texts(values: Values | None) -> list[str]:
    if not isinstance(values, list):
        return []
    return [value.decode("utf-8", "replace").strip() for value in values]
