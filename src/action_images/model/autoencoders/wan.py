"""Video to latents and back: what every autoencoder promises, and Wan2.2's."""

# diffusers gives its configs and outputs attributes that no type checker sees.
# pyright: reportAttributeAccessIssue=false

from typing import Protocol, runtime_checkable

import torch
from diffusers.models.autoencoders.autoencoder_kl_wan import AutoencoderKLWan
from jaxtyping import Float
from torch import Tensor, nn

from action_images.errors import ActionImagesError


@runtime_checkable
class Autoencoder(Protocol):
    """Causal in time: the first latent frame stands for the first pixel frame alone, each other for `temporal_factor`."""

    channels: int
    spatial_factor: int
    temporal_factor: int

    def encode(self, video: Float[Tensor, "*batch frame 3 height width"]) -> Float[Tensor, "*batch c l h w"]:
        """Video in [-1, 1] to latents of about zero mean and unit variance, float32."""
        ...

    def decode(
        self, latents: Float[Tensor, "*batch c l h w"]
    ) -> Float[Tensor, "*batch frame 3 height width"]:
        """Latents to video, float32, about [-1, 1]: clamp before showing."""
        ...


def num_latent_frames(autoencoder: Autoencoder, num_frames: int) -> int:
    """How many latent frames stand for `num_frames` pixel frames; raises ValueError, with the two nearest, if none do."""
    factor = autoencoder.temporal_factor
    if num_frames < 1 or (num_frames - 1) % factor:
        below = max((num_frames - 1) // factor * factor + 1, 1)
        raise ActionImagesError(
            f"the autoencoder takes 1 + {factor} n frames, not {num_frames}; cut the clip to {below} or {below + factor} frames"
        )
    return (num_frames - 1) // factor + 1


def num_pixel_frames(autoencoder: Autoencoder, num_latents: int) -> int:
    """How many pixel frames `num_latents` latent frames stand for."""
    return (num_latents - 1) * autoencoder.temporal_factor + 1


def check_size(size: tuple[int, int], multiple: int) -> None:
    """Raise ValueError, with the sizes that fit, unless both sides are multiples of the pixels in a token."""
    if any(side < multiple or side % multiple for side in size):
        fitting = " x ".join(str(max(round(side / multiple), 1) * multiple) for side in size)
        raise ActionImagesError(
            f"images of {size[0]} x {size[1]} px do not fit: height and width must be multiples of {multiple}; resize to {fitting}"
        )


class WanAutoencoder(nn.Module):
    """Wan2.2's video autoencoder: the mode of its posterior, normalised by the statistics in its config.

    Its weights keep their dtype and are run in it; what goes in and comes out here is float32.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, vae: AutoencoderKLWan) -> None:
        super().__init__()
        # One clip at a time: the activations of several would be the peak memory of a whole call.
        vae.enable_slicing()
        self.vae = vae.requires_grad_(False).eval()
        self.channels: int = vae.config.z_dim
        self.spatial_factor: int = vae.config.scale_factor_spatial
        self.temporal_factor: int = vae.config.scale_factor_temporal
        for name in ("mean", "std"):
            values = torch.tensor(vae.config[f"latents_{name}"], dtype=torch.float32)
            if len(values) != self.channels:
                raise ActionImagesError(
                    f"the autoencoder has {self.channels} channels, but its config's latents_{name} {len(values)}"
                )
            self.register_buffer(name, values[:, None, None, None], persistent=False)

    @torch.no_grad()
    def encode(self, video: Float[Tensor, "*batch frame 3 height width"]) -> Float[Tensor, "*batch c l h w"]:
        """Video in [-1, 1] to latents of about zero mean and unit variance, float32."""
        num_latent_frames(self, video.shape[-4])
        check_size((video.shape[-2], video.shape[-1]), self.spatial_factor)
        clips = video.flatten(0, -5) if video.ndim > 4 else video[None]
        mode = self.vae.encode(clips.transpose(1, 2).to(self.vae.dtype)).latent_dist.mode()
        return ((mode.float() - self.mean) / self.std).reshape(*video.shape[:-4], *mode.shape[1:])

    @torch.no_grad()
    def decode(
        self, latents: Float[Tensor, "*batch c l h w"]
    ) -> Float[Tensor, "*batch frame 3 height width"]:
        """Latents to video, float32, about [-1, 1]."""
        flat = latents.flatten(0, -5) if latents.ndim > 4 else latents[None]
        clips = (
            self.vae.decode((flat * self.std + self.mean).to(self.vae.dtype)).sample.float().transpose(1, 2)
        )
        return clips.reshape(*latents.shape[:-4], *clips.shape[1:])
