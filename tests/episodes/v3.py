"""A LeRobotDataset v3 of another writer: pictures carry their row's number, and one thing can be bent."""

import json
from collections.abc import Callable, Sequence
from fractions import Fraction
from pathlib import Path
from typing import NamedTuple

import av
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch

H, W = 32, 64
VIEW = "observation.images.top"
WORDS = "pick up the ball"


class Parts(NamedTuple):
    """What a set is written from: info.json, rows of meta/episodes, rows of data."""

    info: dict
    episodes: list[dict]
    rows: list[dict]


def numbered(number: int) -> np.ndarray:
    """A picture (h, w, 3) with a number as eight bars."""
    bits = np.array([(number >> bit) & 1 for bit in range(8)], np.uint8) * 255
    return np.broadcast_to(np.repeat(bits, W // 8)[None, :, None], (H, W, 3)).copy()


def numbers(frames: torch.Tensor) -> list[int]:
    """The numbers in pictures (frame, 3, h, w)."""
    bars = frames[:, 0, 8:24].float().mean(1).unflatten(-1, (8, -1)).mean(-1)
    return ((bars > 128).long() << torch.arange(8)).sum(-1).tolist()


def encode(path: Path, shown: Sequence[int], times: Sequence[float], rate: int = 30) -> None:
    """Pictures with these numbers, shown at these times (s)."""
    path.parent.mkdir(parents=True, exist_ok=True)
    base = Fraction(1, 90_000)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=rate)
        stream.height, stream.width, stream.pix_fmt = H, W, "yuv420p"
        stream.options = {"crf": "18", "g": "10"}
        stream.time_base = stream.codec_context.time_base = base
        for number, time in zip(shown, times, strict=True):
            picture = av.VideoFrame.from_ndarray(numbered(number), format="rgb24")
            picture.pts, picture.time_base = round(time / base), base
            container.mux(stream.encode(picture))
        container.mux(stream.encode())


def video_path(root: Path, view: str = VIEW, file: int = 0) -> Path:
    return root / f"videos/{view}/chunk-000/file-{file:03d}.mp4"


def write(
    root: Path,
    lengths: Sequence[int],
    fps: float = 10,
    *,
    starts: Sequence[float] | None = None,
    tasks: Callable[[int, int], int] | None = None,
    texts: Sequence[str] = (WORDS,),
    edit: Callable[[Parts], None] | None = None,
    views: Sequence[str] = (VIEW,),
) -> Path:
    """Episodes of these lengths in one file for data and one for each view; `edit` bends them."""
    first = np.concatenate([[0], np.cumsum(lengths)])
    rows, episodes = [], []
    for episode, length in enumerate(lengths):
        for frame in range(length):
            row = {"observation.state": [float(first[episode] + frame)] * 3, "timestamp": frame / fps}
            row |= {"frame_index": frame, "episode_index": episode, "index": int(first[episode]) + frame}
            rows.append(row | {"task_index": tasks(episode, frame) if tasks else 0})
        described = {"episode_index": episode, "tasks": [texts[0]], "length": length}
        described |= {"data/chunk_index": 0, "data/file_index": 0}
        start = starts[episode] if starts else float(first[episode] / fps)
        for view in views:
            place = {
                "chunk_index": 0,
                "file_index": 0,
                "from_timestamp": start,
                "to_timestamp": start + length / fps,
            }
            described |= {f"videos/{view}/{name}": value for name, value in place.items()}
        episodes.append(described)
    for view in views:
        encode(video_path(root, view), range(first[-1]), np.arange(first[-1]) / fps, rate=round(fps))
    video = {"dtype": "video", "shape": [H, W, 3], "names": ["height", "width", "channels"]}
    features = dict.fromkeys(views, video) | {
        "observation.state": {"dtype": "float32", "shape": [3], "names": None}
    }
    info = {"codebase_version": "v3.0", "fps": fps, "features": features}
    if edit is not None:
        edit(Parts(info, episodes, rows))
    for name, content in (("meta/episodes", episodes), ("data", rows)):
        (root / name / "chunk-000").mkdir(parents=True)
        pq.write_table(pa.Table.from_pylist(content), root / name / "chunk-000/file-000.parquet")
    pq.write_table(
        pa.table({"task_index": range(len(texts)), "task": list(texts)}), root / "meta/tasks.parquet"
    )
    (root / "meta/info.json").write_text(json.dumps(info))
    return root
