"""Reasons to refuse or doubt the results: each finding has its reason and its remedy."""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal

from action_images.calibration.from_motion.conventions import DECLARED, TRIED
from action_images.calibration.from_motion.predicted import distance_px, tool_points
from action_images.calibration.from_motion.search import SetResult
from action_images.calibration.from_motion.solve import LEAST_SHARED
from action_images.calibration.from_motion.view import ViewResult

Level = Literal["refused", "warning", "note"]
Make = Callable[[Level, str, str], "Finding"]

LARGEST_PX = 3.0
"""Predicted error of drawn tool points beyond which a camera is refused (px of pictures with 256 rows)."""
DOUBTFUL_PX = 1.0
LEAST_TURN = 0.02
"""Least turn of every axis of the tool (rms sine of the angle); below, clicks are needed."""
LEAST_CLICKS = 3
MOST_REPEATED = 0.05
MOST_JITTER, DOUBTFUL_JITTER = 2e-3, 1e-3
"""Standard deviations in m of poses that jitter from frame to frame: refused, and doubtful."""
CLICKS_OFF_PX = 4.0
CLICKED = "--clicks, a file that the page of 'action-images view' saves"
WHOLE_FRAME = 0.5
MIRRORED = "mirrored"
CONVENTION = "convention"
"""The kinds of finding that --apply corrects."""
LEAST_AGREEMENT = 0.12
PIXEL_SHAPE = "pixel shape"
FEW_POINTS, PREDICTED, HELD_OUT = "few points", "predicted error", "held out"
MOVED_CAMERA = "moved camera"
BY_BUMP = {FEW_POINTS, PREDICTED, HELD_OUT}
"""The kinds of refusal that a bumped camera causes."""
BY_PIXEL_SHAPE = {PIXEL_SHAPE, FEW_POINTS, PREDICTED, HELD_OUT}
"""The kinds of refusal that a wrong fx / fy causes."""


@dataclass(frozen=True)
class Finding:
    """A finding about the set (view None) or a view, with its remedy."""

    level: Level
    view: str | None
    kind: str
    message: str


def judge(result: SetResult) -> list[Finding]:
    """All findings, refusals first."""
    found = [*_of_conventions(result)]
    for view in result.views:
        found += _of_view(view)
    order = {"refused": 0, "warning": 1, "note": 2}
    return sorted(found, key=lambda finding: order[finding.level])


def _of_conventions(result: SetResult) -> Iterator[Finding]:
    if result.convention != DECLARED:
        declared = next(rival for rival in result.rivals if rival.convention == DECLARED)
        more = f"{100 * declared.behind:.0f} +- {100 * declared.error:.1f} % of the tracks more"
        cure = "read the set so (--apply writes it where it can be declared), or import it again"
        says = TRIED[result.convention].says.replace("{view}", "each view")
        yield Finding(
            "refused", None, CONVENTION, f"poses fit {says}: {more} than as they are declared; {cure}"
        )
    for rival in result.ties:
        if _matters(result, rival.convention):
            less = f"{100 * rival.behind:.0f} +- {100 * rival.error:.1f} %"
            cure = f"record episodes in which the tool turns more, or click on the tool ({CLICKED})"
            name = rival.convention
            yield Finding(
                "refused",
                None,
                "tie",
                f"'{name}' explains only {less} of the tracks less than '{result.convention}', and "
                f"gives another camera; {cure}",
            )
        else:
            yield Finding(
                "warning",
                None,
                "tie",
                f"the pictures do not tell '{rival.convention}' from '{result.convention}' (the cameras are "
                "the same either way): verify the rotation's notation by its documentation",
            )


def _matters(result: SetResult, convention: str) -> bool:
    """Whether a convention that ties gives another camera in some view."""
    for view in result.views:
        if view.solved is None:
            continue
        trials = [one for name, one in result.trials if name == view.view.name]
        trials = [one for one in trials if one.reading.convention == convention and one.camera is not None]
        trials = [one for one in trials if one.reading.mirrored == view.reading.mirrored]
        if not trials:
            continue
        best = max(trials, key=lambda one: one.share)
        points = tool_points(view.view.paths(view.reading))
        assert best.camera is not None
        allowed = LARGEST_PX if view.predicted is None else max(LARGEST_PX, 2 * view.predicted.px)
        if distance_px(view.camera, best.camera, points) > allowed:
            return True
    return False


