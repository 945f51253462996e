"""Print what a file or folder is, and the commands that take it.

action-images info dataset
action-images info videos/left.mp4
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from shlex import quote
from typing import Annotated, Any

import tyro

from action_images.errors import ActionImagesError
from action_images.extras import cure_of
from action_images.terminal.paths import GivenPath
from action_images.terminal.progress import working

CHECKPOINTS = (".safetensors", ".pt", ".pth", ".bin", ".ckpt")
VIDEOS = (".mp4", ".mov", ".mkv", ".webm", ".avi")
DECLARED = "calibration.json"
PICTURES = (".png", ".jpg", ".jpeg", ".bmp")


@dataclass(frozen=True)
class Known:
    """A known kind of file or folder: its name, facts to print, and the commands that take it."""

    what: str
    facts: tuple[str, ...] = ()
    commands: tuple[str, ...] = ()


def main(place: Annotated[GivenPath, tyro.conf.Positional]) -> int:
    """Nothing is changed. Exits with code 1 if this program reads no such file or folder.

    Saved models and checkpoints are read completely; one with a wrong checksum is refused.

    Args:
        place: A data set, recordings, models, a run, results, cameras, a trajectory, a video, a checkpoint.
    """
    from action_images.terminal.console import PlainConsole

    console = PlainConsole()
    looks = FOLDERS if place.is_dir() else FILES
    known = next((found for look in looks if (found := look(place)) is not None), None)
    if known is None:
        kinds = "folder" if place.is_dir() else "file"
        console.print(
            f"{place}: a {kinds} of no kind that this program reads; see docs/data.md",
        )
        return 1
    console.print(f"{place}: {known.what}")
    for fact in known.facts:
        console.print(f"  {fact}")
    if known.commands:
        console.print("\nNext:")
    for command in known.commands:
        console.print(f"  action-images {command}", soft_wrap=True)
    return 0


def _typed(place: Path) -> str:
    """A path as a shell takes it."""
    return quote(str(place))


def _dataset(place: Path) -> Known | None:
    from action_images.episodes import lerobot_layout as layout

    if not (place / layout.INFO).is_file():
        return None
    info = layout.read_info(place)
    features, views = info["features"], layout.view_keys(info)
    named = ", ".join(f"{view} ({_size(features[key])} px)" for view, key in views.items())
    counts = f"{info.get('total_episodes')} episodes, {info.get('total_frames')} frames at {info['fps']:g}/s"
    facts = (counts, f"views: {named or 'none'}")
    calibrated = [view for view in views if f"{layout.CAMERAS}{view}.intrinsics" in features]
    if not calibrated:
        command = f"import {_typed(place)} --out {quote(place.resolve().name + '-imported')}"
        is_declared = (place / DECLARED).is_file()
        told = f"with a {DECLARED}" if is_declared else "without calibrated cameras"
        return Known(f"a LeRobotDataset {told}", facts, (command,))
    has_path = layout.is_tool_pose(features.get(layout.STATE, {}))
    facts += (f"calibrated: {', '.join(calibrated)}", f"tool poses: {'yes' if has_path else 'none'}")
    commands = [f"check {_typed(place)}", f"view {_typed(place)}"]
    if has_path:
        commands += [
            f"train debug --data {_typed(place)} --out run",
            f"imagine {_typed(place)} --out futures",
        ]
        commands += [f"simulate {_typed(place)} --out simulated", f"judge-clips {_typed(place)} --out judged"]
    return Known("a data set", facts, (*commands, f"label {_typed(place)} --out labelled"))


def _size(feature: dict[str, Any]) -> str:
    from action_images.episodes.lerobot_layout import channel_axis

    shape = list(feature["shape"])
    return " x ".join(map(str, shape[1:] if channel_axis(feature) == 0 else shape[:2]))


def _results(place: Path) -> Known | None:
    if not (place / "trials.jsonl").is_file():
        return None
    from action_images.evaluation.trial import load_trials

    trials = load_trials(place)
    if not trials:
        return Known("results of an evaluation, without a trial so far")
    won = sum(trial.succeeded for trial in trials)
    facts = (
        f"{trials[0].policy}, protocol {trials[0].protocol}",
        f"{won} of {len(trials)} trials succeeded",
        f"tasks: {', '.join(sorted({trial.task for trial in trials}))}",
    )
    return Known(
        "results of an evaluation",
        facts,
        (
            f"report {_typed(place)} --out report.html",
            f"view {_typed(place)}",
            f"compare {_typed(place)} OTHER",
        ),
    )


def _models(place: Path) -> Known | None:
    from action_images.model.shipped import INDEX

    if not (place / INDEX).is_file():
        return None
    clips = _json(place / INDEX).get("clips")
    facts = ()
    if isinstance(clips, dict):
        try:
            height, width = clips["size"]
            frames = f"{clips['num_frames']:d} frames of {height:d} x {width:d} px"
            facts = (f"clips of {frames} at {clips['fps']:g}/s", f"sampled by {clips['sampling']}")
        except (KeyError, TypeError, ValueError) as error:
            told = f"'clips' is not the clips of a model ({type(error).__name__}: {error})"
            raise ActionImagesError(f"{place / INDEX}: {told}; restore the file") from None
    facts += _checked_models(place)
    return Known(
        "saved models",
        facts,
        (
            f"evaluate --policy {_typed(place)} --out results",
            f"serve --policy {_typed(place)}",
            f"imagine DATASET --model {_typed(place)} --out futures",
            f"label DATASET --model {_typed(place)} --out labelled",
        ),
    )


def _checked_models(place: Path) -> tuple[str, ...]:
    """Compare tensors with their checksums; raises ActionImagesError that names a damaged file."""
    try:
        from action_images.model.index import CHECKSUMS, check_tensors, read_index
    except ModuleNotFoundError as missing:
        return (f"tensors not compared with their checksums: {cure_of(missing) or missing}",)
    index = read_index(place)
    with working("comparing checksums"):
        check_tensors(place, index)
    whole = "as they were written" if CHECKSUMS in index else "without checksums, by an older version"
    return (f"tensors {whole}",)


def _checked_run(place: Path) -> tuple[str, ...]:
    """The run's checkpoints; raises ActionImagesError that names a damaged one or damaged models."""
    from action_images.model.shipped import INDEX

    try:
        from action_images.training.checkpoint import checkpoints, load
    except ModuleNotFoundError as missing:
        return (f"checkpoints not compared with their checksums: {cure_of(missing) or missing}",)
    steps = checkpoints(place / "checkpoints")
    with working("comparing checksums"):
        for step in steps:
            load(step)
    for name in ("start", "best", "model"):
        if (place / name / INDEX).is_file():
            _checked_models(place / name)
    names = ", ".join(step.name for step in steps)
    return (f"checkpoints, as they were written: {names}" if steps else "no checkpoint so far",)


