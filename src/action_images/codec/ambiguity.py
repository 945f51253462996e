"""Frames with a missing spot: all poses that explain them, and the one that the neighbours support."""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from action_images.codec.format import ActionImageFormat
from action_images.codec.locate import Spots
from action_images.codec.solve import Solution, pose_from_points, refine
from action_images.geometry import Camera, Pose, Trajectory
from action_images.geometry.triangulate import triangulate
from action_images.structs import Struct, stack

DEPTHS_M = torch.logspace(-1, 0.9, 16, dtype=torch.float64)
"""Distances along its ray at which the tool is searched if no point of it is seen twice."""
HIDDEN_SIGMAS = 0.5
"""A missing spot cannot lie deeper inside the frame than this."""
DISTINCT_M = 0.004
"""Poses whose points are closer together than this are one solution."""
PLAUSIBLE_CHI_SQUARE = 25
"""How much worse than a frame's best pose another may fit, in units of the best one's `spread`."""
DECISIVE = 3.0
"""How many times nearer to the neighbours' prediction the best solution must be than the next one."""
MIN_SPOTS = 4
"""Three spots give six numbers for a pose's six: several exact solutions, and none left as a check."""
SURE_SPOTS = 5
"""Five spots give ten numbers for six. They outvote a missing one, because spots of generated images fade."""
REACH_M = 0.05
"""Largest distance to the prediction, per frame of distance to the neighbour."""
SEARCH_STEPS = 12
"""Gauss-Newton steps from a start that may be far off."""


@dataclass(frozen=True)
class Candidates(Struct):
    """Poses (candidate frame) that may explain frames with missing spots.

    `points` are a pose's three points (m). `plausible` is True if a pose explains its frame about as well as
    the frame's best one. `num_seen` counts the spots that the frame shows.
    """

    solution: Solution
    points: Float[Tensor, "*candidates 3 3"]
    plausible: Bool[Tensor, "*candidates"]
    num_seen: Int[Tensor, "*candidates"]


def search(
    spots: Spots, strong: Bool[Tensor, "frame view 3"], cameras: Camera, format: ActionImageFormat
) -> Candidates:
    """Every arrangement of the three points that the rays and the tool's known shape allow, refined.

    Spots are (frame view point), cameras (frame view). `strong` marks the spots that are precise enough for
    triangulation; the others only take part in the refinement.
    """
    start = pose_from_points(_arrangements(spots, strong, cameras, format))
    solution = refine(start, spots, cameras, format, num_steps=SEARCH_STEPS)
    points = format.points(solution.world_from_tool)
    num_seen = spots.seen.sum((1, 2)).expand(points.shape[:-2])
    explains_gaps = (num_seen >= SURE_SPOTS) | ~should_be_seen(points, spots, cameras, format)
    allowed = solution.in_front & explains_gaps & solution.chi_square.isfinite()
    return Candidates(solution, points, _plausible(solution, allowed), num_seen)


def _plausible(
    solution: Solution, allowed: Bool[Tensor, "candidate frame"]
) -> Bool[Tensor, "candidate frame"]:
    chi_square = torch.where(allowed, solution.chi_square, torch.inf)
    least, best = chi_square.min(0)
    spread_of_best = solution.spread.gather(0, best[None])
    return allowed & (chi_square <= least + PLAUSIBLE_CHI_SQUARE * spread_of_best)


@dataclass(frozen=True)
class _Rays:
    """One ray to each point of each frame, from the view that shows it best."""

    origin: Float[Tensor, "frame 3 3"]
    direction: Float[Tensor, "frame 3 3"]


