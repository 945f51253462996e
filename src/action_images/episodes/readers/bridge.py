"""BridgeData V2: as recorded, and as the method's release processed it.

Raw: raw/traj_group*/traj*/{obs_dict.pkl, policy_out.pkl, images<N>/im_<i>.jpg, lang.txt}; the tool in the
robot's base frame. Cameras are not calibrated, so nothing can be drawn. Processed: <episode>/{video/<i>.mp4,
vggt/0/{intrinsic, extrinsic}.npy, instruction.txt}; VGGT estimated the cameras in a frame and scale of their
own, so there is no trajectory.
"""

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from torch import Tensor

from action_images.episodes.episode import Episode, EpisodeError, View
from action_images.episodes.fingerprint import of_parts
from action_images.episodes.pictures import Pictures
from action_images.episodes.readers import EVERYTHING, Wanted
from action_images.episodes.readers.folders import (
    EpisodeFolders,
    OfFolders,
    as_array,
    as_tensor,
    natural,
    read_array,
    read_text,
    same_length,
)
from action_images.episodes.readers.pace import told_pace
from action_images.episodes.readers.readings import measured
from action_images.episodes.readers.unpickle import read_pickle
from action_images.episodes.video import VideoFrames
from action_images.geometry import Camera, Pose, Trajectory
from action_images.geometry.rotation import nearest_rotation

CONTROL_HZ = 5.0
GRIPPER_COLUMN = 6


class Bridge(OfFolders):
    """A folder of raw BridgeData V2 trajectories."""

    def __init__(self, root: Path, wanted: Wanted = EVERYTHING):
        found = (path.parent for path in root.glob("**/traj*/obs_dict.pkl"))
        self._folders = EpisodeFolders(root, found)
        self._wanted = wanted

    @classmethod
    def recognises(cls, root: Path) -> bool:
        """Whether a trajectory lies somewhere below."""
        return next(root.glob("**/traj*/obs_dict.pkl"), None) is not None

    def fingerprint(self, episode_id: str) -> dict[str, str]:
        """Hashes of a trajectory's numbers, words and pictures."""
        folder = self._folders.unchecked(episode_id)
        places = sorted(folder.glob("images[0-9]*/"), key=lambda path: natural(path.name))
        kept = [one for one in places if not self._wanted.views or one.name in self._wanted.views]
        told = {name: [folder / name] for name in ("obs_dict.pkl", "lang.txt")} | {"pictures": kept}
        return of_parts(told)

    def read(self, episode_id: str) -> Episode:
        """One trajectory with all its views, which are not calibrated."""
        folder = self._folders.folder(episode_id)
        record = read_pickle(folder / "obs_dict.pkl")
        if not isinstance(record, dict):
            raise EpisodeError(f"{folder}/obs_dict.pkl: should be a dict of arrays; restore the file")
        places = sorted(folder.glob("images[0-9]*/"), key=lambda path: natural(path.name))
        names = self._wanted.of(episode_id, [place.name for place in places])
        views = tuple(View(name, Pictures(_numbered(folder / name)), None) for name in names)
        lengths = {view.name: len(view.frames) for view in views}
        trajectory = _tool_path(record, episode_id)
        if trajectory is not None:
            lengths["obs_dict.pkl"] = trajectory.num_frames
        num_frames = same_length(episode_id, lengths)
        _check_commands(folder / "policy_out.pkl", num_frames)
        words, notes = read_text(folder / "lang.txt"), (*_left_out(folder), *_on_pace(record, num_frames))
        return Episode(episode_id, words, CONTROL_HZ, views, trajectory, notes=notes)


def _numbered(place: Path) -> tuple[Path, ...]:
    pictures = sorted(place.glob("im_*.jpg"), key=lambda path: natural(path.name))
    if not pictures:
        raise EpisodeError(f"{place}: holds no im_0.jpg, im_1.jpg, ...; give jpg files of these names")
    if [path.stem for path in pictures] != [f"im_{i}" for i in range(len(pictures))]:
        told = "the pictures are not numbered im_0.jpg, im_1.jpg, ..."
        raise EpisodeError(f"{place}: {told}; restore them or drop the episode")
    return tuple(pictures)


def _tool_path(record: dict, episode_id: str) -> Trajectory | None:
    """The tool in the base frame; None if the full transform was not recorded.

    The Euler angles alone are about another frame.
    """
    if "eef_transform" not in record or "state" not in record:
        return None
    matrix = as_tensor(record["eef_transform"], (None, 4, 4), f"{episode_id}: eef_transform")
    state = as_tensor(record["state"], (len(matrix), 7), f"{episode_id}: state")
    return Trajectory(Pose.from_matrix(matrix), measured(state[:, GRIPPER_COLUMN], f"{episode_id}: state"))


