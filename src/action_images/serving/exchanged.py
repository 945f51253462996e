"""Detect views with swapped cameras: the tool in one picture lies where another view's camera projects it."""

from collections import OrderedDict, deque
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations, permutations
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from action_images.errors import ActionImagesError
from action_images.geometry import Camera
from action_images.robot import FindsTool, Observation

CLEARLY = 0.7
"""An order of cameras fits clearly better than another if its miss is at most this share of the other's."""
FITS = 0.08
"""The largest distance, as a share of the pictures' width, between the tool found and the right camera's
projection."""
MAX_PERMUTED = 4
"""With more views than this, only swaps of two are tried."""
MAX_LOOKS = 10
"""The number of observations of one client's rig that are checked before it is left undecided."""
MAX_RIGS = 8
"""The number of rigs that are remembered for each client."""
MAX_CLIENTS = 1024
"""The number of clients that are remembered; a forgotten one is checked again."""
STANDS_M = 1e-3
"""A camera that moved by less than this counts as unmoved."""

Verdict = Literal["fits", "unsure"]


def judged(misses: Float[Tensor, "picture camera"]) -> Verdict:
    """The verdict of the pictures on the order of their cameras, see `FindsTool.tool_misses`.

    Raises ActionImagesError, naming the views, if another order fits clearly better.
    """
    verdict: Verdict = "fits"
    exchanged: dict[tuple[int, ...], float] = {}
    for order in _other_orders(len(misses)):
        moved = [picture for picture, camera in enumerate(order) if picture != camera]
        here = misses[moved, moved].mean().item()
        there = misses[moved, [order[picture] for picture in moved]].mean().item()
        if there < CLEARLY * here and there < FITS:
            exchanged[order] = there
        if not there * CLEARLY > here:  # NaN is unsure too
            verdict = "unsure"
    if not exchanged:
        return verdict
    order = min(exchanged, key=exchanged.__getitem__)
    moved = [picture for picture, camera in enumerate(order) if picture != camera]
    here = misses[moved, moved].mean().item()
    pairs = ", ".join(f"view {picture} with the camera of view {order[picture]}" for picture in moved)
    raise ActionImagesError(
        f"views and cameras are exchanged: the tool in the pictures lies {here:.0%} of their width from "
        f"where their cameras have it, but {exchanged[order]:.0%} if they are paired otherwise ({pairs}). "
        "Send the images in the order of 'intrinsics' and 'world_from_camera'"
    )


def _other_orders(num_views: int) -> Iterator[tuple[int, ...]]:
    """The camera of each picture, in every order but the given one."""
    told = tuple(range(num_views))
    if num_views <= MAX_PERMUTED:
        yield from (order for order in permutations(told) if order != told)
        return
    for one, other in combinations(told, 2):
        order = list(told)
        order[one], order[other] = other, one
        yield tuple(order)


@dataclass
class _Rig:
    cameras: Camera
    looks: int = 0
    decided: bool = False


class ViewsInOrder:
    """Checks the first observations of each client's rigs until their pictures confirm the cameras' order.

    Clients are checked each by itself: two that name the same calibration may send their views in two orders.
    """

    def __init__(self) -> None:
        self._rigs: OrderedDict[int, deque[_Rig]] = OrderedDict()

    def check(self, policy: FindsTool, observation: Observation, *, client: int) -> None:
        """Raise ActionImagesError if the cameras of two views are swapped; `client` is its number."""
        rig = self._rig(client, observation.cameras)
        if rig.decided or rig.looks >= MAX_LOOKS:
            return
        # A refused observation is checked again each time it is sent.
        rig.decided = judged(policy.tool_misses(observation)) == "fits"
        rig.looks += 1

    def _rig(self, client: int, cameras: Camera) -> _Rig:
        rigs = self._rigs.setdefault(client, deque(maxlen=MAX_RIGS))
        self._rigs.move_to_end(client)
        if len(self._rigs) > MAX_CLIENTS:
            self._rigs.popitem(last=False)
        for rig in rigs:
            if _is_same(rig.cameras, cameras):
                return rig
        rig = _Rig(cameras)
        rigs.append(rig)
        return rig


def _is_same(one: Camera, other: Camera) -> bool:
    """Whether at least one camera is unmoved between the two: the robot may carry the others."""
    if one.size != other.size or one.intrinsics.shape != other.intrinsics.shape:
        return False
    if not torch.allclose(one.intrinsics, other.intrinsics, rtol=1e-4):
        return False
    moved = one.world_from_camera.translation - other.world_from_camera.translation
    return bool((moved.norm(dim=-1) < STANDS_M).any())
