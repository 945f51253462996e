"""The effects of a camera's sensor: exposure, colour cast, blur, noise and JPEG, drawn for each view."""

import io
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import UInt8
from torch import Tensor

from action_images.sim.look import Range


@dataclass(frozen=True)
class SensorRanges:
    """Ranges from which each view of a trial draws its camera.

    `exposure` scales brightness, `gamma` is its exponent, and `cast` scales each colour channel. `blur` is a
    standard deviation in thousandths of the image's height, `noise` one of a channel's values in [0, 1]. A
    share `jpeg_share` of the views is compressed as JPEG of a `quality` from 1 to 95.
    """

    exposure: Range = (1.0, 1.0)
    gamma: Range = (1.0, 1.0)
    cast: Range = (1.0, 1.0)
    blur: Range = (0.0, 0.0)
    noise: Range = (0.0, 0.0)
    quality: Range = (95, 95)
    jpeg_share: float = 0.0

    def draw(self, seed: np.random.SeedSequence, num_views: int) -> "Sensors":
        """The cameras of one trial; the noise of each image follows from `seed` too."""
        draws, noise = (np.random.default_rng(child) for child in seed.spawn(2))
        views = [
            Sensor(
                gains=tuple((draws.uniform(*self.exposure) * draws.uniform(*self.cast, 3)).tolist()),
                gamma=draws.uniform(*self.gamma),
                blur=draws.uniform(*self.blur) / 1000,
                noise=draws.uniform(*self.noise),
                quality=int(draws.uniform(*self.quality)) if draws.random() < self.jpeg_share else None,
            )
            for _ in range(num_views)
        ]
        return Sensors(tuple(views), int(noise.integers(2**63)))


@dataclass(frozen=True)
class Sensor:
    """One camera: `gains` of the three channels; `quality` is None without JPEG."""

    gains: tuple[float, ...]
    gamma: float
    blur: float
    noise: float
    quality: int | None

    def image(
        self, light: UInt8[np.ndarray, "h w 3"], rng: np.random.Generator
    ) -> UInt8[np.ndarray, "h w 3"]:
        """Apply the sensor's effects to a rendered image."""
        from PIL import Image
        from scipy.ndimage import gaussian_filter

        values = light.astype(np.float32) / 255
        sigma = self.blur * len(light)
        if sigma > 0.15:
            values = gaussian_filter(values, (sigma, sigma, 0))
        values = np.clip(values * np.asarray(self.gains, np.float32), 0, 1) ** np.float32(self.gamma)
        if self.noise > 0:
            values += np.float32(self.noise) * rng.standard_normal(values.shape, dtype=np.float32)
        pixels = np.round(255 * np.clip(values, 0, 1)).astype(np.uint8)
        if self.quality is None:
            return pixels
        packed = io.BytesIO()
        Image.fromarray(pixels).save(packed, "JPEG", quality=self.quality)
        return np.asarray(Image.open(packed))


@dataclass(frozen=True)
class Sensors:
    """The cameras of all views of a trial."""

    views: tuple[Sensor, ...]
    seed: int

    def images(self, light: UInt8[Tensor, "view 3 h w"], instant: int) -> UInt8[Tensor, "view 3 h w"]:
        """Apply the effects to images; `instant` is a number, and the same one gives the same noise."""
        seen = []
        for number, (sensor, image) in enumerate(zip(self.views, light, strict=True)):
            rng = np.random.default_rng([self.seed, instant, number])
            seen.append(
                torch.from_numpy(sensor.image(image.movedim(0, -1).numpy(), rng).copy()).movedim(-1, 0)
            )
        return torch.stack(seen).contiguous()
