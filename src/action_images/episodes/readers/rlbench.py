"""RLBench as its own generator writes it: one png for each frame, a pickle for the numbers.

<task>/variation<N>/episodes/episode<M>/{low_dim_obs.pkl, <camera>_rgb/<i>.png}, instructions in
variation_descriptions.pkl. World frame of the simulator in metres; quaternions x y z w; gripper 1 = open; focal
lengths negative with camera-to-world poses (`Camera.from_rlbench`).
"""

from pathlib import Path
from typing import Any

import torch

from action_images.episodes.episode import Episode, EpisodeError, View
from action_images.episodes.episode_table import MAX_EPISODE_FRAMES
from action_images.episodes.pictures import Pictures
from action_images.episodes.readers.folders import as_tensor, by_id, folder_of, natural, same_length
from action_images.episodes.readers.unpickle import read_pickle
from action_images.geometry import Camera, Pose, Trajectory

RECORDS = ("rlbench.demo.Demo", "rlbench.backend.observation.Observation")
CONTROL_HZ = 20.0
CAMERAS = ("front", "left_shoulder", "right_shoulder", "overhead", "wrist")


class RLBench:
    """A folder of demonstrations that RLBench generated."""

    def __init__(self, root: Path):
        found = (path.parent for path in root.glob("**/episode*/low_dim_obs.pkl"))
        self._folders = by_id(root, found, leave_out=("episodes",))

    @classmethod
    def recognises(cls, root: Path) -> bool:
        """Whether there is a demonstration somewhere below."""
        return next(root.glob("**/episode*/low_dim_obs.pkl"), None) is not None

    @property
    def ids(self) -> list[str]:
        """<task>/variation<N>/episode<M>"""
        return list(self._folders)

    def read(self, episode_id: str) -> Episode:
        """One demonstration with all cameras that were recorded."""
        folder = folder_of(self._folders, episode_id)
        steps = _observations(folder / "low_dim_obs.pkl")
        pose = torch.stack(
            [
                as_tensor(_get(step, "gripper_pose", folder), (7,), f"{episode_id}: gripper_pose")
                for step in steps
            ]
        )
        opening = torch.stack(
            [
                as_tensor(_get(step, "gripper_open", folder), (), f"{episode_id}: gripper_open")
                for step in steps
            ]
        )
        views = tuple(_view(folder, name, steps) for name in CAMERAS if (folder / f"{name}_rgb").is_dir())
        same_length(
            episode_id, {"low_dim_obs.pkl": len(steps)} | {view.name: len(view.frames) for view in views}
        )
        trajectory = Trajectory.from_vector(torch.cat([pose, opening[:, None]], -1))
        return Episode(episode_id, read_instruction(folder), CONTROL_HZ, views, trajectory)


def _observations(path: Path) -> list[Any]:
    demo = read_pickle(path, RECORDS)
    steps = demo if isinstance(demo, list) else getattr(demo, "_observations", None)
    if not isinstance(steps, list) or not steps:
        raise EpisodeError(f"{path}: holds no observations; generate the demonstration again")
    if len(steps) > MAX_EPISODE_FRAMES:  # a pickle can hold the same one millions of times
        raise EpisodeError(
            f"{path}: holds {len(steps)} observations, beyond the {MAX_EPISODE_FRAMES} that are read; drop the episode"
        )
    return steps


def _get(step: Any, name: str, folder: Path) -> Any:
    value = getattr(step, name, None)
    if value is None:
        raise EpisodeError(f"{folder}: an observation has no {name}; generate the demonstration with it")
    return value


def _view(folder: Path, name: str, steps: list[Any]) -> View:
    pictures = sorted((folder / f"{name}_rgb").glob("*.png"), key=lambda path: natural(path.name))
    if [path.stem for path in pictures] != [str(i) for i in range(len(pictures))]:
        raise EpisodeError(
            f"{folder}/{name}_rgb: the pictures are not numbered 0.png, 1.png, ...; generate the demonstration again"
        )
    frames = Pictures(tuple(pictures))
    notes = [_get(step, "misc", folder) for step in steps]
    matrices = [note.get(f"{name}_camera_intrinsics") if isinstance(note, dict) else None for note in notes]
    poses = [note.get(f"{name}_camera_extrinsics") if isinstance(note, dict) else None for note in notes]
    if any(matrix is None for matrix in matrices + poses):
        return View(name, frames, None)
    intrinsics = torch.stack(
        [as_tensor(matrix, (3, 3), f"{folder}: {name} intrinsics") for matrix in matrices]
    )
    extrinsics = torch.stack([as_tensor(pose, (4, 4), f"{folder}: {name} extrinsics") for pose in poses])
    return View(
        name, frames, still(Camera.from_rlbench(intrinsics, Pose.from_matrix(extrinsics), frames.size))
    )


def still(camera: Camera) -> Camera:
    """One camera where all frames have the same."""
    matrix, intrinsics = camera.world_from_camera.matrix(), camera.intrinsics
    return camera[0] if (matrix == matrix[0]).all() and (intrinsics == intrinsics[0]).all() else camera


def read_instruction(folder: Path) -> str | None:
    """The first description of the variation, beside the episodes or with the episode; None where there is none."""
    for place in (folder, folder.parent.parent, folder.parent):
        path = place / "variation_descriptions.pkl"
        if path.is_file():
            descriptions = read_pickle(path)
            if (
                not isinstance(descriptions, list)
                or not descriptions
                or not all(isinstance(text, str) for text in descriptions)
            ):
                raise EpisodeError(f"{path}: should be a list of texts; generate the variation again")
            return descriptions[0]
    return None
