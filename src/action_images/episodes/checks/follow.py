"""Whether what moves follows the projected tool: pictures aligned along its path differ less."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn.functional import normalize

from action_images.episodes.checks.looks import SIDE
from action_images.geometry import Camera, Pose
from action_images.structs import Struct, concatenate

LATERAL = torch.linspace(-0.24, 0.24, 25)
"""Points beside the tool's axis (m), in the plane that faces the camera."""
AXIAL = torch.linspace(-0.16, 0.14, 16)
"""Points along the tool's axis (m), 0 at its origin, negative up the hand."""
HAND_LATERAL = torch.linspace(-0.05, 0.05, 6)
HAND_AXIAL = torch.linspace(-0.12, 0.02, 8)
"""Where the hand is: a box about the tool's axis."""
IN_FRONT = 0.02
"""What is seen of the hand is its surface, so far (m) before its axis as the camera sees it."""
NOISE = 1.0
"""Levels (of 255) by which two pictures of the same may differ."""
MOST_PAIRS = 64
SCENES_AT_ONCE = 8
STEP_PX = 3.0
"""The tool should move by so much (px of the small pictures) from one picture of a pair to the other."""
STEP_DEG = 15.0
"""For rotations: it should turn by so much."""


@dataclass(frozen=True)
class Scene(Struct):
    """What is compared: the picture that is shown in each frame, and where camera and tool are said to be."""

    source: Int[Tensor, "*frames"]
    """Places in a bank of small pictures, (picture 3 side side) uint8 and blurred."""
    turn: Float[Tensor, "*frames 2 2"]
    """How a picture is turned or mirrored about its middle before it is looked at (right, down)."""
    camera: Camera
    world_from_tool: Pose
    known: Bool[Tensor, "*frames"]
    """Whether a pose is said for the frame."""


@dataclass(frozen=True)
class Change:
    """By how much pairs of pictures differ (summed levels) at still points, and at carried ones."""

    still: Tensor
    carried: Tensor
    num_points: float

    def __add__(self, other: "Change") -> "Change":
        return Change(
            self.still + other.still, self.carried + other.carried, self.num_points + other.num_points
        )

    @property
    def fit(self) -> float:
        """How many times less pictures differ when aligned along the tool: 1 where motion is unrelated."""
        noise = NOISE * max(self.num_points, 1.0)
        return float((self.still.sum() + noise) / (self.carried.sum() + noise))


def pairs_by_path(scene: Scene) -> Int[Tensor, "2 pair"]:
    """Pairs of frames as far apart as the tool needs for a step that is seen; at most `MOST_PAIRS`."""
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
    """How far the tool is said to move in each pair (px of the small pictures); 0 where it is not in view."""
    pixels, seen = _small_pixels(scene.camera, scene.world_from_tool.translation)
    start, stop = pairs
    return (pixels[stop] - pixels[start]).norm(dim=-1) * (seen[start] & seen[stop])


def hand_changes(bank: Tensor, scenes: Sequence[Scene], pairs: Int[Tensor, "2 pair"]) -> list[Change]:
    """For each scene the change in the box where the hand is said to be; the pairs are the same in all."""
    changes: list[Change] = []
    for group in _in_groups(scenes):
        starts = torch.arange(len(group)) * len(group[0].known)
        together = (pairs[:, None] + starts[:, None]).flatten(1)
        still, carried = _differences(bank, concatenate(group), together, HAND_LATERAL, HAND_AXIAL)
        num_points = float(pairs.shape[1] * len(HAND_LATERAL) * len(HAND_AXIAL))
        sums = still.flatten().unflatten(0, (len(group), -1)).sum(-1)
        carried_sums = carried.flatten().unflatten(0, (len(group), -1)).sum(-1)
        changes += map(Change, sums, carried_sums, [num_points] * len(group))
    return changes


def change_map(bank: Tensor, scene: Scene, pairs: Int[Tensor, "2 pair"]) -> Change:
    """The change at every point about the tool, as (axial lateral) maps."""
    still, carried = _differences(bank, scene, pairs, LATERAL, AXIAL)
    return Change(still.sum(0), carried.sum(0), float(still.numel()))


