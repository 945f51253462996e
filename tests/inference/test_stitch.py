"""Stitching: what windows agree on comes out unchanged; what one does not know, the others decide."""

from itertools import pairwise

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from action_images.geometry import Pose, Trajectory
from action_images.inference.pacing import between, paced
from action_images.inference.stitch import Sure, blend, window_starts
from truth import make_path


def sure(path: Trajectory, value: float) -> Sure:
    return Sure(path, torch.full((path.num_frames,), value))


@given(st.integers(1, 80), st.integers(2, 12), st.integers(1, 11))
def test_windows_cover_every_frame_and_overlap_as_asked(num_frames, length, overlap):
    if overlap >= length:
        with pytest.raises(ValueError, match="overlap"):
            window_starts(num_frames, length, overlap)
        return
    starts = window_starts(num_frames, length, overlap)
    assert starts[0] == 0
    assert starts[-1] == max(num_frames - length, 0)
    assert all(0 < later - start <= length - overlap for start, later in pairwise(starts))


def test_windows_of_one_path_give_that_path_back():
    path = make_path(20)
    stitched = sure(path[:8], 0.9)
    for start in (5, 10, 12):
        stitched = stitched.extended(sure(path[start : start + 8], 0.4), start)
    assert stitched.num_frames == 20
    metres, radians = stitched.path.world_from_tool.distance(path.world_from_tool)
    assert metres.max() < 1e-6
    assert radians.max() < 1e-3
    assert (stitched.confidence > 0.39).all()


def test_the_surer_window_counts_more_and_a_contradiction_costs_confidence():
    path = make_path(6)
    moved = Trajectory(
        Pose(path.world_from_tool.rotation, path.world_from_tool.translation + 0.02), path.opening
    )
    together = blend(sure(path, 0.9), sure(moved, 0.1))
    off = (together.path.world_from_tool.translation - path.world_from_tool.translation).norm(dim=-1)
    torch.testing.assert_close(off, torch.full((6,), 0.1 * 0.02 * 3**0.5))
    assert (together.confidence < 0.3).all()
    assert (blend(sure(path, 0.9), sure(path, 0.1)).confidence > 0.8).all()


def test_what_one_window_does_not_know_never_reaches_the_result():
    path = make_path(6)
    nothing = Trajectory(
        path.world_from_tool.map(lambda tensor: torch.full_like(tensor, torch.nan)), torch.zeros(6)
    )
    for pair in ((sure(path, 0.5), sure(nothing, 0.0)), (sure(nothing, 0.0), sure(path, 0.5))):
        together = blend(*pair)
        assert torch.equal(together.path.world_from_tool.translation, path.world_from_tool.translation)
        assert torch.equal(together.confidence, torch.full((6,), 0.5))
    assert (blend(sure(nothing, 0.0), sure(nothing, 0.0)).confidence == 0).all()


def test_unknown_frames_are_laid_between_known_ones_and_stay_unsure():
    path = make_path(9)
    confidence = torch.tensor([0, 0, 0.5, 0, 0.5, 0.5, 0, 0, 0])
    bridged = Sure(path, confidence).bridged()
    pose = bridged.path.world_from_tool.translation
    assert torch.equal(pose[0], path.world_from_tool.translation[2])
    assert torch.equal(pose[-1], path.world_from_tool.translation[5])
    torch.testing.assert_close(pose[3], path.world_from_tool.translation[[2, 4]].mean(0))
    assert torch.equal(bridged.confidence, confidence)
    assert Sure(path, torch.zeros(9)).bridged() is None


def test_a_window_that_leaves_a_gap_is_refused():
    with pytest.raises(ValueError, match="overlap or touch"):
        sure(make_path(5), 1.0).extended(sure(make_path(5), 1.0), 6)


@given(st.integers(1, 300), st.sampled_from([5.0, 10.0, 20.0, 30.0]))
def test_a_paced_recording_keeps_its_first_and_last_frame_and_about_the_rate(num_frames, fps):
    frames = paced(num_frames, fps, 5.0)
    assert frames[0] == 0
    assert frames[-1] == num_frames - 1
    assert frames == sorted(set(frames))
    assert abs((len(frames) - 1) - (num_frames - 1) * 5 / fps) <= 1
    places = between(frames, num_frames)
    assert torch.equal(places[frames], torch.arange(len(frames)).float())


def test_a_recording_slower_than_the_clips_is_refused():
    with pytest.raises(ValueError, match="at least as fast"):
        paced(20, 2.0, 5.0)
