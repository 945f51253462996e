"""The layout of a LeRobotDataset v3 folder, and the columns that are ours."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from action_images.episodes.declared_calibration import check_calibration
from action_images.episodes.names import SAFE_NAME, EpisodeError
from action_images.episodes.strangers import check_inside, check_regular
from action_images.files.strict_json import RepeatedKey, parsed

VERSION = "v3.0"
INFO = "meta/info.json"
STATS = "meta/stats.json"
CARD = "README.md"
TASKS = "meta/tasks.parquet"
EPISODES = "meta/episodes/chunk-{chunk_index:03d}/file-{file_index:03d}.parquet"
DATA = "data/chunk-{chunk_index:03d}/file-{file_index:03d}.parquet"
VIDEOS = "videos/{video_key}/chunk-{chunk_index:03d}/file-{file_index:03d}.mp4"
FILES_PER_CHUNK = 1000
DATA_PLACE = ("episode_index", "length", "data/chunk_index", "data/file_index")
"""Columns of meta/episodes that locate an episode's rows."""

IMAGES = "observation.images."
CAMERAS = "observation.cameras."
STATE = "observation.state"
ACTION = "action"
TOOL_NAMES = ["x", "y", "z", "qx", "qy", "qz", "qw", "opening"]
"""Metres in the world, a unit quaternion, and the gripper: 0 closed, 1 open."""

CHANNELS = re.compile(r"c|ch|channels?|rgb", re.IGNORECASE)
"""Names of the axis of a video's shape that counts the channels."""
OTHERS = "import the other views alone (--views), or remove its entry from 'features' in info.json"
"""What to do with a view whose name is of no use: folders and columns have it as well, so it stays."""
DEPTH_MARKS = ("is_depth_map", "video.is_depth_map")

MAX_JSON_BYTES = 256 << 20


