"""The look of a world: ranges of colours and light that each trial draws from."""

import colorsys
from dataclasses import dataclass

import numpy as np

Range = tuple[float, float]
Rgba = tuple[float, float, float, float]

COLOURS = {
    "red": (0.88, 0.10, 0.10),
    "green": (0.10, 0.68, 0.16),
    "blue": (0.10, 0.28, 0.92),
    "yellow": (0.97, 0.85, 0.10),
    "purple": (0.58, 0.16, 0.78),
    "cyan": (0.10, 0.80, 0.85),
}
"""The colours that instructions name, as RGB in [0, 1] before shade and light."""


@dataclass(frozen=True)
class Paint:
    """Hue (fractions of a turn), saturation and value, each drawn uniformly from its range."""

    hue: Range
    saturation: Range
    value: Range

    def draw(self, rng: np.random.Generator) -> Rgba:
        """One opaque colour."""
        red, green, blue = colorsys.hsv_to_rgb(
            *(rng.uniform(*r) for r in (self.hue, self.saturation, self.value))
        )
        return red, green, blue, 1.0


@dataclass(frozen=True)
class Look:
    """Ranges for everything that is visible but not physical.

    `shade` scales a named colour's brightness. `light_tilt_deg` is the main light's angle from the vertical;
    `brightness` and `ambient` are its strengths in [0, 1]. `pattern` is a MuJoCo builtin texture on the table
    ("checker", "gradient"), or None for plain. `clutter` is the number of grey objects at the table's edges.
    """

    table: Paint
    floor: Paint
    furniture: Paint
    shade: Range
    light_tilt_deg: Range
    brightness: Range
    ambient: Range
    pattern: str | None = None
    shadows: bool = False
    clutter: int = 3
