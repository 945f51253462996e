"""Measures of generated clips: videos and paths against the recording."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from action_images.codec import ActionImageFormat
from action_images.evaluation.tracks import Tracks, average_jaccard, jaccard, lucas_kanade, track_error_px
from action_images.evaluation.video_metrics import psnr, ssim
from action_images.geometry import Trajectory
from action_images.samples.sample import Sample

JACCARD_AT_PX = 4
LOST_MM, LOST_DEG = 1000.0, 180.0
"""The error of a pose that could not be read: it counts as far off and is never left out."""
APART_MM = 40.0
"""A label is asked whether it follows the video or the text only if the two lie further apart than this."""
Extra = Callable[[Tensor, Tensor], Tensor]
"""A further measure of images (..., 3 h w): real, made -> (...)."""


@dataclass(frozen=True)
class Answer:
    """A mode's answer to one window: videos (view frame 3 h w) in [0, 1], a path (frame), tracks by view.

    A part that was not asked for is None. `told` is the path (frame) that the text alone asks for, if the
    text contradicts the video shown.
    """

    video: Tensor | None = None
    trajectory: Trajectory | None = None
    tracks: tuple[Tracks, ...] | None = None
    told: Trajectory | None = None


Answerer = Callable[[Sample], Answer]
"""A recorded window (not batched) -> the answer.

The model is shown only what the mode gives.
"""


@dataclass(frozen=True)
class Measures:
    """The figures of one window by name, each (frame) or (view frame); NaN for a frame that was given."""

    figures: dict[str, Tensor]
    grip: Float[Tensor, "3"] | None = None
    """Numbers of frames with the gripper correctly closed, wrongly closed and wrongly open."""


def judge(
    windows: Iterable[Sample], modes: Mapping[str, Answerer], extra: Mapping[str, Extra] | None = None
) -> dict[str, list[Measures]]:
    """Judge every mode on every window; by mode, the measures of each window in order."""
    measured: dict[str, list[Measures]] = {name: [] for name in modes}
    for window in windows:
        for name, mode in modes.items():
            measured[name].append(measure(window, mode(window), extra or {}))
    return measured


def kept(mode: Answerer, videos: list[tuple[Tensor, Tensor]]) -> Answerer:
    """The same mode, but each view's real and made video (frame 3 h w) is kept, to compare whole sets."""

    def answered(window: Sample) -> Answer:
        answer = mode(window)
        if answer.video is not None:
            pairs = zip(window.video.add(1).div(2), answer.video, strict=True)
            # A view that was shown whole is NaN here and does not count.
            videos.extend((real, made) for real, made in pairs if made.isfinite().all())
        return answer

    return answered


def measure(truth: Sample, answer: Answer, extra: Mapping[str, Extra] | None = None) -> Measures:
    """Measure one answer against the recording. Frame 0 is given in most modes and left out in all."""
    figures: dict[str, Tensor] = {}
    if answer.video is not None:
        real = truth.video.add(1).div(2)
        measures = {"psnr dB": psnr, "ssim": ssim, **(extra or {})}
        figures |= {name: figure(real, answer.video) for name, figure in measures.items()}
    if answer.trajectory is not None:
        figures |= _path_figures(_recorded_path(truth), answer.trajectory, answer.told)
    tracks = answer.tracks
    if tracks is None and answer.trajectory is not None:
        tracks = projected(truth, answer.trajectory)
    if tracks is not None:
        figures |= _track_figures(projected(truth), tracks)
    counted = {name: _without_first(values) for name, values in figures.items()}
    grip = None
    if answer.trajectory is not None:
        grip = _grip_counts(_recorded_path(truth).opening[1:], answer.trajectory.opening[1:])
    return Measures(counted, grip)


def _recorded_path(window: Sample) -> Trajectory:
    assert window.trajectory is not None
    return window.trajectory


def _path_figures(
    recorded: Trajectory, found: Trajectory, told: Trajectory | None
) -> dict[str, Float[Tensor, "frame"]]:
    metres, radians = found.world_from_tool.distance(recorded.world_from_tool)
    figures = {
        "path mm": (1e3 * metres).nan_to_num(LOST_MM),
        "path deg": radians.rad2deg().nan_to_num(LOST_DEG),
    }
    if told is not None:
        figures["with video %"] = _with_video(recorded, found, told)
    return figures


