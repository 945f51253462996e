"""Options of a command that choose what a model is shown: an episode of a data set, or loose files."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from action_images.errors import ActionImagesError
from action_images.terminal.paths import GivenFile, GivenFolder
from action_images.terminal.refusals import without_effect

if TYPE_CHECKING:
    from action_images.episodes.episode import Episode


@dataclass(frozen=True)
class LooseFiles:
    """Loose files instead of a data set."""

    pictures: GivenFolder | None = None
    """Folder with <camera>.png, .jpg or .mp4 for each camera of the cameras file; first images are used."""
    cameras: GivenFile | None = None
    """The rig's calibration, a cameras file (docs/conventions.md)."""

    def scene(
        self,
        dataset: Path | None,
        trajectory: Path | None,
        instruction: str | None,
        *,
        episode: int | None,
        start: int | None,
    ) -> "Episode":
        """The requested episode (0 if None), or the first instant of the loose files.

        Raises ActionImagesError if both are given, if neither is complete, or if loose files come with an
        episode's number or first frame.
        """
        loose = [one for one in (self.pictures, self.cameras) if one is not None]
        if dataset is not None and loose:
            raise ActionImagesError("give a data set, or --pictures and --cameras; not both")
        if dataset is not None:
            from action_images.episodes.dataset import Dataset

            return Dataset(dataset).numbered(episode or 0)
        if self.pictures is None or self.cameras is None or trajectory is None:
            raise ActionImagesError(
                "give a data set; or --pictures, --cameras and --trajectory, which begins where the tool is"
            )
        without_effect("--pictures shows one moment, of no episode", {"episode": episode, "start": start})
        from action_images.episodes.loose_files import first_instant, loose_episode

        return first_instant(loose_episode(self.pictures, self.cameras, trajectory, instruction))
