"""Settings for labelling a data set, and the result for one of its episodes."""

from dataclasses import dataclass, replace

import torch
from jaxtyping import Float
from torch import Tensor

from action_images.episodes.episode import Episode
from action_images.geometry.fitting import whole_box
from action_images.inference.clip_generator import ClipGenerator
from action_images.inference.label import SpotPath, label, label_one_view
from action_images.inference.pacing import between, paced, recording
from action_images.inference.stitch import Sure
from action_images.samples.sample import Sample

SPOT_COLUMNS = ("frame", "red_x", "red_y", "green_x", "green_y", "blue_x", "blue_y", "confidence")


@dataclass(frozen=True)
class Labelling:
    """Settings for labelling a data set; `model` and `sampling` (None: the model's own) are for people.

    - `first_pose`: the first window begins from the pose in the episode's first frame, if there is one. The
      rest of its path is not used.
    - `text`: the model is given the instruction. By default it is not, as it might label the text instead of
      the video.
    - `least_known`: an episode gets no path in the copy if less than this share of its frames could be read,
      as the others would be place-holders.
    """

    model: str
    views: tuple[str, ...]
    first_pose: bool = True
    text: bool = False
    overlap: int = 4
    seed: int = 0
    least_known: float = 0.9
    sampling: str | None = None

    def keeps(self, row: "EpisodeLabels") -> bool:
        """Whether an episode with these labels has a path in the copy."""
        num_known = row.num_frames - row.num_unknown
        return num_known > 0 and num_known / row.num_frames >= self.least_known


@dataclass(frozen=True)
class EpisodeLabels:
    """The result of labelling one episode.

    It has the confidences (0 to 1) of its frames, and the distance of its labels from its own path.

    `median_mm` and `median_deg` are None if it had no path, or if nothing could be read. `reason` says why it
    was not labelled (such as a damaged view, or one that is not calibrated), None if it was. `in_copy` says
    whether it is in the copy, without a path if there is a reason; a damaged episode cannot be copied.
    `content` is the source episode's hash (`label_folder.Contents.of`), None in older lists.
    """

    id: str
    number: int
    num_frames: int
    num_unknown: int
    mean_confidence: float
    least_confidence: float
    least_frame: int
    median_mm: float | None
    median_deg: float | None
    reason: str | None = None
    in_copy: bool = True
    content: str | None = None

    @classmethod
    def of(cls, episode: Episode, number: int, found: Sure) -> "EpisodeLabels":
        """The row of an episode that was labelled."""
        sure = found.confidence
        num_unknown = int((sure == 0).sum())
        least_frame = int(sure.argmin())
        median_mm, median_deg = None, None
        if episode.trajectory is not None and num_unknown < len(sure):
            truth = episode.trajectory.world_from_tool.to(torch.float32)
            metres, radians = found.path.world_from_tool.distance(truth)
            median_mm, median_deg = 1e3 * metres.median().item(), radians.rad2deg().median().item()
        return cls(
            id=episode.id,
            number=number,
            num_frames=len(sure),
            num_unknown=num_unknown,
            mean_confidence=sure.mean().item(),
            least_confidence=sure[least_frame].item(),
            least_frame=least_frame,
            median_mm=median_mm,
            median_deg=median_deg,
        )

    @classmethod
    def none(cls, episode_id: str, number: int, num_frames: int, reason: str) -> "EpisodeLabels":
        """The row of an episode that was not labelled."""
        return cls(
            id=episode_id,
            number=number,
            num_frames=num_frames,
            num_unknown=num_frames,
            mean_confidence=0.0,
            least_confidence=0.0,
            least_frame=0,
            median_mm=None,
            median_deg=None,
            reason=reason,
        )


def label_episode(generator: ClipGenerator, episode: Episode, labelling: Labelling) -> Sure:
    """The path of an episode at its own rate, read at the model's rate and interpolated linearly."""
    frames = paced(episode.num_frames, episode.fps, generator.clips.fps)
    shown = _shown(generator, episode, labelling, frames)
    found = label(generator, shown, labelling.overlap, labelling.seed)
    known = found.bridged()
    # An unknown pose is interpolated between known ones, but its confidence stays 0.
    return (found if known is None else known).at(between(frames, episode.num_frames))


def spot_table(generator: ClipGenerator, episode: Episode, labelling: Labelling) -> str:
    """The spots in the one view of an episode, as CSV: frame, px of the view's own size, confidence.

    There is a row for each frame that the model is shown; a spot that is not seen is nan.
    """
    frames = paced(episode.num_frames, episode.fps, generator.clips.fps)
    shown = _shown(generator, episode, labelling, frames)
    spots = label_one_view(generator, shown, labelling.overlap, labelling.seed)
    points = _in_own_pixels(spots, generator.clips.size, episode.view(labelling.views[0]).frames.size)
    lines = [",".join(SPOT_COLUMNS)]
    for frame, row, sure in zip(frames, points.flatten(1).tolist(), spots.confidence.tolist(), strict=True):
        numbers = [f"{value:.3f}" for value in (*row, sure)]
        lines.append(",".join([str(frame), *numbers]))
    return "\n".join(lines) + "\n"


def _shown(generator: ClipGenerator, episode: Episode, labelling: Labelling, frames: list[int]) -> Sample:
    """The parts of an episode that the model may see."""
    whole = recording(episode, labelling.views, frames, generator.clips.size)
    path = whole.trajectory if labelling.first_pose else None
    text = whole.instruction if labelling.text else None
    return replace(whole, trajectory=path, instruction=text)


def _in_own_pixels(
    spots: SpotPath, clip_size: tuple[int, int], size: tuple[int, int]
) -> Float[Tensor, "frame 3 2"]:
    """Spots in the pixels of the view as recorded, `size` (height, width); nan if they are not seen."""
    top, left, height, width = whole_box(size, clip_size)
    scale = torch.tensor([width / clip_size[1], height / clip_size[0]])
    points = spots.position * scale + torch.tensor([left, top])
    return torch.where(spots.seen[..., None], points, torch.nan)
