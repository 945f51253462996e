"""Calibrations of other tools must see points where their own formulas say."""

import json

import pytest
import torch

from action_images.episodes.calibration_files import camera_of_file, read_calibration_file
from action_images.episodes.calibration_files.found import Distortion
from action_images.episodes.episode import EpisodeError, FramesInMemory
from action_images.episodes.straighten import FramesStraightened, distorted
from action_images.geometry.rotation import to_quaternion_xyzw
from scenes import poses

ROS = """image_width: 640
image_height: 480
camera_name: left
camera_matrix:
  rows: 3
  cols: 3
  data: [500, 0, 319.5, 0, 510, 239.5, 0, 0, 1]
distortion_model: plumb_bob
distortion_coefficients:
  rows: 1
  cols: 5
  data: [-0.3, 0.1, 0.001, -0.002, 0.0]
"""
KALIBR = """cam0:
  camera_model: pinhole
  intrinsics: [500, 510, 319.5, 239.5]
  distortion_model: equidistant
  distortion_coeffs: [0.01, 0.002, 0.0, 0.0]
  resolution: [640, 480]
cam1:
  T_cn_cnm1: [[1, 0, 0, -0.1], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]]
  camera_model: pinhole
  intrinsics: [500, 510, 319.5, 239.5]
  distortion_model: radtan
  distortion_coeffs: [0, 0, 0, 0]
  resolution: [640, 480]
"""
OPENCV = """%YAML:1.0
---
image_width: 640
image_height: 480
camera_matrix: !!opencv-matrix
   rows: 3
   cols: 3
   dt: d
   data: [ 500., 0., 319.5, 0., 510., 239.5, 0., 0., 1. ]
distortion_coefficients: !!opencv-matrix
   rows: 5
   cols: 1
   dt: d
   data: [ -0.3, 0.1, 0.001, -0.002, 0. ]
"""
INTRINSICS = torch.tensor([[500.0, 0, 320.0], [0, 510.0, 240.0], [0, 0, 1]])
"""Of all of them, with our pixel centres."""


def test_intrinsics_come_in_with_our_pixel_centres_and_their_distortion(tmp_path):
    for name, text in {"ros.yaml": ROS, "kalibr.yaml": KALIBR, "opencv.yml": OPENCV}.items():
        (tmp_path / name).write_text(text)
        camera = next(iter(read_calibration_file(tmp_path / name).values()))
        assert torch.equal(camera.intrinsics, INTRINSICS), name
        assert camera.size == (480, 640)
        assert not camera.distortion.is_none
    assert camera.distortion == Distortion("radial-tangential", (-0.3, 0.1, 0.001, -0.002, 0.0))


def test_kalibrs_second_camera_stands_where_its_chain_says(tmp_path):
    (tmp_path / "chain.yaml").write_text(KALIBR)
    second = camera_of_file(tmp_path / "chain.yaml", "cam1")
    assert torch.allclose(second.world_from_camera.translation, torch.tensor([0.1, 0.0, 0.0]))
    assert second.distortion.is_none
    with pytest.raises(EpisodeError, match="has the cameras cam0, cam1; say which"):
        camera_of_file(tmp_path / "chain.yaml", None)


def test_colmaps_poses_are_turned_round(tmp_path):
    camera_from_world = poses(seed=4).to(torch.float32)
    x, y, z, w = to_quaternion_xyzw(camera_from_world.rotation).tolist()
    tx, ty, tz = camera_from_world.translation.tolist()
    (tmp_path / "cameras.txt").write_text("# a comment\n1 OPENCV 640 480 500 510 320 240 -0.3 0.1 0 0\n")
    image = f"1 {w} {x} {y} {z} {tx} {ty} {tz} 1 left.png\n\n"
    (tmp_path / "images.txt").write_text(f"# a comment\n{image}")
    camera = camera_of_file(tmp_path, "left.png")
    assert torch.equal(camera.intrinsics, INTRINSICS)
    found = camera.world_from_camera.inverse().matrix()
    torch.testing.assert_close(found, camera_from_world.matrix(), atol=1e-5, rtol=0)


@pytest.mark.parametrize(("on_hand", "name"), [("true", "hand"), ("false", "base")])
def test_easy_handeye_gives_the_pose_and_says_of_what(tmp_path, on_hand, name):
    numbers = "{x: 0.5, y: -0.2, z: 0.7, qx: 0, qy: 1, qz: 0, qw: 0}"
    (tmp_path / "eye.yaml").write_text(f"parameters: {{eye_on_hand: {on_hand}}}\ntransformation: {numbers}\n")
    found = read_calibration_file(tmp_path / "eye.yaml")
    assert list(found) == [name]
    assert found[name].intrinsics is None
    assert torch.allclose(found[name].world_from_camera.translation, torch.tensor([0.5, -0.2, 0.7]))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (ROS.replace("plumb_bob", "omni"), "distortion model 'omni' is not known"),
        (ROS.replace("[500, 0", "[500"), "rows and cols do not fit"),
        (KALIBR.replace("camera_model: pinhole", "camera_model: omni"), "only pinhole is read"),
        (OPENCV.partition("distortion")[0], "says nothing of distortion"),
        ("a: [1, 2]\n", "is no calibration that is known; there are ROS camera_info"),
        ("transformation: {x: 1}\n", "needs the numbers x, y, z, qx"),
    ],
)
def test_what_is_no_calibration_is_refused_by_name(tmp_path, text, message):
    (tmp_path / "a.yaml").write_text(text)
    with pytest.raises(EpisodeError, match=message):
        read_calibration_file(tmp_path / "a.yaml")


