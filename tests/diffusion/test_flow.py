"""The path between data and noise, checked against the release's numbers and against algebra."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from action_images.canvas import MODES, Canvas
from action_images.diffusion import flow


@pytest.mark.parametrize("num_steps", [10, 50])
def test_sampling_levels_equal_the_releases(golden, num_steps: int):
    levels = flow.sampling_levels(num_steps, shift=5.0)
    expected = golden("scheduler")
    torch.testing.assert_close(levels[:-1], expected[f"sigmas_{num_steps}"], atol=2e-7, rtol=0)
    torch.testing.assert_close(1000 * levels[:-1], expected[f"timesteps_{num_steps}"], atol=2e-4, rtol=0)
    assert levels[-1] == 0


def test_release_weight_equals_the_releases(golden):
    expected = golden("scheduler")
    weight = flow.release_weight(expected["sigmas_train"], shift=5.0)
    torch.testing.assert_close(weight, expected["weights_train"], atol=2e-5, rtol=1e-5)
    levels = flow.shifted(torch.linspace(1, 0, 1001)[:-1], 5.0)
    torch.testing.assert_close(levels, expected["sigmas_train"], atol=2e-7, rtol=0)


def test_levels_are_those_of_the_library_scheduler():
    from diffusers import FlowMatchEulerDiscreteScheduler

    scheduler = FlowMatchEulerDiscreteScheduler(num_train_timesteps=1000, shift=5.0)
    scheduler.set_timesteps(sigmas=torch.linspace(1, 1 / 30, 30).tolist())
    torch.testing.assert_close(flow.sampling_levels(30, 5.0), scheduler.sigmas, atol=2e-7, rtol=0)


def test_a_shift_keeps_the_ends_and_moves_the_middle_towards_noise():
    levels = flow.shifted(torch.tensor([0.0, 0.5, 1.0]), 5.0)
    torch.testing.assert_close(levels, torch.tensor([0.0, 5 / 6, 1.0]))
    assert torch.equal(flow.shifted(levels, 1.0), levels)


@given(st.floats(0, 1), st.floats(0, 1))
def test_the_velocity_leads_from_any_level_to_any_other(start: float, end: float):
    clean, noise = torch.randn(2, 3, dtype=torch.float64), torch.randn(2, 3, dtype=torch.float64)
    levels = torch.tensor([start, end], dtype=torch.float64)
    here, there = (flow.interpolate(clean, noise, level.expand(2)) for level in levels)
    torch.testing.assert_close(here + (levels[1] - levels[0]) * (noise - clean), there)


def canvas_and_noise() -> tuple[Canvas, torch.Tensor]:
    mode = MODES["joint"]
    layout = mode.layout(1, 3)
    valid = torch.tensor([[True] * 6, [True, True, False] * 2])
    canvas = Canvas(torch.randn(2, 4, 6, 2, 2), mode.given(layout).expand(2, -1), layout, valid)
    return canvas, torch.randn(2, 4, 6, 2, 2)


def test_what_is_given_carries_no_noise():
    canvas, noise = canvas_and_noise()
    latents = flow.noised(canvas, noise, torch.tensor([1.0, 0.3]))
    given = ~canvas.asked.expand_as(latents)
    assert torch.equal(latents[given], canvas.latents[given])
    assert torch.equal(latents[0, :, 1], noise[0, :, 1])


def test_the_right_velocity_has_no_loss_and_an_offset_has_its_square():
    canvas, noise = canvas_and_noise()
    velocity = noise - canvas.latents
    assert flow.loss(velocity, canvas, noise).tolist() == [0, 0]
    torch.testing.assert_close(
        flow.loss(velocity + 3, canvas, noise, torch.tensor([1.0, 2.0])), torch.tensor([9.0, 18.0])
    )


def test_given_and_invalid_frames_have_no_loss_and_no_gradient():
    canvas, noise = canvas_and_noise()
    velocity = (noise - canvas.latents).masked_fill(~canvas.counted, torch.inf).requires_grad_()
    losses = flow.loss(velocity, canvas, noise)
    assert losses.tolist() == [0, 0]
    moved = (noise - canvas.latents + 1.0).requires_grad_()
    flow.loss(moved, canvas, noise).sum().backward()
    assert torch.equal(moved.grad != 0, canvas.counted.expand_as(moved))


def test_a_sample_without_anything_to_learn_is_named():
    canvas, noise = canvas_and_noise()
    nothing = Canvas(canvas.latents, canvas.given, canvas.layout, torch.tensor([[True] * 6, [False] * 6]))
    with pytest.raises(ValueError, match="sample 1 of the batch"):
        flow.loss(noise, nothing, noise)
