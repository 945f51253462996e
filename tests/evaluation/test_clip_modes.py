"""Judging clips: the truth scores perfectly, the floor what it should, and intervals hold."""

import json
import math
from dataclasses import replace

import pytest
import torch

from action_images.evaluation import video_metrics
from action_images.evaluation.clip_modes import (
    Answer,
    judge,
    kept,
    measure,
    projected,
    still,
    tracked,
)
from action_images.evaluation.clip_table import as_json, rows, set_row
from action_images.evaluation.statistics import bootstrap_interval
from action_images.geometry import Camera, Pose, Trajectory
from action_images.geometry.rotation import from_euler_xyz
from action_images.samples.sample import Sample

NUM_FRAMES, SIZE = 5, (64, 64)


def window(seed: int) -> Sample:
    generator = torch.Generator().manual_seed(seed)
    eyes = torch.tensor([[1.0, 0.1, 0.6], [0.2, 1.0, 0.5]])
    cameras = Camera.look_at(eyes, torch.zeros(2, 3), 0.8, SIZE)[:, None].expand(-1, NUM_FRAMES)
    steps = torch.arange(NUM_FRAMES)[:, None] * torch.tensor([[0.02, 0.01, 0.0]])
    turn = from_euler_xyz(torch.tensor([[3.0, 0.1, 0.05]]) * torch.linspace(1, 1.1, NUM_FRAMES)[:, None])
    path = Trajectory(
        Pose(turn, steps + 0.02 * torch.randn(3, generator=generator)), (torch.arange(NUM_FRAMES) < 2).float()
    )
    video = torch.rand(2, NUM_FRAMES, 3, *SIZE, generator=generator) * 2 - 1
    return Sample(video, cameras, path, torch.ones(NUM_FRAMES, dtype=torch.bool), "push the button")


def truth(window: Sample) -> Answer:
    return Answer(window.video.add(1).div(2), window.trajectory)


def off_by(window: Sample, metres: float) -> Answer:
    path = window.trajectory
    moved = replace(
        path,
        world_from_tool=replace(
            path.world_from_tool, translation=path.world_from_tool.translation + torch.tensor([metres, 0, 0])
        ),
    )
    return Answer(window.video.add(1).div(2).add(0.1).clamp(0, 1), moved)


def value(made, figure, view="all", frame="all"):
    return next(row for row in made if (row.figure, row.view, row.frame) == (figure, view, frame))


def test_the_truth_scores_perfectly_and_the_first_frame_is_not_counted():
    made = rows("truth", judge([window(i) for i in range(3)], {"truth": truth})["truth"], ("a", "b"), (1, -1))
    assert value(made, "path mm").value < 1e-3
    assert value(made, "path deg").value < 0.1
    assert value(made, "average jaccard").value == 1
    assert value(made, "grip F1").value == 1
    assert value(made, "ssim", "b").value == pytest.approx(1)
    first = replace(truth(window(0)), trajectory=still(window(0)).trajectory)
    assert measure(window(0), first).figures["path mm"][0].isnan()


def test_a_known_error_is_told_in_its_unit_at_every_horizon_and_view():
    windows = [window(i) for i in range(4)]
    made = rows("off", judge(windows, {"off": lambda one: off_by(one, 0.03)})["off"], ("a", "b"), (1, -1))
    for frame in ("all", "1", str(NUM_FRAMES - 1)):
        row = value(made, "path mm", frame=frame)
        assert row.value == pytest.approx(30, abs=0.01)
        assert row.low <= row.value <= row.high
    assert value(made, "path mm").num_windows == 4
    assert 0 < value(made, "track px", "a").value < 30
    assert 20 < value(made, "psnr dB").value < 23


def test_the_floor_gets_worse_with_the_horizon_and_never_grips():
    windows = [window(i) for i in range(4)]
    made = rows("still", judge(windows, {"still": still})["still"], ("a", "b"), (1, -1))
    assert value(made, "path mm", frame="1").value < value(made, "path mm", frame=str(NUM_FRAMES - 1)).value
    assert value(made, "grip F1").value == 0


def test_what_could_not_be_read_counts_as_far_off():
    one = window(0)
    lost = replace(
        one.trajectory,
        world_from_tool=one.trajectory.world_from_tool.map(lambda tensor: torch.full_like(tensor, torch.nan)),
    )
    figures = measure(one, Answer(trajectory=lost)).figures
    assert (figures["path mm"][1:] == 1000).all()
    assert (figures["path deg"][1:] == 180).all()
    assert figures["average jaccard"][:, -1].max() == 0


