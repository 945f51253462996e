"""Check that motion follows the projected tool: pictures aligned along its path differ less."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn.functional import grid_sample, normalize

from action_images.episodes.checks.looks import SIDE, Blurred
from action_images.geometry import Camera, Pose
from action_images.structs import Struct, stack

LATERAL = torch.linspace(-0.24, 0.24, 25)
"""Points beside the tool's axis (m), in the plane that faces the camera."""
AXIAL = torch.linspace(-0.16, 0.14, 16)
"""Points along the tool's axis (m), 0 at its origin, negative up the hand."""
HAND_LATERAL = torch.linspace(-0.05, 0.05, 6)
HAND_AXIAL = torch.linspace(-0.12, 0.02, 8)
"""Points of the hand: a box about the tool's axis."""
IN_FRONT = 0.02
"""Distance (m) from the hand's axis to its visible surface, towards the camera."""
NOISE = 1.0
"""Levels (of 255) by which two pictures of the same scene may differ."""
MOST_PAIRS = 64
STEP_PX = 3.0
"""Motion of the tool (px of the small pictures) wanted between the two pictures of a pair."""
STEP_DEG = 15.0
"""Turn of the tool wanted between the two pictures of a pair, for rotations."""


@dataclass(frozen=True)
class Scene(Struct):
    """Declared poses of camera and tool in each frame, and the orientation of the picture."""

    turn: Float[Tensor, "*frames 2 2"]
    """How a picture is turned or mirrored about its centre before it is compared (right, down)."""
    camera: Camera
    world_from_tool: Pose
    known: Bool[Tensor, "*frames"]
    """Whether a pose is declared for the frame."""


@dataclass(frozen=True)
class Change:
    """Differences of pairs of pictures (summed levels) at still points, and at points carried along."""

    still: Tensor
    carried: Tensor
    num_points: float

    def __add__(self, other: "Change") -> "Change":
        return Change(
            self.still + other.still, self.carried + other.carried, self.num_points + other.num_points
        )

    @property
    def fit(self) -> float:
        """How many times less pictures differ when aligned along the tool: 1 for unrelated motion."""
        noise = NOISE * max(self.num_points, 1.0)
        return float((self.still.sum() + noise) / (self.carried.sum() + noise))


def scene_of(camera: Camera, world_from_tool: Pose, frames: Tensor) -> Scene:
    """The declared scene of a view in these frames of an episode, whose poses are given."""
    count = len(frames)
    moving = camera[frames] if camera.batch_shape else camera.expand(count)
    upright = torch.eye(2).expand(count, 2, 2)
    return Scene(upright, moving, world_from_tool, torch.ones(count, dtype=torch.bool))


