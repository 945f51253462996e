"""The codec: tool trajectories drawn into calibrated views as action images, and read back by geometry."""

from action_images.codec.draw import draw, draw_uint8
from action_images.codec.format import RELEASED, ActionImageFormat
from action_images.codec.read import Reading, read

__all__ = ["RELEASED", "ActionImageFormat", "Reading", "draw", "draw_uint8", "read"]
