"""A filmed trial on disk: its film, and the record that `action-images view` shows frame by frame."""

from pathlib import Path

from action_images.evaluation.rollout import Rollout
from action_images.geometry import Pose
from action_images.reports.film import write_film
from action_images.reports.viewing.record_file import save_record
from action_images.reports.viewing.results_shelf import RECORD_SUFFIX
from action_images.reports.viewing.robot_view import of_rollout


def write_filmed_trial(
    rollout: Rollout, path: Path, reason: str | None = None, goal: Pose | None = None
) -> None:
    """Write both, each completely or not at all; the film at `path`, named in the trial's record, is last."""
    save_record(path.with_suffix(RECORD_SUFFIX), of_rollout(rollout))
    write_film(rollout, path, reason, goal)
