"""Where everything lies in a LeRobotDataset v3 folder, and which columns of it are ours."""

import json
import os
import re
from pathlib import Path
from typing import Any

from action_images.episodes.episode import SAFE_NAME, EpisodeError

VERSION = "v3.0"
INFO = "meta/info.json"
STATS = "meta/stats.json"
TASKS = "meta/tasks.parquet"
EPISODES = "meta/episodes/chunk-{chunk_index:03d}/file-{file_index:03d}.parquet"
DATA = "data/chunk-{chunk_index:03d}/file-{file_index:03d}.parquet"
VIDEOS = "videos/{video_key}/chunk-{chunk_index:03d}/file-{file_index:03d}.mp4"
FILES_PER_CHUNK = 1000

IMAGES = "observation.images."
CAMERAS = "observation.cameras."
STATE = "observation.state"
ACTION = "action"
TOOL_NAMES = ["x", "y", "z", "qx", "qy", "qz", "qw", "opening"]
"""Metres in the world, a unit quaternion, and the gripper: 0 closed, 1 open."""

MAX_JSON_BYTES = 256 << 20


def features(sizes: dict[str, tuple[int, int]], fps: float) -> dict[str, dict[str, Any]]:
    """The `features` of info.json for views of these names and (height, width)."""
    described: dict[str, dict[str, Any]] = {}
    for view, (height, width) in sizes.items():
        video = {
            "height": height,
            "width": width,
            "codec": "h264",
            "fps": whole(fps),
            "channels": 3,
            "is_depth_map": False,
        }
        info = {f"video.{key}": value for key, value in video.items()} | {"has_audio": False}
        described[IMAGES + view] = {
            "dtype": "video",
            "shape": [height, width, 3],
            "names": ["height", "width", "channels"],
            "info": info,
        }
    for view in sizes:
        described[f"{CAMERAS}{view}.intrinsics"] = _numbers(
            [f"k{row}{column}" for row in range(3) for column in range(3)]
        )
        described[f"{CAMERAS}{view}.world_from_camera"] = _numbers(
            [f"m{row}{column}" for row in range(4) for column in range(4)]
        )
    described[STATE] = _numbers(TOOL_NAMES)
    described[ACTION] = _numbers(TOOL_NAMES)
    described["timestamp"] = {"dtype": "float32", "shape": [1], "names": None}
    for name in ("frame_index", "episode_index", "index", "task_index"):
        described[name] = {"dtype": "int64", "shape": [1], "names": None}
    return described


def _numbers(names: list[str]) -> dict[str, Any]:
    return {"dtype": "float32", "shape": [len(names)], "names": names}


def whole(number: float) -> float:
    """The same number, as an int where it is one: LeRobot's own files say 20, not 20.0."""
    return int(number) if float(number).is_integer() else number


def read_info(root: Path) -> dict[str, Any]:
    """The checked content of info.json; raises EpisodeError, naming the field, for anything that is not a v3 data set."""
    info = read_json(root / INFO)
    version = info.get("codebase_version")
    if version != VERSION:
        raise EpisodeError(
            f"{root}: is LeRobot {version!r}, only {VERSION} is read; convert it with LeRobot's own converter"
        )
    fps = info.get("fps")
    if isinstance(fps, bool) or not isinstance(fps, (int, float)) or not 0 < fps <= 1000:
        raise EpisodeError(f"{root / INFO}: fps is {fps!r}; give the frames per second")
    described = info.get("features")
    if not isinstance(described, dict) or not all(
        isinstance(feature, dict) for feature in described.values()
    ):
        raise EpisodeError(f"{root / INFO}: 'features' does not describe the columns; restore the file")
    for key, feature in described.items():
        shape = feature.get("shape")
        if not isinstance(shape, (list, tuple)) or not all(
            isinstance(side, int) and 0 < side <= 1 << 20 for side in shape
        ):
            raise EpisodeError(
                f"{root / INFO}: feature {key[:80]!r} has the shape {str(shape)[:80]}; give positive whole numbers"
            )
        if feature.get("dtype") in ("video", "image") and (
            len(shape) != 3 or not isinstance(feature.get("names") or [], list)
        ):
            raise EpisodeError(
                f"{root / INFO}: video {key[:80]!r} has the shape {str(shape)[:80]}; give height, width and channels"
            )
        if feature.get("dtype") in ("video", "image") and feature.get("names") == []:
            raise EpisodeError(
                f"{root / INFO}: video {key[:80]!r} has no names for its axes; give height, width and channels, or null"
            )
    return info