def _of_view(result: ViewResult) -> Iterator[Finding]:
    name = result.view.name

    def finding(level: Level, kind: str, message: str) -> Finding:
        return Finding(level, name, kind, message)

    num_episodes = len(result.view.ids)
    if result.solved is None or result.num_shared < LEAST_SHARED:
        seen = f"{result.view.num_tracks} features moved in {num_episodes} episodes"
        points = (
            f"{result.num_shared} points of the tool were seen in several of them, {LEAST_SHARED} are needed"
        )
        give = "give more episodes, larger pictures, or a view that shows the hand"
        if result.steady < LEAST_TURN:
            little = "the tool never tilts, so that each feature tells little"
            give = f"{little}: give pictures of twice the size, or cameras nearer to the hand"
        cure = f"{give}; a camera on the arm cannot be found so{_squeezed(result)}"
        yield finding("refused", FEW_POINTS, f"{seen}, but {points}; {cure}")
    yield from _of_poses(result, finding)
    if result.predicted is not None:
        yield from _of_error(result, finding)
    if result.reading.mirrored:
        cure = (
            "mirror the videos (ffmpeg -vf hflip; --apply declares it in a LeRobot set), or find out which "
            "axis of the poses is reversed"
        )
        yield finding("refused", MIRRORED, f"the pictures are mirrored against the poses; {cure}")
    if abs(result.shift) >= WHOLE_FRAME:
        way = "late" if result.shift > 0 else "early"
        right = f"'action-images import --shift {name}={round(result.shift)}'"
        cure = f"set it right with {right} (--apply declares it in a LeRobot set)"
        yield finding(
            "warning",
            "delay",
            f"its pictures are {abs(result.shift):.2f} +- {result.shift_error:.2f} frames {way}; {cure}",
        )
    yield from _of_pixels(result, finding)
    yield from _of_episodes(result, finding)
    yield from _of_clicks(result, finding)


def _squeezed(result: ViewResult) -> str:
    """A possible cause: another shape of pixels that fits the tracks, or one that no measure tells."""
    shape = result.pixel_shape
    if shape is not None and shape.is_wrong:
        found = f"fx / fy = {shape.found:.3f} +- {shape.found * shape.error:.3f}"
        return f"; {found} fits better than {shape.assumed:.3f}: were the pictures squeezed? Give --aspect"
    if result.solved is not None and result.camera.aspect != 1:
        return ""
    return "; pixels are taken for square: pictures that were squeezed need --aspect, their fx / fy"


def _of_pixels(result: ViewResult, finding: Make) -> Iterator[Finding]:
    shape = result.pixel_shape
    if result.predicted is None or (shape is not None and shape.is_right):
        return
    if shape is not None and shape.is_wrong:
        found = f"fx / fy is {shape.found:.3f} +- {shape.found * shape.error:.3f} by the tracks"
        cure = (
            "were the pictures squeezed? Give the true ratio (--aspect 0.75 for 640 x 480 px made 256 x 256; "
            "where the set has cameras, correct their fx and fy), or estimate the lens with --radial"
        )
        yield finding("refused", PIXEL_SHAPE, f"{found}, {shape.assumed:.3f} was assumed; {cure}")
        return
    least = "" if shape is None else f", to {100 * shape.limit:.0f} % at best"
    cure = "compare the video's size with the camera's own, and give --aspect if they differ in shape"
    assumed = f"fx / fy is assumed to be {result.camera.aspect:.3f}"
    yield finding("note", PIXEL_SHAPE, f"{assumed}, which the tracks do not verify{least}; {cure}")


