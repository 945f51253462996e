"""Pictures unlike those of training lie beyond the bound; those of training seldom do."""

import json

import pytest
import torch

from action_images.errors import ActionImagesError
from action_images.model.familiarity import FAMILIARITY, LEAST_PICTURES, Familiarity


def pictures(num: int, seed: int, hue: float = 0.3) -> torch.Tensor:
    """A floor of one colour in shades of chance with a bright square somewhere, as bytes."""
    noise = torch.Generator().manual_seed(seed)
    shade = torch.rand(num, 1, 1, 1, generator=noise) * 0.3 + 0.4
    made = shade * torch.tensor([hue, 0.6, 1 - hue])[:, None, None].expand(3, 32, 32)
    made = made + 0.02 * torch.randn(num, 3, 32, 32, generator=noise)
    rows, columns = torch.randint(0, 24, (2, num), generator=noise)
    for number, (row, column) in enumerate(zip(rows.tolist(), columns.tolist(), strict=True)):
        made[number, :, row : row + 8, column : column + 8] = 0.9
    return made.clamp(0, 1).mul(255).byte()


@pytest.fixture(scope="module")
def known() -> Familiarity:
    return Familiarity.of(pictures(1200, seed=0))


def test_new_pictures_of_the_same_kind_seldom_lie_beyond_the_bound(known: Familiarity):
    distance = known.distance(pictures(600, seed=1))
    assert 0.3 < float(distance.median()) < 1.1
    assert float((distance > known.bound).float().mean()) < 0.04


@pytest.mark.parametrize("strange", ["hue", "stripes", "dark"])
def test_other_pictures_lie_beyond_it(known: Familiarity, strange: str):
    others = pictures(50, seed=2, hue=0.9 if strange == "hue" else 0.3)
    if strange == "stripes":
        others[..., ::4] = 0
    if strange == "dark":
        others = others // 4
    assert float((known.distance(others) > known.bound).float().mean()) > 0.95
    assert "of 50 views look unlike" in (known.doubts(others) or "")


def test_bytes_and_floats_are_the_same_pictures(known: Familiarity):
    shown = pictures(4, seed=3)
    torch.testing.assert_close(known.distance(shown), known.distance(shown.float() * (2 / 255) - 1))
    assert known.doubts(shown) is None


def test_it_is_kept_beside_models(known: Familiarity, tmp_path):
    assert Familiarity.load(tmp_path) is None
    known.save(tmp_path)
    loaded = Familiarity.load(tmp_path)
    assert loaded is not None
    shown = pictures(4, seed=3)
    torch.testing.assert_close(loaded.distance(shown), known.distance(shown))
    assert loaded.bound == known.bound


def test_few_pictures_are_refused():
    with pytest.raises(ActionImagesError, match=f"are too few .* give {LEAST_PICTURES}"):
        Familiarity.of(pictures(20, seed=0))


@pytest.mark.parametrize(
    "change", [{"bound": "inf"}, {"mean": [1.0]}, {"whiten": 3}, {"bound": -1}, {"mean": None}]
)
def test_a_file_that_says_something_else_is_refused_by_name(known: Familiarity, tmp_path, change: dict):
    known.save(tmp_path)
    path = tmp_path / FAMILIARITY
    path.write_text(json.dumps({**json.loads(path.read_text()), **change}))
    with pytest.raises(ActionImagesError, match=r"pictures.json: does not describe pictures"):
        Familiarity.load(tmp_path)
