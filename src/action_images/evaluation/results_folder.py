"""A folder holds the results of one command, under one group of settings."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from action_images.errors import ActionImagesError
from action_images.evaluation.older_results import complete_settings
from action_images.evaluation.trial import SETTINGS, TRIALS
from action_images.files import jsonl
from action_images.files.settings import keep_settings, load_settings

PLANS = "plans.jsonl"
"""The file of single plans, one scene a line."""
PAIRS = "pairs.jsonl"
"""The file of trials in a learned simulator and in the world, one pair a line."""
REPLAYS = "replays.jsonl"
"""The file of experts' trials that are replayed in several ways, one seed a line."""
COMMANDS = {TRIALS: "evaluate", PLANS: "judge-plans", PAIRS: "judge-simulator", REPLAYS: "replay"}
"""File of results -> the command that writes it. Each writes its settings into the same file."""


def open_results(folder: Path, mine: str, settings: Mapping[str, Any]) -> None:
    """Make the folder and write the settings, or check that its results `mine` (a key of `COMMANDS`) have
    the same ones.

    A line that a kill cut off is removed. Raises ActionImagesError if the folder holds results of other
    settings, or if another command's settings would be replaced.
    """
    folder.mkdir(parents=True, exist_ok=True)
    empty = not jsonl.load(folder / mine)
    other = next((name for name in COMMANDS if name != mine and jsonl.load(folder / name)), None)
    if empty and other is not None:
        raise ActionImagesError(
            f"{folder}: holds the results of '{COMMANDS[other]}' ({other}), whose {SETTINGS} would be "
            f"replaced; choose another folder for '{COMMANDS[mine]}'"
        )
    if not empty and mine != PAIRS:
        complete_settings(folder / SETTINGS)
    keep_settings(folder / SETTINGS, _worded(folder / SETTINGS, settings, empty=empty), empty=empty)
    jsonl.repair(folder / mine)


def _worded(path: Path, settings: Mapping[str, Any], *, empty: bool) -> Mapping[str, Any]:
    """The settings with the claim that results keep: it is words, and the other settings say all."""
    if empty or "claim" not in settings or not path.is_file():
        return settings
    return {**settings, "claim": load_settings(path).get("claim")}