def _arrangements(
    spots: Spots, strong: Bool[Tensor, "frame view 3"], cameras: Camera, format: ActionImageFormat
) -> Float[Tensor, "candidate frame 3 3"]:
    """Candidate positions of the three points.

    The point that most views see is the anchor: triangulated, or somewhere along its one ray. Another point
    with one ray lies where that ray meets the sphere of its known distance around the anchor, in up to two
    places.
    """
    num_views = strong.sum(-2)
    anchor = num_views.argmax(-1)
    weight = strong.mT.to(spots.position.dtype)
    triangulated, _ = triangulate(cameras[:, None], spots.position.transpose(-2, -3), weight)
    rays = _best_rays(spots, strong, cameras)

    anchored = _anchor_positions(anchor, num_views, triangulated, rays)
    near_and_far = _meet(rays, anchored, _distances_from(anchor, format, like=anchored))
    near_and_far = torch.where((num_views >= 2)[..., None], triangulated, near_and_far)
    is_anchor = torch.arange(3, device=anchor.device) == anchor[:, None]
    near_and_far = torch.where(is_anchor[..., None], anchored, near_and_far)
    # Each point takes either side separately: 8 combinations for every position of the anchor.
    sides = torch.cartesian_prod(*[torch.arange(2)] * 3)
    return near_and_far[sides, ..., torch.arange(3), :].movedim(1, -2).flatten(0, 1)


def _best_rays(spots: Spots, strong: Bool[Tensor, "frame view 3"], cameras: Camera) -> _Rays:
    """One ray for each point: strong spots are preferred to weak ones, and weak ones to none."""
    best_view = (strong.int() + spots.seen.int()).argmax(-2)
    frame = torch.arange(len(best_view))[:, None]
    pixels = spots.position[frame, best_view, torch.arange(3)]
    return _Rays(*cameras[frame, best_view].rays(pixels))


def _anchor_positions(
    anchor: Int[Tensor, "frame"], num_views: Int[Tensor, "frame 3"], triangulated: Tensor, rays: _Rays
) -> Float[Tensor, "depth frame 1 3"]:
    """Possible positions of the anchor: triangulated, or one for every depth along its ray."""
    needs_depths = (num_views.amax(-1) < 2).any()
    depths = DEPTHS_M.to(rays.origin) if needs_depths else DEPTHS_M[:1].to(rays.origin)
    along_rays = rays.origin + rays.direction * depths[:, None, None, None]
    pick = anchor[:, None, None].expand(-1, 1, 3)
    along_its_ray = along_rays.gather(2, pick.expand(len(depths), -1, -1, -1))
    is_triangulated = (num_views.amax(-1) >= 2)[:, None, None]
    return torch.where(is_triangulated, triangulated.gather(1, pick), along_its_ray)


def _distances_from(
    anchor: Int[Tensor, "frame"], format: ActionImageFormat, like: Tensor
) -> Float[Tensor, "frame 3"]:
    """The distance of each of the tool's points from the anchor (m)."""
    shape = format.points(Pose.identity(dtype=like.dtype, device=like.device))
    return (shape[:, None] - shape[None]).norm(dim=-1)[anchor]


def _meet(
    rays: _Rays, centre: Float[Tensor, "depth frame 1 3"], radius: Float[Tensor, "frame 3"]
) -> Float[Tensor, "2 depth frame 3 3"]:
    """The two places where each ray meets the sphere; a ray that misses it gives its nearest point twice."""
    to_centre = centre - rays.origin
    nearest = (to_centre * rays.direction).sum(-1)
    half_chord = (radius**2 - to_centre.square().sum(-1) + nearest**2).clamp_min(0).sqrt()
    sides = (nearest + sign * half_chord for sign in (-1, 1))
    return torch.stack([rays.origin + rays.direction * along[..., None] for along in sides])


def should_be_seen(
    points: Float[Tensor, "*candidates frame 3 3"], spots: Spots, cameras: Camera, format: ActionImageFormat
) -> Bool[Tensor, "*candidates frame"]:
    """True if a pose would put a missing spot well inside a frame."""
    pixels, depth = cameras[:, :, None].project(points[..., None, :, :])
    height, width = cameras.size
    margin = HIDDEN_SIGMAS * format.sigma_px(cameras.size)
    limit = pixels.new_tensor([width, height])
    inside = ((pixels > margin) & (pixels < limit - margin)).all(-1) & (depth > 0)
    return (inside & ~spots.seen).any(-1).any(-1)