def features(sizes: dict[str, tuple[int, int]], fps: float, codec: str = "h264") -> dict[str, dict[str, Any]]:
    """The `features` of info.json for views of these names and (height, width)."""
    described: dict[str, dict[str, Any]] = {}
    for view, (height, width) in sizes.items():
        video = {
            "height": height,
            "width": width,
            "codec": codec,
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
    for view, size in sizes.items():
        intrinsics, pose = _calibration(view, size)
        described[f"{CAMERAS}{view}.intrinsics"] = _numbers(_entries("k", 3)) | {"info": intrinsics}
        described[f"{CAMERAS}{view}.world_from_camera"] = _numbers(_entries("m", 4)) | {"info": pose}
    described[STATE] = _numbers(TOOL_NAMES)
    described[ACTION] = _numbers(TOOL_NAMES)
    described["timestamp"] = {"dtype": "float32", "shape": [1], "names": None}
    for name in ("frame_index", "episode_index", "index", "task_index"):
        described[name] = {"dtype": "int64", "shape": [1], "names": None}
    return described


def _calibration(view: str, size: tuple[int, int]) -> tuple[dict[str, Any], dict[str, Any]]:
    """The meaning of the numbers in a view's camera columns, in fields that LeRobot keeps
    (docs/lerobot.md)."""
    of = {"camera": IMAGES + view, "layout": "row major"}
    intrinsics = {
        "quantity": "intrinsics",
        **of,
        "unit": "px",
        "pixel_centre": 0.5,
        "height": size[0],
        "width": size[1],
        "distortion_model": "none",
    }
    pose = {"quantity": "world_from_camera", **of, "unit": "m", "axes": "x right, y down, z forward (OpenCV)"}
    return {"calibration": intrinsics}, {"calibration": pose | {"world": STATE}}


def _entries(letter: str, side: int) -> list[str]:
    """The names of a square matrix's entries, row by row."""
    return [f"{letter}{place // side}{place % side}" for place in range(side * side)]


def _numbers(names: list[str]) -> dict[str, Any]:
    return {"dtype": "float32", "shape": [len(names)], "names": names}


def is_tool_pose(feature: dict[str, Any]) -> bool:
    """Whether a feature's names are those of a tool's pose, with or without LeRobot's `.pos`."""
    names = feature.get("names")
    if not isinstance(names, list):
        return False
    return [name.removesuffix(".pos") if isinstance(name, str) else name for name in names] == TOOL_NAMES


def whole(number: float) -> float:
    """The number, as an int if it is integral: LeRobot's own files say 20, not 20.0."""
    return int(number) if float(number).is_integer() else number


def read_info(root: Path) -> dict[str, Any]:
    """The checked content of info.json.

    Raises EpisodeError, naming the field, if it is not of a v3 data set.
    """
    check_inside(root, root / INFO)
    info = read_json(root / INFO)
    version = info.get("codebase_version")
    if version != VERSION:
        raise EpisodeError(
            f"{root}: is LeRobot {version!r}, only {VERSION} is read; {_other_version(version)}"
        )
    fps = info.get("fps")
    if isinstance(fps, bool) or not isinstance(fps, (int, float)) or not 0 < fps <= 1000:
        raise EpisodeError(f"{root / INFO}: fps is {fps!r}; give the frames per second")
    described = info.get("features")
    if not isinstance(described, dict) or not all(isinstance(part, dict) for part in described.values()):
        raise EpisodeError(f"{root / INFO}: 'features' does not describe the columns; restore the file")
    for key, feature in described.items():
        _check_feature(root, key, feature)
    check_calibration(root, described, CAMERAS, IMAGES)
    videos = [key for key, feature in described.items() if feature.get("dtype") == "video"]
    if len(videos) > 1 and "{video_key" not in str(info.get("video_path", VIDEOS)):
        cure = "all views would be read from one file; put {video_key} into it"
        raise EpisodeError(f"{root / INFO}: video_path names no {{video_key}}; {cure}")
    return info


def _other_version(version: object) -> str:
    """The remedy for a data set of another version."""
    if isinstance(version, str) and re.match(r"v?[12]\.", version):
        return (
            "convert it with LeRobot's own converter: "
            "python -m lerobot.datasets.v30.convert_dataset_v21_to_v30 --repo-id=NAME"
        )
    return "convert it with LeRobot's own converter, or install a newer action-images for a newer one"


def _is_side(side: object) -> bool:
    return isinstance(side, int) and 0 < side <= 1 << 20


def _check_feature(root: Path, key: str, feature: dict[str, Any]) -> None:
    shape, names = feature.get("shape"), feature.get("names")
    told = f"has the shape {str(shape)[:80]}"
    if not isinstance(shape, (list, tuple)) or not all(_is_side(side) for side in shape):
        raise EpisodeError(f"{root / INFO}: feature {key[:80]!r} {told}; give positive whole numbers")
    if not isinstance(feature.get("dtype"), str):
        told = f"has the dtype {str(feature.get('dtype'))[:80]}"
        raise EpisodeError(f"{root / INFO}: feature {key[:80]!r} {told}; give its type, as float32 or video")
    if feature.get("dtype") not in ("video", "image"):
        return
    if len(shape) not in (2, 3) or not isinstance(names or [], list):
        raise EpisodeError(f"{root / INFO}: video {key[:80]!r} {told}; give height, width and channels")
    if names == []:
        cure = "give height, width and channels, or null"
        raise EpisodeError(f"{root / INFO}: video {key[:80]!r} has no names for its axes; {cure}")


def read_json(path: Path) -> dict[str, Any]:
    """A json object from an untrusted file.

    Raises EpisodeError if it is missing, broken, absurdly large, a device or a pipe.
    """
    check_regular(path)
    try:
        if path.stat().st_size > MAX_JSON_BYTES:
            limit = f"{MAX_JSON_BYTES >> 20} MB"
            raise EpisodeError(f"{path}: is larger than {limit}; such a json file is damaged")
        content = parsed(path.read_text(encoding="utf-8-sig"))
    except FileNotFoundError:
        cure = "is this the folder of a data set? Other formats are converted by 'action-images import'"
        raise EpisodeError(f"{path}: is missing; {cure}") from None
    except OSError as error:
        raise EpisodeError(f"{path}: cannot be read ({error.strerror}); restore the file") from None
    except RepeatedKey as error:
        raise EpisodeError(f"{path}: {error}") from None
    except (ValueError, RecursionError) as error:
        raise EpisodeError(f"{path}: is not valid json ({error}); restore the file") from None
    if not isinstance(content, dict):
        raise EpisodeError(f"{path}: holds no json object; restore the file")
    return content


def view_keys(info: dict[str, Any], wanted: Sequence[str] = ()) -> dict[str, str]:
    """View name -> its key among the features, for videos and single images in colour.

    Raises EpisodeError for a view without a usable name of its own. If only some views are `wanted`, such
    names of others are ignored.
    """
    keys: dict[str, str] = {}
    for key, feature in info["features"].items():
        if feature.get("dtype") not in ("video", "image") or why_no_view(feature) is not None:
            continue
        name = view_name(key)
        is_safe = SAFE_NAME.fullmatch(name) is not None
        if wanted and name not in wanted and (not is_safe or name in keys):
            continue
        if not is_safe:
            cure = f"a name has letters, digits, '_', '-' and '.' alone; {OTHERS}"
            raise EpisodeError(f"feature {key[:80]!r} is no usable view name; {cure}")
        if name in keys:
            both = f"{keys[name][:80]!r} and {key[:80]!r}"
            raise EpisodeError(f"features {both} are both the view '{name}'; {OTHERS}")
        keys[name] = key
    return keys


def view_name(key: str) -> str:
    """A view's name: the feature's key without LeRobot's prefixes."""
    return key.removeprefix(IMAGES).removeprefix("observation.")


def left_out(info: dict[str, Any]) -> dict[str, str]:
    """The videos and images of a data set that are not views, each with the reason."""
    reasons = {}
    for key, feature in info["features"].items():
        reason = why_no_view(feature) if feature.get("dtype") in ("video", "image") else None
        if reason is not None:
            reasons[view_name(key)] = reason
    return reasons


def why_no_view(feature: dict[str, Any]) -> str | None:
    """The reason why a video is no colour picture: it is a depth map or has another number of channels."""
    notes = [feature.get("info"), feature.get("video_info")]
    if any(_is_depth(note) for note in notes if isinstance(note, dict)):
        return "it is a depth map"
    shape = list(feature["shape"])
    if len(shape) == 2:
        return "it has one channel"
    channels = shape[channel_axis(feature)]
    return None if channels in (3, 4) else f"it has {channels} channel{'s' if channels != 1 else ''}"


def _is_depth(note: dict[str, Any]) -> bool:
    return any(note.get(name) for name in DEPTH_MARKS)


def channel_axis(feature: dict[str, Any]) -> int:
    """The axis of a video's shape that counts the channels: by the axes' names, else the small one."""
    shape, names = list(feature["shape"]), feature.get("names") or []
    named = [axis for axis, name in enumerate(names) if CHANNELS.fullmatch(str(name))]
    if named:
        return 0 if named[0] == 0 else 2
    return 0 if shape[0] in (1, 3, 4) and shape[-1] not in (1, 3, 4) else 2


def fill(root: Path, template: str, **values: int | str) -> Path:
    """A path below `root` from one of the templates of info.json, which is untrusted.

    Raises EpisodeError for names that v3 does not know and for a path that leaves the folder, by itself or
    by a link (`check_inside`).
    """
    path = filled(root, template, **values)
    check_inside(root, root / path)
    return root / path


def filled(root: Path, template: str, **values: int | str) -> Path:
    """The relative path of a template, without a look at the disk.

    Only plain `{name}` and `{name:03d}` are filled in: `str.format` would also follow attributes.
    """

    def replace(match: re.Match[str]) -> str:
        name, width = match[1], match[2]
        if name not in values:
            raise EpisodeError(
                f"{root}: the path template {template!r} asks for '{name}'; v3 knows {', '.join(values)}"
            )
        return str(values[name]).zfill(int(width or 0))

    text = re.sub(r"\{(\w+)(?::0?(\d)d)?\}", replace, template)
    path = Path(text)
    if "{" in text or "\0" in text or path.is_absolute() or ".." in path.parts:
        raise EpisodeError(f"{root}: the path {text!r} leaves the data set's folder; repair info.json")
    return path


def numbered(template: str, number: int, **values: str) -> str:
    """The relative path of the n-th file of a kind."""
    chunk, file = divmod(number, FILES_PER_CHUNK)
    return template.format(chunk_index=chunk, file_index=file, **values)
