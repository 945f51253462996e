"""What generated clips are worth: videos and paths against what was recorded."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial

import torch
from jaxtyping import Float
from torch import Tensor

from action_images.codec import ActionImageFormat
from action_images.evaluation.statistics import bootstrap_interval
from action_images.evaluation.tracks import Tracks, average_jaccard, jaccard, lucas_kanade, track_error_px
from action_images.evaluation.video_metrics import psnr, ssim
from action_images.geometry import Trajectory
from action_images.samples.sample import Sample

JACCARD_AT_PX = 4
LOST_MM, LOST_DEG = 1000.0, 180.0
"""What a pose counts as that could not be read: far off, never left out."""
APART_MM = 40.0
"""How far what was shown and what was told must lie from each other before a label is asked which of both it
follows."""
Extra = Callable[[Tensor, Tensor], Tensor]
"""A further measure of images (..., 3 h w): real, made -> (...)."""


@dataclass(frozen=True)
class Answer:
    """What a mode made of one window: videos (view frame 3 h w) in [0, 1], a path (frame), tracks by view.

    None: not asked.

    `told` is the path (frame) that the text alone asks for, where the text contradicts what was shown.
    """

    video: Tensor | None = None
    trajectory: Trajectory | None = None
    tracks: tuple[Tracks, ...] | None = None
    told: Trajectory | None = None


Answerer = Callable[[Sample], Answer]
"""A recorded window (not batched) -> the answer.

The mode shows its model what the mode gives, and no more.
"""


@dataclass(frozen=True)
class Measures:
    """Of one window: figures by name, each (frame) or (view frame), NaN for a frame that was given."""

    figures: dict[str, Tensor]
    grip: Float[Tensor, "3"] | None = None
    """How many frames' grippers are rightly closed, wrongly closed, wrongly open."""


@dataclass(frozen=True)
class Row:
    """A figure of a mode over a view and a frame ('all', or one), with its 95 % interval over windows."""

    mode: str
    figure: str
    view: str
    frame: str
    value: float
    low: float
    high: float
    num_windows: int


def judge(
    windows: Iterable[Sample], modes: Mapping[str, Answerer], extra: Mapping[str, Extra] | None = None
) -> dict[str, list[Measures]]:
    """Every mode on every window; by mode, the measures of each window in order."""
    measured: dict[str, list[Measures]] = {name: [] for name in modes}
    for window in windows:
        for name, mode in modes.items():
            measured[name].append(measure(window, mode(window), extra or {}))
    return measured


def kept(mode: Answerer, videos: list[tuple[Tensor, Tensor]]) -> Answerer:
    """The same mode, which keeps each view's real and made video (frame 3 h w), to compare whole sets."""

    def answered(window: Sample) -> Answer:
        answer = mode(window)
        if answer.video is not None:
            pairs = zip(window.video.add(1).div(2), answer.video, strict=True)
            videos.extend(
                (real, made) for real, made in pairs if made.isfinite().all()
            )  # what was shown whole is no achievement
        return answer

    return answered


def set_row(
    mode: str,
    figure: str,
    distance: Callable[[Tensor, Tensor], float],
    videos: Sequence[tuple[Tensor, Tensor]],
) -> Row:
    """A distance of two sets of videos.

    It has no interval: drawing videos twice would make the sets look more alike than they are.
    """
    real, made = (torch.stack(part) for part in zip(*videos, strict=True))
    return Row(mode, figure, "all", "all", distance(real, made), float("nan"), float("nan"), len(videos))


def measure(truth: Sample, answer: Answer, extra: Mapping[str, Extra] | None = None) -> Measures:
    """One answer against what was recorded. Frame 0 is given in most modes and left out in all."""
    figures: dict[str, Tensor] = {}
    grip = None
    if answer.video is not None:
        real = truth.video.add(1).div(2)
        for name, figure in {"psnr dB": psnr, "ssim": ssim, **(extra or {})}.items():
            figures[name] = figure(real, answer.video)
    if answer.trajectory is not None:
        path = truth.trajectory
        assert path is not None
        metres, radians = answer.trajectory.world_from_tool.distance(path.world_from_tool)
        figures["path mm"] = (1e3 * metres).nan_to_num(LOST_MM)
        figures["path deg"] = radians.rad2deg().nan_to_num(LOST_DEG)
        real_closed, closed = path.opening[1:] <= 0.5, answer.trajectory.opening[1:] <= 0.5
        if answer.told is not None:
            figures["with video %"] = _with_video(path, answer.trajectory, answer.told)
        grip = torch.stack(
            [(real_closed & closed).sum(), (~real_closed & closed).sum(), (real_closed & ~closed).sum()]
        ).float()
    tracks = answer.tracks
    if tracks is None and answer.trajectory is not None:
        tracks = projected(truth, answer.trajectory)
    if tracks is not None:
        figures |= _track_figures(projected(truth), tracks)
    return Measures({name: _without_first(values) for name, values in figures.items()}, grip)


def _with_video(shown: Trajectory, found: Trajectory, told: Trajectory) -> Float[Tensor, "frame"]:
    """100 where a position is nearer to what was shown than to what was told, else 0.

    NaN where those two are together or unknown.
    """
    shown_at, found_at, told_at = (path.world_from_tool.translation for path in (shown, found, told))
    nearer = (found_at - shown_at).norm(dim=-1) < (found_at - told_at).norm(
        dim=-1
    )  # false for what could not be read
    apart = (shown_at - told_at).norm(dim=-1) >= APART_MM / 1e3
    return torch.where(apart, 100.0 * nearer, torch.nan)