def _of_poses(result: ViewResult, finding: Make) -> Iterator[Finding]:
    if result.repeated > MOST_REPEATED:
        share = f"{100 * result.repeated:.0f} % of the poses in motion are the last frame's over again"
        cure = "record each picture with the pose of its own time"
        yield finding(
            "refused", "repeated poses", f"{share}: they lag behind the pictures by changing amounts; {cure}"
        )
    if result.jitter > DOUBTFUL_JITTER:
        level: Level = "refused" if result.jitter > MOST_JITTER else "warning"
        cure = "smooth the poses, or read them at the times of the pictures"
        yield finding(
            level, "jitter", f"the poses jitter by {1e3 * result.jitter:.1f} mm from frame to frame; {cure}"
        )
    turned = math.degrees(math.asin(min(1.0, result.steady)))
    if result.steady < LEAST_TURN and result.num_clicks < LEAST_CLICKS:
        x, y, z = result.steady_axis
        axis = f"the tool's axis ({x:.2f}, {y:.2f}, {z:.2f}) turns by {turned:.1f} degrees only"
        why = "points may be shifted along it, and the camera with them"
        cure = f"give 3 to 6 clicks on the tool's origin ({CLICKED}), or episodes in which the tool tilts"
        yield finding("refused", "steady axis", f"{axis}: {why}; {cure}")


def _of_error(result: ViewResult, finding: Make) -> Iterator[Finding]:
    assert result.predicted is not None
    px, mm = result.predicted.px, 1e3 * result.predicted.metres
    limit = LARGEST_PX * max(1.0, result.view.size[0] / 256)
    error = f"the predicted error of the drawn tool is {px:.1f} px ({mm:.0f} mm)"
    cure = f"give more episodes, ones in which the tool tilts, --focal, or 3 to 6 clicks ({CLICKED})"
    cure += _squeezed(result)
    if px > limit:
        yield finding("refused", PREDICTED, f"{error}, at most {limit:.1f} px are allowed; {cure}")
    elif px > DOUBTFUL_PX:
        yield finding("warning", PREDICTED, f"{error}; {cure}")
    # With few held-out tracks, two more or less are chance.
    num_held_out = result.explained * sum(one.num_tracks for one in result.episodes if one.held_out)
    if result.agreement + 2 / max(num_held_out, 1.0) < LEAST_AGREEMENT:
        share = (
            f"only {100 * result.agreement:.0f} % of the held-out tracks that move with the tool show a point"
        )
        why = "that other episodes show: poses or the camera differ from episode to episode"
        yield finding("refused", HELD_OUT, f"{share} {why}; split the set, or correct its poses")


def _of_episodes(result: ViewResult, finding: Make) -> Iterator[Finding]:
    cure = "has the camera been moved? Split the set there, and calibrate the parts"
    if result.bump is not None:
        yield finding("warning", MOVED_CAMERA, f"{result.bump.sentence()}; {cure}")
    moved = result.moved
    if not moved:
        return
    names = [one.id for one in moved]
    places = [place for place, one in enumerate(result.episodes) if not one.fits]
    several = len(places) > 1 and places[-1] - places[0] == len(places) - 1
    where = f"from {names[0]} to {names[-1]}" if several else ", ".join(names[:3])
    more = "" if several or len(names) <= 3 else f" and {len(names) - 3} more"
    yield finding(
        "warning", MOVED_CAMERA, f"{len(names)} episodes do not fit the camera ({where}{more}); {cure}"
    )


def _of_clicks(result: ViewResult, finding: Make) -> Iterator[Finding]:
    if result.solved is None:
        return
    if result.clicks_px is None:
        cure = f"click once on the point between the finger tips ({CLICKED}), or look at the page"
        yield finding(
            "note", "no clicks", f"a wrong tool frame (a wrist's, not the tool's) would not be seen; {cure}"
        )
    elif result.clicks_px > CLICKS_OFF_PX and result.predicted is not None:
        millimetres = 1e3 * result.clicks_px * result.predicted.metres_per_px
        off = f"the clicks lie {result.clicks_px:.1f} px ({millimetres:.0f} mm) from the drawn tool"
        cure = "are the poses those of a flange or wrist? Declare 'tool_offset' in calibration.json"
        yield finding("warning", "clicks", f"{off}; {cure}")
