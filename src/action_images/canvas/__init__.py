"""What the video model works on: latent segments side by side in time, some of them given."""

from action_images.canvas.canvas import Canvas
from action_images.canvas.layout import Layout, Segment
from action_images.canvas.tasks import MIXTURES, TASKS, Show, Task

__all__ = ["MIXTURES", "TASKS", "Canvas", "Layout", "Segment", "Show", "Task"]
