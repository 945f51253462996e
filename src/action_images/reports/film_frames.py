"""A filmed trial moment by moment: what was seen, and what had been imagined for that very moment."""

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


@dataclass(frozen=True)
class Moments:
    """Moment 0 is before the first step, moment k after step k - 1; everything here lies on that one clock.

    `seen` are the cameras' images. `imagined` is the plan's frame for the moment, None where no plan imagined a video of
    more than one frame. `action_images` are the plan's own where `generated`, else the plan's poses drawn. `plan` and
    `frame` say which plan was in force and how far in it (frame -1: the observation itself); `plan` is -1 where none was.
    """

    seen: UInt8[Tensor, "view moment 3 h w"]
    imagined: UInt8[Tensor, "view moment 3 h w"] | None
    action_images: UInt8[Tensor, "view moment 3 h w"]
    generated: bool
    reached: Pose
    opening: tuple[float, ...]
    plan: tuple[int, ...]
    frame: tuple[int, ...]

    def __len__(self) -> int:
        return len(self.plan)

    @property
    def num_views(self) -> int:
        """How many cameras looked on."""
        return len(self.seen)


def moments(rollout: Rollout) -> Moments:
    """The moments of a trial; raises ValueError where it was not filmed."""
    seen = _seen(rollout)
    steps, plans = rollout.steps, rollout.plans
    plan = (0 if plans else -1, *(step.plan for step in steps))
    frame = (-1, *(step.frame for step in steps))
    images = torch.stack([observation.images for observation in seen], 1).cpu()
    in_force = [plans[number] if number >= 0 else None for number in plan]
    videos = [
        None if one is None or one.video is None or one.video.shape[1] < 2 else one.video for one in in_force
    ]
    generated = [None if one is None else one.action_images for one in in_force]
    return Moments(
        seen=images,
        imagined=_imagined(videos, in_force, frame, images)
        if any(video is not None for video in videos)
        else None,
        action_images=_imagined(generated, in_force, frame, _drawn(rollout, seen, plan, frame)),
        generated=any(one is not None for one in generated),
        reached=stack([_cpu(rollout.first_seen.world_from_tool), *(_cpu(step.reached) for step in steps)]),
        opening=(float(rollout.first_seen.opening), *(float(step.opening) for step in steps)),
        plan=plan,
        frame=frame,
    )


def _seen(rollout: Rollout) -> list[Observation]:
    seen = [rollout.first_seen, *(step.seen for step in rollout.steps[1:])]
    if rollout.steps:
        seen.append(rollout.last_seen)
    if missing := sum(one is None for one in seen):
        raise ActionImagesError(
            f"{rollout.task} {rollout.seed}: {missing} of {len(seen)} moments have no images: the trial was not filmed; run it again filmed"
        )
    return [one for one in seen if one is not None]


def _imagined(
    clips: list[Tensor | None],
    plans: list[Plan | None],
    frames: tuple[int, ...],
    otherwise: UInt8[Tensor, "view moment 3 h w"],
) -> UInt8[Tensor, "view moment 3 h w"]:
    """The frame in force of each moment's clip (view imagined 3 h w), in [0, 1]; `otherwise` where there is no clip."""
    picked = otherwise.clone()
    for moment, (clip, plan, frame) in enumerate(zip(clips, plans, frames, strict=True)):
        if clip is not None and plan is not None:
            still = clip[:, min(imagined_index(plan, frame), clip.shape[1] - 1)].detach().float().cpu()
            if still.shape[-2:] != picked.shape[-2:]:
                still = torch.nn.functional.interpolate(
                    still, picked.shape[-2:], mode="bilinear", antialias=True
                )
            picked[:, moment] = (still.nan_to_num(0).clamp(0, 1) * 255).round().to(torch.uint8)
    return picked


def imagined_index(plan: Plan, frame: int) -> int:
    """Which imagined frame is in force at a frame of the plan's trajectory (-1: the observation, imagined frame 0)."""
    if frame < 0:
        return 0
    return frame + 1 if plan.imagined_frame is None else max(0, round(float(plan.imagined_frame[frame])))


def _drawn(
    rollout: Rollout, seen: list[Observation], plan: tuple[int, ...], frame: tuple[int, ...]
) -> UInt8[Tensor, "view moment 3 h w"]:
    """The plan's pose of each moment drawn into that moment's cameras; a pose that is not finite is not drawn."""
    first = Trajectory(rollout.first_seen.world_from_tool, rollout.first_seen.opening)
    told = [
        first if at < 0 else rollout.plans[number].trajectory[at]
        for number, at in zip(plan, frame, strict=True)
    ]
    poses = stack([_cpu(one) for one in told])
    visible = Trajectory(poses.world_from_tool, poses.opening.nan_to_num(0).clamp(0, 1))
    return draw_uint8(visible, stack([_cpu(one.cameras) for one in seen], 1))


def path_of(plan: Plan) -> Float[Tensor, "frame 3"]:
    """The positions (m) that a plan asks for; NaN where its pose is a place-holder."""
    points = _cpu(plan.trajectory.world_from_tool).translation
    if plan.confidence is None:
        return points
    return torch.where(plan.confidence.cpu()[:, None] > 0, points, torch.nan)


def _cpu(value):
    return value.to("cpu", torch.float32)
