"""A filmed trial frame by frame: the camera images, and the images generated for the same moment."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from action_images.codec import draw_uint8
from action_images.errors import ActionImagesError
from action_images.evaluation.rollout import Rollout
from action_images.geometry import Pose, Trajectory
from action_images.robot import Observation, Plan
from action_images.structs import stack

Clip = UInt8[Tensor, "view frame 3 h w"]


@dataclass(frozen=True)
class InForce:
    """The plan in force in a frame of the film, and the frame of its trajectory.

    Both are None if there was no plan. `plan_frame` is -1 for the plan's observation.
    """

    plan: int | None
    plan_frame: int


@dataclass(frozen=True)
class FilmFrames:
    """Frame 0 is before the first step, frame k after step k - 1; everything here lies on that one clock.

    `seen` are the cameras' images. `imagined` is the plan's image for the moment, None if no plan generated a
    video of more than one frame. `action_images` are the plan's own if `generated`, else the plan's poses
    drawn. `opening` is in [0, 1].
    """

    seen: Clip
    imagined: Clip | None
    action_images: Clip
    generated: bool
    reached: Pose
    opening: tuple[float, ...]
    in_force: tuple[InForce, ...]

    def __len__(self) -> int:
        return len(self.in_force)

    @property
    def num_views(self) -> int:
        """The number of cameras."""
        return len(self.seen)


def film_frames(rollout: Rollout) -> FilmFrames:
    """The frames of a trial; raises ActionImagesError if it was not filmed."""
    observations = _observations(rollout)
    seen = torch.stack([observation.images for observation in observations], 1).cpu()
    in_force = _in_force(rollout)
    videos = [None if plan.video is None or plan.video.shape[1] < 2 else plan.video for plan in rollout.plans]
    generated = [plan.action_images for plan in rollout.plans]
    first, steps = rollout.first_seen, rollout.steps
    drawn = _drawn(rollout, observations, in_force)
    return FilmFrames(
        seen=seen,
        imagined=_imagined(rollout.plans, videos, in_force, otherwise=seen)
        if _any(videos, in_force)
        else None,
        action_images=_imagined(rollout.plans, generated, in_force, otherwise=drawn),
        generated=_any(generated, in_force),
        reached=stack([_cpu(first.world_from_tool), *(_cpu(step.reached) for step in steps)]),
        opening=(float(first.opening), *(float(step.opening) for step in steps)),
        in_force=in_force,
    )


def _observations(rollout: Rollout) -> list[Observation]:
    seen = [rollout.first_seen, *(step.seen for step in rollout.steps[1:])]
    if rollout.steps:
        seen.append(rollout.last_seen)
    if missing := sum(one is None for one in seen):
        raise ActionImagesError(
            f"{rollout.task} {rollout.seed}: {missing} of {len(seen)} frames have no images: "
            "the trial was not filmed; run it again filmed"
        )
    return [one for one in seen if one is not None]


def _in_force(rollout: Rollout) -> tuple[InForce, ...]:
    before = InForce(0 if rollout.plans else None, -1)
    return (before, *(InForce(step.plan, step.frame) for step in rollout.steps))


def _any(clips: Sequence[Tensor | None], in_force: Sequence[InForce]) -> bool:
    """Whether any plan that was in force has a clip."""
    return any(one.plan is not None and clips[one.plan] is not None for one in in_force)


def _imagined(
    plans: Sequence[Plan], clips: Sequence[Tensor | None], in_force: Sequence[InForce], *, otherwise: Clip
) -> Clip:
    """The current image of each plan's clip (view imagined 3 h w), in [0, 1]; `otherwise` without a clip."""
    picked = otherwise.clone()
    for frame, one in enumerate(in_force):
        clip = None if one.plan is None else clips[one.plan]
        if clip is not None and one.plan is not None:
            at = imagined_index(plans[one.plan], one.plan_frame)
            picked[:, frame] = _in_levels(clip[:, min(at, clip.shape[1] - 1)], picked.shape[-2:])
    return picked


def _in_levels(image: Float[Tensor, "view 3 h w"], size: tuple[int, ...]) -> UInt8[Tensor, "view 3 hs ws"]:
    image = image.detach().float().cpu()
    if image.shape[-2:] != size:
        image = torch.nn.functional.interpolate(image, size, mode="bilinear", antialias=True)
    return (image.nan_to_num(0).clamp(0, 1) * 255).round().to(torch.uint8)


def imagined_index(plan: Plan, plan_frame: int) -> int:
    """The imagined frame for a frame of the plan's trajectory; 0 for the observation (-1)."""
    if plan_frame < 0:
        return 0
    if plan.imagined_frame is None:
        return plan_frame + 1
    return max(0, round(float(plan.imagined_frame[plan_frame])))


def _drawn(rollout: Rollout, observations: Sequence[Observation], in_force: Sequence[InForce]) -> Clip:
    """The plan's pose of each frame, drawn into that frame's cameras, unless it is not finite."""
    start = Trajectory(rollout.first_seen.world_from_tool, rollout.first_seen.opening)
    planned = [
        start
        if one.plan is None or one.plan_frame < 0
        else rollout.plans[one.plan].trajectory[one.plan_frame]
        for one in in_force
    ]
    poses = stack([_cpu(one) for one in planned])
    visible = Trajectory(poses.world_from_tool, poses.opening.nan_to_num(0).clamp(0, 1))
    return draw_uint8(visible, stack([_cpu(one.cameras) for one in observations], 1))


def path_of(plan: Plan) -> Float[Tensor, "frame 3"]:
    """The positions (m) of a plan; NaN for poses that are place-holders."""
    points = _cpu(plan.trajectory.world_from_tool).translation
    if plan.confidence is None:
        return points
    return torch.where(plan.confidence.cpu()[:, None] > 0, points, torch.nan)


def _cpu(value):
    return value.to("cpu", torch.float32)
