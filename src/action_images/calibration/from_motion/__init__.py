"""Cameras from the tool's own motion: features on the hand, followed through ordinary episodes."""