def _left_out(folder: Path) -> Iterator[str]:
    """Remarks on other folders of pictures, such as depth maps."""
    for place in sorted(folder.glob("*images[0-9]*/")):
        if not place.name.startswith("images"):
            yield f"folder '{place.name}' is none of images0, images1, ...; it is left out"


def _on_pace(record: dict, num_frames: int) -> Iterator[str]:
    """Remarks on the times (s) of the rows, if the record has one for each."""
    with suppress(EpisodeError):  # they are not needed
        times = as_array(record.get("time_stamp"), (num_frames,), "time_stamp")
        yield from told_pace(times, CONTROL_HZ, "'time_stamp'")


def _check_commands(path: Path, num_frames: int) -> None:
    if not path.is_file():
        return
    commands = read_pickle(path)
    if not isinstance(commands, list) or len(commands) not in (num_frames - 1, num_frames):
        count = len(commands) if isinstance(commands, list) else "no"
        counts = f"{count} commands for {num_frames} frames"
        raise EpisodeError(f"{path}: has {counts}; restore the file or drop the episode")


class BridgeProcessed(OfFolders):
    """A folder of BridgeData V2 as the release processed it."""

    def __init__(self, root: Path, wanted: Wanted = EVERYTHING):
        found = (path.parents[2] for path in root.glob("**/vggt/0/intrinsic.npy"))
        self._folders = EpisodeFolders(root, found)
        self._wanted = wanted

    @classmethod
    def recognises(cls, root: Path) -> bool:
        """Whether an episode with estimated cameras lies somewhere below."""
        return next(root.glob("**/vggt/0/intrinsic.npy"), None) is not None

    def fingerprint(self, episode_id: str) -> dict[str, str]:
        """Hashes of an episode's cameras, words and videos."""
        folder = self._folders.unchecked(episode_id)
        cameras = [folder / f"vggt/0/{name}.npy" for name in ("intrinsic", "extrinsic")]
        videos = sorted((folder / "video").glob("*.mp4"), key=lambda path: natural(path.name))
        kept = [one for one in videos if not self._wanted.views or _name(one) in self._wanted.views]
        told = {"vggt": cameras, "instruction.txt": [folder / "instruction.txt"], "videos": kept}
        return of_parts(told)

    def read(self, episode_id: str) -> Episode:
        """One episode: videos with estimated cameras, no trajectory."""
        folder = self._folders.folder(episode_id)
        intrinsics = read_array(folder / "vggt/0/intrinsic.npy", (None, 3, 3))
        extrinsics = read_array(folder / "vggt/0/extrinsic.npy", (None, 3, 4))
        assert intrinsics is not None
        assert extrinsics is not None
        videos = sorted((folder / "video").glob("*.mp4"), key=lambda path: natural(path.name))
        if not len(videos) == len(intrinsics) == len(extrinsics):
            counts = f"{len(videos)} videos, {len(intrinsics)} intrinsics and {len(extrinsics)} extrinsics"
            raise EpisodeError(f"{episode_id}: has {counts}; restore the episode or drop it")
        names = self._wanted.of(episode_id, [_name(video) for video in videos])
        views = tuple(
            _estimated(video, matrix, pose)
            for video, matrix, pose in zip(videos, intrinsics, extrinsics, strict=True)
            if _name(video) in names
        )
        same_length(episode_id, {view.name: len(view.frames) for view in views})
        return Episode(episode_id, read_text(folder / "instruction.txt"), CONTROL_HZ, views, None)


def _name(video: Path) -> str:
    return f"camera{video.stem}"


def _estimated(video: Path, intrinsics: Tensor, camera_from_world: Tensor) -> View:
    """A view with an estimated camera: VGGT's resized picture is centred on its principal point, which tells
    its size."""
    frames = VideoFrames(video)
    for name, numbers in (("intrinsic", intrinsics), ("extrinsic", camera_from_world)):
        if not numbers.isfinite().all():
            told = f"its estimated camera has numbers in {name}.npy that are not finite"
            raise EpisodeError(f"{video}: {told}; drop the episode")
    width, height = (round(2 * float(intrinsics[axis, 2])) for axis in (0, 1))
    if width < 1 or height < 1:
        centre = f"principal point {intrinsics[:2, 2].tolist()}"
        raise EpisodeError(f"{video}: its estimated camera has no image size ({centre}); drop the episode")
    # A network's output is a rotation to three digits only.
    rotation = nearest_rotation(camera_from_world[:, :3])
    world_from_camera = Pose(rotation, camera_from_world[:, 3]).inverse()
    camera = Camera(intrinsics, world_from_camera, (height, width)).resize(*frames.size)
    return View(_name(video), frames, camera)
