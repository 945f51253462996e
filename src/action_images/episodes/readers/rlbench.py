"""RLBench as its own generator writes it: one png for each frame, a pickle for the numbers.

<task>/variation<N>/episodes/episode<M>/{low_dim_obs.pkl, <camera>_rgb/<i>.png}, instructions in
variation_descriptions.pkl. World frame of the simulator in metres; quaternions x y z w; gripper 1 = open;
focal lengths negative with camera-to-world poses (`Camera.from_rlbench`).
"""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from action_images.episodes.episode import Episode, EpisodeError, View
from action_images.episodes.episode_table import MAX_EPISODE_FRAMES
from action_images.episodes.fingerprint import of_parts
from action_images.episodes.pictures import Pictures
from action_images.episodes.readers import EVERYTHING, Wanted
from action_images.episodes.readers.folders import EpisodeFolders, OfFolders, as_tensor, natural, same_length
from action_images.episodes.readers.unpickle import read_pickle
from action_images.episodes.strangers import check_inside
from action_images.geometry import Camera, Pose, Trajectory

RECORDS = ("rlbench.demo.Demo", "rlbench.backend.observation.Observation")
CONTROL_HZ = 20.0
VARIATION = re.compile(r"variation(\d+)")
NUMBERS, WORDS = "low_dim_obs.pkl", "variation_descriptions.pkl"
CAMERAS = ("front", "left_shoulder", "right_shoulder", "overhead", "wrist")


class RLBench(OfFolders):
    """A folder of demonstrations that RLBench generated."""

    def __init__(self, root: Path, wanted: Wanted = EVERYTHING):
        found = (path.parent for path in root.glob(f"**/episode*/{NUMBERS}"))
        self._folders = EpisodeFolders(root, found, leave_out=("episodes",))
        self._wanted = wanted

    @classmethod
    def recognises(cls, root: Path) -> bool:
        """Whether a demonstration lies somewhere below."""
        return next(root.glob(f"**/episode*/{NUMBERS}"), None) is not None

    def fingerprint(self, episode_id: str) -> dict[str, str]:
        """Hashes of a demonstration's numbers, words and pictures."""
        folder = self._folders.unchecked(episode_id)
        names = self._wanted.views or CAMERAS
        told = {NUMBERS: [folder / NUMBERS], "pictures": [folder / f"{name}_rgb" for name in names]}
        told[WORDS] = [path for path in words_beside(folder) if path.is_file()][:1]
        return of_parts(told)

    def read(self, episode_id: str) -> Episode:
        """One demonstration with all cameras that were recorded."""
        folder = self._folders.folder(episode_id)
        steps = _observations(folder / NUMBERS)
        poses = [_numbers(step, "gripper_pose", (7,), folder) for step in steps]
        openings = [_numbers(step, "gripper_open", (), folder) for step in steps]
        there = [name for name in CAMERAS if (folder / f"{name}_rgb").is_dir()]
        found = [_view(folder, name, steps) for name in self._wanted.of(episode_id, there)]
        views, notes = tuple(view for view, _ in found), tuple(note for _, note in found if note is not None)
        lengths = {view.name: len(view.frames) for view in views}
        same_length(episode_id, {NUMBERS: len(steps)} | lengths)
        rows = torch.cat([torch.stack(poses), torch.stack(openings)[:, None]], -1)
        words = read_instruction(self._folders.root, folder)
        path = Trajectory.from_vector(rows)
        notes = (*notes, *_cameras_left_out(folder), *_other_variation(folder, steps))
        return Episode(episode_id, words, CONTROL_HZ, views, path, notes=notes)


def _cameras_left_out(folder: Path) -> tuple[str, ...]:
    """Picture folders besides RLBench's own five cameras, each as a sentence."""
    found = sorted(path.name.removesuffix("_rgb") for path in folder.glob("*_rgb"))
    added = [name for name in found if name not in CAMERAS]
    return tuple(
        f"camera '{name}' is none of RLBench's five ({', '.join(CAMERAS)}); it is left out" for name in added
    )


def _other_variation(folder: Path, steps: list[Any]) -> Iterator[str]:
    """A remark if the observations are of another variation than the folder, whose words are taken."""
    told = VARIATION.fullmatch(folder.parent.parent.name)
    misc = getattr(steps[0], "misc", None)
    number = misc.get("variation_index") if isinstance(misc, dict) else None
    if told is not None and isinstance(number, (int, np.integer)) and int(number) != int(told[1]):
        others = "its observations are of another variation than its folder"
        yield f"{others}, whose words are taken; were folders moved?"


