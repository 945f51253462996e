"""What the pictures of an episode say about cameras, times and tool, as sums over episodes."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from action_images.episodes.checks import follow
from action_images.episodes.checks.alternatives import CAMERAS, PICTURES, ROTATIONS, TIMES, TOOL, frozen
from action_images.episodes.checks.follow import Change, Scene
from action_images.episodes.checks.looks import blurred, kept_frames
from action_images.episodes.episode import View
from action_images.geometry import Camera, Pose, Trajectory

LEAST_STEP_PX = 1.0
"""A step of the tool (px of the small pictures) that can be seen."""
SECONDS_TO_TURN = 1.5
DECLARED = "as said"
FROZEN = "never turning"
TRIED = {**PICTURES, **CAMERAS, **TOOL, **TIMES}


@dataclass(frozen=True)
class Evidence:
    """Of one view: the change under what is said and under each alternative."""

    num_steps: int = 0
    """Pairs of pictures between which the tool is said to move visibly."""
    changes: Mapping[str, Change] = field(default_factory=dict)
    """By `DECLARED`, the names of `TRIED`, and those of other views whose pictures were tried."""
    turning: Mapping[str, Change] = field(default_factory=dict)
    """By `DECLARED`, `FROZEN` and the names of `ROTATIONS`, over pairs between which the tool turns."""
    maps: tuple[Change, ...] = ()
    """The change about the tool, one map an episode."""

    def __add__(self, other: "Evidence") -> "Evidence":
        return Evidence(
            self.num_steps + other.num_steps,
            _added(self.changes, other.changes),
            _added(self.turning, other.turning),
            self.maps + other.maps,
        )


def _added(one: Mapping[str, Change], other: Mapping[str, Change]) -> dict[str, Change]:
    both = {name: change + other[name] for name, change in one.items() if name in other}
    return {**one, **other, **both}


def gather(
    views: list[View], pictures: Mapping[str, Tensor], trajectory: Trajectory, fps: float
) -> dict[str, Evidence]:
    """The evidence of each calibrated view by name; `pictures` are the small copies of `looks.decode_all`."""
    kept = kept_frames(trajectory.num_frames)
    frames = torch.tensor(kept)
    names = [view.name for view in views]
    bank = torch.cat([blurred(pictures[name]) for name in names])
    found = {}
    for place, view in enumerate(views):
        if view.camera is None or len(frames) < 3:
            continue
        scene = _scene(view.camera, trajectory.world_from_tool[frames], frames, place)
        others = {name: other - place for other, name in enumerate(names) if other != place}
        found[view.name] = _of_view(bank, scene, others, max(2, round(SECONDS_TO_TURN * fps)))
    return found


def _scene(camera: Camera, world_from_tool: Pose, frames: Tensor, place: int) -> Scene:
    """What is said of the view whose pictures are number `place` of the bank."""
    count = len(frames)
    moving = camera[frames] if camera.batch_shape else camera.expand(count)
    source = torch.arange(count) + place * count
    upright = torch.eye(2).expand(count, 2, 2)
    return Scene(source, upright, moving, world_from_tool, torch.ones(count, dtype=torch.bool))


def _of_view(bank: Tensor, scene: Scene, others: Mapping[str, int], most_gap: int) -> Evidence:
    pairs = follow.pairs_by_path(scene)
    tried = {DECLARED: scene} | {name: other.change(scene) for name, other in TRIED.items()}
    for name, places in others.items():
        tried[view_named(name)] = replace(scene, source=scene.source + places * len(scene.known))
    turned = {DECLARED: scene, FROZEN: frozen(scene)}
    turned |= {name: other.change(scene) for name, other in ROTATIONS.items()}
    visible = follow.step_px(scene, pairs) >= LEAST_STEP_PX
    return Evidence(
        int(visible.sum()),
        _changes(bank, tried, pairs),
        _changes(bank, turned, follow.pairs_by_turn(scene, most_gap)),
        (follow.change_map(bank, scene, pairs),),
    )


def _changes(bank: Tensor, scenes: Mapping[str, Scene], pairs: Tensor) -> dict[str, Change]:
    return dict(zip(scenes, follow.hand_changes(bank, list(scenes.values()), pairs), strict=True))


def view_named(name: str) -> str:
    """The alternative that shows another view's pictures."""
    return f"the pictures of '{name}'"
