"""Calibrate cameras from pictures and poses: closed form, refinement, and refusal of bad results."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from action_images.calibration.hand_eye import check_turns, closed_form, disagreement, middle
from action_images.calibration.lens import Lens, board_pose, estimate_lens, lens_of
from action_images.calibration.opencv import CalibrationError
from action_images.calibration.refine import Corners, Mount, Problem, Refined, Unknowns, refine, rms
from action_images.calibration.shots import Shots, Sighting
from action_images.geometry import Camera, Pose
from action_images.structs import stack

LEAST_PICTURES = 6
"""Fewer pictures of a camera give no reliable result; twenty are a good number."""

POSE_STD = (1e-3, math.radians(0.2))
"""Assumed accuracy of an arm's tool pose: standard deviations, m and rad."""

LARGEST_BEND_PX = 0.5
"""A lens that clearly bends the picture more than this is no pinhole."""

OUTLIER_RATIO, LEAST_OUTLIER_PX = 4.0, 2.0
"""A picture is an outlier if its error exceeds this many times the median of all and this many px."""

LARGEST_MISS = 0.01
"""Limit in m of the median picture's error, and of the standard deviation of a camera's position."""


@dataclass(frozen=True)
class Residual:
    """Error of one picture against the calibration: rms over its corners.

    `miss_px` and `miss` (m at the board) use the robot's pose as reported; `corner_px` uses the corrected
    pose, so it shows the error of corners and lens alone.
    """

    sighting: Sighting
    corner_px: float
    miss_px: float
    miss: float


@dataclass(frozen=True)
class Calibration:
    """The result: cameras in the order of `names`; `dropped` are the pictures left out as outliers."""

    shots: Shots
    mount: Mount
    names: tuple[str, ...]
    refined: Refined
    residuals: tuple[Residual, ...]
    dropped: tuple[Residual, ...]

    @property
    def outliers(self) -> tuple[Residual, ...]:
        """The pictures with far larger errors than the others."""
        middle = _median([residual.miss_px for residual in self.residuals])
        return tuple(r for r in self.residuals if r.miss_px > max(OUTLIER_RATIO * middle, LEAST_OUTLIER_PX))

    def of(self, name: str) -> list[Residual]:
        """The residuals of one camera's pictures."""
        return [residual for residual in self.residuals if residual.sighting.camera == name]

    def mounted(self) -> dict[str, Camera]:
        """The cameras in the frame that carries them: world_from_camera, on a wrist tool_from_camera."""
        known = self.refined.unknowns
        return {
            name: known.lens[i].camera(known.mount_from_camera[i], self.shots.sizes[name])
            for i, name in enumerate(self.names)
        }

    def cameras(self) -> dict[str, Camera]:
        """The cameras in the world; a wrist camera has an axis: one for each row of the poses."""
        return (
            self.mounted() if self.mount == "world" else carried(self.mounted(), self.shots.world_from_tool)
        )


def carried(in_tool: Mapping[str, Camera], world_from_tool: Pose) -> dict[str, Camera]:
    """Cameras on the tool, in the world along a path (axis: frame)."""
    num_frames = len(world_from_tool.translation)
    return {name: camera.expand(num_frames).moved(world_from_tool) for name, camera in in_tool.items()}


def calibrate(
    shots: Shots,
    mount: Mount,
    given: Mapping[str, Camera] | None = None,
    *,
    pose_std: tuple[float, float] = POSE_STD,
    bent: bool = False,
    drop_outliers: bool = False,
) -> Calibration:
    """Calibrate all cameras together: in the world (the tool holds the board), or on the tool.

    Lenses of cameras in `given` are kept; their poses are ignored. `bent` allows radial distortion: the
    cameras are then those of undistorted pictures. `drop_outliers` drops, once, the pictures in `outliers`.

    Raises CalibrationError for too few pictures, poses that do not turn enough, and a lens that is no
    pinhole. Also raises it for a result that misses or is undetermined by more than a centimetre.
    """
    result = _calibrate(shots, mount, given or {}, pose_std, bent=bent)
    dropped = result.outliers if drop_outliers else ()
    if dropped:
        kept = shots.without({residual.sighting.picture for residual in dropped})
        again = _calibrate(kept, mount, given or {}, pose_std, bent=bent)
        result = Calibration(shots, mount, again.names, again.refined, again.residuals, dropped)
    _refuse_poor(result)
    return result


