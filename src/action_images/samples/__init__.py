"""Samples for training and evaluation: cut from episodes, mixed, mirrored and loaded ahead."""
