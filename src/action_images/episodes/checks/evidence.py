"""Evidence in an episode's pictures about cameras, times and tool, as sums over episodes."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from action_images.episodes.checks import follow, place
from action_images.episodes.checks.alternatives import CAMERAS, PICTURES, ROTATIONS, TIMES, TOOL, frozen
from action_images.episodes.checks.fingers import Gap, gap
from action_images.episodes.checks.follow import Change, Pairs, Scene
from action_images.episodes.checks.looks import Blurred, kept_frames
from action_images.episodes.checks.place import Sight
from action_images.episodes.episode import View
from action_images.geometry import Trajectory

LEAST_STEP_PX = 1.0
"""The smallest visible step of the tool (px of the small pictures)."""
SECONDS_TO_TURN = 1.5
LEAST_STEPS = 4
"""With fewer visible steps of the tool nothing is reported for a view."""
NAMED_FIT = 1.8
"""An alternative is reported if its own fit is at least this ..."""
BETTER = 1.35
"""... and this many times the fit of the declared reading."""
LESS_NAMED_FIT, MUCH_BETTER = 1.4, 3.0
"""A lower fit is enough if it is this many times better."""
SUSPECT = 0.6
"""An episode is examined more closely if its fit is below this fraction of the whole set's fit."""
DECLARED = "as said"
FROZEN = "never turning"
MOVED = "where its hand is seen"
TRIED = {**PICTURES, **CAMERAS, **TOOL, **TIMES}


@dataclass(frozen=True)
class Evidence:
    """For one view: the change under the declared reading and under each alternative."""

    num_steps: int = 0
    """Pairs of pictures between which the declared tool moves visibly."""
    changes: Mapping[str, Change] = field(default_factory=dict)
    """By `DECLARED`, the names of `TRIED`, and those of other views whose pictures were tried."""
    turning: Mapping[str, Change] = field(default_factory=dict)
    """By `DECLARED`, `FROZEN` and the names of `ROTATIONS`, over pairs between which the tool turns."""
    pointing: Mapping[str, Change] = field(default_factory=dict)
    """By the same names, over the pairs of `changes`: whether the hand lies where it should."""
    sights: tuple[Sight, ...] = ()
    """Where the hand is seen, one for each episode."""
    gaps: tuple[Gap, ...] = ()
    """How the fingers look when the gripper is declared open and closed, one for each episode."""

    @property
    def is_tried(self) -> bool:
        """Whether alternatives were tried."""
        return bool(self.turning)

    @property
    def best_fit(self) -> float:
        """The best fit among the declared reading and the alternatives."""
        return max(change.fit for name, change in self.changes.items() if name != MOVED)

    def __add__(self, other: "Evidence") -> "Evidence":
        return Evidence(
            self.num_steps + other.num_steps,
            _added(self.changes, other.changes),
            _added(self.turning, other.turning),
            _added(self.pointing, other.pointing),
            self.sights + other.sights,
            self.gaps + other.gaps,
        )


def _added(one: Mapping[str, Change], other: Mapping[str, Change]) -> dict[str, Change]:
    both = {name: change + other[name] for name, change in one.items() if name in other}
    return {**one, **other, **both}


def pooled(evidence: Iterable[Mapping[str, Evidence]]) -> dict[str, Evidence]:
    """The evidence of each view, summed over episodes."""
    sums: dict[str, Evidence] = {}
    for one in evidence:
        for name, found in one.items():
            sums[name] = sums[name] + found if name in sums else found
    return sums


def measurable(evidence: Mapping[str, Evidence]) -> dict[str, Evidence]:
    """The views in which the tool moves visibly, as declared or by an alternative that fits."""
    return {name: found for name, found in evidence.items() if _is_measurable(found)}


def _is_measurable(evidence: Evidence) -> bool:
    return evidence.num_steps >= LEAST_STEPS or evidence.best_fit >= NAMED_FIT


def is_better(fit: float, said: float) -> bool:
    """Whether an alternative fits well, and well above the declared reading."""
    good = fit >= NAMED_FIT and fit >= BETTER * said
    return good or (fit >= LESS_NAMED_FIT and fit >= MUCH_BETTER * said)


def gather(
    views: list[View],
    pictures: Mapping[str, Tensor],
    trajectory: Trajectory,
    fps: float,
    *,
    tried: bool,
) -> dict[str, Evidence]:
    """The evidence of each calibrated view by name; `pictures` are the small copies of `looks.decode_all`.

    If not `tried`, only the declared reading is tested, which costs far less.
    """
    frames = torch.tensor(kept_frames(trajectory.num_frames))
    if len(frames) < 3:
        return {}
    shown = {name: Blurred(small) for name, small in pictures.items()}
    most_gap = max(2, round(SECONDS_TO_TURN * fps))
    found = {}
    for view in views:
        if view.camera is not None:
            scene = follow.scene_of(view.camera, trajectory.world_from_tool[frames], frames)
            seen = _of_view(view.name, shown, scene, most_gap, tried=tried)
            fingers = gap(shown[view.name], frames, view.camera, trajectory, fps)
            found[view.name] = replace(seen, gaps=() if fingers is None else (fingers,))
    return found


def _of_view(
    name: str, shown: Mapping[str, Blurred], scene: Scene, most_gap: int, *, tried: bool
) -> Evidence:
    """Evidence of one view under the declared reading and, if they are tried, under alternatives."""
    moving = follow.pairs_by_path(scene)
    pairs = Pairs.of(shown[name], moving)
    num_steps = int((follow.step_px(scene, moving) >= LEAST_STEP_PX).sum())
    sights = place.sight_of(pairs, scene)
    if not tried:
        return Evidence(num_steps, _changes(pairs, {DECLARED: scene}), sights=sights)
    said = {DECLARED: scene} | {key: other.change(scene) for key, other in TRIED.items()}
    said |= {MOVED: place.moved(scene, sights[0]) if sights else scene}
    changes = _changes(pairs, said)
    for other in shown.keys() - {name}:
        changes |= _changes(Pairs.of(shown[other], moving), {view_named(other): scene})
    turned = {DECLARED: scene, FROZEN: frozen(scene)}
    turned |= {key: other.change(scene) for key, other in ROTATIONS.items()}
    apart = Pairs.of(shown[name], follow.pairs_by_turn(scene, most_gap))
    return Evidence(num_steps, changes, _changes(apart, turned), _changes(pairs, turned), sights)


def _changes(pairs: Pairs, scenes: Mapping[str, Scene]) -> dict[str, Change]:
    return dict(zip(scenes, follow.hand_changes(pairs, list(scenes.values())), strict=True))


def view_named(name: str) -> str:
    """The name of the alternative that shows another view's pictures."""
    return f"the pictures of '{name}'"
