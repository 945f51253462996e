"""Import and check: one convention flipped anywhere, and the set is the same or something is said."""

import math
import re
import shutil
from collections.abc import Callable
from copy import deepcopy
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hand_set import FPS, PLACE, HandSet, hand_set

from action_images.episodes.checks import looks
from action_images.episodes.checks.agreement import check_agreement
from action_images.episodes.checks.check import check_dataset
from action_images.episodes.checks.examine import examine_parts
from action_images.episodes.checks.finding import Examined
from action_images.episodes.dataset import Dataset
from action_images.episodes.episode import Episode
from action_images.episodes.importing import Job, import_episodes
from action_images.episodes.readers import Reader, open_foreign
from action_images.errors import ActionImagesError

RIGHT = hand_set()
STATE, ACTION = "observation.state", "action"
Mutation = Callable[[HandSet], Any]


def in_rows(change: Callable[[dict[str, Any]], Any]) -> Mutation:
    """A change of each row of the data."""
    return lambda parts: [change(row) for row in parts.rows]


def in_state(change: Callable[[np.ndarray], np.ndarray]) -> Mutation:
    """A change of each pose (8 numbers)."""
    return in_rows(lambda row: row.update({STATE: change(np.array(row[STATE])).tolist()}))


def in_places(name: str, value: Callable[[float], float]) -> Mutation:
    """A change of where meta/episodes has the pictures of `left`."""
    key = PLACE.format(view="left") + name
    return lambda parts: [row.update({key: value(row[key])}) for row in parts.episodes]


def in_episodes(**values: Any) -> Mutation:
    """Other values in each row of meta/episodes."""
    named = {name.replace("__", "/"): value for name, value in values.items()}
    return lambda parts: [row.update(named) for row in parts.episodes]


def in_camera(field: str, change: Callable[[np.ndarray], np.ndarray]) -> Mutation:
    """A change of a matrix of `left` in calibration.json."""

    def mutate(parts: HandSet) -> None:
        entry = parts.calibration["views"]["left"]
        entry[field] = change(np.array(entry[field])).tolist()

    return mutate


def in_tool(**values: Any) -> Mutation:
    """Other declarations of the tool."""
    return lambda parts: parts.calibration["tool"].update(values)


def in_info(**values: Any) -> Mutation:
    """Other values in info.json."""
    return lambda parts: parts.info.update(values)


def in_feature(name: str, **values: Any) -> Mutation:
    """Another description of a feature."""
    return lambda parts: parts.info["features"][name].update(values)


def swapped_columns(one: int, other: int) -> Callable[[np.ndarray], np.ndarray]:
    order = list(range(8))
    order[one], order[other] = other, one
    return lambda numbers: numbers[order]


def scaled(*factors: float) -> Callable[[np.ndarray], np.ndarray]:
    return lambda matrix: matrix * np.array(factors)


def left_video(change: Callable[[torch.Tensor], torch.Tensor]) -> Mutation:
    """Other pictures in the file of `left`."""
    return lambda parts: parts.videos.update(left=change(parts.videos["left"]))


def moved(parts: HandSet, *numbers: float) -> None:
    offset = np.eye(4)
    offset[:3, 3] = numbers
    parts.calibration["tool"]["tool_offset"] = offset.tolist()


def lose_rows(parts: HandSet, count: int) -> None:
    """The last rows of the last episode are gone, their pictures are not."""
    del parts.rows[-count:]
    parts.episodes[-1]["length"] -= count


def turned_about_y(radians: float) -> np.ndarray:
    turn = np.eye(4)
    turn[0, 0] = turn[2, 2] = math.cos(radians)
    turn[0, 2], turn[2, 0] = math.sin(radians), -math.sin(radians)
    return turn