def _run(place: Path) -> Known | None:
    recipe = place / "recipe.json"
    if not recipe.is_file():
        return None
    told = _json(recipe)
    facts = (
        f"preset {told.get('preset')}, {told.get('num_steps')} steps of {told.get('batch_size')} samples",
    )
    facts += _checked_run(place)
    is_done = (place / "model").is_dir()
    models = place / ("model" if is_done else "best")
    commands = () if is_done else (f"train --resume {_typed(place)}",)
    if models.is_dir():
        commands += (f"evaluate --policy {_typed(models)} --out results", f"serve --policy {_typed(models)}")
    return Known("a run of training" + (", finished" if is_done else ""), facts, commands)


def _foreign(place: Path) -> Known | None:
    from action_images.episodes.episode import EpisodeError
    from action_images.episodes.readers import open_foreign

    try:
        format, reader = open_foreign(place)
    except EpisodeError:
        return None
    shown = ", ".join(reader.ids[:3])
    facts = (f"{len(reader.ids)} episodes: {shown}{', ...' if len(reader.ids) > 3 else ''}",)
    facts += tuple(getattr(reader, "remarks", ()))
    dataset = quote(f"{place.resolve().name}-dataset")
    return Known(
        f"episodes in the format '{format}'",
        facts,
        (f"import {_typed(place)} --out {dataset}", f"check {dataset}"),
    )


def _action_videos(place: Path) -> Known | None:
    videos = [path.name for path in sorted(place.iterdir()) if path.suffix.lower() in VIDEOS]
    if not videos:
        return None
    command = f"read {_typed(place)}/*.mp4 --cameras CAMERAS --out read.csv"
    facts = (f"videos: {', '.join(videos)}", "where these are action images, they can be read:")
    return Known("a folder of videos without cameras, poses or words beside them", facts, (command,))


def _pictures(place: Path) -> Known | None:
    folders = [place, *(path for path in sorted(place.iterdir()) if path.is_dir())]
    counts = {folder: _num_pictures(folder) for folder in folders}
    shot = [folder for folder, number in counts.items() if number]
    if not shot:
        return None
    facts = tuple(f"{folder.name}: {counts[folder]} pictures" for folder in shot)
    commands = (f"calibrate fixed {' '.join(map(_typed, shot))} --poses poses.csv",)
    return Known(
        "pictures", (*facts, "where these show a printed board, they calibrate the cameras:"), commands
    )


