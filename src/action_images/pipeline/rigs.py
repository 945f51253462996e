"""What the denoiser is told of a rig, remembered: a policy in a loop encodes cameras that do not move
once."""

from jaxtyping import Float
from torch import Tensor

from action_images.geometry import Camera
from action_images.model.bundle import Models
from action_images.model.conditioning.rays import camera_maps


class Rigs:
    """Camera maps by rig."""

    MAX_REMEMBERED = 8

    def __init__(self) -> None:
        self._maps: dict[bytes, Tensor] = {}

    def maps(self, cameras: Camera, models: Models) -> Float[Tensor, "b view l c h w"]:
        """The maps of a rig (b view frame), made or remembered."""
        key = _key(cameras)
        if key not in self._maps:
            if len(self._maps) >= self.MAX_REMEMBERED:
                self._maps.pop(next(iter(self._maps)))
            condition = models.denoiser.transformer.config["camera"]
            self._maps[key] = camera_maps(condition, cameras, models.autoencoder, models.pixels_per_token)
        return self._maps[key]


def _key(cameras: Camera) -> bytes:
    """All numbers of the cameras."""
    pose = cameras.world_from_camera
    numbers = (cameras.intrinsics, pose.rotation, pose.translation)
    parts = [part.contiguous().cpu().numpy().tobytes() for part in numbers]
    return b"".join(parts) + str((cameras.batch_shape, cameras.size)).encode()
