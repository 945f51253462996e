"""Calibrations of other tools must see points where their own formulas say."""

import json

import pytest
import torch

from action_images.episodes.calibration_files import camera_of_file, read_calibration_file
from action_images.episodes.calibration_files.converted import cameras_of
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


def read_text_file(tmp_path, text: str, name: str = "a.yaml"):
    (tmp_path / name).write_text(text)
    return read_calibration_file(tmp_path / name)


FOUR = "distortion_coefficients: [0.1, 0.02, 0.003, 0.0004]\n"
NESTED = "image_width: 640\nimage_height: 480\n%s: [[500, 0, 319.5], [0, 510, 239.5], [0, 0, 1]]\n"


@pytest.mark.parametrize("matrix", ["camera_matrix", "K", "cameraMatrix"])
@pytest.mark.parametrize(
    "told", ["distortion_model: fisheye", "distortion_model: equidistant", "fisheye: true"]
)
def test_a_fisheye_lens_is_read_beside_any_form_of_its_matrix(tmp_path, matrix, told):
    camera = read_text_file(tmp_path, NESTED % matrix + f"{told}\n" + FOUR)["camera"]
    assert camera.distortion == Distortion("fisheye", (0.1, 0.02, 0.003, 0.0004))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (NESTED % "K" + "distortion_model: omni\n" + FOUR, "distortion model 'omni' is not known"),
        (NESTED % "K" + "distortion_model: plumb_bob\nfisheye_model: 1\n" + FOUR, "names two models"),
        (NESTED % "K" + "distortion_coefficients: {k1: -0.3, k2: 0.1}\n", "mapping of k1, k2 without 'data'"),
        (NESTED % "K" + "distortion_coefficients: [a, b]\n", r"a\.yaml: distortion: should be numbers"),
        (ROS.replace("distortion_coefficients", "D"), "model 'plumb_bob' and no coefficients"),
        (ROS.replace("plumb_bob", '""'), "has coefficients, but the distortion model ''"),
        (
            KALIBR.replace("distortion_coeffs", "coeffs"),
            "cam0.distortion_coeffs: .*'equidistant' and no coeff",
        ),
        (ROS + "camera_name: right\n", "has the key 'camera_name' twice"),
        (KALIBR.replace("  T_cn_cnm1", "  T_other"), "cam1: has no pose relative to the other cameras"),
        (KALIBR.replace("cam1:", "cam2:"), "cam1 is missing from the chain"),
    ],
)
def test_what_a_file_leaves_open_about_lens_or_chain_is_refused(tmp_path, text, message):
    with pytest.raises(EpisodeError, match=message):
        read_text_file(tmp_path, text)


def test_nested_aliases_of_yaml_do_not_fill_the_memory(tmp_path):
    rows = "a0: &a0 [1, 1, 1, 1, 1, 1, 1, 1, 1, 1]\n"
    for depth in range(1, 9):
        rows += f"a{depth}: &a{depth} [{', '.join([f'*a{depth - 1}'] * 10)}]\n"
    with pytest.raises(EpisodeError, match="distortion"):
        read_text_file(tmp_path, rows + NESTED % "K" + "distortion_coefficients: *a8\n")


def kalibr_entry(x: float, key: str = "T_cn_cnm1") -> str:
    pose = f"  {key}: [[1, 0, 0, {x}], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]]\n"
    lens = KALIBR.partition("cam0:\n")[2].partition("cam1:")[0]
    return pose + lens


def test_kalibrs_chain_is_followed_by_number_in_a_file_with_sorted_keys(tmp_path):
    names = sorted(f"cam{number}" for number in range(12))
    found = read_text_file(tmp_path, "".join(f"{name}:\n{kalibr_entry(-0.1)}" for name in names))
    first = found["cam0"].world_from_camera.translation
    places = [found[f"cam{n}"].world_from_camera.translation - first for n in range(12)]
    assert [round(place[0].item(), 3) for place in places] == [round(0.1 * n, 3) for n in range(12)]


def test_kalibrs_poses_relative_to_the_imu_place_cameras_too(tmp_path):
    text = "".join(f"cam{n}:\n{kalibr_entry(-0.2 * n - 0.5, 'T_cam_imu')}" for n in range(2))
    found = read_text_file(tmp_path, text)
    assert torch.allclose(found["cam0"].world_from_camera.translation, torch.zeros(3))
    assert torch.allclose(found["cam1"].world_from_camera.translation, torch.tensor([0.2, 0.0, 0.0]))


def colmap(tmp_path, *lines: str):
    (tmp_path / "cameras.txt").write_text("1 PINHOLE 640 480 500 510 320 240\n")
    (tmp_path / "images.txt").write_text("\n".join(lines))
    return tmp_path


def test_colmaps_images_without_lines_of_points_are_refused(tmp_path):
    folder = colmap(tmp_path, "1 1 0 0 0 0 0 0 1 left.png", "2 1 0 0 0 0 0 0 1 my right cam.png")
    with pytest.raises(EpisodeError, match="write an empty line after the line of each image"):
        read_calibration_file(folder)
    colmap(tmp_path, "1 1 0 0 0 0 0 0 1 left.png", "1.5 2.5 -1 3 4 7", "2 1 0 0 0 0 0 0 1 right.png", "")
    assert list(read_calibration_file(folder)) == ["left.png", "right.png"]


