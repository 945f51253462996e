"""Judging: the codec, predictions, generated video, and policies in closed loop."""