def _calibrate(
    shots: Shots,
    mount: Mount,
    given: Mapping[str, Camera],
    pose_std: tuple[float, float],
    *,
    bent: bool,
) -> Calibration:
    names = tuple(shots.sizes)
    if unknown := [name for name in given if name not in names]:
        raise CalibrationError(
            f"intrinsics are given of {', '.join(unknown)}, pictures of {', '.join(names)}; give those of "
            "the same names"
        )
    by_camera: dict[str, list[Sighting]] = {name: [] for name in names}
    for sighting in shots.sightings:
        if sighting.camera in by_camera:
            by_camera[sighting.camera].append(sighting)
    lenses, views, boards = [], [], []
    for name, sightings in by_camera.items():
        _check_enough(name, sightings, shots)
        tools = shots.world_from_tool[[sighting.pose for sighting in sightings]]
        check_turns(tools, name)
        lens = _estimate_lens(name, sightings, shots, given.get(name), bent=bent)
        seen = stack([board_pose(lens, shots.board.corners[s.found.ids], s.found.pixels) for s in sightings])
        eye, board = closed_form(seen, _holder(tools, mount))
        apart = disagreement(seen, _holder(tools, mount), eye, board)
        _refuse_other_mount(name, apart, seen, tools, mount)
        lenses.append(lens)
        views.append((seen, _holder(tools, mount)))
        boards.append((apart, board))
    poses = Pose.identity(len(shots.world_from_tool.translation), dtype=torch.float64)
    # There is one board: the camera most consistent with itself places it, and all others follow.
    board = min(boards, key=lambda pair: pair[0])[1]
    eyes = [middle(mount_from_holder @ board @ seen.inverse()) for seen, mount_from_holder in views]
    start = Unknowns(stack(lenses), stack(eyes), board, poses)
    free = tuple(name not in given for name in names)
    problem = Problem(
        _corners(shots, names), shots.world_from_tool, mount, pose_std=pose_std, free=free, bent=bent
    )
    # Refine poses first: while they are far off, a lens would bend to explain them.
    settled = refine(replace(problem, free=(False,) * len(names)), start).unknowns.exact_robot()
    refined = refine(problem, settled)
    return Calibration(shots, mount, names, refined, _residuals(shots, problem, refined.unknowns), ())


def _holder(world_from_tool: Pose, mount: Mount) -> Pose:
    return world_from_tool if mount == "world" else world_from_tool.inverse()


def _check_enough(name: str, sightings: list[Sighting], shots: Shots) -> None:
    if len(sightings) >= LEAST_PICTURES:
        return
    blind = [path.name for path in shots.blind if path.resolve().parent.name == name]
    where = f"; it is not seen in {', '.join(blind)}" if blind else ""
    raise CalibrationError(
        f"{name}: the board is seen in {len(sightings)} pictures, at least {LEAST_PICTURES} are needed and "
        f"20 are good{where}"
    )


def _estimate_lens(
    name: str, sightings: list[Sighting], shots: Shots, given: Camera | None, *, bent: bool
) -> Lens:
    """A camera's lens; if its intrinsics are given, only the distortion is estimated."""
    known = None if given is None else lens_of(given)
    if given is not None and tuple(given.size) != tuple(shots.sizes[name]):
        raise CalibrationError(
            f"{name}: intrinsics are given for pictures of {tuple(given.size)} px, these are "
            f"{tuple(shots.sizes[name])}; give those of "
            "this size"
        )
    points, pixels = (
        [shots.board.corners[s.found.ids] for s in sightings],
        [s.found.pixels for s in sightings],
    )
    curved, curved_px = estimate_lens(points, pixels, shots.sizes[name], straight=False, known=known)
    if bent:
        return curved
    straight, straight_px = estimate_lens(points, pixels, shots.sizes[name], straight=True, known=known)
    everywhere = torch.cat(pixels)
    bend_px = (curved.bent(everywhere) - everywhere).norm(dim=-1).amax().item()
    if bend_px > LARGEST_BEND_PX and straight_px > 1.5 * curved_px:
        raise CalibrationError(
            f"{name}: this lens bends the picture by up to {bend_px:.1f} px (a pinhole leaves "
            f"{straight_px:.2f} px of error, a lens with "
            f"distortion {curved_px:.2f}), and cameras here are pinholes; calibrate with --straighten, "
            "then straighten every video too"
        )
    return straight if known is None else known


def _refuse_other_mount(name: str, apart: float, seen: Pose, tools: Pose, mount: Mount) -> None:
    if apart < 2 * LARGEST_MISS:
        return
    other = _holder(tools, "tool" if mount == "world" else "world")
    if disagreement(seen, other, *closed_form(seen, other)) < apart / 4:
        wanted = "wrist" if mount == "world" else "fixed"
        raise CalibrationError(
            f"{name}: pictures and poses fit the other setting far better: use 'calibrate {wanted}', or, "
            "if the setting is right, "
            "the poses are inverted (they must be tool to world)"
        )


