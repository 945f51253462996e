"""Whether quaternions in another order would keep the hand upright, where the declared order tips it over.

The order of a quaternion's numbers changes neither its length nor how far it turns from frame to frame. But
a hand that works on a table mostly points down, whatever its turn about the vertical.
"""

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from action_images.episodes.checks import rotations
from action_images.episodes.checks.alternatives import rolled_quaternion
from action_images.episodes.checks.evidence import pooled
from action_images.episodes.checks.finding import Examined, Finding, Tilts

UPRIGHT_DEG = 25.0
"""A hand that always stays so near to the vertical is upright; `ALWAYS` of all frames count as always."""
ALWAYS = 0.98
TIPPED_DEG = 40.0
"""A hand that is farther from the vertical in `OFTEN` of all frames is not."""
OFTEN = 0.25
LEAST_CHANGE_DEG = 20.0
"""A hand that never turns is upright in some order by chance, so its tilt must change by this."""
MOST_FRAMES = 64
"""Frames of an episode that are looked at."""


def tilts(rotation: Float[Tensor, "frame 3 3"]) -> Tilts:
    """How far the tool's z axis lies from the vertical, as declared and with w at the other end.

    Taking w from the first place to the last, or from the last to the first, gives the same tilt.
    """
    some = rotation[:: -(-len(rotation) // MOST_FRAMES)]
    return Tilts(*(_from_vertical(one).numpy() for one in (some, rolled_quaternion(-1, some))))


def _from_vertical(rotation: Float[Tensor, "frame 3 3"]) -> Float[Tensor, "frame"]:
    return torch.rad2deg(rotation[:, 2, 2].abs().clamp(max=1).acos())


def check_upright(examined: Sequence[Examined]) -> list[Finding]:
    """Report a set whose hands are upright only with w at the other end, or such episodes of an upright set.

    Nothing is said where pictures fit the declared order better.
    """
    known = {result.id: result for result in examined if result.tilts is not None}
    if not known:
        return []
    whole = Tilts(*map(np.concatenate, zip(*(result.tilts for result in known.values()), strict=True)))
    message = None if _order_is_seen(examined) else _judge(whole)
    if message is not None:
        return [Finding("warning", "calibration", examined[0].id if len(examined) == 1 else "", message)]
    upright = sum(_is_upright(result.tilts.declared) for result in known.values() if result.tilts)
    if 2 * upright <= len(known):
        return []
    told = {name: _judge(result.tilts) for name, result in known.items() if not _order_is_seen([result])}
    return [Finding("warning", "calibration", name, said) for name, said in told.items() if said]


def _order_is_seen(examined: Sequence[Examined]) -> bool:
    """Whether the pictures fit the declared order better than others."""
    tried = [result.evidence for result in examined if result.is_tried]
    return rotations.declared_order_fits_best(pooled(tried))


def _judge(tilt: Tilts | None) -> str | None:
    """The message about a path whose hand is upright only in the other order."""
    assert tilt is not None
    low, often, high = np.quantile(tilt.declared, [1 - ALWAYS, 1 - OFTEN, ALWAYS])
    if often < TIPPED_DEG or high - low < LEAST_CHANGE_DEG or not _is_upright(tilt.other_order):
        return None
    tips = f"the tool tips over by up to {high:.0f} degrees"
    stays = f"with w at the other end of its quaternions it stays within {UPRIGHT_DEG:.0f} of the vertical"
    cure = 'should the hand point down? Then import it again and declare "rotation": "quaternion_wxyz"'
    return f"{tips}, {stays}; {cure} (or quaternion_xyzw, if that was declared)"


def _is_upright(degrees: np.ndarray) -> bool:
    return bool(np.quantile(degrees, ALWAYS) <= UPRIGHT_DEG)
