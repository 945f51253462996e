"""What was drawn is read back, and what cannot be known is said."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from action_images.codec import RELEASED, ActionImageFormat, Reading, draw, draw_uint8, read
from action_images.codec.ambiguity import _gap, _predict
from action_images.codec.smooth import GaussianSmoother
from action_images.geometry import Camera, Pose, Trajectory
from scenes import generator, poses, rig, seeds, trajectory

SIZE = (96, 96)


def errors(reading: Reading, path: Trajectory) -> tuple[torch.Tensor, torch.Tensor]:
    """Position (mm) and rotation (degrees) errors of each frame."""
    metres, radians = reading.trajectory.world_from_tool.distance(path.world_from_tool)
    return metres * 1e3, radians.rad2deg()


@given(seed=seeds, num_views=st.integers(2, 4), precision=st.sampled_from(["exact", "fast"]))
def test_drawing_then_reading_is_the_identity(seed, num_views, precision):
    path, cameras = trajectory(3, seed), rig(num_views, SIZE)
    reading = read(draw(path, cameras), cameras, precision=precision)
    millimetres, degrees = errors(reading, path)
    assert reading.valid.all()
    assert millimetres.max() < 1e-3
    assert degrees.max() < 1e-3
    torch.testing.assert_close(reading.trajectory.opening, path.opening, atol=1e-5, rtol=0)


@given(seed=seeds)
def test_eight_bits_read_like_floats_within_quantisation(seed):
    path, cameras = trajectory(3, seed), rig(2, SIZE)
    rounded, exact = read(draw_uint8(path, cameras), cameras), read(draw(path, cameras), cameras)
    metres, _ = rounded.trajectory.world_from_tool.distance(exact.trajectory.world_from_tool)
    # The prediction knows of quantisation: five standard deviations hold for all.
    assert (metres < 5 * rounded.position_std).all()
    torch.testing.assert_close(rounded.trajectory.opening, exact.trajectory.opening, atol=0.011, rtol=0)


@given(seed=seeds)
def test_the_order_of_views_does_not_matter(seed):
    path, cameras = trajectory(3, seed), rig(3, SIZE)
    images, order = draw_uint8(path, cameras), torch.randperm(3, generator=generator(seed))
    one, other = read(images, cameras), read(images[order], cameras[order])
    torch.testing.assert_close(
        one.trajectory.world_from_tool.matrix(), other.trajectory.world_from_tool.matrix(), atol=1e-5, rtol=0
    )


@given(seed=seeds)
def test_moving_world_and_cameras_together_moves_the_reading_with_them(seed):
    path, cameras, motion = trajectory(2, seed), rig(2, SIZE), poses(seed=seed).to(torch.float32)
    images = draw_uint8(path, cameras)
    here, there = read(images, cameras), read(images, cameras.moved(motion))
    expected = motion @ here.trajectory.world_from_tool
    torch.testing.assert_close(
        there.trajectory.world_from_tool.matrix(), expected.matrix(), atol=2e-5, rtol=0
    )


def test_the_released_format_reads_back_in_its_own_convention(golden):
    numbers = golden("encode")
    cameras = Camera(numbers["intrinsics"], Pose.from_matrix(numbers["extrinsics"]), (64, 64))
    path = Trajectory.from_vector(numbers["actions"])
    reading = read(numbers["image"].movedim(-1, -3), cameras, format=RELEASED)
    millimetres, degrees = errors(reading, path)
    assert millimetres[reading.valid].max() < 0.01
    assert degrees[reading.valid].max() < 0.01
    assert reading.valid.double().mean() > 0.6  # at 64 px some of these poses leave a frame
    assert torch.equal(reading.is_open, path.opening > 0.5)


def test_any_leading_axes_and_moving_cameras():
    cameras = rig(2, SIZE)
    paths = [trajectory(4, seed) for seed in range(3)]
    images = torch.stack([draw_uint8(path, cameras) for path in paths])
    reading = read(images, cameras)
    assert reading.valid.shape == (3, 4)
    assert reading.spots.position.shape == (3, 4, 2, 3, 2)
    for i, path in enumerate(paths):
        alone = read(images[i], cameras[:, None].expand(2, 4))
        assert torch.equal(alone.trajectory.opening, reading.trajectory.opening[i])
        torch.testing.assert_close(alone.position_std, reading.position_std[i])
        assert errors(alone, path)[0].max() < 0.1


@pytest.mark.parametrize("offset", [8 / 255, 0.05, 0.1])
def test_a_lifted_black_level_changes_nothing_visible(offset):
    path, cameras = trajectory(20), rig(2, SIZE)
    images = draw(path, cameras)
    plain = errors(read((images * 255).round().to(torch.uint8), cameras), path)[0].median()
    lifted = ((images + offset).clamp(0, 1) * 255).round().to(torch.uint8)
    reading = read(lifted, cameras)
    assert errors(reading, path)[0].median() < 1.3 * plain
    assert torch.equal(reading.is_open, path.opening > 0.5)


def test_predicted_errors_rank_and_size_the_real_ones():
    path, cameras = trajectory(60), rig(2, SIZE)
    noise = torch.logspace(-3, -1, 60)[:, None, None, None] * torch.randn(2, 60, 3, *SIZE)
    reading = read((draw(path, cameras) + noise).clamp(0, 1), cameras, max_position_std=1.0)
    actual, predicted = errors(reading, path)[0], reading.position_std * 1e3
    ranks = torch.stack([values.argsort().argsort().double() for values in (actual, predicted)])
    assert torch.corrcoef(ranks)[0, 1] > 0.85
    assert 0.5 < (actual / predicted).median() < 1.5


def test_noise_beyond_the_asked_precision_is_not_valid():
    path, cameras = trajectory(10), rig(2, SIZE)
    images = (draw(path, cameras) + 0.2 * torch.randn(2, 10, 3, *SIZE)).clamp(0, 1)
    assert not read(images, cameras, max_position_std=1e-4).valid.any()
    assert read(images, cameras, max_position_std=0.1).valid.all()


def test_blank_images_show_no_pose_and_say_so():
    cameras = rig(2, SIZE)
    for images in (
        torch.zeros(2, 3, 3, *SIZE),
        0.05 * torch.rand(2, 3, 3, *SIZE),
        torch.full((2, 3, 3, *SIZE), 0.25),
    ):
        reading = read(images, cameras)
        assert not reading.valid.any()
        assert (reading.confidence == 0).all()
        assert reading.trajectory.world_from_tool.translation.isnan().all()


def test_views_that_contradict_each_other_are_not_valid():
    cameras = rig(2, SIZE)
    one, other = (draw_uint8(trajectory(6, seed), cameras) for seed in (1, 2))
    assert not read(torch.stack([one[0], other[1]]), cameras).valid.any()


def pushed_out(cameras: Camera, path: Trajectory, frames: slice, seed: int) -> Camera:
    """The rig with its last view shifted, so that one random point lies 2 to 4 sigma left of these frames."""
    g, moving = generator(seed), cameras.per_frame((), path.num_frames)
    intrinsics = moving.intrinsics.clone()
    pixels, _ = moving[-1, :, None].project(ActionImageFormat().points(path.world_from_tool))
    point = torch.randint(3, (path.num_frames,), generator=g)
    beyond = (2 + 2 * torch.rand(path.num_frames, generator=g)) * ActionImageFormat().sigma_px(cameras.size)
    shift = pixels[torch.arange(path.num_frames), point, 0] + beyond
    intrinsics[-1, frames, 0, 2] -= shift[frames]
    return Camera(intrinsics, moving.world_from_camera, cameras.size)


@pytest.mark.parametrize("seed", range(3))
def test_a_point_outside_one_of_three_views_is_solved_from_the_others(seed):
    path = trajectory(30, seed)
    cameras = pushed_out(rig(3, SIZE), path, slice(None), seed)
    reading = read(draw_uint8(path, cameras), cameras)
    assert reading.valid.all()
    assert errors(reading, path)[0].median() < 0.1


@pytest.mark.parametrize("seed", range(6))
def test_a_point_outside_one_of_two_views_is_never_silently_wrong(seed):
    path = trajectory(41, seed, spread=0.2)
    cameras = pushed_out(rig(2, SIZE), path, slice(None), seed)
    reading = read(draw_uint8(path, cameras), cameras)
    assert reading.valid.double().mean() > 0.2
    assert (errors(reading, path)[0][reading.valid] < 5).all()


@pytest.mark.parametrize("seed", range(3))
def test_neighbouring_frames_decide_where_two_views_alone_cannot(seed):
    path = trajectory(5, seed).at(torch.linspace(0, 4, 41))
    cameras = pushed_out(rig(2, SIZE), path, slice(15, 25), seed)
    reading = read(draw_uint8(path, cameras), cameras)
    assert reading.valid.all()
    assert errors(reading, path)[0].max() < 5


def test_a_frame_that_is_missing_stands_between_its_neighbours():
    path, cameras = trajectory(2).at(torch.linspace(0, 1, 9)), rig(2, SIZE)
    images = draw_uint8(path, cameras)
    images[:, 4] = 0
    reading = read(images, cameras)
    assert reading.valid.tolist() == [frame != 4 for frame in range(9)]
    assert errors(reading, path)[0][4] < 1
    assert reading.position_std[4].isinf()


def test_smoothing_helps_noisy_readings_of_a_smooth_path_and_leaves_constants_alone():
    path, cameras = trajectory(3).at(torch.linspace(0, 2, 41)), rig(2, SIZE)
    images = (draw(path, cameras) + 0.1 * torch.randn(2, 41, 3, *SIZE)).clamp(0, 1)
    raw, smooth = (
        read(images, cameras, max_position_std=1.0, smooth=s) for s in (None, GaussianSmoother(1.5))
    )
    assert errors(smooth, path)[0].median() < 0.8 * errors(raw, path)[0].median()
    still = path[:1].at(torch.zeros(9))
    again = GaussianSmoother(2.0)(still, torch.rand(9) + 0.1)
    torch.testing.assert_close(
        again.world_from_tool.matrix(), still.world_from_tool.matrix(), atol=1e-6, rtol=0
    )


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda images, cameras: (images[:1], cameras[:1]), "at least two views"),
        (lambda images, cameras: (images[:, :0], cameras), "no frames"),
        (lambda images, cameras: (images, cameras[torch.tensor([0, 1, 0])]), "2 views, cameras describe 3"),
        (lambda images, cameras: (images[..., :90], cameras), r"cameras.size says \(96, 96\).*framing"),
        (lambda images, cameras: (images * 255, cameras), r"lie in \[0, 1\].*rescale"),
        (lambda images, cameras: (images * torch.nan, cameras), r"lie in \[0, 1\]"),
        (lambda images, cameras: (images, cameras[0]), "cameras have batch axes"),
    ],
)
def test_bad_input_gets_one_clear_error(spoil, message):
    cameras = rig(2, SIZE)
    images, cameras = spoil(draw(trajectory(2), cameras), cameras)
    with pytest.raises(ValueError, match=message):
        read(images, cameras)


def test_a_skewed_camera_pose_is_refused_by_name():
    cameras = rig(2, SIZE)
    images = draw(trajectory(2), cameras)
    cameras.world_from_camera.rotation[1] *= 1.1
    with pytest.raises(ValueError, match=r"cameras.world_from_camera\[1\].*not orthonormal"):
        read(images, cameras)


def test_three_spots_alone_are_never_taken_for_a_pose():
    path, cameras = trajectory(1, 3), rig(2, SIZE)
    images = draw_uint8(path, cameras)
    for blanked in ([(0, 0), (0, 2), (1, 2)], [(1, 0), (1, 1), (1, 2)]):
        partly = images.clone()
        for view, channel in blanked:
            partly[view, 0, channel] = 0
        assert not read(partly, cameras).valid.any()


def test_a_smoother_fills_gaps_however_long_they_are():
    """In float32 a bell is exactly 0 beyond 14 widths: the nearest known frame must still count."""
    path = trajectory(60, 3)
    std = torch.where(torch.arange(60) < 20, 1e-3, torch.inf)
    filled = GaussianSmoother(1.0)(path, std).check()
    metres, _ = filled.world_from_tool[-1].distance(path.world_from_tool[19])
    assert metres < 1e-3


def test_a_frame_between_decided_ones_is_predicted_on_their_device():
    """What is made without a device lands on `meta` here, and cannot be mixed with the poses' own."""
    pose = Pose.identity()
    with torch.device("meta"):
        between = _predict(2, {0: pose, 4: pose})
    assert torch.equal(between.matrix(), pose.matrix())


