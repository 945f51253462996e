"""Pictures of the board by several cameras, each with the pose that the tool had."""

import csv
import re
from dataclasses import dataclass
from pathlib import Path

import torch

from action_images.calibration.board import Board, Found
from action_images.calibration.opencv import CalibrationError
from action_images.episodes.columns_file import plain_name
from action_images.episodes.pictures import read_picture
from action_images.episodes.trajectory_file import load_trajectory
from action_images.geometry import Pose

ENDINGS = (".png", ".jpg", ".jpeg")


@dataclass(frozen=True)
class Sighting:
    """The board as one camera saw it while the tool had pose number `pose`."""

    camera: str
    picture: Path
    pose: int
    found: Found


@dataclass(frozen=True)
class Shots:
    """All inputs of a calibration.

    `sizes` is each camera's (height, width); `blind` are pictures without the board.
    """

    board: Board
    world_from_tool: Pose
    sizes: dict[str, tuple[int, int]]
    sightings: tuple[Sighting, ...]
    blind: tuple[Path, ...]

    def without(self, pictures: set[Path]) -> "Shots":
        """The shots without the sightings of these pictures."""
        kept = tuple(sighting for sighting in self.sightings if sighting.picture not in pictures)
        return Shots(self.board, self.world_from_tool, self.sizes, kept, self.blind)


def load_shots(folders: list[Path], poses: Path, board: Board) -> Shots:
    """Find the board in all pictures of all folders; a folder's name is its camera's.

    A csv's column `image` (a file's name, with or without its ending) assigns poses to pictures. Without it
    they are matched by order: row i is the i-th picture of each folder, in the order of the numbers in their
    names.

    Raises CalibrationError, naming folder, picture or row, and EpisodeError for impossible poses.
    """
    world_from_tool = load_trajectory(poses).world_from_tool.to(torch.float64)
    names, rows = [folder.resolve().name for folder in folders], _image_column(poses)
    if len(set(names)) < len(names):
        raise CalibrationError(
            f"two folders have the same name ({', '.join(names)}): a folder's name is its camera's; rename "
            "one"
        )
    sizes: dict[str, tuple[int, int]] = {}
    sightings: list[Sighting] = []
    blind: list[Path] = []
    for name, folder in zip(names, folders, strict=True):
        pictures = list_pictures(folder)
        for path, pose in zip(
            pictures, _rows_of(pictures, folder, poses, len(world_from_tool.translation), rows), strict=True
        ):
            picture = read_picture(path)
            size = (picture.shape[-2], picture.shape[-1])
            if sizes.setdefault(name, size) != size:
                raise CalibrationError(
                    f"{path}: is {size} px (height, width), the first of {folder} {sizes[name]}; one "
                    "camera has one size"
                )
            found = board.find(picture)
            if found is None:
                blind.append(path)
            else:
                sightings.append(Sighting(name, path, pose, found))
    shots = Shots(board, world_from_tool, sizes, tuple(sightings), tuple(blind))
    if not sightings:
        raise CalibrationError(_why_blind(shots))
    return shots


def list_pictures(folder: Path) -> list[Path]:
    """The pictures of a folder in the order of the numbers in their names: 2.png before 10.png."""
    if not folder.is_dir():
        raise CalibrationError(f"{folder}: there is no such folder of pictures")
    pictures = [path for path in folder.iterdir() if path.suffix.lower() in ENDINGS and path.is_file()]
    if not pictures:
        raise CalibrationError(f"{folder}: holds no picture ({', '.join(ENDINGS)})")
    return sorted(
        pictures,
        key=lambda path: [
            (part.isdecimal(), int(part) if part.isdecimal() else part)
            for part in re.split(r"(\d+)", path.name)
        ],
    )


def _image_column(poses: Path) -> list[str] | None:
    if poses.suffix != ".csv":
        return None
    with poses.open(newline="", encoding="utf-8-sig") as file:
        rows = list(csv.DictReader(file))
    named = [name for name in rows[0] if name is not None and plain_name(name) == "image"] if rows else []
    if len(named) > 1:
        raise CalibrationError(f"{poses}: has two columns 'image' ({', '.join(named)}); remove one")
    return [(row[named[0]] or "").strip() for row in rows] if named else None


def _rows_of(
    pictures: list[Path], folder: Path, poses: Path, num_poses: int, rows: list[str] | None
) -> list[int]:
    if rows is None:
        if len(pictures) != num_poses:
            raise CalibrationError(
                f"{folder}: {len(pictures)} pictures, {poses}: {num_poses} poses; every pose needs its "
                "picture, "
                "or the poses a column 'image' that names it"
            )
        return list(range(num_poses))
    numbers = {name: row for row, name in enumerate(rows)}
    if len(numbers) < len(rows):
        twice = next(name for row, name in enumerate(rows) if numbers[name] != row)
        raise CalibrationError(f"{poses}: two rows name the image '{twice}'")
    unknown = [path.name for path in pictures if path.name not in numbers and path.stem not in numbers]
    if unknown:
        raise CalibrationError(f"{poses}: no row names {_some(unknown)} of {folder} in its column 'image'")
    return [numbers[path.name] if path.name in numbers else numbers[path.stem] for path in pictures]


def _why_blind(shots: Shots) -> str:
    board = shots.board
    markers = max(board.count_markers(read_picture(path)) for path in shots.blind[:10])
    if markers == 0:
        return (
            f"the board ({board}) is in none of {len(shots.blind)} pictures, and no marker of "
            f"{board.dictionary} either: "
            "is it in view, sharp, and --dictionary the one it was printed with?"
        )
    return (
        f"the board ({board}) is in none of {len(shots.blind)} pictures, though {markers} markers of "
        f"{board.dictionary} are: "
        "check --squares (columns x rows), or give --legacy for a board made with OpenCV before 4.6"
    )


def _some(names: list[str]) -> str:
    return ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
