"""Wan2.2's video autoencoder, and others of its class (Wan2.1's)."""

# Type checkers do not see the attributes of diffusers' configs and outputs.
# pyright: reportAttributeAccessIssue=false

from collections.abc import Iterable
from pathlib import Path
from typing import Any, ClassVar

import torch
from diffusers.models.autoencoders.autoencoder_kl_wan import AutoencoderKLWan
from jaxtyping import Float
from torch import Tensor, nn
from typing_extensions import Self

from action_images.errors import ActionImagesError
from action_images.model.autoencoders.autoencoder import check_size, num_latent_frames
from action_images.model.loading import load_module


class WanAutoencoder(nn.Module):
    """Wan2.2's video autoencoder: the mode of its posterior, normalised by the statistics in its config.

    Its weights keep their dtype and run in it; inputs and outputs here are float32.
    """

    kind: ClassVar[str] = "wan"
    config_names: ClassVar[tuple[str, ...]] = (AutoencoderKLWan.__name__,)
    mean: Tensor
    std: Tensor

    def __init__(self, vae: AutoencoderKLWan) -> None:
        super().__init__()
        # One clip at a time: activations of several would set the peak memory of a whole call.
        vae.enable_slicing()
        self.vae = vae.requires_grad_(False).eval()
        self.channels: int = vae.config.z_dim
        self.spatial_factor: int = vae.config.scale_factor_spatial
        self.temporal_factor: int = vae.config.scale_factor_temporal
        if min(self.spatial_factor, self.temporal_factor) < 1:
            raise ActionImagesError("the autoencoder's config has a scale factor below 1")
        for name in ("mean", "std"):
            values = torch.tensor(vae.config[f"latents_{name}"], dtype=torch.float32)
            if len(values) != self.channels:
                raise ActionImagesError(
                    f"the autoencoder has {self.channels} channels, "
                    f"but its config's latents_{name} {len(values)}"
                )
            self.register_buffer(name, values[:, None, None, None], persistent=False)

    @classmethod
    def new(cls, **config: Any) -> Self:
        """An autoencoder with new weights; the arguments are those of diffusers' AutoencoderKLWan."""
        return cls(AutoencoderKLWan(**config))

    def fit(self, clips: Iterable[tuple[Float[Tensor, "*batch frame 3 height width"], float]]) -> Self:  # noqa: ARG002
        """Return self: it is trained already."""
        return self

    def save(self, folder: Path) -> None:
        """Write it in diffusers' layout."""
        self.vae.save_pretrained(folder)

    @classmethod
    def load(cls, folder: Path, dtype: torch.dtype) -> Self:
        """Read a folder in diffusers' layout, its weights in `dtype`; the statistics stay float32."""
        return load_module(AutoencoderKLWan, folder, dtype, around=cls)

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
