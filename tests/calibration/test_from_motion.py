"""Cameras from the tool's own motion: what tracks determine is found, and what they do not is named."""

from dataclasses import replace

import numpy as np
import pytest

from action_images.calibration.from_motion.adjust import Adjusted, Free, adjust
from action_images.calibration.from_motion.observations import observe
from action_images.calibration.from_motion.pinhole import Pinhole
from action_images.calibration.from_motion.pixel_shape import pixel_shape
from action_images.calibration.from_motion.points import fit_points, residual_px, triangulate
from action_images.calibration.from_motion.predicted import distance_px, predict, steady_axis, tool_points
from action_images.calibration.from_motion.solve import solve
from motion_scene import SIZE, hand, paths, tracks, truth

POSES = paths(8)
CAMERA = truth()


@pytest.fixture(scope="module")
def exact():
    return observe(tracks(CAMERA, POSES, hand()), POSES)


def test_derivatives_are_those_of_plain_differences():
    camera = replace(truth().moved(np.array([0, 0, 0, 0, 0, 0, 0, -0.2, 0])), aspect=0.8)
    points = tool_points(POSES)[:5]
    by_camera, by_point = camera.derivatives(points)
    for place in range(9):
        step = np.zeros(9)
        step[place] = 1e-6
        plain = (camera.moved(step).project(points)[0] - camera.moved(-step).project(points)[0]) / 2e-6
        assert np.allclose(by_camera[:, :, place], plain, atol=1e-3)
    for axis in range(3):
        shift = 1e-6 * (camera.rotation.T @ np.eye(3)[axis])
        plain = (camera.project(points + shift)[0] - camera.project(points - shift)[0]) / 2e-6
        assert np.allclose(by_point[:, :, axis], plain, atol=1e-3)


def test_the_true_camera_triangulates_the_points_of_the_hand(exact):
    found = fit_points(CAMERA, exact)
    expected = np.tile(np.repeat(hand(), 2, axis=0), (len(POSES), 1))
    assert np.abs(found - expected).max() < 5e-3
    assert exact.rms(residual_px(CAMERA, exact, expected)).max() < 1e-9


def test_exact_tracks_give_the_exact_camera_from_nothing(exact):
    solved = solve(exact, SIZE)
    assert distance_px(solved.camera, CAMERA, tool_points(POSES)) < 0.02
    assert np.linalg.norm(solved.camera.eye - CAMERA.eye) < 2e-3
    assert solved.camera.focal == pytest.approx(CAMERA.focal, rel=2e-3)
    assert solved.num_shared == len(hand())


def test_squeezed_pictures_give_the_exact_camera_if_their_aspect_is_known():
    squeezed = replace(CAMERA, aspect=0.75)
    seen = observe(tracks(squeezed, POSES, hand()), POSES)
    points = tool_points(POSES)
    for how in ({"aspect": 0.75}, {"start": squeezed.moved(np.full(9, 0.01) * [1, 1, 1, 1, 1, 1, 1, 0, 0])}):
        solved = solve(seen, SIZE, **how)
        assert distance_px(solved.camera, squeezed, points) < 0.02
    camera = solved.camera.camera(SIZE)
    focals = camera.intrinsics.diagonal()[:2].numpy()
    assert focals[0] / focals[1] == pytest.approx(0.75)
    assert distance_px(Pinhole.of(camera), squeezed, points) < 0.02


@pytest.mark.parametrize("aspect", [0.9, 0.95, 1.0, 1.1])
def test_the_shape_of_pixels_that_was_taken_for_granted_is_tested_by_the_tracks(aspect):
    camera = replace(CAMERA, aspect=aspect)
    seen = observe(tracks(camera, POSES, hand(), noise_px=0.3, wrong=0.5), POSES)
    solved = solve(seen, SIZE)
    shape = pixel_shape(solved, seen, SIZE, free=Free())
    assert shape.assumed == 1
    assert shape.found == pytest.approx(aspect, abs=0.01)
    assert shape.is_wrong == (aspect != 1)
    known = solve(seen, SIZE, aspect=aspect)
    assert not pixel_shape(known, seen, SIZE, free=Free()).is_wrong


def test_noisy_tracks_half_of_which_follow_something_else_give_the_camera_and_its_error():
    seen = observe(tracks(CAMERA, POSES, hand(), noise_px=0.3, wrong=0.5), POSES)
    solved = solve(seen, SIZE)
    predicted = predict(solved, seen, POSES)
    off = distance_px(solved.camera, CAMERA, tool_points(POSES))
    assert off < 0.5
    assert off < 3 * predicted.px
    assert predicted.px < 1.5


def test_a_delay_below_a_frame_is_found_with_the_camera():
    late = tracks(CAMERA, POSES, hand(), noise_px=0.1, late=0.4)
    solved = solve(observe(late, POSES), SIZE, free=Free(delay=True))
    assert solved.delay == pytest.approx(-0.4, abs=0.05)
    again = solve(observe(late, POSES, shift=-solved.delay), SIZE, start=solved.camera)
    assert distance_px(again.camera, CAMERA, tool_points(POSES)) < 0.3


def test_radial_distortion_is_found_where_it_is_asked_for():
    bent = CAMERA.moved(np.array([0, 0, 0, 0, 0, 0, 0, -0.2, 0]))
    seen = observe(tracks(bent, POSES, hand(), noise_px=0.1), POSES)
    start = Adjusted(CAMERA, triangulate(CAMERA, seen))
    found = adjust(start, seen, scale_px=1.0, free=Free(radial=True))
    assert found.camera.radial == pytest.approx(-0.2, abs=0.05)


def test_a_tool_axis_that_never_turns_leaves_the_camera_unknown_and_clicks_make_it_known():
    """All points may be shifted along it, and the camera with them: the predicted error says so."""
    upright = paths(8, tilt=0.0)
    seen = observe(tracks(CAMERA, upright, hand(), noise_px=0.3), upright)
    turned, axis = steady_axis(upright)
    assert turned < 1e-6
    assert abs(axis[2]) == pytest.approx(1.0)
    solved = solve(seen, SIZE)
    assert predict(solved, seen, upright).px > 100
    origin = [[tracks(CAMERA, upright[:1], np.zeros((1, 3)))[0][0]]]
    clicks = observe(origin, upright[:1])
    with_clicks = solve(seen, SIZE, clicks=clicks)
    points = tool_points(upright)
    assert distance_px(with_clicks.camera, CAMERA, points) < 1.0
    assert predict(with_clicks, seen, upright, clicks=clicks).px < 3
