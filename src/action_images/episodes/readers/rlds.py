"""RLDS data sets (DROID, Open X-Embodiment) as TensorFlow Datasets stores them: TFRecord files of episodes.

A record is an episode, `steps/...` its frames: pictures as jpg or png, numbers one after the other. The
format says neither how fast an episode runs nor what its numbers mean. Rates of some sets are known by
their names; poses are read where DROID's own names are found (x y z in m, Euler xyz in rad, gripper 0
open).
"""

import re
from pathlib import Path

import torch

from action_images.episodes.episode import Episode, EpisodeError, View
from action_images.episodes.pictures import Pictures
from action_images.episodes.readers import EVERYTHING, Wanted
from action_images.episodes.readers.droid import trajectory_of
from action_images.episodes.readers.folders import natural, safe_part, same_length
from action_images.episodes.readers.tfrecord import Record, Values, read_example, records_of
from action_images.episodes.strangers import check_inside
from action_images.geometry import Trajectory

RATES = {"droid": 15.0, "r2d2": 15.0, "bridge": 5.0, "fractal20220817": 3.0}
"""Frames a second of sets by how their files' names begin."""
PICTURES = (b"\xff\xd8\xff", b"\x89PNG")
STEPS = "steps/"
WORDS = (
    "steps/language_instruction",
    "steps/language_instruction_2",
    "steps/language_instruction_3",
    "steps/observation/natural_language_instruction",
    "steps/observation/language_instruction",
)
POSE, GRIPPER = "steps/observation/cartesian_position", "steps/observation/gripper_position"
SHARD = re.compile(r"^(?P<name>.+)\.tfrecord(?:-(?P<shard>\d+)-of-\d+)?$")


class Rlds:
    """A folder with TFRecord files of episodes."""

    def __init__(self, root: Path, wanted: Wanted = EVERYTHING):
        self._wanted = wanted
        self._records: dict[str, Record | str] = {}
        for path in sorted(root.glob("**/*.tfrecord*"), key=lambda path: natural(str(path))):
            self._records |= _numbered(root, path)

    @classmethod
    def recognises(cls, root: Path) -> bool:
        """Whether there are TFRecord files beside a features.json somewhere below."""
        return any(next(path.parent.glob("*.tfrecord*"), None) for path in root.glob("**/features.json"))

    @property
    def ids(self) -> list[str]:
        """<folders>/<file's name>-<shard>/<record>"""
        return list(self._records)

    def read(self, episode_id: str) -> Episode:
        """One episode; cameras are not calibrated."""
        record = self._records.get(episode_id, f"there is no episode {episode_id[:80]!r}")
        if isinstance(record, str):
            raise EpisodeError(record)
        fps = self._wanted.fps or _rate(record.path)
        features = read_example(record)
        pictures = {name: values for name, values in features.items() if _are_pictures(name, values)}
        depth = [name for name in pictures if "depth" in name]
        keys = {name.rpartition("/")[2]: name for name in pictures if name not in depth}
        names = self._wanted.of(episode_id, sorted(keys))
        views = tuple(View(name, Pictures(tuple(pictures[keys[name]])), None) for name in names)
        notes = [f"feature '{name}': it is a depth map; it is left out" for name in depth]
        num_frames = same_length(episode_id, {view.name: len(view.frames) for view in views})
        path = _path(features, num_frames)
        if path is None:
            notes.append("what its numbers mean is not written down, so it has no tool path")
        return Episode(episode_id, _words(episode_id, features), fps, views, path, notes=tuple(notes))


def _numbered(root: Path, path: Path) -> dict[str, Record | str]:
    """The records of a file by episode id; where it is damaged one id with the reason."""
    match = SHARD.match(path.name)
    if match is None:
        return {}
    name = match["name"] if match["shard"] is None else f"{match['name']}-{match['shard']}"
    parts = [*path.relative_to(root).parts[:-1], name]
    prefix = "/".join(safe_part(part) for part in parts)
    try:
        check_inside(root, path)
        records = records_of(path)
    except EpisodeError as error:
        return {prefix: str(error)}
    return {f"{prefix}/{number:04d}": record for number, record in enumerate(records)}


def _rate(path: Path) -> float:
    for name, rate in RATES.items():
        if path.name.startswith(name):
            return rate
    raise EpisodeError(
        f"{path}: RLDS does not say how fast its episodes run; give the frames a second with --fps"
    )


def _are_pictures(name: str, values: Values) -> bool:
    return (
        name.startswith(STEPS)
        and isinstance(values, list)
        and bool(values)
        and values[0].startswith(PICTURES)
    )


def _path(features: dict[str, Values], num_frames: int) -> Trajectory | None:
    """The tool's path where DROID's names and numbers are found, else None."""
    pose, gripper = features.get(POSE), features.get(GRIPPER)
    if pose is None or gripper is None or (len(pose), len(gripper)) != (6 * num_frames, num_frames):
        return None
    numbers = torch.tensor(pose).float().reshape(num_frames, 6)
    return trajectory_of(numbers, torch.tensor(gripper).float())


def _words(episode_id: str, features: dict[str, Values]) -> str | None:
    """The first instruction that says something; raises EpisodeError where it changes on the way."""
    for name in WORDS:
        values = features.get(name)
        texts = (
            [value.decode("utf-8", "replace").strip() for value in values] if isinstance(values, list) else []
        )
        if len(set(texts)) > 1:
            changes = next(step for step, text in enumerate(texts) if text != texts[0])
            raise EpisodeError(f"{episode_id}: '{name}' changes at step {changes}; cut the episode there")
        if texts and texts[0]:
            return texts[0]
    return None
