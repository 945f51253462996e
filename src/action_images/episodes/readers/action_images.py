"""The RLBench set of the method's own release: RLBench's conventions, videos at every fourth control step.

<task>/variation<N>/{variation_descriptions.pkl, episodes/episode*/{actions.npy, view*/{rgb/video.mp4,
camera_params.json}}}. Frame i of a video belongs to row 4 i of the actions (x y z, quaternion x y z w, 1 =
open).
"""

from pathlib import Path

import torch

from action_images.episodes.episode import Episode, EpisodeError, View
from action_images.episodes.fingerprint import of_parts
from action_images.episodes.lerobot_layout import read_json
from action_images.episodes.readers import EVERYTHING, Wanted
from action_images.episodes.readers.folders import (
    EpisodeFolders,
    OfFolders,
    as_tensor,
    natural,
    read_array,
    same_length,
)
from action_images.episodes.readers.rlbench import (
    CONTROL_HZ,
    WORDS,
    read_instruction,
    resized_camera,
    still,
    words_beside,
)
from action_images.episodes.video import VideoFrames
from action_images.geometry import Camera, Pose, Trajectory

STRIDE = 4


class ActionImagesRLBench(OfFolders):
    """A folder of the released set."""

    def __init__(self, root: Path, wanted: Wanted = EVERYTHING):
        found = (path.parent for path in root.glob("**/episode*/actions.npy"))
        self._folders = EpisodeFolders(root, found, leave_out=("episodes",))
        self._wanted = wanted

    @classmethod
    def recognises(cls, root: Path) -> bool:
        """Whether an episode with actions and a view lies somewhere below."""
        return any(
            next(path.parent.glob("view*/camera_params.json"), None)
            for path in root.glob("**/episode*/actions.npy")
        )

    def fingerprint(self, episode_id: str) -> dict[str, str]:
        """Hashes of an episode's actions, words, cameras and videos."""
        folder = self._folders.unchecked(episode_id)
        places = sorted(folder.glob("view*/"), key=lambda path: natural(path.name))
        kept = [one for one in places if not self._wanted.views or one.name in self._wanted.views]
        told = {"actions.npy": [folder / "actions.npy"]}
        told["camera_params.json"] = [place / "camera_params.json" for place in kept]
        told["videos"] = [place / "rgb" / "video.mp4" for place in kept]
        told[WORDS] = [path for path in words_beside(folder) if path.is_file()][:1]
        return of_parts(told)

    def read(self, episode_id: str) -> Episode:
        """One episode at the videos' rate."""
        folder = self._folders.folder(episode_id)
        actions = read_array(folder / "actions.npy", (None, 8))
        assert actions is not None
        places = sorted(folder.glob("view*/"), key=lambda path: natural(path.name))
        names = self._wanted.of(episode_id, [place.name for place in places])
        views = tuple(_view(folder / name, len(actions)) for name in names)
        rows = actions[::STRIDE]
        lengths = {view.name: len(view.frames) for view in views}
        same_length(episode_id, {f"every {STRIDE}th row of actions.npy": len(rows)} | lengths)
        words = read_instruction(self._folders.root, folder)
        return Episode(episode_id, words, CONTROL_HZ / STRIDE, views, Trajectory.from_vector(rows))


def _view(place: Path, num_actions: int) -> View:
    frames = VideoFrames(place / "rgb" / "video.mp4")
    return View(
        place.name, frames, _cameras(place / "camera_params.json", frames.size, len(frames), num_actions)
    )


def _cameras(path: Path, size: tuple[int, int], num_frames: int, num_actions: int) -> Camera:
    entries = read_json(path)
    keys = sorted(entries, key=natural)
    # There is one entry for each frame of the video or for each control step; the count tells which.
    chosen = {num_actions: keys[::STRIDE], num_frames: keys}.get(len(keys))
    if chosen is None:
        counts = f"{len(keys)} entries for {num_frames} frames and {num_actions} actions"
        raise EpisodeError(f"{path}: has {counts}; restore the file")
    if not all(isinstance(entries[key], dict) for key in chosen):
        raise EpisodeError(f"{path}: each entry should hold intrinsics and extrinsics; restore the file")
    intrinsics = torch.stack(
        [as_tensor(entries[key].get("intrinsics"), (3, 3), f"{path}: {key} intrinsics") for key in chosen]
    )
    extrinsics = torch.stack(
        [as_tensor(entries[key].get("extrinsics"), (4, 4), f"{path}: {key} extrinsics") for key in chosen]
    )
    return still(resized_camera(intrinsics, Pose.from_matrix(extrinsics), size, str(path))[0])
