"""Compare a data set's own cameras with those found from motion."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import torch

from action_images.calibration.from_motion.bump import Bump
from action_images.calibration.from_motion.gather import Followable, Gathered, choose, gather
from action_images.calibration.from_motion.judge import BY_BUMP, BY_PIXEL_SHAPE, judge
from action_images.calibration.from_motion.pinhole import Pinhole
from action_images.calibration.from_motion.pixel_shape import PixelShape
from action_images.calibration.from_motion.predicted import distance_px, tool_points
from action_images.calibration.from_motion.search import SetResult, calibrate_from_motion
from action_images.calibration.from_motion.view import Asked, ViewResult
from action_images.episodes.dataset import Dataset
from action_images.episodes.episode import Episode
from action_images.geometry import Camera

LEAST_EPISODES = 8
"""With fewer episodes, motion is not evaluated."""
LEAST_OFF_PX = 1.0
"""A camera may draw the tool this far (px of pictures with 256 rows) from where motion places it ..."""
SURELY = 2.0
"""... or this many times the predicted error."""


@dataclass(frozen=True)
class Compared:
    """The distance (px) between a view's own camera and motion in drawing the tool; or why it is unknown.

    `predicted_px` is the predicted error of motion, `limit_px` the largest accepted `off_px`. `shape` is set
    if motion contradicts the camera's fx / fy, `bump` if the camera was moved between two episodes; the
    distance is not known then.
    """

    view: str
    off_px: float = 0.0
    predicted_px: float = 0.0
    limit_px: float = 0.0
    why_not: str | None = None
    shape: PixelShape | None = None
    bump: Bump | None = None

    @property
    def is_off(self) -> bool:
        """Whether the camera, or the tool's poses in its world, are wrong."""
        contradicted = self.shape is not None or self.bump is not None
        return self.why_not is None and (contradicted or self.off_px > self.limit_px)

    def sentence(self) -> str:
        """The result in words."""
        if self.why_not is not None:
            return f"{self.view}: its motion does not tell where its camera stands; {self.why_not}"
        if self.shape is not None:
            found = f"{self.shape.found:.3f} +- {self.shape.found * self.shape.error:.3f}"
            return f"{self.view}: fx / fy of its camera is {self.shape.assumed:.3f}, and by motion {found}"
        if self.bump is not None:
            return f"{self.view}: {self.bump.sentence()}"
        known = f"(known to {self.predicted_px:.1f} px)"
        drawn = f"its camera draws the tool {self.off_px:.1f} px from where its motion has it {known}"
        return f"{self.view}: {drawn}"

    def cure(self) -> str:
        """The cause and the remedy if it is off."""
        finds = "'calibrate from_motion' finds"
        if self.shape is not None:
            return f"were the pictures squeezed? Correct its fx and fy; {finds} the camera with --aspect"
        if self.bump is not None:
            return (
                f"was it moved? Split the set there: one camera does not fit both parts; {finds} each part's"
            )
        return f"the camera, or the tool's poses in its world, are off; {finds} the camera"


def compare_cameras(path: Path, folder: Path, *, most: int, num_workers: int) -> list[Compared]:
    """Compare each calibrated view's own camera with motion, in at most `most` episodes of a set of ours.

    Tracks are stored in `folder`. Raises CalibrationError if nothing can be tracked.
    """
    dataset = Dataset(path)
    wanted = set(choose(dataset.ids, most=most))
    own = dict(_own_cameras(dataset[place] for place, one in enumerate(dataset.ids) if one in wanted))
    still = [name for name, camera in own.items() if camera is not None]
    moved = "it moves, or differs from episode to episode"
    told = [Compared(name, why_not=moved) for name, camera in own.items() if camera is None]
    if not still:
        return told
    gathered = gather(Followable(path, tuple(still)), folder, num_workers=num_workers, most=most)
    if len(gathered.episodes) < LEAST_EPISODES:
        few = f"only {len(gathered.episodes)} episodes could be followed, {LEAST_EPISODES} are needed"
        return told + [Compared(name, why_not=few) for name in still]
    return told + list(compare_gathered(gathered, {name: _known(own[name]) for name in still}, num_workers))


def _known(camera: Camera | None) -> Camera:
    assert camera is not None
    return camera


def _own_cameras(episodes: Iterable[Episode]) -> Iterator[tuple[str, Camera | None]]:
    """Each calibrated view's camera; None unless it is the same still camera in all episodes."""
    first: dict[str, Camera] = {}
    others: set[str] = set()
    for episode in episodes:
        for view in episode.views:
            if view.camera is None:
                continue
            known = first.setdefault(view.name, view.camera)
            if view.camera.batch_shape or not _is_same(known, view.camera):
                others.add(view.name)
    for name, camera in first.items():
        yield name, None if name in others else camera


def _is_same(one: Camera, other: Camera) -> bool:
    if one.batch_shape != other.batch_shape or one.size != other.size:
        return False
    poses = one.world_from_camera.matrix(), other.world_from_camera.matrix()
    return torch.allclose(one.intrinsics, other.intrinsics, rtol=1e-4) and torch.allclose(*poses, atol=1e-4)


def compare_gathered(gathered: Gathered, own: dict[str, Camera], num_workers: int) -> Iterator[Compared]:
    """Compare each view's own camera with the tracks of these episodes."""
    asked = {name: Asked(start=Pinhole.of(camera)) for name, camera in own.items()}
    result = calibrate_from_motion(gathered, asked, search=False, num_workers=num_workers)
    for view in result.views:
        yield _of_view(view, result, own[view.view.name])


def _of_view(view: ViewResult, result: SetResult, camera: Camera) -> Compared:
    name = view.view.name
    refused = [one for one in judge(result) if one.level == "refused" and one.view in (None, name)]
    shape, kinds = view.pixel_shape, {one.kind for one in refused}
    if shape is not None and shape.is_wrong and kinds <= BY_PIXEL_SHAPE:
        return Compared(name, shape=shape)
    if view.bump is not None and kinds <= BY_BUMP:
        return Compared(name, bump=view.bump)
    if refused or view.predicted is None:
        return Compared(name, why_not=refused[0].message if refused else "too little moves with the tool")
    points = tool_points(view.view.paths(view.reading))
    off = distance_px(Pinhole.of(camera), view.camera, points)
    limit = max(SURELY * view.predicted.px, LEAST_OFF_PX * max(1.0, camera.size[0] / 256))
    return Compared(name, off, view.predicted.px, limit)
