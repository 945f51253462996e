"""A linear video autoencoder for small models: principal components of patches, fitted in seconds."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any, ClassVar

import torch
from diffusers.configuration_utils import ConfigMixin, register_to_config
from diffusers.models.modeling_utils import ModelMixin
from jaxtyping import Float
from torch import Tensor, nn
from typing_extensions import Self

from action_images.device import is_true
from action_images.errors import ActionImagesError
from action_images.model.autoencoders.autoencoder import check_size, num_latent_frames
from action_images.model.loading import load_module


class PcaAutoencoder(ModelMixin, ConfigMixin):
    """Patches of 8 x 8 px x 4 frames (8 x 8 x 1 in the first frame) to their principal components and back.

    The basis is orthonormal, so squared errors of latents are squared errors of pixels. All latents are
    divided by one number, so that their mean variance is 1 on the data of the fit.
    """

    kind: ClassVar[str] = "pca"
    # PatchAutoencoder is its name in folders of version 0.
    config_names: ClassVar[tuple[str, ...]] = ("PcaAutoencoder", "PatchAutoencoder")
    _supports_gradient_checkpointing = False

    @register_to_config
    def __init__(self, channels: int = 64, spatial_factor: int = 8, temporal_factor: int = 4) -> None:
        super().__init__()
        if channels > 3 * spatial_factor**2:
            raise ActionImagesError(
                f"a patch of {spatial_factor} x {spatial_factor} px has {3 * spatial_factor**2} numbers, "
                f"not {channels} components"
            )
        self.channels, self.spatial_factor, self.temporal_factor = channels, spatial_factor, temporal_factor
        self.first = PatchBasis(3 * spatial_factor**2, channels)
        self.rest = PatchBasis(3 * spatial_factor**2 * temporal_factor, channels)
        self._was_fitted = False

    @classmethod
    def new(cls, **config: Any) -> Self:
        """An autoencoder that is not fitted yet."""
        return cls(**config)

    @torch.no_grad()
    def fit(self, clips: Iterable[tuple[Float[Tensor, "*batch frame 3 height width"], float]]) -> Self:
        """Fit to videos in [-1, 1], each with the weight of its patches; returns self."""
        sums = {basis: _Moments(basis.mean) for basis in (self.first, self.rest)}
        for video, weight in clips:
            first, rest = self._patches(video)
            sums[self.first].add(first.flatten(0, -2), weight)
            if rest.numel():
                sums[self.rest].add(rest.flatten(0, -2), weight)
        variance = [basis.fit(*moments.mean_and_covariance()) for basis, moments in sums.items()]
        for basis in sums:
            basis.scale.fill_((sum(variance) / len(variance)) ** 0.5)
        return self

    def save(self, folder: Path) -> None:
        """Write it in diffusers' layout."""
        self.save_pretrained(folder)

    @classmethod
    def load(cls, folder: Path, dtype: torch.dtype) -> Self:  # noqa: ARG003
        """Read what `save` wrote. It is always float32, as matrix products with pixels are cheap."""
        return load_module(cls, folder)

    @torch.no_grad()
    def encode(self, video: Float[Tensor, "*batch frame 3 height width"]) -> Float[Tensor, "*batch c l h w"]:
        """Video in [-1, 1] to latents, float32."""
        self._check_fitted()
        first, rest = self._patches(video)
        return torch.cat([self.first.encode(first), self.rest.encode(rest)], -4).movedim(-1, -4)

    @torch.no_grad()
    def decode(
        self, latents: Float[Tensor, "*batch c l h w"]
    ) -> Float[Tensor, "*batch frame 3 height width"]:
        """Latents to video, float32."""
        p = self.spatial_factor
        first, rest = latents.movedim(-4, -1).split([1, latents.shape[-3] - 1], -4)
        videos = []
        for basis, part, num_frames in ((self.first, first, 1), (self.rest, rest, self.temporal_factor)):
            patches = basis.decode(part).unflatten(-1, (num_frames, 3, p, p))  # *batch l h w f 3 p p
            patches = patches.movedim((-4, -3, -2, -1), (-6, -5, -3, -1))
            videos.append(patches.flatten(-2).flatten(-3, -2).flatten(-5, -4))
        return torch.cat(videos, -4)

    def _check_fitted(self) -> None:
        """Raise ActionImagesError if it is not fitted; the device is queried only until it is."""
        self._was_fitted = self._was_fitted or is_true(self.first.scale != 0, "fitted")
        if not self._was_fitted:
            raise ActionImagesError(
                "this patch autoencoder is not fitted yet; call fit on training clips, or load a fitted one"
            )

    def _patches(self, video: Tensor) -> tuple[Tensor, Tensor]:
        """The first frame's patches and the rest's, (*batch l h w numbers) each."""
        num_latent_frames(self, video.shape[-4])
        p = self.spatial_factor
        check_size((video.shape[-2], video.shape[-1]), p)
        parts = []
        for part, num_frames in zip(
            video.float().split([1, video.shape[-4] - 1], -4), (1, self.temporal_factor), strict=True
        ):
            patches = (
                part.unflatten(-1, (-1, p)).unflatten(-3, (-1, p)).unflatten(-6, (-1, num_frames))
            )  # *batch l f 3 h p w p
            parts.append(patches.movedim((-6, -5, -3, -1), (-4, -3, -2, -1)).flatten(-4))
        return parts[0], parts[1]


class PatchBasis(nn.Module):
    """An orthonormal basis of the directions of largest variance around a mean."""

    mean: Tensor
    basis: Tensor
    scale: Tensor

    def __init__(self, num_numbers: int, channels: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(num_numbers))
        self.register_buffer("basis", torch.zeros(num_numbers, channels))
        self.register_buffer("scale", torch.zeros(()))

    def fit(self, mean: Tensor, covariance: Tensor) -> Tensor:
        """Take the leading eigenvectors; returns the mean variance along them."""
        values, vectors = torch.linalg.eigh(covariance)
        channels = self.basis.shape[1]
        self.mean.copy_(mean)
        self.basis.copy_(vectors[:, -channels:].flip(-1))
        return values[-channels:].mean().clamp_min(1e-12)

    def encode(self, patches: Tensor) -> Tensor:
        # The mean is subtracted from the result, as patches have twelve times as many numbers.
        weight = self.basis / self.scale
        return nn.functional.linear(patches, weight.mT, -(self.mean @ weight))

    def decode(self, latents: Tensor) -> Tensor:
        return (latents * self.scale) @ self.basis.mT + self.mean


class _Moments:
    """Weighted sums in float64 for the mean and covariance."""

    def __init__(self, like: Tensor) -> None:
        self.weight, self.sum = 0.0, torch.zeros_like(like, dtype=torch.float64)
        self.products = torch.zeros(*like.shape, *like.shape, dtype=torch.float64, device=like.device)

    def add(self, patches: Tensor, weight: float) -> None:
        patches = patches.to(self.sum.device)
        self.weight += weight * len(patches)
        self.sum += weight * patches.sum(0, dtype=torch.float64)
        self.products += weight * (patches.mT @ patches)

    def mean_and_covariance(self) -> tuple[Tensor, Tensor]:
        if not self.weight:
            raise ActionImagesError(
                "a patch autoencoder needs at least one clip of more than one frame to be fitted to"
            )
        mean = self.sum / self.weight
        return mean, self.products / self.weight - mean[:, None] * mean
