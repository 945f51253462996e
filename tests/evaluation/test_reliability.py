"""Bounds of words keep what they promise on poses whose errors follow from their confidence."""

import pytest
import torch

from action_images.evaluation.reliability import (
    WRONG_OF_GOOD,
    JudgedPoses,
    bins,
    bounds_of,
    by_word,
    off_path,
    rank_correlation,
)


def poses(num_windows: int = 400, seed: int = 0) -> JudgedPoses:
    """Eight poses a window, wrong with a chance of 1 - confidence; those of a confidence below .1 always."""
    noise = torch.Generator().manual_seed(seed)
    sure = torch.rand(num_windows * 8, generator=noise)
    is_wrong = torch.rand(len(sure), generator=noise) > sure
    mm = torch.where(is_wrong | (sure < 0.1), 80 - 40 * sure, 20 - 10 * sure)
    window = torch.arange(num_windows).repeat_interleave(8)
    return JudgedPoses(sure, mm, torch.zeros(len(sure)), window)


def test_good_poses_are_seldom_wrong_and_unreadable_ones_mostly():
    bounds = bounds_of(poses())
    words = by_word(poses(seed=1), bounds)
    assert words["good"].wrong < WRONG_OF_GOOD
    assert words["unreadable"].wrong > 0.5
    assert words["good"].wrong < words["doubtful"].wrong < words["unreadable"].wrong
    assert bounds.good == pytest.approx(0.9, abs=0.07)
    assert bounds.doubtful == pytest.approx(0.5, abs=0.1)
    assert bounds.wrong["good"] == pytest.approx(words["good"].wrong, abs=0.05)


def test_the_table_shows_the_share_of_wrong_poses_in_every_range():
    for row in bins(poses()):
        low, high = row.interval
        assert low <= row.wrong <= high
        if 0.1 <= row.low < 0.4:
            assert row.wrong == pytest.approx(1 - (row.low + row.high) / 2, abs=0.08)
    assert sum(row.num_poses for row in bins(poses())) == 3200


def test_confidence_that_ranks_errors_is_told_from_one_that_does_not():
    ranked = poses()
    blind = JudgedPoses(ranked.confidence.flip(0), ranked.mm, ranked.deg, ranked.window)
    assert rank_correlation(ranked) < -0.6
    assert abs(rank_correlation(blind)) < 0.1


def test_where_nothing_can_be_read_nothing_is_good():
    lost = JudgedPoses(torch.zeros(80), torch.full((80,), 1000.0), torch.zeros(80), torch.arange(80) // 8)
    bounds = bounds_of(lost)
    assert bounds.counts(lost.confidence.tolist()) == {"good": 0, "doubtful": 0, "unreadable": 80}
    assert bounds.wrong == {"unreadable": 1.0}


def test_where_all_is_right_all_is_good():
    right = JudgedPoses(torch.rand(160) * 0.5 + 0.4, torch.ones(160), torch.ones(160), torch.arange(160) // 8)
    counts = bounds_of(right).counts(right.confidence.tolist())
    assert counts["unreadable"] == 0
    assert counts["good"] >= 150


def test_a_plan_may_be_a_frame_early_or_late_and_no_more():
    along = torch.tensor([[0.1, 0.0, 0.0]])
    recorded = torch.arange(6.0)[:, None] * along
    assert off_path(recorded.roll(1, 0), recorded)[1:].max() < 1e-6
    assert off_path(recorded + 0.5 * along, recorded)[:-1].max() < 1e-6
    aside = recorded + torch.tensor([0.0, 0.03, 0.0])
    torch.testing.assert_close(off_path(aside, recorded), torch.full((6,), 0.03))
    late = off_path(recorded.roll(2, 0), recorded)[2:]
    torch.testing.assert_close(late, torch.full((4,), 0.1))
