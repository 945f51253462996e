"""Warnings about a model's answers: how many poses are good, and pictures that are unlike training's."""

from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from torch import Tensor

    from action_images.episodes.dataset import Dataset
    from action_images.model.bundle import Models


def say_words(models: "Models", mode: str, confidences: Iterable[float]) -> None:
    """Print how many poses of a mode are good, doubtful and unreadable, if the models' folder has bounds."""
    from action_images.terminal.console import PlainConsole

    told = None if models.reliability is None else models.reliability.told(mode, confidences)
    if told is not None:
        PlainConsole().print(told, soft_wrap=True)


def say_strangeness(models: "Models", views: "Tensor") -> None:
    """Warn on stderr if views (view 3 h w), bytes or in [-1, 1], are unlike the pictures of training."""
    from action_images.terminal.console import PlainConsole

    told = None if models.familiarity is None else models.familiarity.doubts(views)
    if told is not None:
        PlainConsole(stderr=True).print(f"warning: {told}", soft_wrap=True)


def say_label_words(folder: "Path", mode: str, files: "Iterable[Path]") -> None:
    """`say_words` for tables of labels and the models in a folder."""
    import csv

    from action_images.model.reliability import Reliability
    from action_images.terminal.console import PlainConsole

    reliability = Reliability.load(folder)
    if reliability is None:
        return
    sure: list[float] = []
    for path in files:
        with path.open(newline="") as file:
            sure += [float(row["confidence"]) for row in csv.DictReader(file)]
    told = reliability.told(mode, sure)
    if told is not None:
        PlainConsole().print(told, soft_wrap=True)


def say_strange_episodes(folder: "Path", dataset: "Path", views: "Sequence[str]", most: int = 20) -> None:
    """Print on stderr how many of a data set's episodes begin with pictures unlike those of training."""
    from action_images.episodes.dataset import Dataset
    from action_images.episodes.episode import EpisodeError
    from action_images.model.bundle import load_clips
    from action_images.model.familiarity import Familiarity
    from action_images.terminal.console import PlainConsole

    familiarity, clips, source = Familiarity.load(folder), load_clips(folder), Dataset(dataset)
    if familiarity is None or clips is None or not len(source):
        return
    number, strange, looked_at = min(most, len(source)), 0, 0
    for turn in range(number):
        try:
            pictures = _first_pictures(source, turn * len(source) // number, views, clips.size)
        except EpisodeError:
            continue  # labelling reports what is wrong with it
        looked_at += 1
        strange += familiarity.doubts(pictures) is not None
    if strange:
        PlainConsole(stderr=True).print(
            f"warning: {strange} of {looked_at} episodes that were looked at begin with pictures unlike "
            "those that the models were trained on: their labels may mean nothing",
            soft_wrap=True,
        )


def _first_pictures(
    source: "Dataset", number: int, views: "Sequence[str]", size: tuple[int, int]
) -> "Tensor":
    from action_images.inference.pacing import recording

    return recording(source[number], tuple(views), [0], size).video[:, 0]
