"""Random numbers without state: functions of a key alone, and the same on every machine."""

from collections.abc import Mapping
from hashlib import blake2b

from action_images.errors import ActionImagesError

ROUNDS = 6
"""With fewer rounds, shuffles of small sets are visibly not random (measured on ten places)."""


def random_bits(*key: object) -> int:
    """64 random bits."""
    return int.from_bytes(blake2b("\0".join(map(str, key)).encode(), digest_size=8).digest(), "big")


def uniform(*key: object) -> float:
    """A random number in [0, 1)."""
    return random_bits(*key) / 2**64


def choose(weights: Mapping[str, float], *key: object) -> str:
    """One of the names, with these weights; raises ValueError if no weight is positive."""
    total = sum(weights.values())
    if not total > 0 or min(weights.values()) < 0:
        raise ActionImagesError(f"weights are not negative and at least one is positive, got {dict(weights)}")
    place = uniform(*key) * total
    for name, weight in weights.items():
        place -= weight
        if place < 0:
            return name
    return next(name for name, weight in reversed(list(weights.items())) if weight > 0)


def held_out(group: str, fraction: float, salt: str = "") -> bool:
    """Whether a group (an episode id, or its scene) is held out, by its hash.

    New data therefore does not move old data.

    About `fraction` (in [0, 1]) of all groups are held out; another `salt` holds out others.
    """
    if not 0 <= fraction <= 1:
        raise ActionImagesError(f"a held-out fraction lies in [0, 1], got {fraction}")
    return uniform("held out", salt, group) < fraction


def permuted(place: int, size: int, *key: object) -> int:
    """The position of `place` in a shuffle of 0..size-1, one-to-one for each key; constant time and memory.

    It is a Feistel network over the next power of four, repeated until the result is inside. That takes
    fewer than four repetitions on average. Source: Black and Rogaway, "Ciphers with arbitrary finite
    domains", 2002.
    """
    if not 0 <= place < size:
        raise ActionImagesError(f"place {place} does not lie in 0..{size - 1}")
    half_bits = max(1, ((size - 1).bit_length() + 1) // 2)
    keys = [random_bits(*key, "round", number) for number in range(ROUNDS)]
    while True:
        place = _feistel(place, half_bits, keys)
        if place < size:
            return place


def _feistel(value: int, half_bits: int, keys: list[int]) -> int:
    low = (1 << half_bits) - 1
    left, right = value >> half_bits, value & low
    for key in keys:
        left, right = right, left ^ (_mixed(right ^ key) & low)
    return left << half_bits | right


def _mixed(value: int) -> int:
    """The finaliser of SplitMix64: every bit of the input affects every bit of the output."""
    value = (value ^ value >> 30) * 0xBF58476D1CE4E5B9 & (1 << 64) - 1
    value = (value ^ value >> 27) * 0x94D049BB133111EB & (1 << 64) - 1
    return value ^ value >> 31
