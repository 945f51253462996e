"""Random places and colours of a task's objects."""

import numpy as np

from action_images.errors import ActionImagesError
from action_images.sim.look import COLOURS

NEAR, FAR, SIDE = 0.37, 0.57, 0.19
"""The part of the table where objects are laid out (m): x from NEAR to FAR, y from -SIDE to SIDE."""

LOW, HIGH = (NEAR, -SIDE, 0.0), (FAR, SIDE, 0.0)


def scatter(
    rng: np.random.Generator, num: int, gap: float, low: tuple = LOW, high: tuple = HIGH
) -> np.ndarray:
    """`num` places (num, 3) in a box of the world (m), drawn uniformly, at least `gap` apart."""
    for _ in range(10_000):
        places = rng.uniform(low, high, (num, 3))
        apart = np.linalg.norm(places[:, None] - places[None], axis=-1) + 10 * np.eye(num)
        if apart.min() >= gap:
            return places
    raise ActionImagesError(
        f"{num} things do not fit {gap} m apart between {low} and {high}; make them smaller or fewer"
    )


def colours(rng: np.random.Generator, num: int) -> tuple[str, ...]:
    """`num` different colour names."""
    return tuple(str(name) for name in rng.choice(list(COLOURS), num, replace=False))