MUTATIONS: dict[str, Mutation] = {
    # info.json
    "fps doubled": in_info(fps=2 * FPS),
    "fps halved": in_info(fps=FPS / 2),
    "fps 9": in_info(fps=9),
    "version": in_info(codebase_version="v2.1"),
    "chunks_size": in_info(chunks_size=1),
    "total_frames": in_info(total_frames=7),
    "total_episodes": in_info(total_episodes=3),
    "data_path": in_info(data_path="data/{episode_index}.parquet"),
    "video_path": in_info(video_path="videos/{video_key}.mp4"),
    "one video_path for all": in_info(video_path="videos/chunk-{chunk_index:03d}/file-{file_index:03d}.mp4"),
    "splits": in_info(splits={"train": "0:1"}),
    "width and height": in_feature("observation.images.left", shape=[64, 128, 3]),
    "channels first": in_feature("observation.images.left", shape=[3, 96, 96], names=["channels", "h", "w"]),
    "video.fps": in_feature("observation.images.left", info={"video.fps": 30}),
    "depth": in_feature("observation.images.left", info={"video.is_depth_map": True}),
    "names w first": in_feature(STATE, names=["x", "y", "z", "qw", "qx", "qy", "qz", "gripper"]),
    "names of joints": in_feature(STATE, names=[f"joint_{number}" for number in range(8)]),
    "names of steps": in_feature(STATE, names=["dx", "dy", "dz", "qx", "qy", "qz", "qw", "gripper"]),
    "shape": in_feature(STATE, shape=[7]),
    "names z first": in_feature(STATE, names=["z", "y", "x", "qx", "qy", "qz", "qw", "gripper"]),
    "names in mm": in_feature(STATE, names=["x_mm", "y_mm", "z_mm", "qx", "qy", "qz", "qw", "gripper"]),
    "names by number": in_feature(
        STATE, names={"axes": {"qw": 3, "x": 0, "y": 1, "z": 2, "qx": 4, "qy": 5, "qz": 6, "grip": 7}}
    ),
    # meta/episodes
    "episodes exchanged": lambda parts: [
        row.update(episode_index=1 - row["episode_index"]) for row in parts.episodes
    ],
    "length less": in_episodes(length=23),
    "length more": in_episodes(length=25),
    "dataset_from_index": in_episodes(dataset_from_index=0),
    "data file": in_episodes(data__file_index=1),
    "other tasks": in_episodes(tasks=["dance"]),
    "no tasks": lambda parts: [row.pop("tasks") for row in parts.episodes],
    "from_timestamp one frame late": in_places("from_timestamp", lambda start: start + 1 / FPS),
    "from_timestamp early": in_places("from_timestamp", lambda start: max(0.0, start - 2 / FPS)),
    "from_timestamp half a frame": in_places("from_timestamp", lambda start: start + 0.4 / FPS),
    "from_timestamp in ms": in_places("from_timestamp", lambda start: 1000 * start),
    "from_timestamp in frames": in_places("from_timestamp", lambda start: FPS * start),
    "from_timestamp all 0": in_places("from_timestamp", lambda start: 0 * start),
    "to_timestamp early": in_places("to_timestamp", lambda stop: stop - 1.0),
    "pictures of left exchanged": lambda parts: in_places(
        "from_timestamp", lambda start: len(parts.rows) / 2 / FPS - start
    )(parts),
    "video file": in_places("file_index", lambda number: number + 1),
    # tasks and rows
    "task texts exchanged": lambda parts: [
        row.update(task_index=1 - row["task_index"]) for row in parts.tasks
    ],
    "two texts of one index": lambda parts: parts.tasks.append({"task_index": 0, "task": "dance"}),
    "task_index exchanged": in_rows(lambda row: row.update(task_index=1 - row["task_index"])),
    "task_index beyond": in_rows(lambda row: row.update(task_index=7)),
    "task changes on the way": in_rows(lambda row: row.update(task_index=int(row["frame_index"] > 9))),
    "timestamp one frame late": in_rows(lambda row: row.update(timestamp=row["timestamp"] + 1 / FPS)),
    "timestamp of a clock": in_rows(lambda row: row.update(timestamp=row["timestamp"] + 1.7e9)),
    "timestamp half a second late": in_rows(lambda row: row.update(timestamp=row["timestamp"] + 0.5)),
    "last rows lost": lambda parts: lose_rows(parts, 3),
    "timestamp in ms": in_rows(lambda row: row.update(timestamp=1000 * row["timestamp"])),
    "timestamp of the file": in_rows(lambda row: row.update(timestamp=row["index"] / FPS)),
    "timestamp at another rate": in_rows(lambda row: row.update(timestamp=row["frame_index"] / 15)),
    "frame_index from 1": in_rows(lambda row: row.update(frame_index=row["frame_index"] + 1)),
    "frame_index backwards": in_rows(lambda row: row.update(frame_index=23 - row["frame_index"])),
    "rows backwards": lambda parts: parts.rows.reverse(),
    "episode_index from 1": in_rows(lambda row: row.update(episode_index=row["episode_index"] + 1)),
    "rows of two episodes exchanged": in_rows(lambda row: row.update(episode_index=1 - row["episode_index"])),
    "index from 1": in_rows(lambda row: row.update(index=row["index"] + 1)),
    "a row is missing": lambda parts: parts.rows.pop(10),
    "NaN in a pose": lambda parts: parts.rows[5][STATE].__setitem__(1, float("nan")),
    "NaN in an action": lambda parts: parts.rows[5][ACTION].__setitem__(1, float("nan")),
    # poses
    "x and y exchanged": in_state(swapped_columns(0, 1)),
    "y and z exchanged": in_state(swapped_columns(1, 2)),
    "x turned about": in_state(scaled(-1, 1, 1, 1, 1, 1, 1, 1)),
    "y turned about": in_state(scaled(1, -1, 1, 1, 1, 1, 1, 1)),
    "z turned about": in_state(scaled(1, 1, -1, 1, 1, 1, 1, 1)),
    "millimetres": in_state(scaled(1e3, 1e3, 1e3, 1, 1, 1, 1, 1)),
    "centimetres": in_state(scaled(1e2, 1e2, 1e2, 1, 1, 1, 1, 1)),
    "w first": in_state(lambda numbers: numbers[[0, 1, 2, 6, 3, 4, 5, 7]]),
    "quaternion negated": in_state(scaled(1, 1, 1, -1, -1, -1, -1, 1)),
    "quaternion conjugated": in_state(scaled(1, 1, 1, -1, -1, -1, 1, 1)),
    "quaternion of length 2": in_state(scaled(1, 1, 1, 2, 2, 2, 2, 1)),
    "gripper inverted": in_state(lambda numbers: np.append(numbers[:7], 1 - numbers[7])),
    "gripper in per cent": in_state(scaled(1, 1, 1, 1, 1, 1, 1, 100)),
    "gripper in metres": in_state(scaled(1, 1, 1, 1, 1, 1, 1, 0.04)),
    "poses are steps": in_state(lambda numbers: numbers * np.array([0.05, 0.05, 0.05, 1, 1, 1, 1, 1])),
    "poses late": lambda parts: [
        row.update({STATE: parts.rows[max(row["index"] - 3, 24 * row["episode_index"])][ACTION]})
        for row in reversed(parts.rows)
    ],
    "poses 10 cm aside": in_state(lambda numbers: numbers + np.array([0.07, 0.08, 0, 0, 0, 0, 0, 0])),
    "a pose at the origin": lambda parts: parts.rows[11].update(
        {STATE: [0.0] * 3 + parts.rows[11][STATE][3:]}
    ),
    "a rotation of zero": lambda parts: parts.rows[11].update(
        {STATE: [*parts.rows[11][STATE][:3], 0.0, 0.0, 0.0, 1.0, parts.rows[11][STATE][7]]}
    ),
    # calibration.json
    "focal lengths doubled": in_camera("intrinsics", scaled(2, 2, 1)),
    "intrinsics doubled": in_camera("intrinsics", lambda matrix: matrix * [[2], [2], [1]]),
    "intrinsics halved": in_camera("intrinsics", lambda matrix: matrix * [[0.5], [0.5], [1]]),
    "intrinsics transposed": in_camera("intrinsics", np.transpose),
    "focal length negative": in_camera("intrinsics", lambda matrix: matrix * [[1], [-1], [1]]),
    "intrinsics of 1": in_camera("intrinsics", lambda matrix: matrix / [[96], [96], [1]]),
    "principal point off": in_camera("intrinsics", lambda matrix: matrix + np.outer([1, 0, 0], [0, 0, 14])),
    "camera inverse": in_camera("world_from_camera", np.linalg.inv),
    "camera transposed": in_camera("world_from_camera", np.transpose),
    "camera's rotation transposed": in_camera(
        "world_from_camera", lambda matrix: np.block([[matrix[:3, :3].T, matrix[:3, 3:]], [matrix[3:]]])
    ),
    "camera in mm": in_camera("world_from_camera", scaled(1, 1, 1, 1000)),
    "camera in OpenGL": in_camera("world_from_camera", scaled(1, -1, -1, 1)),
    "camera's z turned about": in_camera("world_from_camera", scaled(1, 1, -1, 1)),
    "camera 15 cm aside": in_camera(
        "world_from_camera", lambda matrix: matrix + 0.15 * np.outer([0, 1, 0, 0], [0, 0, 0, 1])
    ),
    "camera turned by 5 degrees": in_camera(
        "world_from_camera", lambda matrix: matrix @ turned_about_y(math.radians(5))
    ),
    "cameras exchanged": lambda parts: parts.calibration["views"].update(
        left=parts.calibration["views"]["right"], right=parts.calibration["views"]["left"]
    ),
    "one camera missing": lambda parts: parts.calibration["views"].pop("left"),
    "a camera of no view": lambda parts: parts.calibration["views"].update(
        top=parts.calibration["views"]["left"]
    ),
    "size doubled": lambda parts: parts.calibration["views"]["left"].update(size=[192, 192]),
    "size of another shape": lambda parts: parts.calibration["views"]["left"].update(size=[96, 128]),
    "a strong distortion": lambda parts: parts.calibration["views"]["left"].update(
        distortion=[-0.9, 0.4, 0, 0]
    ),
    "rotation w first": in_tool(rotation="quaternion_wxyz"),
    "rotation Euler": in_tool(rotation="euler_xyz"),
    "rotation of no name": in_tool(rotation="quat"),
    "position_unit mm": in_tool(position_unit="mm"),
    "position_unit cm": in_tool(position_unit="cm"),
    "closed and open exchanged": in_tool(closed=1.0, open=0.0),
    "open 0.5": in_tool(open=0.5),
    "open 100": in_tool(open=100.0),
    "columns from 1": in_tool(columns=[1, 2, 3, 4, 5, 6, 7, 0]),
    "columns z first": in_tool(columns=[2, 1, 0, 3, 4, 5, 6, 7]),
    "feature action": in_tool(feature=ACTION),
    "relative": in_tool(relative=True),
    "a field of no name": in_tool(units="m"),
    "tool 20 cm aside": lambda parts: moved(parts, 0.2, 0.0, 0.0),
    "tool 25 cm ahead": lambda parts: moved(parts, 0.0, 0.0, 0.25),
    "base 20 cm aside": lambda parts: in_tool(
        base_offset=[[1, 0, 0, 0.2], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]]
    )(parts),
    "base turned": lambda parts: in_tool(
        base_offset=[[0, -1, 0, 0], [1, 0, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]]
    )(parts),
    # videos
    "pictures upside down": left_video(lambda video: video.flip(-2)),
    "pictures mirrored": left_video(lambda video: video.flip(-1)),
    "pictures turned": left_video(lambda video: video.rot90(2, (-2, -1))),
    "pictures transposed": left_video(lambda video: video.mT.contiguous()),
    "pictures late": left_video(lambda video: torch.cat([video[:1], video[:1], video[:-2]])),
    "pictures backwards": left_video(lambda video: video.flip(0)),
    "pictures black": left_video(torch.zeros_like),
    "pictures stuck": left_video(lambda video: video[np.r_[:12, [12] * 12, 24:36, [36] * 12]]),
    "each picture twice": left_video(lambda video: video[torch.arange(48) // 2 * 2]),
    "pictures dropped": left_video(lambda video: video[[*range(10), *range(12, 48)]]),
    "views exchanged": lambda parts: parts.videos.update(
        left=parts.videos["right"], right=parts.videos["left"]
    ),
    "one view copied": lambda parts: parts.videos.update(left=parts.videos["right"].clone()),
    "pictures half as large": left_video(lambda video: video[:, :, ::2, ::2]),
}


def brought_in(root, out) -> tuple[list[Episode], list[str]]:
    """What import and check make of a set: its episodes, and all that they say."""
    try:
        outcome = import_episodes(Job(root), out, 0)
    except ActionImagesError as error:
        return [], [str(error)]
    said = outcome.sentences() + list(outcome.refused.values())
    verdict = check_dataset(out, 0)
    return list(Dataset(out)), said + [finding.message for finding in verdict.findings]


def read_in(root) -> tuple[list[Episode], list[str]]:
    """The same episodes without encoding them anew, and what is said until then."""
    try:
        _, reader = open_foreign(root)
    except ActionImagesError as error:
        return [], [str(error)]
    read = [_read(reader, episode_id) for episode_id in reader.ids]
    episodes = [one for one in read if isinstance(one, Episode)]
    said = [*reader.remarks, *(one for one in read if isinstance(one, str))]
    for episode in episodes:
        of_views = (getattr(view.frames, "notes", ()) for view in episode.views)
        said += [*episode.notes, *chain.from_iterable(of_views)]
    return episodes, said


def _read(reader: Reader, episode_id: str) -> Episode | str:
    try:
        return reader.read(episode_id).check()
    except ActionImagesError as error:
        return str(error)


def said_of_fit(episode: Episode) -> list[str]:
    """What `check` says of one episode's pictures, cameras and path."""
    result = Examined(episode.id, episode.num_frames)
    pictures = {view.name: looks.decode_all(view.frames) for view in episode.views}
    examine_parts(result, list(episode.views), pictures, episode.trajectory, episode.fps)
    return [finding.message for finding in (*result.findings, *check_agreement([result]))]


def is_counted(episodes: list[Episode]) -> bool:
    """Whether import counts something that they lack."""
    views = chain.from_iterable(episode.views for episode in episodes)
    lack_cameras = any(view.camera is None for view in views)
    return lack_cameras or any(None in (episode.trajectory, episode.instruction) for episode in episodes)


def same(one: list[Episode], other: list[Episode]) -> bool:
    """Whether both are the same pictures, words, times, cameras and poses."""
    return len(one) == len(other) and all(map(_same, one, other))


def _same(one: Episode, other: Episode) -> bool:
    told = [(each.id, each.instruction, each.fps, each.num_frames, len(each.views)) for each in (one, other)]
    if told[0] != told[1] or (one.trajectory is None) != (other.trajectory is None):
        return False
    paths = [each.trajectory.to_vector(7) for each in (one, other)]
    numbers = [torch.allclose(*paths, atol=1e-5)]
    for mine, theirs in zip(one.views, other.views, strict=True):
        if mine.name != theirs.name or (mine.camera is None) != (theirs.camera is None):
            return False
        pictures = [view.frames.read(range(len(view.frames))) for view in (mine, theirs)]
        numbers.append(torch.equal(*pictures))
        numbers.append(torch.allclose(mine.camera.intrinsics, theirs.camera.intrinsics))
        poses = [view.camera.world_from_camera.matrix() for view in (mine, theirs)]
        numbers.append(torch.allclose(*poses, atol=1e-5))
    return all(numbers)


@pytest.fixture(scope="module")
def right(tmp_path_factory):
    """The folder of the right set, and what it is read as."""
    root = RIGHT.write(tmp_path_factory.mktemp("right") / "source")
    episodes, said = read_in(root)
    assert len(episodes) == 2
    return root, episodes, said


def mutated(root: Path, source: Path, name: str) -> Path:
    """The right set with one thing flipped."""
    parts = deepcopy(RIGHT)
    MUTATIONS[name](parts)
    if all(torch.equal(parts.videos[view], video) for view, video in RIGHT.videos.items()):
        shutil.copytree(root / "videos", source / "videos")
        parts.write_tables(source)
    else:
        parts.write(source)
    return source


def test_nothing_is_said_of_the_right_set(right, tmp_path):
    root, _, said = right
    episodes, all_said = brought_in(root, tmp_path / "out")
    assert len(episodes) == 2
    assert all_said == said == ["calibration.json is found: cameras and tool poses are taken from it"]


@pytest.mark.parametrize("name", MUTATIONS)
def test_one_convention_flipped_changes_nothing_or_is_said(right, tmp_path, name):
    root, episodes, usual = right
    found, said = read_in(mutated(root, tmp_path / "source", name))
    if same(found, episodes) or said != usual or is_counted(found):
        return
    assert said_of_fit(found[0]) or said_of_fit(found[1])


@pytest.mark.parametrize("name", ["w first", "pictures late", "camera in OpenGL", "gripper inverted"])
def test_what_is_said_is_what_the_commands_say(right, tmp_path, name):
    root, _, usual = right
    source = mutated(root, tmp_path / "source", name)
    episodes, said = brought_in(source, tmp_path / "out")
    assert len(set(said) - set(usual)) > 0
    if episodes:
        wanted = {re.sub("[0-9.]+", "", message) for message in said_of_fit(read_in(source)[0][0])}
        assert wanted & {re.sub("[0-9.]+", "", message) for message in said}