def choose(
    candidates: Candidates, frames: list[int], poses: dict[int, Pose], format: ActionImageFormat
) -> dict[int, int]:
    """Decide the searched frames of one path: frame number -> candidate, absent if the pose stays unknown.

    `frames` are the numbers of the candidates' frames, `poses` the frames of the path that are already known.
    A frame with one solution and more spots than that needs is decided alone. Any other frame takes the
    solution that the nearest decided frames predict. That solution must be near enough, and any other
    `DECISIVE` times as far; the frame then helps to decide the next one.
    """
    chosen: dict[int, int] = {}
    poses = dict(poses)

    def decide(column: int, candidate: int) -> None:
        chosen[frames[column]] = candidate
        poses[frames[column]] = candidates.solution.world_from_tool[candidate, column]

    undecided = []
    for column in range(len(frames)):
        alone = _decided_alone(candidates, column)
        if alone is not None:
            decide(column, alone)
        elif candidates.plausible[:, column].any():
            undecided.append(column)
    while undecided and poses:
        column = min(undecided, key=lambda column: _gap(frames[column], poses))
        undecided.remove(column)
        supported = _supported(candidates, column, frames[column], poses, format)
        if supported is not None:
            decide(column, supported)
    return chosen


def _decided_alone(candidates: Candidates, column: int) -> int | None:
    """The best candidate of a frame if no other solution is plausible and enough spots check it."""
    plausible = candidates.plausible[:, column].nonzero().flatten()
    if not len(plausible):
        return None
    best = int(plausible[candidates.solution.chi_square[plausible, column].argmin()])
    unique = not _rivals(candidates, column, best).any()
    return best if unique and candidates.num_seen[best, column] >= MIN_SPOTS else None


def _supported(
    candidates: Candidates, column: int, frame: int, poses: dict[int, Pose], format: ActionImageFormat
) -> int | None:
    """The candidate of a frame that is decisively nearest to the prediction of the decided frames."""
    predicted = format.points(_predict(frame, poses))
    distance_m = points_distance(candidates.points[:, column], predicted)
    distance_m = torch.where(candidates.plausible[:, column], distance_m, torch.inf)
    best = int(distance_m.argmin())
    within_reach = distance_m[best] < REACH_M * _gap(frame, poses)
    rivals_m = distance_m[_rivals(candidates, column, best)]
    return best if within_reach and (rivals_m > DECISIVE * distance_m[best]).all() else None


def points_distance(a: Float[Tensor, "*a 3 3"], b: Float[Tensor, "*b 3 3"]) -> Float[Tensor, "*batch"]:
    """The largest distance (m) between corresponding points (*batch point 3); batch axes broadcast."""
    return (a - b).norm(dim=-1).amax(-1)


def _rivals(candidates: Candidates, column: int, best: int) -> Bool[Tensor, "candidate"]:
    """True for a frame's plausible candidates that are another solution than this one."""
    apart_m = points_distance(candidates.points[:, column], candidates.points[best, column])
    return (apart_m >= DISTINCT_M) & candidates.plausible[:, column]


def _gap(frame: int, poses: dict[int, Pose]) -> int:
    """Distance in frames to the nearest decided frame."""
    return min(abs(frame - known) for known in poses)


def _predict(frame: int, poses: dict[int, Pose]) -> Pose:
    """The pose between the nearest decided frames, or that of the nearest one at the path's ends."""
    before = max((known for known in poses if known < frame), default=None)
    after = min((known for known in poses if known > frame), default=None)
    if before is None or after is None:
        nearest = after if before is None else before
        assert nearest is not None
        return poses[nearest]
    pair = stack([poses[before], poses[after]])
    share = pair.translation.new_tensor([(frame - before) / (after - before)])
    return Trajectory(pair, pair.translation.new_zeros(2)).at(share).world_from_tool[0]
