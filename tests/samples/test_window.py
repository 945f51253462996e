"""The same address cuts the same sample; padding is marked; cameras follow the pixels."""

from dataclasses import replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from action_images.episodes.episode import EpisodeError, View
from action_images.geometry import Camera
from action_images.samples.sample import collate, cut
from action_images.samples.split import variation
from action_images.samples.window import Cutting, Window
from recorded import blob_centre, make_episode, make_trajectory


@given(
    st.from_regex(r"[A-Za-z0-9_][A-Za-z0-9_.+:@=,-]{0,9}(/[a-z0-9]{1,4}){0,2}", fullmatch=True),
    st.lists(st.from_regex(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,9}", fullmatch=True), min_size=1, max_size=4),
    st.integers(0, 10**6),
    st.integers(1, 99),
    st.integers(1, 999),
)
def test_a_printed_address_is_read_back_the_same(episode_id, views, start, stride, num_frames):
    window = Window(episode_id, tuple(views), start, stride, num_frames)
    assert Window.parse(str(window)) == window


@pytest.mark.parametrize(
    "text",
    [
        "",
        "e#a",
        "e#a[start=0,stride=0,frames=3]",
        "e#a[start=-1,stride=1,frames=3]",
        "e[start=0,stride=1,frames=1]",
    ],
)
def test_what_is_no_address_is_refused(text):
    with pytest.raises(ValueError, match="is no window"):
        Window.parse(text)


@given(st.integers(1, 60), st.integers(1, 12), st.integers(1, 4), st.integers(1, 5), st.data())
def test_every_window_has_the_real_frames_it_needs_and_none_is_left_out(
    length, num_frames, stride, step, data
):
    least = data.draw(st.none() | st.integers(1, num_frames))
    cutting = Cutting(num_frames, stride, step, least)
    windows = [cutting.window("e", ["a"], number) for number in range(cutting.num_windows(length))]
    needed = num_frames if least is None else least
    expected = [
        start
        for start in range(0, length, step)
        if len(range(start, min(length, start + stride * num_frames), stride)) >= needed
    ]
    assert [window.start for window in windows] == expected
    for window in windows:
        indices, valid = window.indices(length)
        real = [index for index, is_real in zip(indices, valid, strict=True) if is_real]
        assert real == list(range(window.start, window.start + stride * len(real), stride))
        assert len(indices) == num_frames
        assert len(real) >= needed
        assert set(indices[len(real) :]) <= {real[-1]}


def test_a_short_episode_is_refused_or_padded_by_rule_never_slowed():
    assert Cutting(13, stride=1).num_windows(12) == 0
    padded = Cutting(13, stride=1, least=5)
    assert padded.num_windows(12) == 8
    sample = cut(make_episode(num_frames=12), padded.window("task/e0", ["front"], 0))
    assert sample.valid.tolist() == [True] * 12 + [False]
    assert torch.equal(sample.video[0, 12], sample.video[0, 11])
    with pytest.raises(EpisodeError, match="begins beyond"):
        cut(make_episode(), Window("task/e0", ("front",), 12, 1, 3))
    with pytest.raises(ValueError, match="at least 1"):
        Cutting(5, stride=0)


def test_a_sample_is_the_windows_frames_of_all_its_parts():
    episode = make_episode(num_frames=20)
    sample = cut(episode, Window("task/e0", ("left", "front"), 3, 4, 4))
    assert sample.video.shape == (2, 4, 3, 48, 64)
    assert sample.batch_shape == ()
    assert sample.cameras.batch_shape == (2, 4)
    for view, name in enumerate(("left", "front")):
        assert torch.equal(sample.video[view], episode.view(name).frames.read([3, 7, 11, 15]))
    assert torch.equal(sample.trajectory.opening, episode.trajectory.opening[3:19:4])
    assert sample.valid.all()


def test_a_moving_camera_is_cut_with_its_frames():
    episode = make_episode(num_frames=10)
    camera = episode.views[0].camera
    path = Camera(
        camera.intrinsics.expand(10, 3, 3),
        make_trajectory(10).world_from_tool @ camera.world_from_camera,
        camera.size,
    )
    episode = replace(episode, views=(View("front", episode.views[0].frames, path), episode.views[1]))
    sample = cut(episode, Window("task/e0", ("front", "left"), 2, 3, 3))
    assert torch.equal(
        sample.cameras.world_from_camera.translation[0], path.world_from_camera.translation[[2, 5, 8]]
    )
    assert torch.equal(
        sample.cameras.world_from_camera.translation[1, 0], sample.cameras.world_from_camera.translation[1, 2]
    )


@pytest.mark.parametrize("size", [(48, 48), (32, 64), (96, 96), (31, 27), (200, 120)])
def test_the_tool_stays_where_it_is_seen_when_views_are_cropped_and_resized(size):
    episode = make_episode(num_frames=12, size=(90, 160))
    sample = cut(episode, Window("task/e0", ("front", "left"), 0, 1, 12), size)
    pixels, _ = sample.cameras.project(sample.trajectory.world_from_tool.translation)
    inside = (
        sample.cameras.contains(pixels)
        & (pixels > 6).all(-1)
        & (pixels.flip(-1) < torch.tensor(size) - 6).all(-1)
    )
    error = torch.stack([blob_centre(view) for view in sample.video]) - pixels
    assert inside.sum() > 8
    assert error.norm(dim=-1)[inside].max() < 0.5 * max(1, size[0] / 90)


def test_relative_poses_keep_every_projection():
    sample = cut(make_episode(), Window("task/e0", ("front", "left"), 0, 1, 12))
    moved = sample.relative()
    first = moved.cameras.world_from_camera[0, 0]
    assert torch.allclose(first.matrix(), torch.eye(4), atol=1e-6)
    before, _ = sample.cameras.project(sample.trajectory.world_from_tool.translation)
    after, _ = moved.cameras.project(moved.trajectory.world_from_tool.translation)
    assert torch.allclose(before, after, atol=1e-3)
    batch = collate([sample, sample]).relative()
    assert torch.allclose(
        batch.trajectory.world_from_tool.translation[1], moved.trajectory.world_from_tool.translation
    )
    uncalibrated = replace(sample, cameras=None)
    with pytest.raises(ValueError, match="calibrated views"):
        uncalibrated.relative()


def test_pixels_become_minus_one_to_one():
    sample = cut(make_episode(), Window("task/e0", ("front",), 0, 1, 3))
    video = sample.normalised().video
    assert video.dtype == torch.float32
    assert torch.allclose((video + 1) * 127.5, sample.video.float(), atol=1e-4)
    assert torch.equal(sample.normalised().normalised().video, video)


def test_how_bytes_lie_in_memory_does_not_reach_the_network():
    sample = cut(make_episode(), Window("task/e0", ("front",), 0, 1, 3))
    planes, pixels = sample.video.contiguous(), sample.video.movedim(-3, -1).contiguous().movedim(-1, -3)
    assert planes.stride() != pixels.stride()
    videos = [replace(sample, video=video).normalised().video for video in (planes, pixels)]
    assert torch.equal(*videos)
    assert all(video.is_contiguous() for video in videos)


def test_one_missing_camera_leaves_the_sample_without_cameras():
    episode = make_episode()
    episode = replace(
        episode, views=(episode.views[0], View("left", episode.views[1].frames, None)), trajectory=None
    )
    sample = cut(episode, Window("task/e0", ("front", "left"), 0, 1, 3))
    assert sample.cameras is None
    assert sample.trajectory is None
    assert cut(episode, Window("task/e0", ("front",), 0, 1, 3)).cameras is not None


def test_samples_that_hold_different_things_are_not_stacked():
    sample = cut(make_episode(), Window("task/e0", ("front",), 0, 1, 3))
    batch = collate([sample, replace(sample, instruction=None)])
    assert batch.batch_shape == (2,)
    assert batch.instruction == ("push the button", None)
    with pytest.raises(ValueError, match="trajectory is present in some"):
        collate([sample, replace(sample, trajectory=None)])


def test_views_of_different_sizes_need_a_common_one():
    small, large = make_episode(), make_episode(size=(96, 128))
    episode = replace(small, views=(small.views[0], large.views[1]))
    window = Window("task/e0", ("front", "left"), 0, 1, 3)
    with pytest.raises(EpisodeError, match="differ in size"):
        cut(episode, window)
    assert cut(episode, window, (48, 64)).video.shape == (2, 3, 3, 48, 64)
    with pytest.raises(EpisodeError, match="no view 'top'; it has front, left"):
        cut(episode, Window("task/e0", ("top",), 0, 1, 3))
    with pytest.raises(EpisodeError, match="is not a window of"):
        cut(episode, Window("other", ("front",), 0, 1, 3))


@pytest.mark.parametrize(
    ("episode_id", "group"),
    [
        ("close_jar/variation3/episodes/episode7", "close_jar/variation3"),
        ("close_jar/variation30/episode0", "close_jar/variation30"),
        ("lab/success/2023-04-01/x", "lab/success/2023-04-01"),
        ("alone", "alone"),
    ],
)
def test_repetitions_of_one_scene_share_a_variation(episode_id, group):
    assert variation(episode_id) == group
