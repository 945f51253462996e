"""Evaluation of the codec, of predictions, of generated video, and of policies in closed loop."""
