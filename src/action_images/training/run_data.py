"""A record of the data of a run, so that a resumed run notices what has changed in it."""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from hashlib import sha256
from itertools import chain
from pathlib import Path
from typing import Any

from accelerate import Accelerator
from typing_extensions import Self

from action_images.episodes.dataset import Dataset
from action_images.errors import ActionImagesError
from action_images.files.atomic import write_json
from action_images.files.checksum import checksum, checksum_of_ends
from action_images.samples.mixture import Mixture, Source
from action_images.samples.stored_frames import FileState
from action_images.training.checkpoint import Progress
from action_images.training.processes import gathered
from action_images.training.run_folder import BEST

DATA = "data.json"
"""The record in a run's folder."""
VERSION = 1
LARGE = 1 << 30
"""The bytes from which reading tables is announced."""

Say = Callable[[str], None]
Sum = Callable[[Path], str]


@dataclass(frozen=True)
class Content:
    """The episodes in use of a data set: a hash of their table entries, and their files by name.

    The checksum of a video is that of its ends, which hold the sizes of all its pictures.
    """

    entries: str
    files: Mapping[str, FileState]

    @property
    def digest(self) -> str:
        """A hash of the content alone: copies of a data set have the same."""
        files = [(name, state.num_bytes, state.sha256) for name, state in sorted(self.files.items())]
        return sha256(json.dumps([self.entries, files]).encode()).hexdigest()

    def changes(self, now: "Content") -> Iterator[str]:
        """What differs now: the table of episodes, or files by name."""
        if self.entries != now.entries:
            yield "meta (the episodes in use, their words or the places of their files)"
        for name in sorted({*self.files, *now.files}):
            before, after = self.files.get(name), now.files.get(name)
            if before is None or after is None or _content(before) != _content(after):
                yield name


@dataclass(frozen=True)
class RunData:
    """The content of the data sets that a run learns from, and of those that it is judged on, by path."""

    learnt: Mapping[str, Content]
    judged: Mapping[str, Content]

    @classmethod
    def of(
        cls, learnt: Mixture, judged: Iterable[Mixture], known: "RunData | None", say: Say | None = None
    ) -> Self:
        """The content now. Files whose size and time are those of `known` are not read again."""
        before = {} if known is None else {**known.learnt, **known.judged}
        return cls(
            _contents(learnt.sources, before, say),
            _contents(chain.from_iterable(mixture.sources for mixture in judged), before, say),
        )

    def changes(self, now: "RunData") -> list[str]:
        """What differs now in the data that the run learns from."""
        return _changes(self.learnt, now.learnt)

    def differences(self, other: "RunData") -> list[str]:
        """What differs in the data that is learnt from or judged on."""
        return _changes(self.learnt, other.learnt) + _changes(self.judged, other.judged)

    @property
    def digest(self) -> str:
        """A hash of all content."""
        return sha256(json.dumps([_digests(self.learnt), _digests(self.judged)]).encode()).hexdigest()

    def judged_digest(self, num_windows: int) -> str:
        """A hash of the validation: its data, and the number of windows."""
        return sha256(json.dumps([_digests(self.judged), num_windows]).encode()).hexdigest()

    def save(self, out: Path) -> None:
        """Write the record into a run's folder."""
        learnt = {path: _plain(one) for path, one in self.learnt.items()}
        judged = {path: _plain(one) for path, one in self.judged.items()}
        write_json(out / DATA, {"version": VERSION, "learnt": learnt, "judged": judged}, indent=None)

    @classmethod
    def load(cls, out: Path) -> Self | None:
        """The record in a run's folder; None if an earlier version made the run.

        Raises ActionImagesError, naming the file, for other contents.
        """
        path = out / DATA
        if not path.is_file():
            return None
        try:
            said = json.loads(path.read_text(encoding="utf-8"))
            if said["version"] != VERSION:
                raise ActionImagesError(f"version {said['version']}, this one knows {VERSION}")
            learnt = {path: _read(one) for path, one in said["learnt"].items()}
            judged = {path: _read(one) for path, one in said["judged"].items()}
            return cls(learnt, judged)
        except (ActionImagesError, AttributeError, KeyError, TypeError, ValueError) as error:
            raise ActionImagesError(
                f"{path}: is no record of a run's data that this version can read ({error}); delete it to go "
                "on without comparing the data's content"
            ) from error


