"""robosuite's floor and walls, turned and moved about the arm, so that they do not tell where a camera is."""
# pyright: reportAttributeAccessIssue=false
# MuJoCo's names are in compiled modules without types.

import math
from typing import Any

import numpy as np

FARTHEST = 0.6
"""The largest move of the room along each of its axes (m): cameras of our rigs stay inside its walls."""


class MovableRoom:
    """The visible parts of a model's world body, which are the floor and the walls."""

    def __init__(self, model: Any):
        self.model = model
        self._parts = np.flatnonzero((model.geom_bodyid == 0) & (model.geom_group == 1))
        self._places, self._turns = model.geom_pos[self._parts].copy(), model.geom_quat[self._parts].copy()

    def move(self, rng: np.random.Generator) -> None:
        """Turn the room by any angle about the world's vertical axis, then move it by up to `FARTHEST`."""
        angle = rng.uniform(-math.pi, math.pi)
        along = rng.uniform(-FARTHEST, FARTHEST, size=2)
        cosine, sine = math.cos(angle), math.sin(angle)
        turn = np.array([[cosine, -sine], [sine, cosine]])
        places = self._places.copy()
        places[:, :2] = places[:, :2] @ turn.T + along
        self.model.geom_pos[self._parts] = places
        self.model.geom_quat[self._parts] = _about_z(angle, self._turns)
        self.model.geom_sameframe[self._parts] = 0  # MuJoCo skips the transformation of what was not moved


def _about_z(angle: float, quaternions: np.ndarray) -> np.ndarray:
    """Unit quaternions (part 4), w first, turned by an angle (rad) about the world's z axis."""
    w, x, y, z = quaternions.T
    half, up = math.cos(angle / 2), math.sin(angle / 2)
    return np.stack([half * w - up * z, half * x - up * y, half * y + up * x, half * z + up * w], -1)
