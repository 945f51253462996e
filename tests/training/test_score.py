"""What `best/` is chosen by: what a plan is followed for."""

import pytest
import torch

from action_images.training.validation import _at_the_grip, _medians, score_of


def test_modes_that_plan_count_alone_where_there_are_any():
    label = {"final mm": 100.0, "grip mm": 100.0}
    assert score_of({"policy": {"final mm": 10.0, "grip mm": 20.0}, "label": label}) == 15
    assert score_of({"policy": {"final mm": 10.0}, "joint": {"final mm": 30.0}, "label": label}) == 20
    assert score_of({"label": label, "simulate": {"loss 1": 3.0}}) == 100
    assert score_of({"simulate": {"loss 1": 3.0, "loss 0.5": 1.0}}) == 2


def test_the_error_at_the_grip_is_that_of_the_frame_in_which_the_gripper_changes():
    off = torch.tensor([[0.0, 1.0, 2.0, 3.0]]).expand(3, -1)
    opening = torch.tensor([[1.0, 0.9, 0.1, 1.0], [0.0, 0.0, 0.0, 1.0], [1.0, 1.0, 0.6, 1.0]])
    assert _at_the_grip(off, opening)[:2].tolist() == [2.0, 3.0]
    assert _at_the_grip(off, opening)[2].isnan()


def test_a_figure_that_no_window_has_is_left_out():
    nothing = torch.full((2,), torch.nan)
    one = {"final mm": torch.tensor([1.0, 3.0]), "grip mm": nothing}
    assert _medians([one, one]) == {"final mm": pytest.approx(1.0)}
    some = one | {"grip mm": torch.tensor([torch.nan, 7.0])}
    assert _medians([one, some])["grip mm"] == 7
