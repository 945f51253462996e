"""The work of labelling a data set, episode by episode, in any process."""

import tempfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from action_images.episodes.dataset import Dataset
from action_images.episodes.encoded_episode import Encoded, encode_episode
from action_images.episodes.episode import Episode, EpisodeError
from action_images.inference.clip_generator import ClipGenerator
from action_images.inference.labelling import EpisodeLabels, Labelling, label_episode, spot_table
from action_images.inference.stitch import Sure
from action_images.parallel.cluster import Work


@dataclass(frozen=True)
class LabelledEpisode:
    """The result of labelling one episode."""

    row: EpisodeLabels
    """Its row in the list of labelled episodes."""
    found: Sure | None
    """Its path; None if it was not labelled."""
    encoded: Encoded | None
    """The episode with that path, as the copy stores it; None if it is damaged."""


@dataclass(frozen=True)
class SpotFile:
    """The file of one episode's image points, or the reason why there is none."""

    text: str | None = None
    reason: str | None = None


@dataclass(frozen=True)
class Job:
    """Everything that a process needs to label any episode of a data set; `load` makes its generator.

    It is sent to other processes, so `load` must be picklable.
    """

    load: Callable[[], ClipGenerator]
    source: Path
    labelling: Labelling

    def labels(self, folder: Path) -> Work[LabelledEpisode]:
        """Load the model and return the work: an episode's number -> its path and its copy in `folder`."""
        generator, dataset = self.load(), Dataset(self.source)

        def work(number: int) -> LabelledEpisode:
            try:
                episode = dataset[number]
                found = label_episode(generator, episode, self.labelling)
                row = EpisodeLabels.of(episode, number, found)
                path = found.path if self.labelling.keeps(row) else None
                return LabelledEpisode(row, found, _encoded(replace(episode, trajectory=path), folder))
            except EpisodeError as error:
                return _not_labelled(dataset, number, str(error), folder)

        return work

    def spots(self) -> Work[SpotFile]:
        """Load the model and return the work: an episode's number -> its file of image points."""
        generator, dataset = self.load(), Dataset(self.source)

        def work(number: int) -> SpotFile:
            try:
                return SpotFile(spot_table(generator, dataset[number], self.labelling))
            except EpisodeError as error:
                return SpotFile(reason=str(error))

        return work


def _encoded(episode: Episode, folder: Path) -> Encoded:
    # Each call has its own folder: work interrupted by a kill is done again.
    return encode_episode(episode, Path(tempfile.mkdtemp(dir=folder)))


def _not_labelled(dataset: Dataset, number: int, reason: str, folder: Path) -> LabelledEpisode:
    """The result of an episode without labels: its copy without a path, or no copy if it is damaged."""
    row = EpisodeLabels.none(dataset.ids[number], number, dataset.length(number), reason)
    try:
        return LabelledEpisode(row, None, _encoded(replace(dataset[number], trajectory=None), folder))
    except EpisodeError:
        return LabelledEpisode(replace(row, in_copy=False), None, None)
