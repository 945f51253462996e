"""Label a video with the trajectory that it shows and each frame's confidence, in overlapping windows."""

from dataclasses import dataclass, replace

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from action_images.codec.locate import locate
from action_images.errors import ActionImagesError
from action_images.geometry import Pose, Trajectory
from action_images.inference.clip_generator import ClipGenerator
from action_images.inference.confidence import confidence
from action_images.inference.stitch import Sure, window_starts
from action_images.pipeline import Prediction
from action_images.samples.sample import Sample, collate
from action_images.structs import Struct, concatenate, stack

LEAST_TO_GO_ON = 0.2
"""A window begins from the pose found by the previous window only if its confidence is at least this."""
HALF_CONFIDENT_SIGMAS = 0.1
"""The standard deviation of a spot, in spot widths, that gives a single view the confidence one half."""


@dataclass(frozen=True)
class SpotPath(Struct):
    """The path of the tool's three spots (px) in a single view, which does not show the tool's distance."""

    position: Float[Tensor, "*frames 3 2"]
    seen: Bool[Tensor, "*frames 3"]
    confidence: Float[Tensor, "*frames"]
    """In [0, 1], by the spots' predicted precision in the image; 0 if one is not seen."""


def label(generator: ClipGenerator, recording: Sample, overlap: int = 4, seed: int = 0) -> Sure:
    """The path in a recording (not batched) of at least two calibrated views, at the clips' size and rate.

    If the sample has a trajectory, its first pose is given, and the rest of it is not used. Without one, the
    first window finds the pose by itself. Each later window begins from the pose known so far, or by itself
    if that pose is not confident enough. Frames in several windows are blended by confidence; frames that no
    window could read have confidence 0. The sample's text is used: leave it out (None), or the model may
    label the text. Raises ValueError for fewer than two views (see `label_one_view`) or missing cameras.
    """
    if recording.video.shape[0] < 2:
        raise ActionImagesError(
            "one view alone shows no depth, so it has no trajectory; label at least two views, "
            "or use label_one_view"
        )
    first = None if recording.trajectory is None else recording.trajectory[:1]
    stitched: Sure | None = None
    for start in window_starts(recording.video.shape[1], generator.clips.num_frames, overlap):
        begin = first if stitched is None else _known_at(stitched, start)
        window = _labelled(generator, recording, start, begin, given=stitched is None, seed=seed)
        stitched = window if stitched is None else stitched.extended(window, start)
    assert stitched is not None
    return stitched[: recording.video.shape[1]]


def label_one_view(generator: ClipGenerator, recording: Sample, overlap: int = 4, seed: int = 0) -> SpotPath:
    """The tool's spots in a recording (not batched) of a single calibrated view; otherwise as `label`.

    Later windows begin without a pose, as spots in one view do not determine one. Where windows overlap, the
    more confident one counts.
    """
    if recording.video.shape[0] != 1:
        raise ActionImagesError(
            f"label_one_view takes one view, this recording has {recording.video.shape[0]}: use label, "
            "which finds depth too"
        )
    num_frames, path = recording.video.shape[1], None
    for start in window_starts(num_frames, generator.clips.num_frames, overlap):
        first = recording.trajectory[:1] if start == 0 and recording.trajectory is not None else None
        window = _spots(generator, _generated(generator, recording, start, first, seed))
        path = window if path is None else _surer(path, window, start)
    assert path is not None
    return path[:num_frames]


def find_tool(generator: ClipGenerator, scene: Sample, seed: int = 0) -> Float[Tensor, "view 2"]:
    """The tool's position in the images of one instant (a batch of one scene), px of the clips' size.

    NaN in a view in which it is not found. The model sees the pictures alone, as a still video.
    """
    instant = scene[0]
    still = [0] * generator.clips.num_frames
    assert instant.cameras is not None
    recording = replace(
        instant,
        video=instant.video[:, still],
        cameras=instant.cameras[:, still],
        trajectory=None,
        valid=instant.valid[still],
        instruction=None,
    )
    prediction = _generated(generator, recording, 0, None, seed)
    assert prediction.action_images is not None
    spots = locate(prediction.action_images[0, :, 0], generator.pipeline.format, full_resolution=True)
    return torch.where(spots.seen[:, 0, None], spots.position[:, 0], torch.nan)


def _known_at(stitched: Sure, frame: int) -> Trajectory | None:
    if frame >= stitched.num_frames or stitched.confidence[frame] < LEAST_TO_GO_ON:
        return None
    return stitched.path[frame : frame + 1]


def _labelled(
    generator: ClipGenerator,
    recording: Sample,
    start: int,
    begin: Trajectory | None,
    *,
    given: bool,
    seed: int,
) -> Sure:
    """One window's path.

    The pose that it began from has confidence 1 if it was `given`, else 0, as it adds no new information.
    """
    prediction = _generated(generator, recording, start, begin, seed)
    reading = prediction.reading
    assert reading is not None
    sure = confidence(prediction, generator.sigma_px)[0]
    window = Sure(reading.trajectory[0], sure)
    if begin is None:
        return window
    pose = begin.world_from_tool
    rest = window.path.world_from_tool[1:]
    poses = Pose(torch.cat([pose.rotation, rest.rotation]), torch.cat([pose.translation, rest.translation]))
    opening = torch.cat([begin.opening, window.path.opening[1:]])
    return Sure(Trajectory(poses, opening), torch.cat([sure.new_full((1,), float(given)), sure[1:]]))


def _generated(
    generator: ClipGenerator, recording: Sample, start: int, begin: Trajectory | None, seed: int
) -> Prediction:
    """Action images of a window, padded with the recording's last frame if the recording is too short."""
    frames = [min(start + i, recording.video.shape[1] - 1) for i in range(generator.clips.num_frames)]
    if recording.cameras is None:
        raise ActionImagesError(
            "labels are read through calibrated cameras, and this recording has none; calibrate its views"
        )
    cameras, path = recording.cameras[:, frames], begin
    if path is None:
        # The encoder needs a path to draw, but the model does not see it: the whole action is generated.
        far = Pose.identity(1, dtype=cameras.dtype)
        path = Trajectory(
            replace(far, translation=far.translation.new_full((1, 3), torch.nan)), torch.zeros(1)
        )
    window = replace(
        recording,
        video=recording.video[:, frames],
        cameras=cameras,
        trajectory=path,
        valid=recording.valid[frames],
    )
    mode = "label_from_nothing" if begin is None else "label"
    return generator.generate(collate([window]), mode, [seed + start], ["action"])


def _spots(generator: ClipGenerator, prediction: Prediction) -> SpotPath:
    assert prediction.action_images is not None
    format = generator.pipeline.format
    spots = locate(prediction.action_images[0, 0], format, full_resolution=True)
    std_px = spots.covariance.diagonal(dim1=-2, dim2=-1).sum(-1).sqrt()
    half_px = HALF_CONFIDENT_SIGMAS * generator.sigma_px
    sure = torch.where(spots.seen, 1 / (1 + std_px / half_px), 0.0).nan_to_num(0.0).amin(-1)
    return SpotPath(spots.position, spots.seen, sure)


def _surer(path: SpotPath, window: SpotPath, start: int) -> SpotPath:
    shared = path.confidence.shape[0] - start
    pair = stack([path[start:], window[:shared]])
    middle = pair[pair.confidence.argmax(0), torch.arange(shared)]
    return concatenate([path[:start], middle, window[shared:]])
