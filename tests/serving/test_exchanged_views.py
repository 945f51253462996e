"""Views whose cameras were exchanged are refused where the policy finds the tool in their pictures."""

from dataclasses import replace

import pytest
import torch
from serving_policies import Sighted, observation, running
from torch import Tensor

from action_images.errors import ActionImagesError
from action_images.policies import policy_named
from action_images.robot import FindsTool, Observation
from action_images.serving.client import Refused, RemotePolicy
from action_images.serving.exchanged import MAX_LOOKS, ViewsInOrder, judged
from action_images.sim import Tabletop

NEAR, FAR = 0.01, 0.3


def misses(order: list[int]) -> Tensor:
    """Each picture shows the tool where the camera `order` names has it, and elsewhere for all others."""
    found = torch.full((len(order), len(order)), FAR)
    found[range(len(order)), order] = NEAR
    return found


@pytest.mark.parametrize("num_views", [2, 3, 6])
def test_views_in_order_fit(num_views: int):
    assert judged(misses(list(range(num_views)))) == "fits"


@pytest.mark.parametrize(
    ("order", "named"),
    [
        ([1, 0], "view 0 with the camera of view 1, view 1 with the camera of view 0"),
        ([0, 2, 1], "view 1 with the camera of view 2, view 2 with the camera of view 1"),
        ([1, 2, 0], "view 0 with the camera of view 1, view 1 with the camera of view 2"),
        ([0, 1, 5, 3, 4, 2], "view 2 with the camera of view 5"),
    ],
)
def test_another_order_is_refused_and_named(order: list[int], named: str):
    with pytest.raises(ActionImagesError, match=named):
        judged(misses(order))


def test_a_tool_that_is_found_nowhere_or_lies_alike_in_both_views_decides_nothing():
    assert judged(torch.full((2, 2), torch.nan)) == "unsure"
    assert judged(torch.full((2, 2), NEAR)) == "unsure"
    assert judged(torch.tensor([[NEAR, FAR], [torch.nan, torch.nan]])) == "unsure"


def test_a_tool_that_is_found_far_from_every_camera_is_no_proof_of_another_order():
    assert judged(torch.tensor([[0.5, 0.3], [0.3, 0.5]])) == "unsure"


class Finder:
    """Finds the tool in every picture where this order of cameras has it, and counts how often it looks."""

    def __init__(self, order: list[int]):
        self.order, self.num_looks = order, 0

    def tool_misses(self, observation: Observation) -> Tensor:  # noqa: ARG002
        self.num_looks += 1
        return misses(self.order)


@pytest.fixture(scope="module")
def scene() -> Observation:
    world = Tabletop("reach_target", num_views=2, size=(128, 128))
    world.begin(500_000)
    return world.observation()


def test_a_rig_is_looked_at_until_it_is_decided(scene: Observation):
    finder, order = Finder([0, 1]), ViewsInOrder()
    for _ in range(3):
        order.check(finder, scene, client=1)
    assert finder.num_looks == 1
    moved = replace(scene, cameras=scene.cameras.resize(64, 64))
    order.check(finder, moved, client=1)
    assert finder.num_looks == 2


def test_a_rig_that_stays_undecided_is_let_go(scene: Observation):
    class Blind(Finder):
        def tool_misses(self, observation: Observation) -> Tensor:  # noqa: ARG002
            self.num_looks += 1
            return torch.full((2, 2), torch.nan)

    finder, order = Blind([0, 1]), ViewsInOrder()
    for _ in range(MAX_LOOKS + 5):
        order.check(finder, scene, client=1)
    assert finder.num_looks == MAX_LOOKS


def test_each_client_is_checked_by_itself_even_with_the_same_calibration(scene: Observation):
    order = ViewsInOrder()
    order.check(Finder([0, 1]), scene, client=1)
    with pytest.raises(ActionImagesError, match="are exchanged"):
        order.check(Finder([1, 0]), scene, client=2)


def test_a_second_client_with_the_views_of_a_calibration_swapped_is_refused():
    seen = observation(5)
    bright = replace(seen, images=torch.stack([torch.full_like(seen.images[0], 200), seen.images[1] // 4]))
    with running(Sighted) as server:
        address = f"ws://127.0.0.1:{server.port}"
        with (
            RemotePolicy(address, calibration="table") as one,
            RemotePolicy(address, calibration="table") as other,
        ):
            one.plan(bright)
            with pytest.raises(Refused, match="are exchanged"):
                other.plan(replace(bright, images=bright.images.flip(0)))


def test_unsure_looks_of_one_client_use_up_no_other_clients_check(scene: Observation):
    class Blind(Finder):
        def tool_misses(self, observation: Observation) -> Tensor:  # noqa: ARG002
            return torch.full((2, 2), torch.nan)

    order = ViewsInOrder()
    for _ in range(MAX_LOOKS):
        order.check(Blind([0, 1]), scene, client=1)
    with pytest.raises(ActionImagesError, match="are exchanged"):
        order.check(Finder([1, 0]), scene, client=2)


def test_a_refused_rig_is_refused_again_until_it_is_in_order(scene: Observation):
    order = ViewsInOrder()
    for _ in range(MAX_LOOKS + 2):
        with pytest.raises(ActionImagesError, match="are exchanged"):
            order.check(Finder([1, 0]), scene, client=1)
    order.check(Finder([0, 1]), scene, client=1)


def test_the_shipped_policy_finds_the_tool_and_so_an_exchange(scene: Observation):
    policy = policy_named("shipped").make()
    assert isinstance(policy, FindsTool)
    ViewsInOrder().check(policy, scene, client=1)
    with pytest.raises(ActionImagesError, match="in the order of 'intrinsics' and 'world_from_camera'"):
        ViewsInOrder().check(policy, replace(scene, images=scene.images.flip(0)), client=1)