def _differences(
    bank: Tensor, scene: Scene, pairs: Int[Tensor, "2 pair"], lateral: Tensor, axial: Tensor
) -> tuple[Tensor, Tensor]:
    """(pair axial lateral) levels by which pictures differ at points that stay, and at carried ones."""
    start, stop = scene[pairs[0]], scene[pairs[1]]
    points = _points_about(start, lateral, axial)
    stop_from_start = stop.world_from_tool @ start.world_from_tool.inverse()
    moved = stop_from_start[:, None, None].apply(points)
    before, inside = _sample(bank, start, points)
    after, still_inside = _sample(bank, stop, moved)
    unmoved, _ = _sample(bank, stop, points)
    seen = inside & still_inside & (start.known & stop.known)[:, None, None]
    return (unmoved - before).abs().mean(-1) * seen, (after - before).abs().mean(-1) * seen


def _points_about(scene: Scene, lateral: Tensor, axial: Tensor) -> Tensor:
    """(pair axial lateral 3) points (m) on a plane along the tool's axis that faces the camera."""
    tool = scene.world_from_tool
    axis = tool.rotation[..., 2]
    view = tool.translation - scene.camera.world_from_camera.translation
    across = normalize(torch.linalg.cross(axis, view), dim=-1)
    facing = torch.linalg.cross(axis, across)
    along = axial[:, None, None] * axis[:, None, None]
    beside = lateral[:, None] * across[:, None, None]
    return tool.translation[:, None, None] + along + beside + IN_FRONT * facing[:, None, None]


def _sample(bank: Tensor, scene: Scene, points: Tensor) -> tuple[Tensor, Tensor]:
    """Colours (pair axial lateral 3) where a camera sees points, and whether each lies inside the picture."""
    pixels, depth = scene.camera[:, None, None].project(points)
    height, width = scene.camera.size
    inside = (depth > 0) & scene.camera.contains(pixels)
    centred = pixels / torch.tensor([width, height]) - 0.5
    shown = (scene.turn[:, None, None] @ centred[..., None]).squeeze(-1) + 0.5
    places = torch.where(inside[..., None], SIDE * shown - 0.5, 0.0).clamp(0, SIDE - 1)
    return _bilinear(bank, scene.source[:, None, None], places), inside


def _bilinear(bank: Tensor, source: Tensor, places: Tensor) -> Tensor:
    """Colours at places (x, y; whole numbers are pixel centres) of some pictures, without copying them."""
    corner = places.floor().clamp(max=SIDE - 2).long()
    x, y = corner.unbind(-1)
    across, down = (places - corner)[..., None, :].unbind(-1)
    top = torch.lerp(bank[source, :, y, x].float(), bank[source, :, y, x + 1].float(), across)
    low = torch.lerp(bank[source, :, y + 1, x].float(), bank[source, :, y + 1, x + 1].float(), across)
    return torch.lerp(top, low, down)


def _small_pixels(camera: Camera, points: Tensor) -> tuple[Tensor, Tensor]:
    pixels, depth = camera.project(points)
    height, width = camera.size
    return pixels * SIDE / torch.tensor([width, height]), (depth > 0) & camera.contains(pixels)


def _spread(start: Tensor, gap: int) -> Tensor:
    chosen = start[:: max(1, -(-len(start) // MOST_PAIRS))]
    return torch.stack([chosen, chosen + gap])


def shifted(scene: Scene, frames: int) -> Scene:
    """The scene where the tool is `frames` later than said (negative: earlier)."""
    count = len(scene.known)
    source = torch.arange(count) - frames
    known = (source >= 0) & (source < count)
    return replace(scene, world_from_tool=scene.world_from_tool[source.clamp(0, count - 1)], known=known)


def _in_groups(scenes: Sequence[Scene]) -> Iterator[Sequence[Scene]]:
    for start in range(0, len(scenes), SCENES_AT_ONCE):
        yield scenes[start : start + SCENES_AT_ONCE]
