"""LeRobotDataset v3 of other writers: video only, unless calibration.json says where cameras and tool are."""

from dataclasses import replace
from pathlib import Path

from action_images.episodes import lerobot_layout as layout
from action_images.episodes.dataset import Dataset
from action_images.episodes.episode import Episode, EpisodeError
from action_images.episodes.readers.lerobot_calibration import Calibration


class LeRobot:
    """A LeRobotDataset v3, with calibration.json of its folder where there is one."""

    def __init__(self, root: Path, calibration: Path | None = None):
        self._dataset = Dataset(root)
        self._places = {episode_id: place for place, episode_id in enumerate(self._dataset.ids)}
        path = root / "calibration.json" if calibration is None else calibration
        declared = calibration is not None or path.is_file()
        self._calibration = Calibration(path, self._dataset) if declared else None

    @classmethod
    def recognises(cls, root: Path) -> bool:
        """Whether there is an info.json where LeRobot has it."""
        return (root / layout.INFO).is_file()

    @property
    def ids(self) -> list[str]:
        """Our ids where we wrote them, else episode_000000 and so on."""
        return self._dataset.ids

    def read(self, episode_id: str) -> Episode:
        """One episode with what the file or the calibration knows."""
        if episode_id not in self._places:
            raise EpisodeError(f"{self._dataset.path}: has no episode {episode_id[:80]!r}")
        place = self._places[episode_id]
        episode = self._dataset[place]
        if self._calibration is None:
            return episode
        trajectory = self._calibration.trajectory(place) or episode.trajectory
        views = tuple(self._calibration.calibrated(view, place, trajectory) for view in episode.views)
        return replace(episode, views=views, trajectory=trajectory)
