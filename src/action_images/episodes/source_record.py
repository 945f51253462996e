"""What an import remembers of its source, to see in a later run that the two still belong together."""

import os
from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from contextlib import suppress
from hashlib import sha256
from pathlib import Path
from typing import Any

from action_images.episodes.episode import EpisodeError
from action_images.episodes.lerobot_layout import read_json
from action_images.episodes.readers import Reader
from action_images.files.atomic import write_json

RECORD = "meta/import/source.json"
"""Sets that earlier versions began do not have it: their ids were made otherwise, and no hashes are known."""


def stored_ids(out: Path, reader: Reader, have: set[str]) -> dict[str, str]:
    """The source's episodes that are among those in `out`, `have`, each with its id there.

    That is a former one if an earlier version imported it. Raises EpisodeError if a former id may be that of
    several episodes of the source.
    """
    if not have or (out / RECORD).is_file():
        return {name: name for name in reader.ids if name in have}
    former: Mapping[str, str] = getattr(reader, "former_ids", {})
    sharing = Counter(former.get(name, name) for name in reader.ids)
    known = set(reader.ids)
    found = {}
    for name in reader.ids:
        once = former.get(name, name)
        numbered = {f"{once}_{number}" for number in range(2, sharing[once] + 1)} - known
        if sharing[once] > 1 and have & {once, *numbered}:
            told = f"holds an episode that an earlier version called {once!r}"
            several = f"{sharing[once]} of the source may be meant, such as {name!r}"
            raise EpisodeError(f"{out}: {told}; {several}: import into another folder")
        if name in have or once in have:
            found[name] = name if name in have else once
    return found


def keep_record(
    out: Path, source: Path, reader: Reader, *, stored: Collection[str], wanted: Iterable[str], empty: bool
) -> dict[str, str]:
    """Remember hashes of the files of every episode, of `stored` ones and of `wanted` ones: of those that
    calibrate it, and of its own.

    Returns the reasons, by episode, why stored ones are no longer those of the source. Raises EpisodeError if
    the calibration of a stored episode is not what it was when it was imported. Sets that earlier versions
    began are not compared. `empty`: the folder holds no episode yet.
    """
    path, hashes = out / RECORD, _Hashes(source.resolve(), reader)
    if not empty and not path.is_file():
        return {}
    record: dict[str, Any] = {"calibrations": [], "episodes": {}} if empty else read_json(path)
    known, prints = record.get("calibrations"), record.get("episodes", {})
    if not isinstance(known, list) or not isinstance(prints, dict):
        cure = "restore the file, or import elsewhere"
        raise EpisodeError(f"{path}: has no list 'calibrations' or no object 'episodes'; {cure}")
    for name, content in {name: hashes.of(name) for name in stored}.items():
        if content not in known:
            files = ", ".join(map(str, hashes.files(name))) or "its calibration file, now missing,"
            cure = "restore it, or import into another folder, so that all episodes have the same"
            raise EpisodeError(f"{out}: {files} was otherwise when {name!r} was imported; {cure}")
    changed = {name: _changed(prints.get(name), _fingerprint(reader, name)) for name in stored}
    wanted = list(wanted)
    everything = {*known, *(hashes.of(name) for name in wanted)}
    prints = prints | {name: _fingerprint(reader, name) for name in wanted}
    path.parent.mkdir(parents=True, exist_ok=True)
    write_json(path, {"calibrations": sorted(everything), "episodes": dict(sorted(prints.items()))})
    return {name: _reason(name, parts) for name, parts in changed.items() if parts}


def _reason(name: str, parts: list[str]) -> str:
    told = f"{', '.join(parts)}: changed since the episode was imported, and the former one is kept"
    return f"{name}: {told}; restore that, or import into another folder to have the new one"


def _fingerprint(reader: Reader, name: str) -> dict[str, str]:
    """Hashes of an episode's own files; none if the format has no such thing or they cannot be read."""
    fingerprint = getattr(reader, "fingerprint", None)
    with suppress(ValueError, OSError):  # reading the episode refuses it
        return {} if fingerprint is None else fingerprint(name)
    return {}


def _changed(before: object, now: Mapping[str, str]) -> list[str]:
    """The parts that were known by another hash; what is not known is not compared."""
    if not isinstance(before, dict):
        return []
    return [part for part, content in now.items() if before.get(part, content) != content]


class _Hashes:
    """Hashes of the files beside the recordings that calibrate an episode, by place and content."""

    def __init__(self, source: Path, reader: Reader):
        self._source, self._reader = source, reader
        self._known: dict[tuple[Path, ...], str] = {}

    def files(self, episode_id: str) -> tuple[Path, ...]:
        calibrated_by = getattr(self._reader, "calibrated_by", None)
        return () if calibrated_by is None else tuple(calibrated_by(episode_id))

    def of(self, episode_id: str) -> str:
        files = self.files(episode_id)
        if files not in self._known:
            self._known[files] = self._hash(files)
        return self._known[files]

    def _hash(self, files: tuple[Path, ...]) -> str:
        told = sha256()
        for file in files:
            place = os.path.relpath(file, self._source)
            told.update(os.fsencode(place) + b"\0" + _hash_of_content(file))
        return told.hexdigest()[:16]


def _hash_of_content(path: Path) -> bytes:
    """The hash of a file, or of a folder's files."""
    told = sha256()
    # Reading the episode refuses what is missing, unreadable, a pipe or a device.
    with suppress(OSError):
        for part in sorted(path.iterdir()) if path.is_dir() else [path]:
            if part.is_file():
                with part.open("rb") as file:
                    while piece := file.read(1 << 20):
                        told.update(piece)
    return told.digest()
