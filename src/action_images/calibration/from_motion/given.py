"""What a person gives beside a set to calibrate from motion: focal lengths, rough cameras, clicks."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from action_images.calibration.from_motion.clicks import Click, counted_as_read, load_clicks
from action_images.calibration.from_motion.kept import Seen
from action_images.calibration.from_motion.pinhole import Pinhole
from action_images.calibration.from_motion.view import Asked
from action_images.episodes.cameras_file import check_pictures, load_cameras
from action_images.episodes.readers import Reader, Wanted, open_foreign
from action_images.errors import ActionImagesError


@dataclass(frozen=True)
class Given:
    """Options of `calibrate from_motion` that say how views are solved; each is described there.

    Focal lengths in px of the videos, `aspect` is fx / fy, `rough` a cameras file, `clicks` a csv file.
    """

    dataset: Path
    views: tuple[str, ...] = ()
    fps: float | None = None
    focal: float | None = None
    aspect: float | None = None
    rough: Path | None = None
    keep_focal: bool = False
    clicks: Path | None = None
    radial: bool = False


def asked_of(what: Given, reader: Reader) -> tuple[dict[str, Asked], list[str]]:
    """How each view is solved ('' stands for all others), and the episodes with clicks.

    Raises ActionImagesError for unreadable files, and for a rough camera that moves.
    """
    given = load_clicks(what.clicks) if what.clicks else []
    clicks = tuple(counted_as_read(given, what.dataset, what.views, reader))
    plain = {"radial": what.radial, "clicks": clicks}
    asked = {"": Asked(focal=what.focal, known_aspect=what.aspect, **plain)}
    for name, camera in (load_cameras(what.rough) if what.rough else {}).items():
        if camera.batch_shape:
            raise ActionImagesError(f"{what.rough}: '{name}' moves; only cameras that stand still are found")
        start = Pinhole.of(camera)
        asked[name] = Asked(start=start, focal=start.focal if what.keep_focal else None, **plain)
    return asked, list(dict.fromkeys(click.episode for click in clicks))


def check_given(what: Given, episode: Seen, clicks: Sequence[Click]) -> None:
    """Refuse, as ActionImagesError, rough cameras for other pictures, and names that no view has."""
    rough = load_cameras(what.rough) if what.rough else {}
    for name, camera in rough.items():
        if name in episode.sizes:
            check_pictures(camera, episode.sizes[name], f"--rough: {what.rough}: '{name}'")
    if what.keep_focal and (missing := [name for name in episode.sizes if name not in rough]):
        cure = "add it, or name the others with --views"
        raise ActionImagesError(f"--keep-focal: {what.rough} has no camera '{missing[0]}'; {cure}")
    clicked = dict.fromkeys(click.view for click in clicks)
    given = [("--rough", what.rough, name) for name in rough]
    given += [("--clicks", what.clicks, name) for name in clicked]
    others = [one for one in given if one[2] not in episode.sizes]
    there = _views_of_set(what, episode) if others else []
    for option, file, name in others:
        if name not in there:
            views = ", ".join(there)
            raise ActionImagesError(f"{option}: {file}: there is no view '{name[:80]}'; the set has {views}")


def _views_of_set(what: Given, episode: Seen) -> list[str]:
    """All views of an episode, also those that --views leaves out."""
    if not what.views:
        return list(episode.sizes)
    everything = open_foreign(what.dataset, "auto", Wanted(fps=what.fps))[1]
    return [view.name for view in everything.read(episode.id).views]
