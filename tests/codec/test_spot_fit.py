"""The fit of single spots converges, and in few steps."""

import torch

from action_images.codec import ActionImageFormat, draw, spot_fit
from action_images.codec.locate import locate
from scenes import generator, rig, trajectory

FORMAT = ActionImageFormat()


def noisy_images(num_frames: int, size: tuple[int, int]) -> torch.Tensor:
    """Drawn spots under noise, blurred as a small model blurs them: (view frame 3 h w)."""
    clean = draw(trajectory(num_frames, seed=3), rig(2, size), FORMAT)
    noisy = clean + 0.04 * torch.randn(clean.shape, generator=generator(5))
    return torch.nn.functional.avg_pool2d(noisy.flatten(0, 1), 3, 1, 1).view_as(noisy).clamp(0, 1)


def test_a_pixel_at_the_edge_of_blues_mask_does_not_keep_its_centre_moving(monkeypatch):
    steps, step = [], spot_fit._step
    monkeypatch.setattr(
        spot_fit, "_step", lambda fit, *rest: steps.append(len(fit.amplitude)) or step(fit, *rest)
    )
    spots = locate(noisy_images(72, (64, 64)), FORMAT, full_resolution=True)
    assert spots.seen.all()
    assert len(steps) < 15


def test_how_many_spots_are_fitted_at_once_changes_nothing(monkeypatch):
    images = noisy_images(8, (64, 64))
    together = locate(images, FORMAT, full_resolution=True)
    monkeypatch.setattr("action_images.codec.locate.CHUNK_PIXELS", 1)
    apart = locate(images, FORMAT, full_resolution=True)
    torch.testing.assert_close(apart.position, together.position, rtol=0, atol=1e-4)
    torch.testing.assert_close(apart.background, together.background)
