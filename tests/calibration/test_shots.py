"""Pictures and poses are brought together by name or by order, and what does not fit is named."""

import numpy as np
import pytest
import torch
from PIL import Image

from action_images.calibration import Board, CalibrationError, load_shots
from action_images.calibration.sheet import picture
from action_images.calibration.shots import list_pictures
from action_images.episodes.episode import EpisodeError

BOARD = Board(4, 3, 0.05, 0.035)
HEADER = "x,y,z,qx,qy,qz,qw,opening"


@pytest.fixture
def folder(tmp_path):
    """Three pictures of the board, 1.png, 2.png and 10.png, of which 2.png is blank."""
    (tmp_path / "left").mkdir()
    face = torch.nn.functional.pad(picture(BOARD, 1000), (20,) * 4, value=255).numpy()
    for name in ("1", "2", "10"):
        Image.fromarray(np.full_like(face, 128) if name == "2" else face).convert("RGB").save(
            tmp_path / "left" / f"{name}.png"
        )
    return tmp_path


def poses(folder, *rows: str, header: str = HEADER):
    (folder / "poses.csv").write_text("\n".join([header, *rows]) + "\n")
    return folder / "poses.csv"


def row(x: float) -> str:
    return f"{x},0,0,0,0,0,1,1"


def test_pictures_are_in_the_order_of_their_numbers(folder):
    assert [path.name for path in list_pictures(folder / "left")] == ["1.png", "2.png", "10.png"]


def test_by_order_row_i_is_picture_i(folder):
    shots = load_shots([folder / "left"], poses(folder, row(0.1), row(0.2), row(0.3)), BOARD)
    assert [(sighting.picture.name, sighting.pose) for sighting in shots.sightings] == [
        ("1.png", 0),
        ("10.png", 2),
    ]
    assert [path.name for path in shots.blind] == ["2.png"]
    assert shots.sizes == {"left": (190, 240)}


@pytest.mark.parametrize("column", ["image", "Image", " image"])
def test_by_name_a_folder_may_lack_pictures_and_rows_come_in_any_order(folder, column):
    rows = (row(0.3) + ",10.png", row(0.9) + ",77", row(0.1) + ",1", row(0.2) + ",2")
    shots = load_shots([folder / "left"], poses(folder, *rows, header=f"{HEADER},{column}"), BOARD)
    assert [(sighting.picture.name, sighting.pose) for sighting in shots.sightings] == [
        ("1.png", 2),
        ("10.png", 0),
    ]


@pytest.mark.parametrize(
    ("rows", "header", "said"),
    [
        ((row(0.1), row(0.2)), HEADER, "3 pictures, .*2 poses"),
        ((row(0.1) + ",1", row(0.2) + ",2"), HEADER + ",image", r"no row names 10\.png"),
        (
            (row(0.1) + ",1", row(0.2) + ",1", row(0.3) + ",2"),
            HEADER + ",image",
            "two rows name the image '1'",
        ),
        ((row(0.1) + ",1,2",), HEADER + ",image,Image", "two columns 'image'"),
    ],
)
def test_pictures_and_poses_that_do_not_fit_are_named(folder, rows, header, said):
    with pytest.raises(CalibrationError, match=said):
        load_shots([folder / "left"], poses(folder, *rows, header=header), BOARD)


def test_poses_in_millimetres_are_refused_with_what_to_do(folder):
    table = poses(folder, row(100), row(200), row(300), header=HEADER)
    with pytest.raises(EpisodeError, match=r"poses\.csv.*divide millimetres by 1000"):
        load_shots([folder / "left"], table, BOARD)


def test_a_folder_that_is_missing_empty_or_of_the_same_name_is_named(folder):
    table = poses(folder, row(0.1))
    (folder / "empty").mkdir()
    for folders, said in (
        ([folder / "gone"], "no such folder"),
        ([folder / "empty"], "holds no picture"),
        ([folder / "left", folder / "left"], "same name"),
    ):
        with pytest.raises(CalibrationError, match=said):
            load_shots(folders, table, BOARD)


def test_pictures_of_two_sizes_are_refused(folder):
    Image.new("RGB", (64, 48)).save(folder / "left" / "2.png")
    with pytest.raises(CalibrationError, match="one camera has one size"):
        load_shots([folder / "left"], poses(folder, row(0.1), row(0.2), row(0.3)), BOARD)


def test_a_board_that_is_nowhere_says_what_was_seen_instead(folder):
    table = poses(folder, row(0.1), row(0.2), row(0.3))
    with pytest.raises(CalibrationError, match="no marker of DICT_6X6_50 either"):
        load_shots([folder / "left"], table, Board(4, 3, 0.05, 0.035, "DICT_6X6_50"))
    with pytest.raises(CalibrationError, match=r"markers of DICT_5X5_100 are: check --squares"):
        load_shots([folder / "left"], table, Board(15, 3, 0.05, 0.035))


def test_a_digit_that_is_no_number_does_not_count_as_one(tmp_path):
    for name in ("10.png", "9.png", "\u00b2.png"):
        (tmp_path / name).write_bytes(b"")
    assert [path.name for path in list_pictures(tmp_path)][:2] == ["9.png", "10.png"]
