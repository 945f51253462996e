"""Cameras from pictures of a printed board and the robot's poses; needs the extra `calibrate`."""

from action_images.calibration.board import Board
from action_images.calibration.opencv import CalibrationError
from action_images.calibration.shots import Shots, load_shots
from action_images.calibration.solve import Calibration, calibrate

__all__ = ["Board", "Calibration", "CalibrationError", "Shots", "calibrate", "load_shots"]