def test_a_label_follows_the_video_or_the_text():
    one = window(0)
    told = off_by(one, 0.1).trajectory
    for answer, expected in ((off_by(one, 0.03), 100), (off_by(one, 0.07), 0), (off_by(one, -1.0), 100)):
        figures = measure(one, replace(answer, told=told)).figures
        assert figures["with video %"][0].isnan()
        assert figures["with video %"][1:].tolist() == [expected] * (NUM_FRAMES - 1)
    assert "with video %" not in measure(one, off_by(one, 0.03)).figures


def test_a_label_that_was_not_read_follows_nothing_and_where_both_lead_to_one_place_nothing_is_said():
    one = window(0)
    lost = one.trajectory.world_from_tool.map(lambda tensor: torch.full_like(tensor, torch.nan))
    unread = replace(one.trajectory, world_from_tool=lost)
    asked = Answer(trajectory=unread, told=off_by(one, 0.1).trajectory)
    assert measure(one, asked).figures["with video %"][1:].tolist() == [0] * (NUM_FRAMES - 1)
    assert (
        measure(one, replace(truth(one), told=off_by(one, 0.03).trajectory))
        .figures["with video %"]
        .isnan()
        .all()
    )
    assert measure(one, replace(truth(one), told=unread)).figures["with video %"].isnan().all()


def test_the_tracker_is_judged_on_tracks_alone():
    one = window(0)
    assert set(measure(one, tracked(one)).figures) == {"track px", "jaccard@4", "average jaccard"}


def test_points_behind_the_camera_or_outside_the_image_are_not_visible():
    one = window(0)
    away = replace(
        one.trajectory.world_from_tool, translation=torch.tensor([3.0, 0.3, 1.8]).expand(NUM_FRAMES, 3)
    )
    assert not projected(one, replace(one.trajectory, world_from_tool=away))[0].visible.any()
    assert projected(one)[0].visible.all()


def test_numbers_that_are_not_finite_are_null_in_the_file():
    one = window(0)
    made = as_json(rows("truth", [measure(one, truth(one))], ("a", "b")))
    assert json.loads(json.dumps(made, allow_nan=False))
    assert next(row for row in made if row["figure"] == "psnr dB")["value"] is None


def test_a_bootstrap_interval_holds_the_mean_about_as_often_as_it_says():
    generator, held = torch.Generator().manual_seed(0), 0
    for _ in range(100):
        sample = torch.randn(40, generator=generator)
        low, high = bootstrap_interval(
            lambda items, sample=sample: sample[items].mean().item(), 40, num_draws=200
        )
        held += low <= 0 <= high
    assert 87 <= held <= 99


def test_a_bootstrap_of_nothing_is_refused_and_of_nans_is_nan():
    with pytest.raises(ValueError, match="at least one"):
        bootstrap_interval(lambda _: 0.0, 0)
    assert all(math.isnan(end) for end in bootstrap_interval(lambda _: math.nan, 3))


def test_psnr_is_its_definition():
    real = torch.rand(2, 3, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    made = (real + 0.1 * torch.randn(real.shape, generator=torch.Generator().manual_seed(1))).clamp(0, 1)
    expected = -10 * (real - made).square().mean((-3, -2, -1)).log10()
    torch.testing.assert_close(video_metrics.psnr(real, made), expected)
    assert video_metrics.ssim(real, made).shape == (2, 3)


@pytest.mark.parametrize("load", [video_metrics.load_lpips, lambda: video_metrics.load_fvd(41)])
def test_what_needs_weights_that_are_not_here_says_so(load, monkeypatch):
    """Without the packages there is an error that names the cure, never a number."""
    import sys

    for name in ("torchvision", "cdfvd", "torchmetrics.image.lpip"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(ValueError, match="pretrained network"):
        load()


def test_videos_too_short_for_fvd_are_refused_before_anything_is_generated():
    with pytest.raises(ValueError, match="at least 10 frames"):
        video_metrics.load_fvd(9)


def test_a_measure_of_sets_is_told_of_every_video_that_was_made_and_of_no_other():
    def second_view_alone(window: Sample) -> Answer:
        video = window.video.add(1).div(2)
        return Answer(torch.stack([torch.full_like(video[0], torch.nan), video[1]]))

    videos = {}
    modes = {
        name: kept(mode, videos.setdefault(name, []))
        for name, mode in {"truth": truth, "second": second_view_alone}.items()
    }
    judge([window(i) for i in range(3)], modes)
    rows = {
        name: set_row(name, "rms", lambda real, made: (real - made).square().mean().sqrt().item(), made)
        for name, made in videos.items()
    }
    assert (rows["truth"].num_windows, rows["second"].num_windows) == (6, 3)
    assert rows["truth"].value == rows["second"].value == 0
    assert math.isnan(rows["truth"].low)