def read_json(path: Path) -> dict[str, Any]:
    """A json object from a file that may be a stranger's; raises EpisodeError where it is missing, broken or absurdly large."""
    try:
        if path.stat().st_size > MAX_JSON_BYTES:
            raise EpisodeError(
                f"{path}: is larger than {MAX_JSON_BYTES >> 20} MB; such a json file is damaged"
            )
        content = json.loads(path.read_text())
    except FileNotFoundError:
        cure = "is this the folder of a data set? Other formats are converted by 'action-images import'"
        raise EpisodeError(f"{path}: is missing; {cure}") from None
    except OSError as error:
        raise EpisodeError(f"{path}: cannot be read ({error.strerror}); restore the file") from None
    except (ValueError, RecursionError) as error:
        raise EpisodeError(f"{path}: is not valid json ({error}); restore the file") from None
    if not isinstance(content, dict):
        raise EpisodeError(f"{path}: holds no json object; restore the file")
    return content


def view_keys(info: dict[str, Any]) -> dict[str, str]:
    """View name -> its key among the features, for videos and single images that are not depth maps."""
    keys = {}
    for key, feature in info["features"].items():
        extra = feature.get("info") if isinstance(feature.get("info"), dict) else {}
        if feature.get("dtype") in ("video", "image") and not (
            extra.get("is_depth_map") or extra.get("video.is_depth_map")
        ):
            name = key.removeprefix(IMAGES).removeprefix("observation.")
            if not SAFE_NAME.fullmatch(name):
                raise EpisodeError(
                    f"feature {key[:80]!r} is no usable view name; letters, digits, '_', '-' and '.' are"
                )
            if name in keys:
                raise EpisodeError(
                    f"features {keys[name][:80]!r} and {key[:80]!r} are both the view '{name}'; rename one in info.json"
                )
            keys[name] = key
    return keys


def fill(root: Path, template: str, **values: int | str) -> Path:
    """A path below `root` from one of the templates of info.json, which may be a stranger's.

    Only plain `{name}` and `{name:03d}` are filled in: `str.format` would also follow attributes. Raises EpisodeError
    for other names or a path that leaves the folder, by itself or by a link on its way. The folder itself may be a link, and
    a snapshot in the Hugging Face hub's cache is made of links to that cache's blobs.
    """

    def replace(match: re.Match[str]) -> str:
        name, width = match[1], match[2]
        if name not in values:
            raise EpisodeError(
                f"{root}: the path template {template!r} asks for '{name}'; v3 knows {', '.join(values)}"
            )
        return str(values[name]).zfill(int(width or 0))

    filled = re.sub(r"\{(\w+)(?::0?(\d)d)?\}", replace, template)
    path = Path(filled)
    if "{" in filled or "\0" in filled or path.is_absolute() or ".." in path.parts:
        raise EpisodeError(f"{root}: the path {filled!r} leaves the data set's folder; repair info.json")
    # Not Path.resolve, which raises RuntimeError where links go round in a circle.
    where = Path(os.path.realpath(root / path))
    if not any(where.is_relative_to(home) for home in _homes(root)):
        raise EpisodeError(
            f"{root / path}: is a link that leaves the data set's folder; put the file itself there"
        )
    return root / path


def _homes(root: Path) -> tuple[Path, ...]:
    """Where a data set's files may lie: below its folder, or, in the hub's cache, among the blobs that its snapshot links to."""
    home = Path(os.path.realpath(root))
    return (home, home.parents[1] / "blobs") if home.parent.name == "snapshots" else (home,)


def numbered(template: str, number: int, **values: str) -> str:
    """The relative path of the n-th file of a kind."""
    chunk, file = divmod(number, FILES_PER_CHUNK)
    return template.format(chunk_index=chunk, file_index=file, **values)
