"""Find an episode's pictures in a video file by the file's own times."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from action_images.episodes.episode import EpisodeError, Frames, FramesSelected
from action_images.episodes.video import VideoFrames

MOST_RATE_ERROR = 0.01
"""A video whose rate differs from its data set's by more than this fraction has another rate."""
EVEN = 0.25
"""Pictures are evenly spaced if none deviates from a line by more than this fraction of a period."""
MOST_DRIFT = 0.02
"""Pictures that lie farther from even times than this fraction of the file have no even rate."""
ROUNDING = 1e-3
"""Times in tables and files are rounded; differences up to this fraction of a frame are ignored."""


@dataclass(frozen=True)
class Claim:
    """The episode table's claim on an episode's pictures: `length` of them from `start` (s) in a file.

    `stop` (s) is where they end by the table, None if it does not say.
    """

    episode_id: str
    start: float
    length: int
    stop: float | None = None


def pictures_of(
    video: VideoFrames,
    claims: Sequence[Claim],
    which: int,
    times: np.ndarray,
    fps: float,
    *,
    is_timed: bool = False,
) -> Frames:
    """The pictures of claim number `which`, one for each of its rows; the rows' `times` (s) count from its
    start.

    `claims` are those of all episodes that name this file. A row's picture is the one that the file shows
    at the row's time. Raises EpisodeError if there is none within half a frame, and if the table's claims
    contradict each other or the file. A file of one episode with as many evenly spaced pictures as rows is
    taken row by row. Its header may name another rate (DROID's say 60 for 15). With `is_timed`, times alone
    decide, and the file may run at any rate and beyond the rows.
    """
    claim = claims[which]
    if len(claims) == 1 and not is_timed and _is_whole(video, claim, fps):
        return video
    if not is_timed:
        _check_others(video, claims, claim, fps)
        _check_file(video, claims, claim, fps)
    found = _shown_at(video, claim, claim.start + times, fps)
    steps = np.diff(found)
    if (steps == 1).all():
        return FramesSelected(video, range(int(found[0]), int(found[-1]) + 1))
    return FramesSelected(video, tuple(found.tolist()))


def told_of_file(
    video: VideoFrames, claims: Sequence[Claim], which: int, fps: float, *, left_out: int = 0
) -> str | None:
    """A remark on a file that claim number `which` is taken from; None if there is none.

    Its rate may differ although it has a picture for each row, it may go on after the last row, and the table
    may give the episode more or fewer seconds than it has rows. `left_out` frames of the claim have no rows.
    """
    told = (_on_pictures(video, claims, which, fps, left_out), _on_stop(claims[which], fps, left_out))
    return "; ".join(filter(None, told)) or None


def _on_stop(claim: Claim, fps: float, left_out: int) -> str | None:
    """A remark on a claim that ends elsewhere than its rows do; None if it does not."""
    if claim.stop is None:
        return None
    seconds, needed = claim.stop - claim.start, (claim.length + left_out) / fps
    if abs(seconds - needed) <= (0.5 + ROUNDING) / fps:
        return None
    given = f"meta/episodes gives it {seconds:.3f} s of the video (from_timestamp, to_timestamp)"
    return f"{given}, its rows need {needed:.3f} s; were rows lost, or pictures?"


def _on_pictures(
    video: VideoFrames, claims: Sequence[Claim], which: int, fps: float, left_out: int
) -> str | None:
    """A remark on a file's rate, or on pictures that belong to no row; None if there is none."""
    claim = claims[which]
    if len(claims) == 1 and _is_whole(video, claim, fps):
        rate = _rate(video.times, fps)
        told = f"its video runs at {rate:.3g} frames/s, the data set at {fps:g}"
        is_other = abs(rate - fps) > MOST_RATE_ERROR * fps
        return f"{told}; picture i belongs to row i, and the set's rate is taken" if is_other else None
    half = 0.5 / fps
    before = max((_end(other, fps) for other in claims if other.start < claim.start), default=-np.inf)
    after = min((other.start for other in claims if other.start > claim.start), default=np.inf)
    stop = claim.start + (claim.length + left_out) / fps
    unused = {
        "goes on for {} frames after the last row": _count(video.times, stop - half, after - half),
        "shows {} frames before the first row that belong to no episode": (
            _count(video.times, -np.inf, claim.start - half) if before == -np.inf else 0
        ),
    }
    told = " and ".join(words.format(count) for words, count in unused.items() if count)
    return (
        f"its video {told}; were rows lost, or do pictures and rows begin at different times?"
        if told
        else None
    )


