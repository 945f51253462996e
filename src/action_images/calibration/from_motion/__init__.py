"""Cameras from the tool's own motion: features on the hand, tracked through ordinary episodes."""
