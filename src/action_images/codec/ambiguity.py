"""Frames in which a point is missing from a view: every pose that explains them, and which of those the neighbours support."""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from action_images.codec.format import ActionImageFormat
from action_images.codec.locate import Spots
from action_images.codec.solve import Solution, pose_from_points, refine
from action_images.geometry import Camera, Pose, Trajectory
from action_images.geometry.triangulate import triangulate
from action_images.structs import Struct

DEPTHS_M = torch.logspace(-1, 0.9, 16, dtype=torch.float64)
"""Where along its ray the tool is looked for when no point of it is seen twice."""
HIDDEN_SIGMAS = 0.5
"""A spot that was not found cannot lie deeper inside the frame than this."""
DISTINCT_M = 0.004
"""Poses whose points lie closer together than this are one solution."""
DECISIVE = 3.0
"""How many times nearer to the neighbours' prediction the best solution must be than the next one."""
MIN_SPOTS = 4
"""Three spots are six numbers for the six of a pose: several exact solutions, and nothing to check them by."""
SURE_SPOTS = 5
"""So many spots are ten numbers for six, and outvote one that should be seen and is not: generated spots fade."""
REACH_M = 0.05
"""How far from that prediction it may lie for every frame of distance to the neighbour."""


@dataclass(frozen=True)
class Candidates(Struct):
    """Poses (candidate frame), their three points (m), whether they explain a frame about as well as its best
    one, and how many spots that frame shows."""

    solution: Solution
    points: Float[Tensor, "*candidates 3 3"]
    plausible: Bool[Tensor, "*candidates"]
    num_seen: Int[Tensor, "*candidates"]


def points_distance(a: Tensor, b: Tensor) -> Tensor:
    """The largest distance (m) between corresponding points (*batch point 3)."""
    return (a - b).norm(dim=-1).amax(-1)


def search(spots: Spots, strong: Tensor, cameras: Camera, format: ActionImageFormat) -> Candidates:
    """Start from every arrangement of the three points that the rays and the tool's known shape allow, then refine each.

    Spots are (frame view point), cameras (frame view); `strong` marks the spots that are fit for triangulation, the
    others only have their say in the refinement.
    """
    start = pose_from_points(_arrangements(spots, strong, cameras, format))
    solution = refine(start, spots, cameras, format, num_steps=12)
    points = format.points(solution.world_from_tool)
    sure = (spots.seen.sum((1, 2)) >= SURE_SPOTS).expand(points.shape[:-2])
    allowed = (
        solution.in_front
        & (sure | ~should_be_seen(points, spots, cameras, format))
        & solution.chi_square.isfinite()
    )
    chi_square = torch.where(allowed, solution.chi_square, torch.inf)
    best = chi_square.min(0)
    spread = solution.spread.gather(0, best.indices[None])
    plausible = allowed & (chi_square <= best.values + 25 * spread)
    return Candidates(solution, points, plausible, spots.seen.sum((1, 2)).expand_as(plausible))


def _arrangements(spots: Spots, strong: Tensor, cameras: Camera, format: ActionImageFormat) -> Tensor:
    """Candidate positions of the three points, (candidate frame point 3).

    The point that most views see is the anchor: triangulated, or somewhere along its one ray. Another point with one
    ray lies where that meets the sphere of its known distance around the anchor, which is up to two places.
    """
    count = strong.sum(-2)
    anchor = count.argmax(-1)
    both, _ = triangulate(
        cameras[:, None], spots.position.transpose(-2, -3), strong.mT.to(spots.position.dtype)
    )
    view = (strong.int() + spots.seen.int()).argmax(-2)
    frame = torch.arange(len(view))[:, None]
    pixels = spots.position[frame, view, torch.arange(3)]
    origin, direction = cameras[frame, view].rays(pixels)

    depths = DEPTHS_M.to(origin) if (count.amax(-1) < 2).any() else DEPTHS_M[:1].to(origin)
    pick = anchor[:, None, None].expand(-1, 1, 3)
    along = (origin + direction * depths[:, None, None, None]).gather(2, pick.expand(len(depths), -1, -1, -1))
    anchored = torch.where((count.amax(-1) >= 2)[:, None, None], both.gather(1, pick), along)

    shape = format.points(Pose.identity(dtype=origin.dtype, device=origin.device))
    radius = (shape[:, None] - shape[None]).norm(dim=-1)[anchor]
    to_anchor = anchored - origin
    middle = (to_anchor * direction).sum(-1)
    half = (radius**2 - to_anchor.square().sum(-1) + middle**2).clamp_min(0).sqrt()
    meets = torch.stack([origin + direction * (middle + sign * half)[..., None] for sign in (-1, 1)])
    meets = torch.where((count >= 2)[..., None], both, meets)
    meets = torch.where(
        torch.arange(3, device=anchor.device)[:, None] == anchor[:, None, None], anchored, meets
    )
    sides = torch.cartesian_prod(*[torch.arange(2)] * 3)
    return meets[sides, ..., torch.arange(3), :].movedim(1, -2).flatten(0, 1)