def _end(claim: Claim, fps: float) -> float:
    return claim.start + claim.length / fps


def _count(times: np.ndarray, start: float, stop: float) -> int:
    """The number of pictures from `start` until before `stop` (s)."""
    return int(np.count_nonzero((times > start) & (times < stop)))


def in_even_times(name: str, video: VideoFrames) -> str | None:
    """A remark on pictures that are more than half a frame off even times; None if there is none.

    Raises EpisodeError if pictures are missing, because two neighbours are more than one and a half periods
    apart, and if the rate changes within the file.
    """
    times = video.times
    steps = np.diff(times)
    period = float(np.median(steps)) if len(steps) else 1.0
    gaps = np.flatnonzero(steps > 1.5 * period)
    if len(gaps):
        place = int(gaps[0])
        gap, usual = f"{1e3 * steps[place]:.0f} ms", f"{1e3 * period:.0f} ms"
        told = f"{gap} between pictures {place} and {place + 1}, {usual} elsewhere"
        raise EpisodeError(
            f"{name}: {video.path} has gaps ({told}), so row i is not picture i; give poses.csv a "
            "column 'time', "
            "cut the recording there, or record it again"
        )
    return _uneven(name, video)


def _uneven(name: str, video: VideoFrames) -> str | None:
    """The remark of `in_even_times`; raises EpisodeError if the pictures' rate changes."""
    times = video.times
    steps = np.diff(times)
    mean = float(steps.mean()) if len(steps) else 1.0
    drift = (times - times[0]) / mean - np.arange(len(times))
    most = float(drift.max() - drift.min()) / 2
    is_short = bool((steps < 0.5 * mean).any())
    if not is_short and most <= 0.5:
        return None
    told = f"{1e3 * steps.min():.0f} to {1e3 * steps.max():.0f} ms between pictures"
    if is_short or most > max(0.5, MOST_DRIFT * len(times)):
        cure = "give poses.csv a column 'time', or encode the video at an even rate and give poses for that"
        raise EpisodeError(f"{name}: {video.path} has no even rate ({told}); {cure}")
    off = f"view '{video.path.stem}': its pictures are up to {most:.1f} frames off an even rate"
    return f"{off} ({told}); they are taken as even"


def _is_whole(video: VideoFrames, claim: Claim, fps: float) -> bool:
    """Whether the file is this episode, picture by row: as many, evenly spaced, both from 0 on."""
    times = video.times
    begins = abs(claim.start) < 0.5 / fps and abs(times[0]) < 0.5 / max(fps, _rate(times, fps))
    return bool(len(times) == claim.length and begins and _are_even(times))


def _rate(times: np.ndarray, default: float) -> float:
    """Pictures per second, by their median distance."""
    return 1 / float(np.median(np.diff(times))) if len(times) > 1 else default


def _rate_near(times: np.ndarray, fps: float) -> float:
    """Pictures per second: `fps` if it fills the file's duration to a frame, else by their median distance.

    Lost pictures spoil the mean distance, jittering times the median.
    """
    fills = abs(times[-1] - times[0] - (len(times) - 1) / fps) < 1 / fps
    return fps if fills else _rate(times, fps)


def _are_even(times: np.ndarray) -> bool:
    line = np.linspace(times[0], times[-1], len(times))
    period = (times[-1] - times[0]) / max(1, len(times) - 1)
    return bool((np.abs(times - line) <= EVEN * period).all())


def _check_others(video: VideoFrames, claims: Sequence[Claim], claim: Claim, fps: float) -> None:
    """Raise EpisodeError if another episode claims the same seconds of the file."""
    stop = claim.start + claim.length / fps
    for other in claims:
        if other is claim:
            continue
        shared = min(stop, other.start + other.length / fps) - max(claim.start, other.start)
        if shared > 0.5 / fps:
            where = f"{max(claim.start, other.start):.3f} s on"
            raise EpisodeError(
                f"{claim.episode_id}: meta/episodes gives it pictures that it also gives to "
                f"{other.episode_id} "
                f"({video.path} from {where}); merge or write the data set again with LeRobot's own tool"
            )