def _num_pictures(folder: Path) -> int:
    return sum(one.suffix.lower() in PICTURES for one in folder.iterdir())


def _cameras(place: Path) -> Known | None:
    from action_images.episodes.cameras_file import FORMAT, IN_TOOL, load_cameras

    if place.suffix != ".json" or _json(place).get("format") != FORMAT:
        return None
    facts = []
    for name, camera in load_cameras(place, in_tool=True).items():
        moves = f", moves over {camera.batch_shape[0]} frames" if camera.batch_shape else ""
        facts.append(f"{name}: {camera.size[0]} x {camera.size[1]} px{moves}")
    if _json(place).get("frame") == IN_TOOL:
        carry = f"calibrate carry --in-tool {_typed(place)} --trajectory TRAJECTORY --out cameras.json"
        return Known("a cameras file in the tool's frame", tuple(facts), (carry,))
    return Known(
        "a cameras file",
        tuple(facts),
        (
            f"draw TRAJECTORY --cameras {_typed(place)} --out videos",
            f"read VIDEOS --cameras {_typed(place)} --out read.csv",
            f"serve --policy shipped --cameras {_typed(place)}",
        ),
    )


def _calibration(place: Path) -> Known | None:
    if place.suffix.lower() not in (".yaml", ".yml", ".json", ".xml", ".txt"):
        return None
    from action_images.episodes.calibration_files import read_calibration_file

    try:
        cameras = read_calibration_file(place)
    except ActionImagesError:
        return None
    facts = tuple(f"camera {name}" for name in cameras)
    return Known("cameras of another tool", facts, (f"cameras convert {_typed(place)} cameras.json",))


def _trajectory(place: Path) -> Known | None:
    if place.suffix not in (".csv", ".npy", ".json"):
        return None
    from action_images.episodes.trajectory_file import load_with_unreliable

    try:
        path, unreliable = load_with_unreliable(place)
    except ActionImagesError as error:
        return Known(f"a table, but no trajectory: {error}") if place.suffix == ".csv" else None
    points = path.world_from_tool.translation
    low, high = points.min(0).values.tolist(), points.max(0).values.tolist()
    spans = ", ".join(f"{axis} {a:.2f} to {b:.2f} m" for axis, a, b in zip("xyz", low, high, strict=True))
    opened = f"opening {path.opening.min().item():.2f} to {path.opening.max().item():.2f}"
    poses = f"{path.num_frames} poses" + (f", {len(unreliable)} of them not reliable" if unreliable else "")
    facts = (poses, spans, opened)
    return Known("a trajectory", facts, (f"draw {_typed(place)} --cameras CAMERAS --out videos",))


def _video(place: Path) -> Known | None:
    if place.suffix.lower() not in VIDEOS:
        return None
    from action_images.episodes.video import VideoFrames

    frames = VideoFrames(place)
    height, width = frames.size
    facts = (f"{len(frames)} frames of {height} x {width} px at {frames.fps:g}/s",)
    named = f"read {_typed(place)} OTHERS --cameras CAMERAS --out read.csv"
    return Known("a video", (*facts, "if it shows action images, and others of the rig beside it:"), (named,))


def _checkpoint(place: Path) -> Known | None:
    if place.suffix not in CHECKPOINTS:
        return None
    size = f"{place.stat().st_size / 1e6:,.0f} MB"
    return Known("a checkpoint", (size,), (f"convert-weights {_typed(place)} weights",))


FOLDERS: tuple[Callable[[Path], Known | None], ...] = (
    _dataset,
    _results,
    _models,
    _run,
    _foreign,
    _action_videos,
    _pictures,
)
FILES: tuple[Callable[[Path], Known | None], ...] = (
    _video,
    _checkpoint,
    _cameras,
    _calibration,
    _trajectory,
)
"""Checks, tried in this order."""


def _json(path: Path) -> dict[str, Any]:
    import json

    from action_images.episodes.lerobot_layout import MAX_JSON_BYTES

    if path.stat().st_size > MAX_JSON_BYTES:
        raise ActionImagesError(f"{path}: is larger than {MAX_JSON_BYTES >> 20} MB; that is no file of ours")
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise ActionImagesError(f"{path}: is no json file ({error}); repair or remove it") from None
    return content if isinstance(content, dict) else {}