def should_be_seen(points: Tensor, spots: Spots, cameras: Camera, format: ActionImageFormat) -> Tensor:
    """True where a pose would put a spot that was not found well inside a frame."""
    pixels, depth = cameras[:, :, None].project(points[..., None, :, :])
    margin = HIDDEN_SIGMAS * format.sigma_px(cameras.size)
    limit = pixels.new_tensor([cameras.size[1], cameras.size[0]])
    inside = ((pixels > margin) & (pixels < limit - margin)).all(-1) & (depth > 0)
    return (inside & ~spots.seen).any(-1).any(-1)


def choose(
    candidates: Candidates, frames: list[int], poses: dict[int, Pose], format: ActionImageFormat
) -> dict[int, int]:
    """Decide the searched frames of one path: frame number -> candidate, absent where the pose cannot be known.

    `frames` are the numbers of the candidates' frames, `poses` those frames of the path that are already known. A
    frame with one solution, and more spots than that takes, is decided by itself. Another takes the solution that the
    nearest decided frames predict, if that is near enough and any other is `DECISIVE` times as far; it then helps to
    decide the next frame.
    """
    chosen: dict[int, int] = {}
    poses = dict(poses)
    undecided = []
    for column, frame in enumerate(frames):
        plausible = candidates.plausible[:, column].nonzero().flatten()
        if len(plausible):
            best = int(plausible[candidates.solution.chi_square[plausible, column].argmin()])
            if len(_others(candidates, column, best)) or candidates.num_seen[best, column] < MIN_SPOTS:
                undecided.append(column)
            else:
                chosen[frame], poses[frame] = best, candidates.solution.world_from_tool[best, column]
    while undecided and poses:
        column = min(undecided, key=lambda c: min(abs(frames[c] - known) for known in poses))
        undecided.remove(column)
        frame = frames[column]
        predicted, gap = _predict(frame, poses)
        distance = points_distance(candidates.points[:, column], format.points(predicted))
        distance = torch.where(candidates.plausible[:, column], distance, torch.inf)
        best = int(distance.argmin())
        others = distance[_others(candidates, column, best)]
        if distance[best] < REACH_M * gap and (others > DECISIVE * distance[best]).all():
            chosen[frame], poses[frame] = best, candidates.solution.world_from_tool[best, column]
    return chosen


def _others(candidates: Candidates, column: int, best: int) -> Tensor:
    """The plausible candidates of a frame that are not the same solution as this one."""
    apart = points_distance(candidates.points[:, column], candidates.points[best, column]) >= DISTINCT_M
    return (apart & candidates.plausible[:, column]).nonzero().flatten()


def _predict(frame: int, poses: dict[int, Pose]) -> tuple[Pose, int]:
    """The pose between (or beside) the nearest decided frames, and how far the nearest of them is."""
    before = max((f for f in poses if f < frame), default=None)
    after = min((f for f in poses if f > frame), default=None)
    if before is None or after is None:
        nearest = after if before is None else before
        assert nearest is not None
        return poses[nearest], abs(frame - nearest)
    start, stop = poses[before], poses[after]
    pair = Pose(
        torch.stack([start.rotation, stop.rotation]), torch.stack([start.translation, stop.translation])
    )
    share = pair.translation.new_tensor([(frame - before) / (after - before)])
    between = Trajectory(pair, pair.translation.new_zeros(2)).at(share).world_from_tool[0]
    return between, min(frame - before, after - frame)
