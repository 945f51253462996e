"""What the video model works on: latent segments side by side in time, some of them given."""

from action_images.canvas.canvas import Canvas
from action_images.canvas.layout import Layout, Segment
from action_images.canvas.modes import MODES, Mode, Show

__all__ = ["MODES", "Canvas", "Layout", "Mode", "Segment", "Show"]
