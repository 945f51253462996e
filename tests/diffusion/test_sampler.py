"""Sampling: exact fields land on their targets, what is given stays, the same seed gives the same bytes."""

from dataclasses import dataclass, field, replace

import pytest
import torch

from action_images.canvas import MODES, Canvas
from action_images.diffusion import flow
from action_images.diffusion.sampler import Sampling, StepCache, noise_like, sample
from action_images.model.denoiser import Condition


@dataclass
class Towards:
    """The exact velocity field whose data is one point for each text: noise - data = (x_s - data) / s."""

    target: torch.Tensor
    calls: list[str] = field(default_factory=list)

    def __call__(self, canvas, noise_level, condition, branch="conditional"):
        self.calls.append(branch)
        target = self.target * condition.text[:, 0, 0].view(-1, 1, 1, 1, 1)
        return (canvas.latents - target) / noise_level.view(-1, 1, 1, 1, 1)


def setting(batch: int = 2) -> tuple[Canvas, Condition, torch.Tensor]:
    layout = MODES["joint"].layout(2, 3)
    canvas = Canvas(
        torch.randn(batch, 4, layout.num_frames, 2, 2), MODES["joint"].given(layout).expand(batch, -1), layout
    )
    return canvas, Condition(torch.ones(batch, 1, 1)), torch.randn(batch, 4, layout.num_frames, 2, 2)


@pytest.mark.parametrize("num_steps", [1, 2, 4, 50])
def test_an_exact_velocity_field_lands_on_its_target(num_steps: int):
    canvas, condition, target = setting()
    denoiser = Towards(target)
    sampled = sample(denoiser, canvas, condition, Sampling(num_steps))
    asked = canvas.asked.expand_as(target)
    torch.testing.assert_close(sampled.latents[asked], target[asked], atol=1e-5, rtol=1e-5)
    assert len(denoiser.calls) == num_steps


def test_given_latents_leave_the_sampler_bit_identical():
    canvas, condition, target = setting()
    canvas.latents[:, :, 0, 0, 0] = -0.0
    given = ~canvas.asked.expand_as(target)
    sampled = sample(Towards(target * float("nan")), canvas, condition, Sampling(3)).latents
    bits = [latents[given].view(torch.int32) for latents in (sampled, canvas.latents)]
    assert torch.equal(*bits)


def test_the_model_is_shown_what_is_given_in_every_call():
    canvas, condition, target = setting()
    seen = []

    def denoiser(shown, *_, **__):
        seen.append(shown.latents[~canvas.asked.expand_as(target)].clone())
        return torch.randn_like(shown.latents)

    sample(denoiser, canvas, condition, Sampling(5))
    assert all(torch.equal(latents, canvas.latents[~canvas.asked.expand_as(target)]) for latents in seen)


def test_the_same_generator_gives_the_same_bytes_and_another_does_not():
    canvas, condition, target = setting()

    def run(seed: int) -> torch.Tensor:
        # Half-way fields keep some of the noise.
        denoiser = lambda shown, *_, **__: 0.5 * (shown.latents - target)  # noqa: E731
        return sample(denoiser, canvas, condition, Sampling(3), torch.Generator().manual_seed(seed)).latents

    assert torch.equal(run(1), run(1))
    assert not torch.equal(run(1), run(2))


def test_a_sample_with_its_own_generator_does_not_depend_on_its_batch():
    alone = noise_like(torch.empty(1, 2, 3), [torch.Generator().manual_seed(7)])
    batch = noise_like(torch.empty(2, 2, 3), [torch.Generator().manual_seed(seed) for seed in (3, 7)])
    assert torch.equal(alone[0], batch[1])
    with pytest.raises(ValueError, match="1 generators for a batch of 2"):
        noise_like(torch.empty(2, 2), [torch.Generator()])


def test_guidance_enlarges_what_the_instruction_changes():
    canvas, condition, target = setting()
    denoiser = Towards(target)
    sampled = sample(
        denoiser, canvas, condition, Sampling(1, guidance=3.0), unconditional=torch.zeros(2, 1, 1)
    )
    asked = canvas.asked.expand_as(target)
    # The empty instruction leads to 0, the real one to the target: three times the way from one to the other.
    torch.testing.assert_close(sampled.latents[asked], 3 * target[asked], atol=1e-5, rtol=1e-5)
    assert denoiser.calls == ["conditional", "unconditional"]


def test_guidance_without_an_empty_instruction_is_refused():
    canvas, condition, target = setting()
    with pytest.raises(ValueError, match="needs the encoded empty instruction"):
        sample(Towards(target), canvas, condition, Sampling(1, guidance=2.0))


def test_a_straight_field_is_computed_twice_and_then_mostly_reused():
    canvas, condition, target = setting()
    plain, cached = Towards(target), Towards(target)
    expected = sample(plain, canvas, condition, Sampling(12), torch.Generator().manual_seed(0))
    sampled = sample(
        cached, canvas, condition, Sampling(12, cache=StepCache()), torch.Generator().manual_seed(0)
    )
    # Computed at steps 0 and 1, then after every four skipped ones: 6 and 11.
    assert len(cached.calls) == 4
    torch.testing.assert_close(sampled.latents, expected.latents, atol=1e-4, rtol=1e-4)


def test_a_turning_field_is_never_reused():
    canvas, condition, _ = setting()
    calls = []

    def denoiser(shown, *_, **__):
        calls.append(1)
        return torch.randn_like(shown.latents)

    sample(denoiser, canvas, condition, Sampling(12, cache=StepCache()))
    assert len(calls) == 12


def test_a_batch_is_as_careful_as_its_least_similar_sample():
    velocity = torch.ones(2, 4)
    other = torch.stack([torch.ones(4), torch.tensor([1.0, 1.0, 1.0, -1.0])])
    assert StepCache().num_skips(velocity, velocity) == 4
    assert StepCache().num_skips(velocity, other) == 0
    assert StepCache(((0.4, 1),)).num_skips(velocity, other) == 1


@pytest.mark.parametrize("bad", [{"num_steps": 0}, {"shift": 0.0}, {"guidance": -1.0}])
def test_impossible_settings_are_refused(bad: dict):
    with pytest.raises(ValueError, match="sampling takes"):
        replace(Sampling(), **bad)


def test_levels_end_at_zero():
    assert flow.sampling_levels(4, 5.0)[-1] == 0
