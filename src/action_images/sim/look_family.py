"""A look that draws nearly everything: textures, hues, light, the robot's colours and its cameras."""

import colorsys
from dataclasses import dataclass

import numpy as np

from action_images.sim.look import Range, Rgba
from action_images.sim.sensor import SensorRanges

PLAIN = "plain"
"""The name for a surface without a texture."""


@dataclass(frozen=True)
class Surface:
    """The range of a surface's looks: hues (fractions of a turn), saturation, value, and kinds of texture.

    Both paints of a texture have hues from the same range, so their mixtures stay within it.
    """

    hues: tuple[Range, ...]
    saturation: Range
    value: Range
    textures: tuple[str, ...] = (PLAIN,)

    def draw(self, rng: np.random.Generator, num: int = 1) -> list[Rgba]:
        """`num` opaque paints with hues from one range."""
        widths = np.array([high - low for low, high in self.hues])
        hues = self.hues[rng.choice(len(self.hues), p=widths / widths.sum())]
        paints: list[Rgba] = []
        for _ in range(num):
            drawn = (rng.uniform(*span) for span in (hues, self.saturation, self.value))
            red, green, blue = colorsys.hsv_to_rgb(*drawn)
            paints.append((red, green, blue, 1.0))
        return paints


@dataclass(frozen=True)
class LookFamily:
    """Ranges for everything visible; with `vary_sizes`, tasks also draw sizes that are otherwise fixed.

    `links`, `joints` and `fingers` are the robot's. `shade` scales a named colour's channels.
    `light_tilt_deg` is the lights' angle from the vertical, `light_tint` scales the main light's channels,
    `fill` is the strength of a second light. A share of the trials has shadows. `clutter` is the number of
    objects at the table's edges.
    """

    table: Surface
    floor: Surface
    furniture: Surface
    links: Surface
    joints: Surface
    fingers: Surface
    clutter_paint: Surface
    shade: Range
    light_tilt_deg: Range
    brightness: Range
    ambient: Range
    light_tint: Range
    fill: Range
    shadow_share: float
    sensor: SensorRanges
    clutter: int = 6
    vary_sizes: bool = False
