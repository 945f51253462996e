"""Structs index, stack and move as one value."""

from dataclasses import dataclass, replace
from typing import Annotated

import pytest
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from action_images.structs import Struct, concatenate, stack
from scenes import rig, trajectory


@dataclass(frozen=True)
class Bag(Struct):
    points: Float[Tensor, "*batch n 3"]
    flag: Bool[Tensor, "*batch"]
    inner: Annotated["Leaf", "*batch view"]
    maybe: Float[Tensor, "*batch 2"] | None
    label: str


@dataclass(frozen=True)
class Leaf(Struct):
    values: Float[Tensor, "*batch 4"]


def bag(*shape: int, label: str = "a", maybe: bool = True) -> Bag:
    leaf = Leaf(torch.randn(*shape, 2, 4))
    return Bag(
        torch.randn(*shape, 5, 3),
        torch.ones(*shape, dtype=torch.bool),
        leaf,
        torch.randn(*shape, 2) if maybe else None,
        label,
    )


def test_indexing_touches_batch_axes_alone():
    value = bag(4, 6)
    part = value[1:3, 2]
    assert part.points.shape == (2, 5, 3)
    assert part.inner.values.shape == (2, 2, 4)
    assert part.batch_shape == (2,)
    assert torch.equal(value[..., 0].points, value.points[:, 0])
    assert torch.equal(value[value.flag].points, value.points.flatten(0, 1))


def test_an_index_beyond_the_batch_axes_is_refused():
    with pytest.raises(IndexError):
        bag(4)[0, 0]


@pytest.mark.parametrize("dim", [0, 1])
def test_stacking_then_indexing_gives_each_value_back(dim):
    values = [bag(3), bag(3)]
    joined = stack(values, dim)
    for i, value in enumerate(values):
        back = joined[(slice(None),) * dim + (i,)]
        assert torch.equal(back.points, value.points)
        assert torch.equal(back.inner.values, value.inner.values)


def test_concatenating_joins_along_an_axis_that_is_there():
    assert concatenate([bag(2), bag(5)]).batch_shape == (7,)


def test_what_differs_is_named_when_joining():
    with pytest.raises(ValueError, match=r"Bag\.label differs"):
        stack([bag(2), bag(2, label="b")])
    with pytest.raises(ValueError, match=r"Bag\.maybe is present in some"):
        stack([bag(2), bag(2, maybe=False)])
    with pytest.raises(ValueError, match="nothing to join"):
        stack([])


def test_a_new_dtype_leaves_booleans_alone():
    moved = bag(2).to(torch.float64)
    assert moved.points.dtype == torch.float64
    assert moved.flag.dtype == torch.bool


def test_expanding_copies_no_memory():
    camera = rig(2)[:, None].expand(2, 7)
    assert camera.batch_shape == (2, 7)
    assert camera.intrinsics.stride()[1] == 0


def test_indexing_a_trajectory_covers_time():
    path = trajectory(8)
    assert path[2:5].num_frames == 3
    assert path.world_from_tool[3].batch_shape == ()


def test_a_value_is_shown_in_one_line():
    path = trajectory(5)
    assert repr(path) == "Trajectory(world_from_tool=Pose[5], opening=float32[5])"
    assert repr(rig()) == ("Camera(intrinsics=float32[2, 3, 3], world_from_camera=Pose[2], size=(96, 96))")
    pose = replace(path[0].world_from_tool, translation=torch.tensor([0.1, -0.25, 1 / 3]))
    assert repr(pose) == "Pose(rotation=float32[3, 3], translation=[0.1, -0.25, 0.3333])"
    assert repr(path.to("meta")[0].world_from_tool) == (
        "Pose(rotation=float32[3, 3] on meta, translation=float32[3] on meta)"
    )