def test_colmaps_pictures_of_one_name_in_two_folders_are_refused(tmp_path):
    folder = colmap(tmp_path, "1 1 0 0 0 0 0 0 1 left/000.png", "", "2 1 0 0 0 0 0 0 1 right/000.png", "")
    with pytest.raises(EpisodeError, match=r"left/000.png and right/000.png would both be the camera '000'"):
        cameras_of([folder])


EYE = """parameters: {eye_on_hand: false, tracking_base_frame: %s, robot_effector_frame: tool0}
transformation: {x: %s, y: -0.2, z: 0.7, qx: 0, qy: 1, qz: 0, qw: 0}
"""


@pytest.mark.parametrize("frame", ["camera_link", "/camera_link"])
def test_a_pose_of_a_cameras_body_frame_is_refused_with_the_conversion(tmp_path, frame):
    with pytest.raises(EpisodeError, match=r"'/?camera_link' .* -0\.5 0\.5 -0\.5 0\.5"):
        read_text_file(tmp_path, EYE % (frame, 0.5))


@pytest.mark.parametrize(
    ("frame", "told"),
    [("camera_color_optical_frame", None), ("left_camera", "'left_camera', which is taken as optical")],
)
def test_a_camera_frame_that_tells_no_axes_is_remarked_on(tmp_path, frame, told):
    camera = read_text_file(tmp_path, EYE % (frame, 0.5))["base"]
    assert (camera.other_axes is None) if told is None else (told in camera.other_axes)
    assert camera.own_world is None


def test_the_hands_frame_is_told_for_a_camera_on_it(tmp_path):
    camera = read_text_file(tmp_path, EYE.replace("false", "true") % ("optical", 0.5))["hand"]
    assert camera.on_hand
    assert "'tool0' (robot_effector_frame), which must be that of the tool's poses" in camera.own_world


def saved(tmp_path, **texts: str):
    for name, text in texts.items():
        (tmp_path / f"{name}.yaml").write_text(text)
    return [tmp_path / f"{name}.yaml" for name in texts]


STRAIGHT = NESTED % "K" + "distortion_coefficients: [0, 0, 0, 0]\n"
ONE_KALIBR = KALIBR.partition("cam1:")[0].replace("[0.01, 0.002, 0.0, 0.0]", "[0, 0, 0, 0]")
POSE = EYE % ("optical", 0.5)


def test_a_single_lens_of_kalibr_takes_its_pose_from_another_file(tmp_path):
    lens = ONE_KALIBR.replace("equidistant", "radtan")
    (camera,) = cameras_of(saved(tmp_path, lens=lens, pose=POSE)).values()
    assert torch.allclose(camera.world_from_camera.translation, torch.tensor([0.5, -0.2, 0.7]))
    with pytest.raises(EpisodeError, match="has a lens and no pose"):
        cameras_of(saved(tmp_path, lens=lens))


def test_lens_and_pose_of_two_cameras_come_from_four_files(tmp_path):
    other = EYE % ("optical", -0.5)
    left, right, at_left, at_right = saved(tmp_path, left=STRAIGHT, right=STRAIGHT, l=POSE, r=other)
    found = cameras_of([left, at_left, right, at_right])
    places = {name: camera.world_from_camera.translation[0].item() for name, camera in found.items()}
    assert places == {"camera": 0.5, "right": -0.5}
    with pytest.raises(EpisodeError, match="give each camera's files one after the other"):
        cameras_of([left, right, at_left, at_right])


def test_a_lens_without_the_size_of_its_pictures_says_so(tmp_path):
    text = STRAIGHT.replace("image_width: 640\nimage_height: 480\n", "")
    with pytest.raises(EpisodeError, match="does not say for what image size"):
        cameras_of(saved(tmp_path, lens=text, pose=POSE))


HANDEYE = "transformation: {x: 0.5, y: -0.2, z: 0.7, qx: 0, qy: 1, qz: 0, qw: 0}\n"


@pytest.mark.parametrize(
    ("fields", "name"),
    [
        ("{calibration_type: eye_in_hand}", "hand"),
        ("{calibration_type: eye_on_base}", "base"),
        ("{eye_on_hand: 'false'}", "base"),
        ("{robot_effector_frame: tool0}", "hand"),
        ("{robot_base_frame: base_link}", "base"),
    ],
)
def test_easy_handeyes_fields_tell_where_the_camera_is(tmp_path, fields, name):
    (tmp_path / "eye.yaml").write_text(f"parameters: {fields}\n{HANDEYE}")
    assert list(read_calibration_file(tmp_path / "eye.yaml")) == [name]


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ("{name: mine}", "nothing says where the camera is; write 'eye_on_hand: true'"),
        ("{robot_effector_frame: tool0, robot_base_frame: base}", "contradict each other"),
        ("{eye_on_hand: true, calibration_type: eye_on_base}", "eye_on_hand and calibration_type contradict"),
        ("{eye_on_hand: perhaps}", "'eye_on_hand' is 'perhaps'; it is true or false"),
        ("{calibration_type: eye_to_hand}", "it is eye_in_hand or eye_on_base"),
    ],
)
def test_easy_handeye_that_does_not_say_where_the_camera_is_is_refused(tmp_path, fields, said):
    (tmp_path / "eye.yaml").write_text(f"parameters: {fields}\n{HANDEYE}")
    with pytest.raises(EpisodeError, match=said):
        read_calibration_file(tmp_path / "eye.yaml")
