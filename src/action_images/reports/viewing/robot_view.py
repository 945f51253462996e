"""Viewables of policies and trials: a plan with its observation, or a filmed trial with its plans."""

import torch
from torch import Tensor

from action_images.episodes.episode import FramesInMemory
from action_images.evaluation.rollout import Rollout
from action_images.geometry import Camera, Trajectory
from action_images.reports.film_frames import FilmFrames, film_frames, imagined_index
from action_images.reports.theme import EXECUTED, PLANNED
from action_images.reports.viewing.viewable import (
    CAMERA,
    DrawnFrames,
    Layer,
    ShownPath,
    ShownView,
    Viewable,
)
from action_images.robot import Observation, Plan
from action_images.structs import stack

IMAGINED, IMAGINED_ACTIONS, PLANNED_ACTIONS = (
    "imagined video",
    "imagined action images",
    "planned action images",
)
OBSERVED = "camera, at the observation"


def of_plan(observation: Observation, plan: Plan, name: str, fps: float) -> Viewable:
    """A plan, with its observation at frame 0; later frames have no camera images, so its picture stays."""
    start = Trajectory(observation.world_from_tool[None], observation.opening[None]).to("cpu", torch.float32)
    later = plan.trajectory.to("cpu", torch.float32)
    path = _joined(start, later)
    confidence = None
    if plan.confidence is not None:
        confidence = torch.cat([torch.ones(1), plan.confidence.detach().float().cpu()])
    imagined = tuple(imagined_index(plan, frame - 1) for frame in range(path.num_frames))
    views = []
    for number in range(observation.images.shape[0]):
        seen = FramesInMemory(observation.images[number].cpu()[None])
        layers = [Layer(OBSERVED, seen, shows=(0,) * path.num_frames)]
        if plan.video is not None and plan.video.shape[1] > 1:
            layers.append(_clip(IMAGINED, plan.video[number], imagined))
        camera = observation.cameras[number].to("cpu", torch.float32)
        if plan.action_images is not None:
            layers.append(_clip(IMAGINED_ACTIONS, plan.action_images[number], imagined, is_action=True))
        layers.append(Layer(PLANNED_ACTIONS, DrawnFrames(path, camera), is_action=True))
        views.append(ShownView(f"view {number}", seen.size, camera, tuple(layers)))
    shown = ShownPath("planned", PLANNED, path, confidence)
    return Viewable(name, observation.instruction, fps, path.num_frames, tuple(views), (shown,))


def _joined(start: Trajectory, later: Trajectory) -> Trajectory:
    poses = [start[0], *(later[frame] for frame in range(later.num_frames))]
    return stack(poses)


def _clip(name: str, clip: Tensor, imagined: tuple[int, ...], *, is_action: bool = False) -> Layer:
    """A generated clip (frame 3 h w), in [0, 1], at the frames of a plan."""
    levels = clip.detach().float().cpu().nan_to_num(0).clamp(0, 1).mul(255).round().to(torch.uint8)
    last = len(levels) - 1
    return Layer(name, FramesInMemory(levels), is_action, tuple(min(frame, last) for frame in imagined))


def of_rollout(rollout: Rollout) -> Viewable:
    """A filmed trial: the observation, generated images and plan at each moment, and the tool's path.

    Raises ActionImagesError if it was not filmed.
    """
    frames = film_frames(rollout)
    rigs = stack([one.cameras.to("cpu", torch.float32) for one in _observed(rollout)], 1)
    views = [_view(frames, number, rigs[number]) for number in range(frames.num_views)]
    executed = Trajectory(frames.reached, torch.tensor(frames.opening))
    return Viewable(
        id=f"{rollout.task} {rollout.seed}",
        instruction=rollout.instruction,
        fps=rollout.control_hz,
        num_frames=len(frames),
        views=tuple(views),
        paths=(ShownPath("executed", EXECUTED, executed), *_plans(rollout, frames)),
    )


def _observed(rollout: Rollout) -> list[Observation]:
    seen = [rollout.first_seen, *(step.seen for step in rollout.steps[1:]), rollout.last_seen]
    return [one for one in seen[: len(rollout.steps) + 1] if one is not None]


def _view(frames: FilmFrames, number: int, rig: Camera) -> ShownView:
    """A view; its camera has one pose if it never moved."""
    layers = [Layer(CAMERA, FramesInMemory(frames.seen[number]))]
    if frames.imagined is not None:
        layers.append(Layer(IMAGINED, FramesInMemory(frames.imagined[number])))
    name = IMAGINED_ACTIONS if frames.generated else PLANNED_ACTIONS
    layers.append(Layer(name, FramesInMemory(frames.action_images[number]), is_action=True))
    still = rig[0]
    moved = (rig.world_from_camera.matrix() - still.world_from_camera.matrix()).abs().max()
    zoomed = (rig.intrinsics - still.intrinsics).abs().max()
    camera = still if float(torch.maximum(moved, zoomed)) == 0 else rig
    height, width = frames.seen.shape[-2:]
    return ShownView(f"view {number}", (height, width), camera, tuple(layers))


def _plans(rollout: Rollout, frames: FilmFrames) -> list[ShownPath]:
    """Each plan that was in force, shown during that time."""
    paths = []
    for number, plan in enumerate(rollout.plans):
        force = [at for at, one in enumerate(frames.in_force) if one.plan == number]
        if not force:
            continue
        first = force[0]
        start = first - frames.in_force[first].plan_frame
        confidence = None if plan.confidence is None else plan.confidence.detach().float().cpu()
        trajectory = plan.trajectory.to("cpu", torch.float32)
        name, until = f"plan {number + 1}", (first, force[-1] + 1)
        paths.append(ShownPath(name, PLANNED, trajectory, confidence, start, until))
    return paths
