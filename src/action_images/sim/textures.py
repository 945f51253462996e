"""Random patterns of surfaces, as maps of the share of a second paint."""

from collections.abc import Callable

import numpy as np
from jaxtyping import Float, UInt8

Pattern = Float[np.ndarray, "size size"]
Draw = Callable[[np.random.Generator, int], Pattern]


def texture(
    kind: str, rng: np.random.Generator, paints: np.ndarray, size: int = 64
) -> UInt8[np.ndarray, "s s 3"]:
    """An image of one of `PATTERNS` in two paints (2, 3), RGB in [0, 1]."""
    share = PATTERNS[kind](rng, size)[..., None]
    return np.round(255 * ((1 - share) * paints[0] + share * paints[1])).astype(np.uint8)


def _noise(rng: np.random.Generator, size: int, power: float, stretch: float = 1.0) -> Pattern:
    """Noise in [0, 1] that falls with frequency to the `power`, stretched along y by `stretch`; it tiles."""
    along_y, along_x = np.meshgrid(np.fft.fftfreq(size), np.fft.fftfreq(size), indexing="ij")
    frequency = np.hypot(stretch * along_y, along_x)
    frequency[0, 0] = 1.0
    spectrum = np.fft.fft2(rng.normal(size=(size, size))) / frequency**power
    spectrum[0, 0] = 0.0
    field = np.fft.ifft2(spectrum).real
    low, high = np.percentile(field, (2, 98))
    return np.clip((field - low) / (high - low), 0, 1)


def _clouds(rng: np.random.Generator, size: int) -> Pattern:
    return _noise(rng, size, power=rng.uniform(0.6, 1.8))


def _wood(rng: np.random.Generator, size: int) -> Pattern:
    """Rings that bend, and grain along them."""
    grain = _noise(rng, size, power=0.7, stretch=10.0)
    bend = _noise(rng, size, power=2.0, stretch=3.0)
    across = np.arange(size) / size
    rings = 0.5 + 0.5 * np.sin(
        2 * np.pi * (rng.integers(2, 6) * across[None, :] + rng.uniform(0.5, 1.5) * bend)
    )
    return 0.55 * rings + 0.45 * grain


def _tiles(rng: np.random.Generator, size: int) -> Pattern:
    """Tiles of slightly different shades, and joints between them."""
    rows, columns = rng.integers(2, 7, 2)
    row, column = np.arange(size) * rows // size, np.arange(size) * columns // size
    shade = rng.uniform(0.0, rng.uniform(0.05, 0.4), (rows, columns))
    pattern = shade[row][:, column]
    joint = np.diff(row, prepend=-1) > 0, np.diff(column, prepend=-1) > 0
    return np.where(joint[0][:, None] | joint[1][None, :], 1.0, pattern)


def _gradient(rng: np.random.Generator, size: int) -> Pattern:
    """A gradient in any direction, linear or radial."""
    y, x = np.mgrid[0:size, 0:size] / (size - 1) - 0.5
    turn = rng.uniform(-np.pi, np.pi)
    slope = np.hypot(x, y) if rng.random() < 0.3 else np.cos(turn) * x + np.sin(turn) * y
    return (slope - slope.min()) / (slope.max() - slope.min())


def _speckle(rng: np.random.Generator, size: int) -> Pattern:
    """Specks of any shade on a plain ground."""
    field = _noise(rng, size, power=rng.uniform(0.0, 0.5))
    return np.where(field > rng.uniform(0.8, 0.95), rng.uniform(0.4, 1.0), 0.0)


def _dots(rng: np.random.Generator, size: int) -> Pattern:
    """Discs on a square lattice."""
    y, x = np.mgrid[0:size, 0:size] * int(rng.integers(3, 7)) / size % 1 - 0.5
    return (np.hypot(x, y) < rng.uniform(0.2, 0.4)).astype(float)


def _cells(rng: np.random.Generator, size: int) -> Pattern:
    """Patches around scattered points, each with its own shade."""
    points = rng.uniform(0, size, (int(rng.integers(12, 40)), 2))
    offset = np.moveaxis(np.mgrid[0:size, 0:size], 0, -1)[:, :, None] - points
    offset -= size * np.round(offset / size)  # it tiles
    return rng.uniform(0, 1, len(points))[np.linalg.norm(offset, axis=-1).argmin(-1)]


def _zigzag(rng: np.random.Generator, size: int) -> Pattern:
    """Zigzag stripes."""
    bands, turns = rng.integers(3, 7, 2)
    y, x = np.mgrid[0:size, 0:size] / size
    return ((bands * y + 0.8 * np.abs((turns * x) % 1 - 0.5)) % 1 < rng.uniform(0.35, 0.65)).astype(float)


PATTERNS: dict[str, Draw] = {
    "clouds": _clouds,
    "wood": _wood,
    "tiles": _tiles,
    "gradient": _gradient,
    "speckle": _speckle,
    "dots": _dots,
    "cells": _cells,
    "zigzag": _zigzag,
}
"""Name -> the function that draws the share of the second paint, in [0, 1]."""
