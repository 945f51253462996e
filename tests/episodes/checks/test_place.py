"""Where the hand is seen: found where it is drawn, and put together over views and episodes."""

import math

import pytest
import torch

from action_images.episodes.checks import follow, place
from action_images.episodes.checks.follow import Change
from action_images.episodes.checks.place import Sight, judge, located, offset_of

ALONG, ACROSS = torch.meshgrid(follow.AXIAL, follow.LATERAL, indexing="ij")
DOWN = torch.tensor([0.0, 0.0, -1.0])


def change(moves: torch.Tensor) -> Change:
    """What pictures show of a thing that covers these points, before a background that it hides."""
    still = 3000 + 0 * ALONG
    return Change(still, torch.where(moves, 600.0, 9000.0), 400 * 64)


def hand(beside: float, beyond: float, half_width: float = 0.07) -> torch.Tensor:
    return ((ACROSS - beside).abs() <= half_width) & (beyond + 0.02 >= ALONG)


@pytest.mark.parametrize("half_width", [0.05, 0.07, 0.09])
@pytest.mark.parametrize(("beside", "beyond"), [(0.0, 0.0), (0.05, 0.0), (-0.1, -0.04), (0.02, 0.06)])
def test_a_hand_is_located_where_it_moves(beside, beyond, half_width):
    found = located(change(hand(beside, beyond, half_width)))
    assert found == pytest.approx((beside, beyond), abs=0.02)


def test_nothing_is_located_where_nothing_moves_with_the_tool():
    assert located(change(hand(0.5, 0.0))) is None


def test_a_ball_about_the_tools_point_is_at_home():
    beside, _ = located(change(ACROSS.square() + ALONG.square() < 0.06**2))
    assert beside == pytest.approx(0, abs=0.01)
    assert list(judge({"left": [_sight(located(change(ACROSS.hypot(ALONG) < 0.06)), 0.3)]})) == []


def _sight(found: tuple[float, float], azimuth: float) -> Sight:
    across = torch.tensor([math.cos(azimuth), math.sin(azimuth), 0.0])
    return Sight(*found, across, DOWN)


def _sights(offset: torch.Tensor, azimuths) -> list[Sight]:
    """Exact sights of a hand that lies `offset` (m) off, from cameras all around."""
    directions = [torch.tensor([math.cos(angle), math.sin(angle), 0.0]) for angle in azimuths]
    return [Sight(float(one @ offset), float(DOWN @ offset), one, DOWN) for one in directions]


def test_an_offset_is_found_from_sights_across_it_whatever_one_of_them_says():
    offset = torch.tensor([0.05, -0.03, 0.04])
    sights = _sights(offset, [0.2, 1.1, 2.0, 2.9, 3.6])
    assert torch.allclose(offset_of(sights), offset, atol=0.006)
    odd = Sight(0.14, 0.0, sights[0].across, DOWN)
    assert torch.allclose(offset_of([*sights, odd]), offset, atol=0.012)


def test_an_offset_of_the_tool_is_said_once_and_one_of_a_camera_by_its_name():
    tool = {
        name: _sights(torch.tensor([0.09, 0.0, 0.0]), [angle]) for name, angle in (("a", 0.2), ("b", 1.2))
    }
    (said,) = judge(tool)
    assert "the hand is seen" in said
    assert "cm away from where the tool is said to be (x +" in said
    right = _sights(torch.zeros(3), [0.1, 0.4, 1.7, 2.2, 2.9, 0.8, 1.2, 2.6])
    wrong = [Sight(0.08, 0.0, one.across, DOWN) for one in right[:2]]
    (said,) = judge({"left": wrong, "right": right})
    assert said.startswith("left: the hand is seen 8 cm away")


def test_the_limit_falls_with_the_number_of_sights():
    limits = [place.farthest(count) for count in (1, 2, 5, 6, 40)]
    assert limits == sorted(limits, reverse=True)
    assert list(judge({})) == []
