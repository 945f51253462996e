"""Space: poses, trajectories, calibrated cameras and what follows from them. Float32 or float64, never less."""

from action_images.geometry.camera import Camera
from action_images.geometry.pose import Pose
from action_images.geometry.trajectory import Trajectory

__all__ = ["Camera", "Pose", "Trajectory"]