def _observations(path: Path) -> list[Any]:
    demo = read_pickle(path, RECORDS)
    steps = demo if isinstance(demo, list) else getattr(demo, "_observations", None)
    if not isinstance(steps, list) or not steps:
        raise EpisodeError(f"{path}: holds no observations; generate the demonstration again")
    if len(steps) > MAX_EPISODE_FRAMES:  # a pickle can repeat one step millions of times
        counts = f"{len(steps)} observations, beyond the {MAX_EPISODE_FRAMES} that are read"
        raise EpisodeError(f"{path}: holds {counts}; drop the episode")
    return steps


def _get(step: Any, name: str, folder: Path) -> Any:
    value = getattr(step, name, None)
    if value is None:
        raise EpisodeError(f"{folder}: an observation has no {name}; generate the demonstration with it")
    return value


def _numbers(step: Any, name: str, shape: tuple[int, ...], folder: Path) -> Tensor:
    return as_tensor(_get(step, name, folder), shape, f"{folder}: {name}")


def _view(folder: Path, name: str, steps: list[Any]) -> tuple[View, str | None]:
    """A view, and a remark on it."""
    pictures = sorted((folder / f"{name}_rgb").glob("*.png"), key=lambda path: natural(path.name))
    if not pictures:
        raise EpisodeError(f"{folder}/{name}_rgb: holds no 0.png, 1.png, ...; give png files of these names")
    if [path.stem for path in pictures] != [str(i) for i in range(len(pictures))]:
        raise EpisodeError(
            f"{folder}/{name}_rgb: the pictures are not numbered 0.png, 1.png, ... (it has "
            f"{len(pictures)}, the "
            f"demonstration {len(steps)} steps); restore the missing ones, or generate the "
            "demonstration again"
        )
    frames = Pictures(tuple(pictures))
    notes = [_get(step, "misc", folder) for step in steps]
    matrices = [note.get(f"{name}_camera_intrinsics") if isinstance(note, dict) else None for note in notes]
    poses = [note.get(f"{name}_camera_extrinsics") if isinstance(note, dict) else None for note in notes]
    if any(matrix is None for matrix in matrices + poses):
        return View(name, frames, None), None
    intrinsics = [as_tensor(matrix, (3, 3), f"{folder}: {name} intrinsics") for matrix in matrices]
    extrinsics = [as_tensor(pose, (4, 4), f"{folder}: {name} extrinsics") for pose in poses]
    world_from_camera = Pose.from_matrix(torch.stack(extrinsics))
    camera, was = resized_camera(torch.stack(intrinsics), world_from_camera, frames.size, f"{folder}: {name}")
    resized = f"view '{name}': its pictures are {frames.size} px, its camera was for {was}; it is scaled"
    return View(name, frames, still(camera)), None if was == frames.size else resized


def resized_camera(
    intrinsics: Tensor, world_from_camera: Pose, size: tuple[int, int], where: str
) -> tuple[Camera, tuple[int, int]]:
    """The cameras (frame) of pictures of `size`, and the size that their intrinsics are for.

    The simulator's principal point is the picture's centre, which gives the intrinsics' size. Raises
    EpisodeError if the pictures have another shape, since they were cropped then.
    """
    width, height = (round(2 * float(intrinsics[0, axis, 2])) for axis in (0, 1))
    if (height, width) == size or min(height, width) < 1:
        return Camera.from_rlbench(intrinsics, world_from_camera, size), size
    if abs(height * size[1] / (width * size[0]) - 1) > 0.01:
        told = f"its camera is for {(height, width)} px, its pictures are {size}"
        raise EpisodeError(f"{where}: {told} (height, width): they were cropped; give the whole pictures")
    return Camera.from_rlbench(intrinsics, world_from_camera, (height, width)).resize(*size), (height, width)


def still(camera: Camera) -> Camera:
    """A single camera if all frames have the same one."""
    matrix, intrinsics = camera.world_from_camera.matrix(), camera.intrinsics
    return camera[0] if (matrix == matrix[0]).all() and (intrinsics == intrinsics[0]).all() else camera


def words_beside(folder: Path) -> list[Path]:
    """The places of a variation's descriptions, the first one that exists is read."""
    return [place / WORDS for place in (folder, folder.parent.parent, folder.parent)]


def read_instruction(root: Path, folder: Path) -> str | None:
    """The first description of the variation, stored beside the episodes or with the episode.

    None if there is none.
    """
    for path in words_beside(folder):
        if path.is_file():
            check_inside(root if path.is_relative_to(root) else path.parent, path)
            descriptions = read_pickle(path)
            is_texts = isinstance(descriptions, list) and all(isinstance(text, str) for text in descriptions)
            if not is_texts or not descriptions:
                raise EpisodeError(f"{path}: should be a list of texts; generate the variation again")
            return descriptions[0]
    return None
