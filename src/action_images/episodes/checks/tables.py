"""Whether a set's tables agree with one another."""

from action_images.episodes.checks.finding import Finding
from action_images.episodes.dataset import Dataset


def check_tables(dataset: Dataset) -> list[Finding]:
    """Sets without videos, and totals that differ from what there is."""
    return _without_views(dataset) + _totals(dataset)


def _without_views(dataset: Dataset) -> list[Finding]:
    if dataset.view_names:
        return []
    cure = "an episode needs at least one view, import or record the set again"
    return [Finding("error", "damaged", "", f"info.json names no video; {cure}")]


def _totals(dataset: Dataset) -> list[Finding]:
    lengths = sum(dataset.length(index) for index in range(len(dataset)))
    claimed = dataset.info.get("total_episodes"), dataset.info.get("total_frames")
    if claimed == (len(dataset), lengths):
        return []
    claim = f"info.json claims {claimed[0]} episodes and {claimed[1]} frames"
    message = f"{claim}, there are {len(dataset)} and {lengths}; opening it for writing repairs that"
    return [Finding("warning", "totals", "", message)]
