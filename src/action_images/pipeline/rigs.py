"""What the denoiser is told of a rig, remembered: a policy in a loop encodes cameras that do not move
once."""

import torch
from jaxtyping import Float
from torch import Tensor

from action_images.device import sent
from action_images.geometry import Camera
from action_images.model.bundle import Models
from action_images.model.conditioning.rays import camera_maps


class Rigs:
    """Camera maps by rig."""

    MAX_REMEMBERED = 8

    def __init__(self) -> None:
        self._maps: dict[bytes, Tensor] = {}

    def maps(self, cameras: Camera, models: Models, device: torch.device) -> Float[Tensor, "b view l c h w"]:
        """The maps of a rig (b view frame) on a device, made or remembered.

        Rigs are known by their numbers, which are looked at on the CPU: one that lies elsewhere is not
        remembered.
        """
        condition = models.denoiser.transformer.config["camera"]

        def make() -> Tensor:
            there = sent(cameras, device)
            return camera_maps(condition, there, models.autoencoder, models.pixels_per_token)

        if cameras.device.type != "cpu":
            return make()
        key = _key(cameras)
        if key not in self._maps:
            if len(self._maps) >= self.MAX_REMEMBERED:
                self._maps.pop(next(iter(self._maps)))
            self._maps[key] = make()
        return self._maps[key]


def _key(cameras: Camera) -> bytes:
    """All numbers of the cameras."""
    pose = cameras.world_from_camera
    numbers = (cameras.intrinsics, pose.rotation, pose.translation)
    parts = [part.contiguous().numpy().tobytes() for part in numbers]
    return b"".join(parts) + str((cameras.batch_shape, cameras.size)).encode()