def projected(window: Sample, path: Trajectory | None = None) -> tuple[Tracks, ...]:
    """The path's three points in each view as tracks; the window's own path if none is given.

    A point counts as visible where it lies in front of the camera and inside the image: what hides it is not
    known.
    """
    path = path or window.trajectory
    cameras = window.cameras
    assert path is not None
    assert cameras is not None
    rig = cameras.per_frame((), path.num_frames)
    pixels, depth = rig[..., None].project(ActionImageFormat().points(path.world_from_tool)[None])
    visible = rig[..., None].contains(pixels) & (depth > 0) & pixels.isfinite().all(-1)
    return tuple(
        Tracks(place, seen, rig.size) for place, seen in zip(pixels.nan_to_num(0.0), visible, strict=True)
    )


def tracked(window: Sample) -> Answer:
    """The Lucas-Kanade baseline: the first pose's points in each view, followed through its video."""
    video = window.video.add(1).mul(127.5).round().to(torch.uint8)
    first = projected(window)
    return Answer(
        tracks=tuple(
            lucas_kanade(view, points.position[0]) for view, points in zip(video, first, strict=True)
        )
    )


def still(window: Sample) -> Answer:
    """The floor: the first images again and again, and the tool where it is."""
    num_frames, path = window.video.shape[1], window.trajectory
    held = None if path is None else path[[0] * path.num_frames]
    return Answer(window.video[:, :1].expand(-1, num_frames, -1, -1, -1).add(1).div(2), held)


def _track_figures(truth: Sequence[Tracks], found: Sequence[Tracks]) -> dict[str, Tensor]:
    pairs = list(zip(truth, found, strict=True))
    whole = {
        f"jaccard@{JACCARD_AT_PX}": torch.stack([jaccard(*pair)[JACCARD_AT_PX] for pair in pairs]),
        "average jaccard": torch.stack([average_jaccard(*pair) for pair in pairs]),
    }
    num_frames = truth[0].position.shape[0]
    # A Jaccard index belongs to a whole track; it stands at the last frame alone.
    spread = {
        name: torch.cat([values.new_full((len(pairs), num_frames - 1), torch.nan), values[:, None]], 1)
        for name, values in whole.items()
    }
    return {"track px": torch.stack([track_error_px(*pair) for pair in pairs]), **spread}


def _without_first(values: Tensor) -> Tensor:
    return torch.cat([torch.full_like(values[..., :1], torch.nan), values[..., 1:]], -1)


MEDIANS = ("path mm", "path deg")
"""Figures with long tails, told as medians; all others are means."""


def rows(
    mode: str, measured: Sequence[Measures], views: Sequence[str], horizons: Sequence[int] = ()
) -> list[Row]:
    """All figures of a mode: over everything, for each view, and at some frames (negative: from the end)."""
    made: list[Row] = []
    for name in measured[0].figures:
        values = torch.stack([one.figures[name] for one in measured])
        slices = {("all", "all"): values}
        if values.ndim == 3:
            slices |= {(view, "all"): values[:, place] for place, view in enumerate(views)}
        if values.isfinite().flatten(0, -2).any(0).sum() > 1:
            num_frames = values.shape[-1]
            slices |= {("all", str(frame % num_frames)): values[..., frame] for frame in horizons}
        made += [_row(mode, name, view, frame, part) for (view, frame), part in slices.items()]
    if measured[0].grip is not None:
        made.append(_grip_row(mode, torch.stack([one.grip for one in measured if one.grip is not None])))
    return made


def _row(mode: str, name: str, view: str, frame: str, values: Tensor) -> Row:
    flat = values.reshape(len(values), -1).double()
    flat = torch.where(flat.isinf(), torch.nan, flat)
    reduce = partial(torch.nanquantile, q=0.5) if name in MEDIANS else torch.nanmean

    def figure(items: Tensor) -> float:
        return reduce(flat[items]).item()

    return Row(
        mode,
        name,
        view,
        frame,
        figure(torch.arange(len(flat))),
        *bootstrap_interval(figure, len(flat)),
        len(flat),
    )


def _grip_row(mode: str, counts: Float[Tensor, "window 3"]) -> Row:
    def f1(items: Tensor) -> float:
        right, wrongly_closed, wrongly_open = counts[items].sum(0).tolist()
        total = 2 * right + wrongly_closed + wrongly_open
        return 2 * right / total if total else float("nan")

    return Row(
        mode,
        "grip F1",
        "all",
        "all",
        f1(torch.arange(len(counts))),
        *bootstrap_interval(f1, len(counts)),
        len(counts),
    )


def as_json(made: Iterable[Row]) -> list[dict]:
    """Rows for a file: a number that is not finite is null."""

    def clean(value: object) -> object:
        return None if isinstance(value, float) and not torch.tensor(value).isfinite() else value

    return [{name: clean(value) for name, value in asdict(row).items()} for row in made]


def as_markdown(made: Iterable[Row]) -> str:
    """Rows as a table for a page."""
    lines = ["| mode | figure | view | frame | value | 95 % interval |", "|---|---|---|---|---|---|"]
    for row in made:
        place = f"{row.mode} | {row.figure} | {row.view} | {row.frame}"
        lines.append(f"| {place} | {row.value:.4g} | {row.low:.4g} to {row.high:.4g} |")
    return "\n".join(lines) + "\n"
