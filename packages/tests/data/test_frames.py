"""Sets go both ways frame by frame: LeRobot reads ours, and we read what LeRobot wrote."""

import json
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pytest
import torch
from lerobot.datasets.lerobot_dataset import LeRobotDataset
from pyarrow import parquet
from torch.utils.data import DataLoader

from action_images.cli import main
from action_images.episodes.dataset import Dataset, DatasetWriter
from action_images.episodes.episode import Episode, FramesInMemory, View
from action_images.episodes.lerobot_layout import TOOL_NAMES
from action_images.geometry import Camera, Pose, Trajectory

VIEWS, PX, FPS = ("top", "side"), 64, 10
LENGTHS = (9, 7)
WORDS = ("reach the ball", "press the button")
INTRINSICS = np.array([80, 0, 32, 0, 80, 32, 0, 0, 1], np.float32)


def picture(number: int) -> np.ndarray:
    """A picture (h, w, 3) uint8 with a number as eight bars."""
    bits = np.array([(number >> bit) & 1 for bit in range(8)], np.uint8) * 255
    return np.broadcast_to(np.repeat(bits, PX // 8)[None, :, None], (PX, PX, 3)).copy()


def number_of(pixels: torch.Tensor) -> int:
    """The number in a picture (3, h, w), in [0, 1] or uint8."""
    grey = pixels.float() / (255 if pixels.dtype == torch.uint8 else 1)
    bars = grey.mean(0)[8:56].mean(0).unflatten(0, (8, -1))[:, 2:6].mean(1)
    return sum(1 << bit for bit in range(8) if bars[bit] > 0.5)


def shown(episode: int, view: int, frame: int) -> int:
    """The number in a frame's picture: no two frames of the set have the same."""
    return 1 + 100 * episode + 50 * view + frame


def world_from_camera(episode: int) -> np.ndarray:
    matrix = np.diag([1.0, -1.0, -1.0, 1.0])
    matrix[:3, 3] = 0.1 * episode, 0.2, 1.0
    return matrix.astype(np.float32)


def tool(episode: int, frame: int) -> np.ndarray:
    """x y z qx qy qz qw opening: a tool that moves along x, and turns about the vertical."""
    half = 0.3 + 0.05 * frame
    turn = [0, 0, np.sin(half), np.cos(half)]
    return np.array([0.02 * frame, 0.1 * episode, 0.1, *turn, frame % 2], np.float32)


def ours(folder: Path) -> Path:
    """A set of two episodes, as this package writes it."""
    with DatasetWriter(folder, fps=FPS) as writer:
        for number, (length, words) in enumerate(zip(LENGTHS, WORDS, strict=True)):
            matrix = torch.from_numpy(world_from_camera(number))
            camera = Camera(torch.from_numpy(INTRINSICS).view(3, 3), Pose.from_matrix(matrix), (PX, PX))
            views = []
            for place, view in enumerate(VIEWS):
                frames = np.stack([picture(shown(number, place, frame)) for frame in range(length)])
                video = torch.from_numpy(frames).permute(0, 3, 1, 2).contiguous()
                views.append(View(view, FramesInMemory(video), camera))
            rows = torch.from_numpy(np.stack([tool(number, frame) for frame in range(length)]))
            path = Trajectory.from_vector(rows)
            writer.add(Episode(f"e{number}", words, FPS, tuple(views), path))
    return folder


def features(*, as_video: bool, with_cameras: bool) -> dict:
    numbers = {"dtype": "float32", "shape": (8,), "names": TOOL_NAMES}
    described = {"observation.state": numbers, "action": numbers}
    for view in VIEWS:
        kind = "video" if as_video else "image"
        names = ["height", "width", "channels"]
        described[f"observation.images.{view}"] = {"dtype": kind, "shape": (PX, PX, 3), "names": names}
        if with_cameras:
            key = f"observation.cameras.{view}"
            described[f"{key}.intrinsics"] = {"dtype": "float32", "shape": (9,), "names": None}
            described[f"{key}.world_from_camera"] = {"dtype": "float32", "shape": (16,), "names": None}
    return described


def theirs(folder: Path, *, as_video: bool, with_cameras: bool) -> Path:
    """The same set, as LeRobot writes it: AV1, or pictures in its rows."""
    described = features(as_video=as_video, with_cameras=with_cameras)
    made = LeRobotDataset.create(f"local/{folder.name}", FPS, features=described, root=folder)
    for number, (length, words) in enumerate(zip(LENGTHS, WORDS, strict=True)):
        for frame in range(length):
            row = {"observation.state": tool(number, frame), "task": words}
            row["action"] = tool(number, min(frame + 1, length - 1))
            for place, view in enumerate(VIEWS):
                row[f"observation.images.{view}"] = picture(shown(number, place, frame))
                if with_cameras:
                    key = f"observation.cameras.{view}"
                    row[f"{key}.intrinsics"] = INTRINSICS
                    row[f"{key}.world_from_camera"] = world_from_camera(number).reshape(16)
            made.add_frame(row)
        made.save_episode()
    made.finalize()
    return folder


def opened(folder: Path, **wanted) -> LeRobotDataset:
    return LeRobotDataset(f"local/{folder.name}", root=folder, video_backend="pyav", **wanted)


def places() -> list[tuple[int, int]]:
    """Episode and frame of each row."""
    return [(number, frame) for number, length in enumerate(LENGTHS) for frame in range(length)]


def test_lerobot_reads_each_frame_of_our_set(tmp_path: Path):
    read = opened(ours(tmp_path / "set"))
    assert len(read) == sum(LENGTHS)
    for row, (number, frame) in enumerate(places()):
        item = read[row]
        for place, view in enumerate(VIEWS):
            assert number_of(item[f"observation.images.{view}"]) == shown(number, place, frame)
            key = f"observation.cameras.{view}"
            assert np.array_equal(item[f"{key}.intrinsics"].numpy(), INTRINSICS)
            told = item[f"{key}.world_from_camera"].numpy().reshape(4, 4)
            assert np.allclose(told, world_from_camera(number), atol=1e-6)
        assert np.allclose(item["observation.state"].numpy(), tool(number, frame), atol=1e-6)
        assert item["task"] == WORDS[number]
        assert (int(item["episode_index"]), int(item["frame_index"])) == (number, frame)


def test_lerobots_loader_cuts_the_same_windows_from_our_set(tmp_path: Path):
    key, steps = f"observation.images.{VIEWS[1]}", (0, 2, 4)
    windows = {key: [step / FPS for step in steps], "action": [step / FPS for step in steps]}
    read = opened(ours(tmp_path / "set"), delta_timestamps=windows)
    seen = []
    for batch in DataLoader(read, batch_size=4, shuffle=False):
        seen += [[number_of(pixels) for pixels in clip] for clip in batch[key]]
    last = [length - 1 for length in LENGTHS]
    wanted = [
        [shown(number, 1, min(frame + step, last[number])) for step in steps] for number, frame in places()
    ]
    assert seen == wanted


@pytest.mark.parametrize("as_video", [True, False])
def test_we_read_each_frame_that_lerobot_wrote(as_video: bool, tmp_path: Path):
    read = Dataset(theirs(tmp_path / "set", as_video=as_video, with_cameras=True))
    assert [episode.num_frames for episode in read] == list(LENGTHS)
    for number, episode in enumerate(read):
        check(episode, number)
        assert episode.views[0].camera is not None
        matrix = episode.views[0].camera.world_from_camera.matrix().numpy()
        assert np.allclose(matrix, world_from_camera(number), atol=1e-6)


@pytest.mark.parametrize("as_video", [True, False])
def test_an_imported_set_of_lerobot_has_each_frame(as_video: bool, tmp_path: Path):
    source = theirs(tmp_path / "set", as_video=as_video, with_cameras=False)
    columns = {"feature": "observation.state", "columns": list(range(8)), "closed": 0, "open": 1}
    camera = {
        "intrinsics": INTRINSICS.reshape(3, 3).tolist(),
        "world_from_camera": world_from_camera(0).tolist(),
    }
    told = {"tool": columns, "views": dict.fromkeys(VIEWS, camera)}
    (source / "calibration.json").write_text(json.dumps(told))
    assert main(["import", str(source), "--out", str(tmp_path / "imported")]) == 0
    for number, episode in enumerate(Dataset(tmp_path / "imported")):
        check(episode, number)
    again = opened(tmp_path / "imported")
    numbers = [number_of(again[row][f"observation.images.{VIEWS[0]}"]) for row in range(len(again))]
    assert numbers == [shown(number, 0, frame) for number, frame in places()]


def check(episode: Episode, number: int) -> None:
    """Check the pictures, the poses and the words of an episode."""
    for view in episode.views:
        frames = view.frames.read(range(episode.num_frames))
        wanted = [shown(number, VIEWS.index(view.name), frame) for frame in range(LENGTHS[number])]
        assert [number_of(pixels) for pixels in frames] == wanted
    assert episode.trajectory is not None
    rows = np.stack([tool(number, frame) for frame in range(LENGTHS[number])])
    assert np.allclose(episode.trajectory.to_vector().numpy(), rows, atol=1e-5)
    assert episode.instruction == WORDS[number]


def test_statistics_of_a_set_are_those_that_lerobot_writes_of_the_same_set(tmp_path: Path):
    mine, other = ours(tmp_path / "a"), theirs(tmp_path / "b", as_video=True, with_cameras=True)
    told, computed = (json.loads((path / "meta/stats.json").read_text()) for path in (mine, other))
    for key in ("observation.state", f"observation.cameras.{VIEWS[0]}.world_from_camera"):
        for name in ("min", "max", "mean", "std", "count"):
            assert np.allclose(told[key][name], computed[key][name], atol=1e-5), (key, name)
    # LeRobot 0.4 squares pixels as bytes, which overflows, so its deviations of pixels are wrong.
    deviation = () if version("lerobot").startswith("0.4.") else ("std",)
    for name in ("min", "max", "mean", *deviation):
        pixels = [np.array(one[f"observation.images.{VIEWS[0]}"][name]) for one in (told, computed)]
        assert pixels[0].shape == pixels[1].shape == (3, 1, 1)
        assert np.allclose(*pixels, atol=0.03), (
            name
        )  # theirs are of a sample of pixels before they are encoded
    rows = parquet.read_table(mine / "meta/episodes/chunk-000/file-000.parquet").column_names
    others = parquet.read_table(other / "meta/episodes/chunk-000/file-000.parquet").column_names
    named = {name for name in others if name.startswith("stats/observation.state")}
    assert named <= set(rows)