def pairs_by_path(scene: Scene) -> Int[Tensor, "2 pair"]:
    """Pairs of frames far enough apart for a visible step of the tool; at most `MOST_PAIRS`."""
    pixels = _small_pixels(scene.camera, scene.world_from_tool.translation)[0]
    count, gap = len(pixels), 1
    for gap in range(1, max(2, count // 4)):
        steps = (pixels[gap:] - pixels[:-gap]).norm(dim=-1)
        if len(steps) and steps.quantile(0.75) >= STEP_PX:
            break
    return _spread(torch.arange(max(count - gap, 0)), gap)


def pairs_by_turn(scene: Scene, most_gap: int) -> Int[Tensor, "2 pair"]:
    """Pairs of frames between which the tool turns by `STEP_DEG`, at most `most_gap` frames apart."""
    rotation = scene.world_from_tool.rotation
    cosine = 0.5 * (torch.einsum("iab,jab->ij", rotation, rotation) - 1)
    turned = cosine < torch.cos(torch.deg2rad(torch.tensor(STEP_DEG)))
    apart = torch.arange(len(rotation))[None] - torch.arange(len(rotation))[:, None]
    turned &= (apart > 0) & (apart <= most_gap)
    first = turned.float().argmax(1)
    start = turned.any(1).nonzero().flatten()
    chosen = start[:: max(1, -(-len(start) // MOST_PAIRS))]
    return torch.stack([chosen, first[chosen]])


def step_px(scene: Scene, pairs: Int[Tensor, "2 pair"]) -> Float[Tensor, "pair"]:
    """The declared motion of the tool in each pair (px of the small pictures); 0 if it is not in view."""
    pixels, seen = _small_pixels(scene.camera, scene.world_from_tool.translation)
    start, stop = pairs
    return (pixels[stop] - pixels[start]).norm(dim=-1) * (seen[start] & seen[stop])


@dataclass(frozen=True)
class Pairs:
    """Pairs of frames of one video with their pictures; all scenes are compared in the same pairs."""

    frames: Int[Tensor, "2 pair"]
    first: Float[Tensor, "pair 3 side side"]
    second: Float[Tensor, "pair 3 side side"]

    @classmethod
    def of(cls, video: Blurred, frames: Int[Tensor, "2 pair"]) -> "Pairs":
        """The pairs of these frames."""
        return cls(frames, video.at(frames[0]), video.at(frames[1]))


def hand_changes(pairs: Pairs, scenes: Sequence[Scene]) -> list[Change]:
    """For each scene the change in the box of the declared hand."""
    if not pairs.frames.shape[1]:
        return [Change(torch.zeros(()), torch.zeros(()), 0.0) for _ in scenes]
    still, carried = _differences(pairs, stack(scenes), HAND_LATERAL, HAND_AXIAL)
    num_points = float(still[0].numel())
    sums = still.flatten(1).sum(1), carried.flatten(1).sum(1)
    return [Change(*both, num_points) for both in zip(*sums, strict=True)]


def change_map(pairs: Pairs, scene: Scene) -> Change:
    """The change at every point about the tool, as (axial lateral) maps."""
    shape = (len(AXIAL), len(LATERAL))
    if not pairs.frames.shape[1]:
        return Change(torch.zeros(shape), torch.zeros(shape), 0.0)
    still, carried = _differences(pairs, stack([scene]), LATERAL, AXIAL)
    num_points = float(still.numel())
    return Change(still.sum((0, 1)).unflatten(0, shape), carried.sum((0, 1)).unflatten(0, shape), num_points)


def _differences(
    pairs: Pairs, scenes: Scene, lateral: Tensor, axial: Tensor
) -> tuple[Float[Tensor, "scene pair point"], Float[Tensor, "scene pair point"]]:
    """Levels by which pictures differ at still points and at carried ones; axial is the outer order."""
    start, stop = scenes[:, pairs.frames[0]], scenes[:, pairs.frames[1]]
    points = _points_about(start, lateral, axial)
    stop_from_start = stop.world_from_tool @ start.world_from_tool.inverse()
    carried = points @ stop_from_start.rotation.mT + stop_from_start.translation[..., None, :]
    first, was_inside = _places(start, points)
    same, _ = _places(stop, points)
    second, is_inside = _places(stop, carried)
    inside = was_inside & is_inside & (start.known & stop.known)[..., None]
    before = _colours(pairs.first, first)
    unmoved, after = (_colours(pairs.second, places) for places in (same, second))
    return _levels(unmoved, before, inside), _levels(after, before, inside)


def _levels(one: Tensor, other: Tensor, inside: Tensor) -> Float[Tensor, "scene pair point"]:
    """Difference of colours (pair 3 scene point), averaged over the channels."""
    return (one - other).abs().mean(1).transpose(0, 1) * inside


def _points_about(scene: Scene, lateral: Tensor, axial: Tensor) -> Float[Tensor, "*scene point 3"]:
    """Points (m) on a plane along the tool's axis that faces the camera."""
    tool = scene.world_from_tool
    axis, across, facing = axes_about(scene)
    along, beside = torch.meshgrid(axial, lateral, indexing="ij")
    offsets = along.flatten()[:, None] * axis[..., None, :] + beside.flatten()[:, None] * across[..., None, :]
    return (tool.translation + IN_FRONT * facing)[..., None, :] + offsets


def axes_about(scene: Scene) -> tuple[Tensor, Tensor, Tensor]:
    """The tool's axis, the direction across it in the picture, and towards the camera; (*scene, 3) each."""
    tool = scene.world_from_tool
    axis = tool.rotation[..., 2]
    view = tool.translation - scene.camera.world_from_camera.translation
    across = normalize(torch.linalg.cross(axis, view), dim=-1)
    return axis, across, torch.linalg.cross(axis, across)


def _places(scene: Scene, points: Tensor) -> tuple[Tensor, Tensor]:
    """Image positions of points, -1 to 1 over the picture as shown, and whether each lies inside."""
    camera = scene.camera
    seen = camera.intrinsics @ camera.world_from_camera.rotation.mT
    from_eye = points - camera.world_from_camera.translation[..., None, :]
    x, y, depth = (from_eye @ seen.mT).unbind(-1)
    height, width = camera.size
    centred = torch.stack([2 * x / (width * depth) - 1, 2 * y / (height * depth) - 1], -1)
    inside = (depth > 0) & (centred.abs() < 1).all(-1)
    return torch.where(inside[..., None], centred, 0.0) @ scene.turn.mT, inside


def _colours(
    pictures: Float[Tensor, "pair 3 side side"], places: Tensor
) -> Float[Tensor, "pair 3 scene point"]:
    """Interpolated colours at positions (scene pair point) of one picture for each pair."""
    grid = places.transpose(0, 1)
    flat = grid.flatten(1, 2)[:, :, None]
    colours = grid_sample(pictures, flat, mode="bilinear", padding_mode="border", align_corners=False)
    return colours[..., 0].unflatten(-1, grid.shape[1:3])


def _small_pixels(camera: Camera, points: Tensor) -> tuple[Tensor, Tensor]:
    pixels, depth = camera.project(points)
    height, width = camera.size
    return pixels * SIDE / torch.tensor([width, height]), (depth > 0) & camera.contains(pixels)


def _spread(start: Tensor, gap: int) -> Tensor:
    chosen = start[:: max(1, -(-len(start) // MOST_PAIRS))]
    return torch.stack([chosen, chosen + gap])


def shifted(scene: Scene, frames: int) -> Scene:
    """The scene with the tool `frames` later than declared (negative: earlier)."""
    return _at(scene, torch.arange(len(scene.known)) - frames)


def stretched(scene: Scene, rate: float) -> Scene:
    """The scene with pictures at `rate` times their rate: picture i gets the declared poses of frame
    i / rate.
    """
    times = torch.arange(len(scene.known)) / rate
    nearest = _at(scene, times.round().long())
    before, after = (_at(scene, part.long()).world_from_tool for part in (times.floor(), times.ceil()))
    share = (times % 1)[:, None].to(before.translation.dtype)
    place = torch.lerp(before.translation, after.translation, share)
    return replace(nearest, world_from_tool=replace(nearest.world_from_tool, translation=place))


def _at(scene: Scene, source: Tensor) -> Scene:
    """The scene with the tool of other frames."""
    count = len(scene.known)
    known = (source >= 0) & (source < count)
    return replace(scene, world_from_tool=scene.world_from_tool[source.clamp(0, count - 1)], known=known)
