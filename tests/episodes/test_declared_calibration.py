"""Camera columns whose info.json says that their numbers mean something else than ours."""

import pytest

from action_images.episodes.declared_calibration import check_calibration
from action_images.episodes.episode import EpisodeError
from action_images.episodes.lerobot_layout import CAMERAS, IMAGES, features


def check(described) -> None:
    check_calibration("set", described, CAMERAS, IMAGES)


def test_what_we_write_of_our_columns_is_what_we_read():
    check(features({"left": (48, 64), "right": (96, 64)}, fps=10))


@pytest.mark.parametrize(
    ("column", "field", "value", "told"),
    [
        ("intrinsics", "distortion_model", "plumb_bob", "straighten the pictures"),
        ("intrinsics", "pixel_centre", 0.0, "read as 0.5"),
        ("intrinsics", "height", 480, "that of the view's pictures is 48"),
        ("intrinsics", "layout", "column major", "read as 'row major'"),
        ("world_from_camera", "layout", "column major", "read as 'row major'"),
        ("world_from_camera", "unit", "mm", "read as 'm'"),
        ("world_from_camera", "quantity", "camera_from_world", "read as 'world_from_camera'"),
        ("world_from_camera", "axes", "x right, y up, z backward (OpenGL)", "z forward"),
    ],
)
def test_another_meaning_is_refused_with_column_and_field(column, field, value, told):
    described = features({"left": (48, 64)}, fps=10)
    described[f"{CAMERAS}left.{column}"]["info"]["calibration"][field] = value
    with pytest.raises(EpisodeError, match=rf"^set: .*left\.{column} that '{field}' .*{told}"):
        check(described)


def test_a_size_is_compared_whether_channels_come_first_or_last():
    described = features({"left": (48, 64)}, fps=10)
    described[f"{IMAGES}left"] |= {"shape": [3, 48, 64], "names": ["channels", "height", "width"]}
    check(described)
