"""Probabilities of the modes in training: the mixtures of the paper and of the public release."""

MIXTURES = {
    "release": {"video": 0.1, "policy": 0.09, "joint": 0.729, "second_view": 0.0405, "label": 0.0405},
    "release-without-policy": {"video": 0.1, "joint": 0.81, "second_view": 0.045, "label": 0.045},
    "paper": {"joint": 0.85, "simulate": 0.05, "label": 0.05, "video": 0.05},
    "video-only": {"video": 1.0},
}
"""Name -> the probability of each mode in training.

The release uses 'release' for RLBench, 'release-without-policy' for its other sources with actions, and
'video-only' for those without; 'paper' follows the paper's text.
"""
