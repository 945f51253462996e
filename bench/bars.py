"""A control: the same numbers drawn as bars, instead of at their place in the image.

    python bench/bars.py train tiny --out bars --minutes 80
    python bench/bars.py evaluate --policy bars/model --size 128 --out results/bars

Any command of action-images, with another drawing. Each view shows ten bars: the tool's place and six numbers
of its rotation in the axes of the view's own camera, and the opening. A view holds the same numbers as its
action image does, but nowhere in particular. Views are read one by one and averaged. Models of this script
and others do not mix: judge each by the script that trained it.
"""

import sys

import torch
from jaxtyping import Float
from torch import Tensor

from action_images.cli import main
from action_images.codec import ActionImageFormat, Reading
from action_images.codec.locate import Spots
from action_images.geometry import Camera, Pose, Trajectory
from action_images.geometry.rotation import from_six_numbers, to_six_numbers
from action_images.pipeline import pipeline

LOW = (-0.8, -0.8, 0.2, *(-1.0,) * 6, 0.0)
HIGH = (0.8, 0.8, 2.2, *(1.0,) * 6, 1.0)
"""The numbers (m, the same without unit, opening) of an empty and of a full bar."""


def draw_bars(
    trajectory: Trajectory, cameras: Camera, _: ActionImageFormat = ActionImageFormat()
) -> Float[Tensor, "*batch view frame 3 h w"]:
    """Ten white bars, from the left, in place of each action image; a bar's last pixel is as bright as it is
    full."""
    height, width = cameras.size
    pose = trajectory.world_from_tool
    tool = Pose(pose.rotation.unsqueeze(-4), pose.translation.unsqueeze(-3))  # for all views
    in_camera = cameras.world_from_camera.inverse() @ tool
    opening = trajectory.opening.unsqueeze(-2).expand(in_camera.batch_shape)
    numbers = torch.cat(
        [in_camera.translation, to_six_numbers(in_camera.rotation), opening.nan_to_num(0.0)[..., None]], -1
    )
    low, high = numbers.new_tensor(LOW), numbers.new_tensor(HIGH)
    lengths = width * ((numbers - low) / (high - low)).clamp(0, 1)
    row = torch.arange(height, device=numbers.device) * len(LOW) // height
    columns = torch.arange(width, device=numbers.device)
    lit = (lengths[..., row, None] - columns).clamp(0, 1)
    return lit[..., None, :, :].expand(*lit.shape[:-2], 3, height, width).clone()


def read_bars(
    images: Float[Tensor, "*batch view frame 3 h w"],
    cameras: Camera,
    _: ActionImageFormat = ActionImageFormat(),
) -> Reading:
    """The mean of what the views' bars say; all frames are valid. Deviations are those between views."""
    images, cameras = images.detach().cpu().double(), cameras.to("cpu").to(torch.float64)
    height = images.shape[-2]
    row = torch.arange(height) * len(LOW) // height
    share = images.mean((-3, -1))  # of each row that is lit
    bars = torch.stack([share[..., row == bar].mean(-1) for bar in range(len(LOW))], -1)
    low, high = bars.new_tensor(LOW), bars.new_tensor(HIGH)
    numbers = low + bars * (high - low)
    in_camera = Pose(from_six_numbers(numbers[..., 3:9]), numbers[..., :3])
    by_view = cameras.world_from_camera @ in_camera
    view = by_view.translation.ndim - 3
    place = by_view.translation.mean(view)
    turn = from_six_numbers(to_six_numbers(by_view.rotation).mean(view))
    opening = numbers[..., 9].mean(view).clamp(0, 1)
    mean = Pose(turn, place)
    of_views = Pose(
        turn.unsqueeze(view).expand_as(by_view.rotation), place.unsqueeze(view).expand_as(by_view.translation)
    )
    metres, radians = by_view.distance(of_views)
    known = torch.ones_like(opening, dtype=torch.bool)
    return Reading(
        Trajectory(mean, opening),
        is_open=opening > 0.5,
        valid=known,
        confidence=torch.ones_like(opening),
        position_std=metres.square().mean(view).sqrt(),
        rotation_std=radians.square().mean(view).sqrt(),
        residual_px=torch.zeros_like(opening),
        spots=_no_spots(numbers.shape[:-1]),
    ).to(torch.float32)


def _no_spots(shape: torch.Size) -> Spots:
    """Nothing (view frame), where a reading of action images has its spots; moved to (frame view point)."""
    *batch, num_views, num_frames = shape
    none = torch.zeros(*batch, num_frames, num_views, 3)
    return Spots(
        torch.zeros(*none.shape, 2), torch.zeros(*none.shape, 2, 2), none, none, torch.zeros_like(none).bool()
    )


if __name__ in ("__main__", "__mp_main__"):  # the latter in each worker process of a command
    pipeline.draw, pipeline.read = draw_bars, read_bars
if __name__ == "__main__":
    sys.exit(main())
