"""Space: poses, trajectories, calibrated cameras and what follows from them, in float32 or float64."""

from action_images.geometry.camera import Camera
from action_images.geometry.pose import Pose
from action_images.geometry.trajectory import Trajectory

__all__ = ["Camera", "Pose", "Trajectory"]
