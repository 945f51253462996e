"""Robot actions as a kind of video: draw them into calibrated views, read them back, let one video model do the rest."""

__version__ = "0.1.0"
