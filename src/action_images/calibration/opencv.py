"""Load OpenCV and report what is missing; defines the error of calibration."""

import importlib
from typing import Any

from action_images.errors import ActionImagesError


class CalibrationError(ActionImagesError):
    """The reason why these pictures and poses give no calibration, and the remedy."""


def opencv() -> Any:
    """The `cv2` module; raises CalibrationError if it is missing or lacks the hand-eye functions."""
    try:
        cv2 = importlib.import_module("cv2")
    except ModuleNotFoundError as error:
        raise CalibrationError("calibrating needs OpenCV: pip install 'action-images[calibrate]'") from error
    if not hasattr(cv2, "calibrateRobotWorldHandEye") or not hasattr(cv2.aruco, "CharucoDetector"):
        raise CalibrationError(
            f"OpenCV {cv2.__version__} lacks what calibrating needs (ChArUco, hand-eye): pip install "
            "'opencv-python-headless>=4.10,<5'"
        )
    return cv2