def _grip_counts(
    recorded_opening: Float[Tensor, "frame"], opening: Float[Tensor, "frame"]
) -> Float[Tensor, "3"]:
    """Numbers of frames with the gripper correctly closed, wrongly closed and wrongly open."""
    really_closed, closed = recorded_opening <= 0.5, opening <= 0.5
    counts = [really_closed & closed, ~really_closed & closed, really_closed & ~closed]
    return torch.stack([frames.sum() for frames in counts]).float()


def _with_video(shown: Trajectory, found: Trajectory, told: Trajectory) -> Float[Tensor, "frame"]:
    """100 if a position is nearer to the path shown than to the path of the text, else 0.

    NaN if those two paths are close together or unknown.
    """
    shown_at, found_at, told_at = (path.world_from_tool.translation for path in (shown, found, told))
    from_shown, from_told = (found_at - shown_at).norm(dim=-1), (found_at - told_at).norm(dim=-1)
    apart = (shown_at - told_at).norm(dim=-1) >= APART_MM / 1e3
    nearer = from_shown < from_told  # false for poses that could not be read
    return torch.where(apart, 100.0 * nearer, torch.nan)


def projected(window: Sample, path: Trajectory | None = None) -> tuple[Tracks, ...]:
    """The path's three points in each view as tracks; the window's own path if none is given.

    A point counts as visible if it lies in front of the camera and inside the image; occlusion is not known.
    """
    path = path or window.trajectory
    cameras = window.cameras
    assert path is not None
    assert cameras is not None
    rig = cameras.per_frame((), path.num_frames)
    pixels, depth = rig[..., None].project(ActionImageFormat().points(path.world_from_tool)[None])
    visible = rig[..., None].contains(pixels) & (depth > 0) & pixels.isfinite().all(-1)
    by_view = zip(pixels.nan_to_num(0.0), visible, strict=True)
    return tuple(Tracks(places, seen, rig.size) for places, seen in by_view)


def tracked(window: Sample) -> Answer:
    """The Lucas-Kanade baseline: the first pose's points in each view, tracked through its video."""
    video = window.video.add(1).mul(127.5).round().to(torch.uint8)
    by_view = zip(video, projected(window), strict=True)
    return Answer(tracks=tuple(lucas_kanade(view, points.position[0]) for view, points in by_view))


def still(window: Sample) -> Answer:
    """The floor: the first images repeated, and the tool standing still."""
    num_frames, path = window.video.shape[1], window.trajectory
    held = None if path is None else path[[0] * path.num_frames]
    first = window.video[:, :1].add(1).div(2)
    return Answer(first.expand(-1, num_frames, -1, -1, -1), held)


def _track_figures(truth: Sequence[Tracks], found: Sequence[Tracks]) -> dict[str, Tensor]:
    pairs = list(zip(truth, found, strict=True))
    num_frames = truth[0].position.shape[0]
    at_threshold = torch.stack([jaccard(*pair)[JACCARD_AT_PX] for pair in pairs])
    averages = torch.stack([average_jaccard(*pair) for pair in pairs])
    return {
        "track px": torch.stack([track_error_px(*pair) for pair in pairs]),
        f"jaccard@{JACCARD_AT_PX}": _at_last_frame(at_threshold, num_frames),
        "average jaccard": _at_last_frame(averages, num_frames),
    }


def _at_last_frame(of_tracks: Float[Tensor, "view"], num_frames: int) -> Float[Tensor, "view frame"]:
    """A figure of whole tracks as one of frames: only the last frame has a value."""
    before = of_tracks.new_full((len(of_tracks), num_frames - 1), torch.nan)
    return torch.cat([before, of_tracks[:, None]], 1)


def _without_first(values: Tensor) -> Tensor:
    return torch.cat([torch.full_like(values[..., :1], torch.nan), values[..., 1:]], -1)
