"""A stranger's LeRobotDataset v3 of the textured hand: two views, two episodes, calibration.json."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import torch

from action_images.episodes.video import write_video
from arm_scene import SIZE, hand_episode

WORDS = ("put the cup away", "open the drawer")
FPS = 10
NAMES = ["x", "y", "z", "qx", "qy", "qz", "qw", "gripper"]
PLACE = "videos/observation.images.{view}/"


@dataclass
class HandSet:
    """All that the set is written from; a mutation changes one thing of it."""

    info: dict[str, Any]
    episodes: list[dict[str, Any]]
    rows: list[dict[str, Any]]
    tasks: list[dict[str, Any]]
    calibration: dict[str, Any]
    videos: dict[str, torch.Tensor]

    def write(self, root: Path) -> Path:
        """The folder; the videos as they are."""
        for view, video in self.videos.items():
            path = root / f"videos/observation.images.{view}/chunk-000/file-000.mp4"
            path.parent.mkdir(parents=True)
            write_video(path, video, FPS, crf=18)
        self.write_tables(root)
        return root

    def write_tables(self, root: Path) -> None:
        """Everything but the videos."""
        for name, content in (("meta/episodes", self.episodes), ("data", self.rows)):
            (root / name / "chunk-000").mkdir(parents=True, exist_ok=True)
            pq.write_table(pa.Table.from_pylist(content), root / name / "chunk-000/file-000.parquet")
        pq.write_table(pa.Table.from_pylist(self.tasks), root / "meta/tasks.parquet")
        (root / "meta/info.json").write_text(json.dumps(self.info))
        (root / "calibration.json").write_text(json.dumps(self.calibration))


def hand_set(num_frames: int = 24) -> HandSet:
    """A set that nothing is wrong with."""
    recorded = [hand_episode(f"e{seed}", num_frames, seed=seed) for seed in (0, 3)]
    views = recorded[0].views
    rows, episodes = [], []
    for number, episode in enumerate(recorded):
        state = episode.trajectory.to_vector(8)
        for frame in range(num_frames):
            index = number * num_frames + frame
            following = state[min(frame + 1, num_frames - 1)].tolist()
            row = {"observation.state": state[frame].tolist(), "action": following, "timestamp": frame / FPS}
            row |= {"frame_index": frame, "episode_index": number, "index": index, "task_index": number}
            rows.append(row)
        described = {"episode_index": number, "tasks": [WORDS[number]], "length": num_frames}
        described |= {"data/chunk_index": 0, "data/file_index": 0}
        described |= {
            "dataset_from_index": number * num_frames,
            "dataset_to_index": (number + 1) * num_frames,
        }
        start = number * num_frames / FPS
        for view in views:
            place = {"chunk_index": 0, "file_index": 0, "from_timestamp": start}
            place |= {"to_timestamp": start + num_frames / FPS}
            described |= {PLACE.format(view=view.name) + name: value for name, value in place.items()}
        episodes.append(described)
    height, width = SIZE
    video = {"dtype": "video", "shape": [height, width, 3], "names": ["height", "width", "channels"]}
    video["info"] = {"video.fps": FPS, "video.is_depth_map": False}
    features = {f"observation.images.{view.name}": dict(video) for view in views}
    for name in ("observation.state", "action"):
        features[name] = {"dtype": "float32", "shape": [8], "names": list(NAMES)}
    features["timestamp"] = {"dtype": "float32", "shape": [1], "names": None}
    for name in ("frame_index", "episode_index", "index", "task_index"):
        features[name] = {"dtype": "int64", "shape": [1], "names": None}
    info = {"codebase_version": "v3.0", "robot_type": "panda", "fps": FPS, "features": features}
    info |= {"total_episodes": 2, "total_frames": 2 * num_frames, "total_tasks": 2, "chunks_size": 1000}
    path = "chunk-{chunk_index:03d}/file-{file_index:03d}"
    info |= {"data_path": f"data/{path}.parquet", "video_path": f"videos/{{video_key}}/{path}.mp4"}
    info["splits"] = {"train": "0:2"}
    cameras = {
        view.name: {
            "intrinsics": view.camera.intrinsics.tolist(),
            "world_from_camera": view.camera.world_from_camera.matrix().tolist(),
        }
        for view in views
    }
    tool = {"feature": "observation.state", "columns": list(range(8)), "rotation": "quaternion_xyzw"}
    tool |= {"position_unit": "m", "closed": 0.0, "open": 1.0}
    videos = {
        view.name: torch.cat([episode.views[place].frames.video for episode in recorded])
        for place, view in enumerate(views)
    }
    tasks = [{"task_index": number, "task": words} for number, words in enumerate(WORDS)]
    return HandSet(info, episodes, rows, tasks, {"views": cameras, "tool": tool}, videos)