def checked_data(
    out: Path, learnt: Mixture, judged: Iterable[Mixture], *, begun: bool, say: Say | None = None
) -> RunData:
    """The data of a run now; `begun`: its folder holds something made from the data.

    Raises ActionImagesError if the folder's record says that the run then began with other data.
    """
    before = RunData.load(out)
    now = RunData.of(learnt, judged, before, say)
    changed = before.changes(now) if begun and before is not None else []
    if changed:
        more = f" and {len(changed) - 1} more" if len(changed) > 1 else ""
        raise ActionImagesError(
            f"{out}: the data has changed since this run began: {changed[0]}{more}; restore it, or begin "
            "another run in another folder"
        )
    return now


def check_same_data(accelerator: Accelerator, data: RunData) -> None:
    """Raise ActionImagesError in all processes, naming one and a file, if they read different data.

    Machines may have copies of their own, which the same paths name.
    """
    if len(set(gathered(accelerator, data.digest))) == 1:
        return
    first, *others = gathered(accelerator, data)
    for number, other in enumerate(others, 1):
        if differing := first.differences(other):
            more = f" and {len(differing) - 1} more" if len(differing) > 1 else ""
            raise ActionImagesError(
                f"process {number} reads other data than process 0: {differing[0]}{more}; let all machines "
                "see one folder, or copy the data of one of them to the others"
            )


def judged_on(progress: Progress, digest: str | None, out: Path, say: Say) -> Progress:
    """The progress on this validation data: a best score on other data is dropped, and that is said."""
    if progress.best is not None and progress.judged_on not in (None, digest):
        say(
            f"{out}: the validation has changed, so its scores are not compared with earlier ones; the next "
            f"validation replaces {BEST}/, copy that folder to keep it"
        )
        progress = replace(progress, best=None)
    return replace(progress, judged_on=digest)


def _changes(before: Mapping[str, Content], now: Mapping[str, Content]) -> list[str]:
    """Paths of data sets of which there is one alone, and of files whose content differs."""
    found: list[str] = []
    for path in sorted({*before, *now}):
        one, other = before.get(path), now.get(path)
        if one is None or other is None:
            found.append(path)
        else:
            found += [f"{path}/{name}" for name in one.changes(other)]
    return found


def _digests(contents: Mapping[str, Content]) -> list[tuple[str, str]]:
    return [(path, content.digest) for path, content in sorted(contents.items())]


def _contents(sources: Iterable[Source], known: Mapping[str, Content], say: Say | None) -> dict[str, Content]:
    """The content of each data set, as far as sources use it."""
    datasets: dict[str, Dataset] = {}
    places: dict[str, set[int]] = {}
    views: dict[str, set[str]] = {}
    for source in sources:
        path = str(source.dataset.path)
        datasets[path] = source.dataset
        places.setdefault(path, set()).update(source.episodes)
        views.setdefault(path, set()).update(source.views)
    return {
        path: _content_of(dataset, sorted(places[path]), sorted(views[path]), known.get(path), say)
        for path, dataset in datasets.items()
    }


def _content_of(
    dataset: Dataset, places: list[int], views: list[str], known: Content | None, say: Say | None
) -> Content:
    entries, tables, videos = dataset.content(places, views)
    # Tables are read whole, videos at both ends.
    sums = [*((path, checksum) for path in tables), *((path, checksum_of_ends) for path in videos)]
    before = {} if known is None else known.files
    states: dict[str, FileState] = {}
    new: list[tuple[str, Path, Sum]] = []
    for path, sum_of in sums:
        if not path.is_file():
            raise ActionImagesError(f"{path}: is not there, and its data set needs it; restore the file")
        name = path.relative_to(dataset.path).as_posix()
        state = before.get(name)
        if state is not None and state.is_of(path):
            states[name] = state
        else:
            new.append((name, path, sum_of))
    num_bytes = sum(path.stat().st_size for _, path, sum_of in new if sum_of is checksum)
    if say is not None and num_bytes >= LARGE:
        say(f"{dataset.path}: reading {num_bytes / 1e9:.1f} GB of tables once, to notice later changes")
    states |= {name: FileState.of(path, sum_of) for name, path, sum_of in new}
    hashed = sha256(json.dumps(entries, sort_keys=True, default=str).encode()).hexdigest()
    return Content(hashed, states)


def _content(state: FileState) -> tuple[int, str]:
    return state.num_bytes, state.sha256


def _plain(content: Content) -> dict[str, Any]:
    files = {name: [state.num_bytes, state.mtime_ns, state.sha256] for name, state in content.files.items()}
    return {"entries": content.entries, "files": files}


def _read(said: Mapping[str, Any]) -> Content:
    files = {
        name: FileState(int(num_bytes), int(mtime_ns), str(sha))
        for name, (num_bytes, mtime_ns, sha) in said["files"].items()
    }
    return Content(str(said["entries"]), files)
