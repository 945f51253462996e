"""Find everything that is wrong with a data set in one pass."""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

import torch

from action_images.episodes.checks import exchanged
from action_images.episodes.checks.agreement import (
    check_rest,
    check_set,
    suspects,
    verification,
)
from action_images.episodes.checks.duplicates import find_duplicates
from action_images.episodes.checks.examine import examine
from action_images.episodes.checks.finding import DEADLY, Examined, Finding
from action_images.episodes.checks.paths import check_grippers
from action_images.episodes.checks.stored_statistics import check_statistics
from action_images.episodes.checks.tables import check_spans, check_tables
from action_images.episodes.dataset import Dataset
from action_images.episodes.episode import EpisodeError
from action_images.parallel.isolated import each_isolated

__all__ = ["DEADLY", "Examined", "Finding", "Verdict", "check_dataset", "examine", "open_possible", "summary"]


NUM_TRIED = 16
"""Number of episodes, spread over the set, in which other conventions are always tried."""


@dataclass(frozen=True)
class Look:
    """An episode to examine, and whether other conventions are tried in it."""

    index: int
    tried: bool


@dataclass
class Verdict:
    """The outcome of checking a data set."""

    num_episodes: int
    num_frames: int
    fps: float
    views: tuple[str, ...]
    findings: list[Finding]
    lacking: str = ""
    """How many episodes lack an instruction or a tool path, in one sentence; empty if none does."""
    verified: str = ""
    """What the pictures could and could not verify of cameras, times and tool, in one line."""

    @property
    def num_errors(self) -> int:
        """How many findings make an episode or the set unusable."""
        return sum(finding.level == "error" for finding in self.findings)

    @property
    def conclusion(self) -> str:
        """What was examined, and what the pictures could and could not verify, in one line."""
        whole = "" if self.findings else "No error was found in files and numbers. "
        return whole + self.lacking + self.verified


def check_dataset(
    path: Path,
    num_workers: int,
    seen: Callable[[int, int], None] | None = None,
    *,
    thorough: bool = False,
) -> Verdict:
    """Check every frame and number of a data set; raises EpisodeError if it cannot be opened at all.

    With worker processes (0: none), an episode whose files kill the process that reads them is one more
    finding. Other conventions are tried in `NUM_TRIED` episodes spread over the set and in those that fit
    worse than the others; `thorough` tries them in all.
    """
    impossible: list[Finding] = []

    def leave_out(row: str, reason: str) -> None:
        impossible.append(Finding("error", "damaged", "", f"{row}: {reason}"))

    dataset = _opened(path, num_workers, leave_out)
    tried = range(len(dataset)) if thorough else spread_over(len(dataset), NUM_TRIED)
    looks = [Look(index, tried=index in tried) for index in range(len(dataset))]
    examined = []
    for done, result in enumerate(_examined(dataset, looks, num_workers)):
        examined.append(result)
        if seen is not None:
            seen(done + 1, len(dataset))
    findings = list(chain.from_iterable(result.findings for result in examined))
    findings += impossible + check_tables(dataset) + check_grippers(examined)
    findings += [*find_duplicates(examined), *_agreement(dataset, examined, num_workers)]
    findings += [*check_spans(examined), *check_statistics(dataset)]
    num_frames = sum(result.num_frames for result in examined)
    shape = (len(dataset), num_frames, dataset.fps, dataset.view_names)
    return Verdict(*shape, findings, lacking(examined), verification(examined, dataset.view_names))


def lacking(examined: Sequence[Examined]) -> str:
    """How many episodes lack an instruction or a tool path, in one sentence."""
    words = sum(not result.has_words for result in examined)
    paths = sum(not result.has_path for result in examined)
    counts = [
        f"{count} have no {what}" for count, what in ((words, "instruction"), (paths, "tool path")) if count
    ]
    return f"Of {len(examined)} episodes, {' and '.join(counts)}. " if counts else ""


def spread_over(count: int, most: int) -> frozenset[int]:
    """At most `most` of `count` indices, evenly spread."""
    chosen = min(count, most)
    return frozenset(place * count // chosen for place in range(chosen))


def _agreement(dataset: Dataset, examined: list[Examined], num_workers: int) -> list[Finding]:
    """Findings on cameras, times and tool; single episodes are examined only if the whole set is right.

    Episodes that show one another's pictures are told apart first, and left out of the rest.
    """
    told = _exchanged(dataset, examined, num_workers)
    places = [place for place in range(len(examined)) if place not in told]
    others = [examined[place] for place in places]
    whole = check_set(others)
    closer = [] if whole else [Look(places[number], tried=True) for number in suspects(others)]
    for look, result in zip(closer, _examined(dataset, closer, num_workers), strict=True):
        examined[look.index].evidence = result.evidence
    return [*chain.from_iterable(told.values()), *(whole or check_rest(others))]


def _exchanged(dataset: Dataset, examined: list[Examined], num_workers: int) -> dict[int, list[Finding]]:
    """By the index of an episode, what tells that it shows the pictures of another."""
    pairs = exchanged.suspected(examined)
    if num_workers == 0 or not pairs:
        found = {pair: exchanged.measured(dataset, pair) for pair in pairs}
    else:
        jobs = each_isolated(_exchanged_in_worker, pairs, num_workers, _begin, (dataset.path,))
        found = {pair: changes for pair, changes in jobs if changes is not None}
    return exchanged.judge(examined, found)


def summary(verdict: Verdict) -> dict[str, int]:
    """How often each kind of finding occurs, errors first."""
    counts = Counter((finding.level, finding.kind) for finding in verdict.findings)
    return {f"{level}: {kind}": count for (level, kind), count in sorted(counts.items())}


def open_possible(path: Path) -> Dataset:
    """The set without the rows that cannot be episodes, which `check_dataset` reports."""
    return Dataset(path, _told_already)


def _told_already(row: str, reason: str) -> None:
    pass


def _examined(dataset: Dataset, looks: Sequence[Look], num_workers: int) -> Iterator[Examined]:
    if num_workers == 0 or not looks:
        yield from (examine(dataset, look.index, tried=look.tried) for look in looks)
        return
    for look, result in each_isolated(_examine_in_worker, looks, num_workers, _begin, (dataset.path,)):
        yield _deadly(dataset, look.index) if result is None else result


def _opened(path: Path, num_workers: int, leave_out: Callable[[str, str], None]) -> Dataset:
    """The data set, opened only after another process has survived opening it."""
    if num_workers:
        ((_, survived),) = each_isolated(_survives, [path], 1, torch.set_num_threads, (1,))
        if not survived:
            cause = "the process that opened it died; a file in its folder meta is damaged, restore it"
            raise EpisodeError(f"{path}: {cause}")
    return Dataset(path, leave_out)


def _survives(path: Path) -> bool:
    with suppress(EpisodeError):  # raised again when the set is opened here
        open_possible(path)
    return True


def _deadly(dataset: Dataset, index: int) -> Examined:
    result = Examined(dataset.ids[index], dataset.length(index))
    cause = "its files are damaged or need more memory than there is"
    result.say("error", DEADLY, f"the process that decoded it died; {cause}")
    return result


_dataset: Dataset | None = None


def _begin(path: Path) -> None:
    """Open the data set once for each worker process."""
    global _dataset
    torch.set_num_threads(1)
    _dataset = open_possible(path)


def _examine_in_worker(look: Look) -> Examined:
    assert _dataset is not None
    return examine(_dataset, look.index, tried=look.tried)


def _exchanged_in_worker(pair: exchanged.Pair) -> exchanged.Exchanged:
    assert _dataset is not None
    return exchanged.measured(_dataset, pair)
