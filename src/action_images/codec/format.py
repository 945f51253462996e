"""The numbers that drawing and reading share."""

from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor

from action_images.device import constant
from action_images.errors import ActionImagesError
from action_images.geometry import Pose

POINTS = ((0.0, 0.0, 0.0), (1.0, 0.0, 0.0), (0.0, 0.0, -1.0))
"""Positions of the spots on the tool, in axis lengths along its axes: red the position, green +x, blue -z."""


@dataclass(frozen=True)
class ActionImageFormat:
    """How an action becomes an image: paper section 3, with the released weights' axes and colours.

    Each of the three points is a Gaussian spot of peak 1 in its colour. Wherever blue's spot is not above
    `gripper_level`, blue shows the gripper instead: `gripper_level * opening`.
    """

    axis_length: float = 0.1
    """Distance from the tool's position to the points on its axes (m)."""
    sigma: float = 0.05
    """Standard deviation of a spot, as a fraction of the image's shorter side.

    Above .18 it would hide blue's background.
    """
    gripper_level: float = 0.25
    """Blue's background for a fully open gripper."""
    pixel_centre: float = 0.5
    """Point of a pixel at which its value is sampled: 0.5 is its middle, as everywhere in this library."""
    opening_threshold: float | None = None
    """If given, openings are drawn as 1 above it and as 0 up to it; None draws them as they are."""

    def __post_init__(self) -> None:
        for name, low, high in (("axis_length", 0, 10), ("sigma", 0, 0.18), ("gripper_level", 0, 1)):
            if not low < getattr(self, name) < high:
                raise ActionImagesError(
                    f"ActionImageFormat.{name} is {getattr(self, name)}; it lies between {low} and {high}, "
                    "both excluded"
                )

    def sigma_px(self, size: tuple[int, int]) -> float:
        """Standard deviation of a spot (px) in an image of this (height, width)."""
        return self.sigma * min(size)

    def points(self, world_from_tool: Pose) -> Float[Tensor, "*batch 3 3"]:
        """The three points (m, world): position, +x point, -z point."""
        offsets = constant(POINTS, world_from_tool.translation) * self.axis_length
        return world_from_tool[..., None].apply(offsets)

    def level(self, opening: Float[Tensor, "*batch"]) -> Float[Tensor, "*batch"]:
        """Blue's background for an opening in [0, 1]; 0, as if nothing were drawn, for NaN (unknown)."""
        opening = opening.nan_to_num(0.0)
        if self.opening_threshold is not None:
            opening = (opening > self.opening_threshold).to(opening.dtype)
        return self.gripper_level * opening


RELEASED = ActionImageFormat(pixel_centre=0.0, opening_threshold=0.5)
"""The format of the method's public release, on which its weights were trained."""