def test_no_object_is_made_out_of_a_strangers_yaml(tmp_path):
    (tmp_path / "evil.yaml").write_text("camera_matrix: !!python/object/apply:os.system ['false']\n")
    with pytest.raises(EpisodeError, match="is no calibration that is known"):
        read_calibration_file(tmp_path / "evil.yaml")


@pytest.mark.parametrize(
    ("model", "coefficients"),
    [("radial-tangential", (-0.3, 0.1, 0.002, -0.003, 0.02)), ("fisheye", (0.05, -0.01, 0.003, 0.0))],
)
def test_distortion_is_opencvs(model, coefficients):
    cv2 = pytest.importorskip("cv2")
    pixels = torch.rand(50, 2, generator=torch.Generator().manual_seed(0)) * torch.tensor([640.0, 480.0])
    inverse = torch.linalg.inv(INTRINSICS)
    plane = pixels @ inverse[:2, :2].T + inverse[:2, 2]
    points = torch.cat([plane, torch.ones(50, 1)], -1).double().numpy()[:, None]
    lens = torch.tensor(coefficients).double().numpy()
    project = cv2.fisheye.projectPoints if model == "fisheye" else cv2.projectPoints
    zero = torch.zeros(3).double().numpy()
    expected, _ = project(points, zero, zero, INTRINSICS.double().numpy(), lens)
    found = distorted(pixels, INTRINSICS, Distortion(model, coefficients))
    torch.testing.assert_close(found, torch.from_numpy(expected)[:, 0].float(), atol=1e-2, rtol=0)


def test_straightened_pictures_show_a_point_where_a_pinhole_does():
    size, pixel = (64, 96), torch.tensor([20.5, 12.5])
    intrinsics = torch.tensor([[80.0, 0, 48], [0, 80, 32], [0, 0, 1]])
    lens = Distortion("radial-tangential", (-0.3, 0.05))
    bent = distorted(pixel, intrinsics, lens)
    y, x = torch.meshgrid(torch.arange(size[0]) + 0.5, torch.arange(size[1]) + 0.5, indexing="ij")
    blob = torch.exp(-((x - bent[0]) ** 2 + (y - bent[1]) ** 2) / 8)
    shown = (250 * blob).to(torch.uint8).expand(1, 3, *size)
    straight = FramesStraightened(FramesInMemory(shown), intrinsics, lens).read([0])[0, 0].float()
    centre = torch.stack([(straight * x).sum(), (straight * y).sum()]) / straight.sum()
    assert (bent - pixel).norm() > 1
    assert (centre - pixel).norm() < 0.2


def test_the_formats_are_told_where_none_fits(tmp_path):
    (tmp_path / "a.json").write_text(json.dumps([1, 2]))
    with pytest.raises(EpisodeError, match="Kalibr camchain, OpenCV FileStorage, easy_handeye, COLMAP"):
        read_calibration_file(tmp_path / "a.json")
    with pytest.raises(EpisodeError, match="there is no such calibration file"):
        read_calibration_file(tmp_path / "absent.yaml")


@pytest.mark.parametrize("more", ["binning_x: 2\nbinning_y: 2\n", "roi: {x_offset: 40, y_offset: 0}\n"])
def test_pictures_that_are_binned_or_a_region_are_refused(tmp_path, more):
    (tmp_path / "left.yaml").write_text(ROS + more)
    with pytest.raises(EpisodeError, match="binned, or a region"):
        read_calibration_file(tmp_path / "left.yaml")


def test_opencvs_mark_of_a_fisheye_is_followed(tmp_path):
    (tmp_path / "left.yaml").write_text(
        OPENCV.replace("data: [ -0.3, 0.1, 0.001, -0.002, 0. ]", "data: [ 0.1, 0, 0, 0, 0 ]")
    )
    assert camera_of_file(tmp_path / "left.yaml", None).distortion.model == "radial-tangential"
    text = (tmp_path / "left.yaml").read_text()
    (tmp_path / "left.yaml").write_text(text + "fisheye_model: 1\n")
    assert camera_of_file(tmp_path / "left.yaml", None).distortion.model == "fisheye"


def test_poses_in_a_world_of_their_own_say_so(tmp_path):
    (tmp_path / "chain.yaml").write_text(KALIBR)
    assert "first camera" in str(read_calibration_file(tmp_path / "chain.yaml")["cam1"].own_world)


def test_intrinsics_for_rectified_pictures_are_told_of(tmp_path):
    rectified = "projection_matrix: {rows: 3, cols: 4, data: [%d, 0, 319.5, 0, 0, 510, 239.5, 0, 0, 0, 1, 0]}"
    for focal, is_told in ((500, False), (460, True)):
        (tmp_path / "left.yaml").write_text(ROS + rectified % focal)
        told = camera_of_file(tmp_path / "left.yaml", None).other_lens
        assert (told is not None and "for rectified pictures (image_rect)" in told) == is_told