def _check_file(video: VideoFrames, claims: Sequence[Claim], claim: Claim, fps: float) -> None:
    """Raise EpisodeError if the file as a whole contradicts the table."""
    times, needed = video.times, sum(other.length for other in claims)
    rate = _rate_near(times, fps)
    begin = min(other.start for other in claims)
    if times[0] - begin > 0.5 / fps and len(times) >= needed:
        late = f"shows its first picture at {times[0]:.3f} s, the first episode in it begins at {begin:.3f} s"
        cure = "encode it again so that it begins at 0"
        raise EpisodeError(f"{claim.episode_id}: {video.path} {late}; {cure}")
    ends = float(times[-1]) + 1 / rate
    last = max(other.start + other.length / fps for other in claims)
    is_other_rate = abs(rate - fps) > MOST_RATE_ERROR * fps
    is_short = ends < last - 0.5 / fps
    if is_other_rate and (rate < fps or is_short):
        raise EpisodeError(
            f"{claim.episode_id}: {video.path} runs at {rate:g} frames/s, the data set at {fps:g}, "
            "so where the episode begins in it is not known; encode it again"
        )
    if not is_short or not _are_even(times) or is_other_rate:
        return
    missing = needed - len(times)
    if len(claims) == 1 and missing == 1:
        raise EpisodeError(
            f"{claim.episode_id}: {video.path} has {len(times)} pictures for {needed} rows, and their "
            "even times do "
            "not tell which row has none; drop the episode, or drop the row that has no picture and "
            "import again"
        )
    if len(claims) > 1 and missing > 0:
        raise EpisodeError(
            f"{claim.episode_id}: {video.path} has {len(times)} pictures for the {needed} rows of its "
            "episodes, and "
            "their even times do not tell which are missing; write the data set again"
        )


def _shown_at(video: VideoFrames, claim: Claim, wanted: np.ndarray, fps: float) -> np.ndarray:
    """The index of the picture nearest to each time.

    Raises EpisodeError if one is farther than half a frame away.
    """
    times = video.times
    after = np.searchsorted(times, wanted).clip(1, max(1, len(times) - 1)) if len(times) > 1 else 0
    before = np.maximum(after - 1, 0)
    after = np.minimum(after, len(times) - 1)
    is_before_nearer = wanted - times[before] <= times[after] - wanted
    found = np.where(is_before_nearer, before, after)
    gaps = np.abs(times[found] - wanted)
    missing = np.flatnonzero(gaps > (0.5 + ROUNDING) / fps)
    if len(missing):
        raise EpisodeError(_gap(video, claim, wanted, gaps, missing, fps))
    return found


def _gap(
    video: VideoFrames, claim: Claim, wanted: np.ndarray, gaps: np.ndarray, missing: np.ndarray, fps: float
) -> str:
    times, first = video.times, int(missing[0])
    if wanted[-1] > times[-1] + 0.5 / fps and wanted[first] > times[-1]:
        have = f"{video.path} has {len(times)} frames and ends at {times[-1]:.3f} s"
        needed = f"the episode's rows need pictures from {wanted[0]:.3f} to {wanted[-1]:.3f} s"
        cure = "restore the file, or correct the rows' times if they begin too late"
        return f"{claim.episode_id}: {have}, {needed}; {cure}"
    rate = _rate(times, fps)
    if rate < (1 - MOST_RATE_ERROR) * fps:
        runs = f"{video.path} runs at {rate:.3g} frames/s, the rows at {fps:g} a second"
        return f"{claim.episode_id}: {runs}; keep about {rate:.3g} rows a second"
    if wanted[first] < times[0]:
        begins = f"{video.path} shows its first picture at {times[0]:.3f} s"
        begins += f", the episode begins at {wanted[0]:.3f} s"
        return f"{claim.episode_id}: {begins}; encode it again so that it begins at 0"
    moment = f"at {wanted[first]:.3f} s (frame {first}), the nearest is {1e3 * gaps[first]:.0f} ms away"
    return (
        f"{claim.episode_id}: {video.path} shows no picture {moment}; {len(missing)} of {claim.length} "
        "frames were "
        "never recorded: drop the episode, or record it again"
    )
