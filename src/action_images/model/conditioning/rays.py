"""The model's camera conditions: the release's pooled form, and rays for each token."""

import math
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from action_images.device import constant
from action_images.errors import ActionImagesError
from action_images.geometry import Camera, Pose
from action_images.geometry.plucker import plucker_map
from action_images.model.autoencoders.autoencoder import Autoencoder

CameraCondition = Literal["released", "rays"]
POOL = (48, 16, 16)
"""The release pools (96 channels, h, w) of the camera latents to this, for each latent frame."""
POOLED_CHANNELS = math.prod(POOL)
NUM_OCTAVES = 4


def camera_maps(
    condition: CameraCondition, cameras: Camera, autoencoder: Autoencoder, pixels_per_token: int
) -> Float[Tensor, "b view l c h w"]:
    """The denoiser's camera maps of a rig (b view frame), for each latent frame.

    All rays are in the frame of the first view's first camera. Maps of still cameras need to be made only
    once for a rig, see `pipeline.Rigs`.
    """
    if condition == "released":
        return released_maps(cameras, autoencoder)
    return ray_features(cameras, autoencoder.temporal_factor, pixels_per_token)


def map_shape(
    condition: CameraCondition,
    latent_channels: int,
    autoencoder: Autoencoder,
    size: tuple[int, int],
    pixels_per_token: int,
) -> tuple[int, int, int]:
    """The shape (channels, height, width) of one latent frame's maps; `size` is (height, width) in px."""
    if condition == "released":
        factor = autoencoder.spatial_factor
        return 2 * latent_channels, size[0] // factor, size[1] // factor
    return 6 * autoencoder.temporal_factor, size[0] // pixels_per_token, size[1] // pixels_per_token


def released_maps(cameras: Camera, autoencoder: Autoencoder) -> Float[Tensor, "b view l c h w"]:
    """Ray directions and moments / 3 (m), each encoded like an RGB video, joined as channels (paper section
    3.3)."""
    lines = plucker_map(cameras, _release_reference(cameras))
    direction, moment = lines[..., :3, :, :], lines[..., 3:, :, :] / 3
    latents = [autoencoder.encode(part) for part in (direction, moment)]
    return torch.cat(latents, -4).movedim(-3, -4)


def _release_reference(cameras: Camera) -> Pose:
    """The first view's first camera with RLBench's axes (x left, y up, z forward), those of the release."""
    first = cameras[:, :1, :1].world_from_camera
    turn = constant([-1.0, -1.0, 1.0], first.rotation)
    return Pose(first.rotation * turn, first.translation)


def ray_features(
    cameras: Camera, temporal_factor: int, pixels_per_token: int
) -> Float[Tensor, "b view l c h w"]:
    """Pluecker coordinates of each token's centre ray in the pixel frames of its latent frame.

    The first latent frame has only one pixel frame, which is repeated to fill its channels.
    """
    height, width = cameras.size
    tokens = cameras.resize(height // pixels_per_token, width // pixels_per_token)
    lines = plucker_map(tokens, cameras[:, :1, :1].world_from_camera)
    lines = torch.cat([lines[:, :, :1].expand(-1, -1, temporal_factor - 1, -1, -1, -1), lines], 2)
    return lines.unflatten(2, (-1, temporal_factor)).flatten(3, 4)


def pool_cameras(camera: Tensor | None, latents: Tensor) -> Tensor:
    """Camera latents (b l 96 h w) in the released network's form: one vector for each latent frame
    (b l 12288).

    Raises ActionImagesError if there are none, or if their channels or sizes do not fit.
    """
    if camera is None:
        raise ActionImagesError(
            "this model was built with camera='released' and needs `camera` in every call"
        )
    channels, (height, width) = camera.shape[2], latents.shape[-2:]
    if channels % POOL[0]:
        raise ActionImagesError(
            f"the released camera condition pools channels to {POOL[0]} and cannot take "
            f"{channels}: it belongs to "
            f"autoencoders of {POOL[0]} channels, such as Wan2.2's; use a model with camera='rays'"
        )
    if height < POOL[1] or width < POOL[2]:
        raise ActionImagesError(
            f"the released camera condition pools to {POOL[1]} x {POOL[2]} and cannot take latents of "
            f"{height} x {width}; use images of at least 256 x 256 px (the weights were trained at "
            "512 x 512), "
            "or a model with camera='rays'"
        )
    return F.adaptive_avg_pool3d(camera, POOL).flatten(2)


class RayEncoder(nn.Module):
    """A small network from each token's ray (with its sines at rising frequencies) to the tokens' width."""

    def __init__(self, width: int, temporal_factor: int = 4, hidden: int = 128) -> None:
        super().__init__()
        num_features = 6 * temporal_factor * (1 + 2 * NUM_OCTAVES)
        last = nn.Linear(hidden, width)
        self.layers = nn.Sequential(nn.Linear(num_features, hidden), nn.SiLU(), last)
        # It adds nothing at the start, so that a pretrained model gets cameras without forgetting.
        nn.init.zeros_(last.weight)
        nn.init.zeros_(last.bias)

    def forward(
        self, rays: Float[Tensor, "b l c h w"], dtype: torch.dtype = torch.float32
    ) -> Float[Tensor, "b d l h w"]:
        """Rays of `ray_features` to additions to the tokens; `dtype` is the tokens', used in the layers."""
        angles = torch.cat([rays.float() * (math.pi * 2**octave) for octave in range(NUM_OCTAVES)], 2)
        features = torch.cat([rays.float(), angles.sin(), angles.cos()], 2).movedim(2, -1)
        return self.layers(features.to(dtype)).movedim(-1, 1)
