"""The linear autoencoder: causal, orthonormal, exact on what lies in its span."""

import pytest
import torch

from action_images.model.autoencoders.pca import PcaAutoencoder


def smooth_clips(*shape: int) -> torch.Tensor:
    """Clips whose content is a few moving waves, so that few components carry them."""
    *batch, num_frames, height, width = shape
    y, x = torch.meshgrid(torch.linspace(0, 6, height), torch.linspace(0, 6, width), indexing="ij")
    phase = 6 * torch.rand(*batch, 1, 3, 1, 1) + 0.2 * torch.arange(num_frames).view(-1, 1, 1, 1)
    return 0.8 * torch.sin(x * (0.3 + torch.rand(*batch, 1, 1, 1, 1)) + y + phase)


def fitted(channels: int = 64) -> PcaAutoencoder:
    return PcaAutoencoder(channels).fit([(smooth_clips(6, 9, 32, 48), 1.0)])


def test_smooth_video_comes_back():
    video = smooth_clips(2, 2, 9, 32, 48)
    autoencoder = fitted()
    latents = autoencoder.encode(video)
    assert latents.shape == (2, 2, 64, 3, 4, 6)
    assert autoencoder.decode(latents).shape == video.shape
    assert (autoencoder.decode(latents) - video).abs().max() < 0.05


def test_with_all_components_every_first_frame_comes_back():
    autoencoder = fitted(192)
    video = torch.rand(1, 3, 16, 24) * 2 - 1
    torch.testing.assert_close(autoencoder.decode(autoencoder.encode(video)), video, atol=1e-4, rtol=0)


def test_latents_that_lie_in_the_span_are_kept():
    autoencoder = fitted()
    latents = torch.randn(3, 64, 4, 2, 2)
    torch.testing.assert_close(autoencoder.encode(autoencoder.decode(latents)), latents, atol=1e-4, rtol=1e-4)


def test_the_first_latent_frame_sees_the_first_frame_only():
    autoencoder, video = fitted(), smooth_clips(9, 16, 16)
    later = video.clone()
    later[1:] += torch.rand(8, 3, 16, 16)
    assert torch.equal(autoencoder.encode(later)[:, 0], autoencoder.encode(video)[:, 0])
    assert torch.equal(autoencoder.encode(video[:1])[:, 0], autoencoder.encode(video)[:, 0])
    assert not torch.equal(autoencoder.encode(later)[:, 1], autoencoder.encode(video)[:, 1])


def test_latents_have_unit_mean_variance_on_their_data():
    video = smooth_clips(8, 9, 32, 32)
    latents = PcaAutoencoder(48).fit([(video, 1.0)]).encode(video)
    centred = latents - latents.mean((0, 2, 3, 4), keepdim=True)
    assert centred.square().mean().item() == pytest.approx(1, abs=0.35)


def test_weight_decides_what_is_kept():
    """Of two kinds of clips that share no components, the heavier one comes back better."""
    waves, noise = smooth_clips(4, 9, 32, 32), torch.rand(4, 9, 3, 32, 32) * 2 - 1
    errors = {}
    for weight in (0.01, 100.0):
        autoencoder = PcaAutoencoder(16).fit([(waves, weight), (noise, 1.0)])
        errors[weight] = (autoencoder.decode(autoencoder.encode(waves)) - waves).square().mean()
    assert errors[100.0] < 0.5 * errors[0.01]


def test_it_comes_back_from_disk_unchanged(tmp_path):
    autoencoder, video = fitted(), smooth_clips(5, 16, 16)
    autoencoder.save_pretrained(tmp_path)
    assert (tmp_path / "diffusion_pytorch_model.safetensors").exists()
    loaded = PcaAutoencoder.from_pretrained(tmp_path)
    assert torch.equal(loaded.encode(video), autoencoder.encode(video))


def test_wrong_frame_counts_are_refused_with_the_two_nearest():
    with pytest.raises(ValueError, match="not 40; cut the clip to 37 or 41 frames"):
        fitted().encode(torch.zeros(40, 3, 16, 16))


def test_sizes_that_do_not_fit_are_refused_with_one_that_does():
    with pytest.raises(ValueError, match="resize to 24 x 16"):
        fitted().encode(torch.zeros(1, 3, 21, 16))


def test_an_unfitted_one_says_so():
    with pytest.raises(ValueError, match="not fitted yet"):
        PcaAutoencoder().encode(torch.zeros(1, 3, 16, 16))
    with pytest.raises(ValueError, match="at least one clip"):
        PcaAutoencoder().fit([])