def test_the_gap_is_the_distance_to_the_nearest_decided_frame():
    pose = Pose.identity()
    assert _gap(2, {0: pose, 4: pose}) == 2
    assert _gap(5, {0: pose, 4: pose}) == 1


@pytest.mark.parametrize("seed", range(4))
def test_a_spot_that_faded_is_outvoted_by_five_and_the_frame_is_not_called_valid(seed):
    path, cameras = trajectory(6, seed), rig(2, SIZE)
    images = draw(path, cameras)
    spot = torch.randint(3, (), generator=generator(seed))
    images[1, 2, spot] = images[1, 2, spot].median()
    reading = read(images, cameras)
    millimetres, degrees = errors(reading, path)
    assert not reading.valid[2]
    assert reading.confidence[2] == 0
    assert reading.position_std[2].isfinite()
    assert reading.valid[[0, 1, 3, 4, 5]].all()
    assert millimetres.max() < 1
    assert degrees.max() < 1


def test_a_spot_that_faded_in_one_of_three_views_costs_nothing():
    path, cameras = trajectory(4, 1), rig(3, SIZE)
    images = draw(path, cameras)
    images[1, 2, 0] = images[1, 2, 0].median()
    reading = read(images, cameras)
    assert reading.valid.all()
    assert errors(reading, path)[0].max() < 1e-3