def _corners(shots: Shots, names: tuple[str, ...]) -> Corners:
    counts = torch.tensor([len(sighting.found.ids) for sighting in shots.sightings])
    repeat = lambda numbers: torch.tensor(numbers).repeat_interleave(counts)  # noqa: E731
    return Corners(
        repeat([names.index(sighting.camera) for sighting in shots.sightings]),
        repeat([sighting.pose for sighting in shots.sightings]),
        shots.board.corners[torch.cat([sighting.found.ids for sighting in shots.sightings])],
        torch.cat([sighting.found.pixels for sighting in shots.sightings]),
    )


def _residuals(shots: Shots, problem: Problem, unknowns: Unknowns) -> tuple[Residual, ...]:
    counts = [len(sighting.found.ids) for sighting in shots.sightings]
    corrected = problem.residual_px(unknowns).split(counts)
    reported = problem.residual_px(unknowns.exact_robot())
    depth = problem.in_camera(unknowns)[:, 2:]
    metres = (reported * depth / unknowns.lens.focal[problem.corners.camera]).split(counts)
    each = zip(shots.sightings, corrected, reported.split(counts), metres, strict=True)
    return tuple(Residual(sighting, rms(a), rms(b), rms(c)) for sighting, a, b, c in each)


def _refuse_poor(result: Calibration) -> None:
    for i, name in enumerate(result.names):
        miss = _median([residual.miss for residual in result.of(name)])
        if miss > LARGEST_MISS:
            raise CalibrationError(
                f"{name}: the median picture misses by {miss * 1e3:.0f} mm: do pictures and poses belong "
                "together, are poses those of the "
                "tool in the world (m, quaternion x y z w), is --square what was measured, was the board "
                "fixed all the time?"
            )
        if (std := result.refined.position_std[i].item()) > LARGEST_MISS:
            raise CalibrationError(
                f"{name}: these pictures leave its position uncertain by {std * 1e3:.0f} mm; take more, "
                "with the board nearer, "
                "tilted by 30 degrees or more against the line of sight, and all over the picture"
            )


def _median(numbers: list[float]) -> float:
    return torch.tensor(numbers).median().item()


def report(result: Calibration) -> dict:
    """The residuals as json: px and mm, for each camera and each picture."""
    known, stds = result.refined.unknowns, result.refined
    identity = Pose.identity(*known.tool_from_true_tool.batch_shape, dtype=torch.float64)
    turn = known.tool_from_true_tool.distance(identity)
    used = sorted({residual.sighting.pose for residual in result.residuals})
    return {
        "board": str(result.shots.board),
        "mount": result.mount,
        "cameras": {name: _camera_report(result, i, name) for i, name in enumerate(result.names)},
        "holder_from_board": known.holder_from_board.matrix().tolist(),
        "robot_corrections": {
            "poses": used,
            "shift_mm": [turn[0][i].item() * 1e3 for i in used],
            "turn_deg": [math.degrees(turn[1][i].item()) for i in used],
        },
        "without_board": [_short(path) for path in result.shots.blind],
        "outliers": [_short(residual.sighting.picture) for residual in result.outliers],
        "dropped_outliers": [_picture_report(residual) for residual in result.dropped],
        "position_std_mm": {name: stds.position_std[i].item() * 1e3 for i, name in enumerate(result.names)},
        "rotation_std_deg": {
            name: math.degrees(stds.rotation_std[i].item()) for i, name in enumerate(result.names)
        },
    }


def _camera_report(result: Calibration, index: int, name: str) -> dict:
    lens, mount_from_camera = (
        result.refined.unknowns.lens[index],
        result.refined.unknowns.mount_from_camera[index],
    )
    return {
        "intrinsics": lens.intrinsics().tolist(),
        "radial": lens.radial.tolist(),
        f"{result.mount}_from_camera": mount_from_camera.matrix().tolist(),
        "pictures": [_picture_report(residual) for residual in result.of(name)],
    }


def _picture_report(residual: Residual) -> dict:
    return {
        "picture": _short(residual.sighting.picture),
        "pose": residual.sighting.pose,
        "num_corners": len(residual.sighting.found.ids),
        "corner_px": residual.corner_px,
        "miss_px": residual.miss_px,
        "miss_mm": residual.miss * 1e3,
    }


def _short(path: Path) -> str:
    return f"{path.resolve().parent.name}/{path.name}"
