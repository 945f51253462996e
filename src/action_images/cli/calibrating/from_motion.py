"""`calibrate from_motion`: its arguments, its steps and its output."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import tyro

from action_images.errors import ActionImagesError

if TYPE_CHECKING:
    from action_images.calibration.from_motion.clicks import Click
    from action_images.calibration.from_motion.judge import Finding
    from action_images.calibration.from_motion.kept import Seen
    from action_images.calibration.from_motion.search import SetResult
    from action_images.calibration.from_motion.view import Asked
    from action_images.episodes.readers import Reader
    from action_images.terminal.console import PlainConsole

NOTHING_USABLE = 1
"""The exit code if no camera is usable."""


@dataclass(frozen=True)
class FromMotion:
    """Locate still cameras from ordinary episodes with tool poses: image features that move with the tool
    show where the cameras are."""

    dataset: tyro.conf.Positional[Path]
    """A data set of ours or of another format that `import` reads; a LeRobot set needs the tool in
    calibration.json."""
    out: Path = Path("calibration")
    """Folder for cameras.json, report.json, from_motion.html and the tracks, from which a stopped run
    resumes."""
    views: tuple[str, ...] = ()
    """Views to calibrate; all if not given. They must stand still."""
    focal: float | None = None
    """Focal length in px of the videos, if known; estimated if not given."""
    aspect: float | None = None
    """fx / fy of pictures that were squeezed, such as 0.75 for 640 x 480 px made 256 x 256; --focal is then
    the geometric mean of both."""
    rough: Path | None = None
    """Cameras file of approximate cameras to start from."""
    keep_focal: bool = False
    """Keep the focal lengths of --rough."""
    clicks: Path | None = None
    """Csv file of clicks on the tool's origin: episode,frame,view,x,y."""
    same_lens: bool = False
    """All views have one focal length."""
    radial: bool = False
    """Estimate radial distortion (k1)."""
    episodes: int = 40
    """The most episodes to use, spread over the set."""
    as_declared: bool = False
    """Do not try other conventions, delays or mirrored pictures."""
    apply: bool = False
    """Write the results into the set's calibration.json: cameras, delays, mirrored videos, and the notation
    of rotations."""
    workers: int = 2
    """Processes that decode and fit; 0 does both in this one."""
    fps: float | None = None
    """Frames per second of an rlds set whose rate is not known."""


def run(what: FromMotion) -> int:
    """Calibrate, write the results and print them; the exit code is 1 if no camera is usable."""
    from action_images.calibration.from_motion.apply import check_applicable, declared_frames
    from action_images.calibration.from_motion.gather import Followable, gather
    from action_images.calibration.from_motion.judge import judge
    from action_images.calibration.from_motion.report import SOURCE
    from action_images.calibration.from_motion.search import calibrate_from_motion
    from action_images.calibration.own_folder import check_own
    from action_images.episodes.readers import open_foreign
    from action_images.files.lock import alone_in
    from action_images.terminal.console import PlainConsole
    from action_images.terminal.progress import counting

    _check(what)
    check_own(what.out, SOURCE)
    if what.apply:
        check_applicable(what.dataset, what.views)
    source = Followable(what.dataset, what.views, what.fps)
    reader = open_foreign(what.dataset, "auto", source.wanted)[1]
    asked, also = _asked(what, reader)
    with alone_in(what.out):
        with counting("following features") as tell:
            gathered = gather(
                source, what.out, num_workers=what.workers, also=also, most=what.episodes, seen=tell
            )
        _check_given(what, gathered.episodes[0], asked[""].clicks)
        asked = {name: asked.get(name, asked[""]) for name in gathered.episodes[0].sizes}
        frames = declared_frames(what.dataset)
        options = {"frames": frames, "search": not what.as_declared, "num_workers": what.workers}
        with counting("fitting cameras") as tell:
            result = calibrate_from_motion(gathered, asked, same_lens=what.same_lens, tell=tell, **options)
        findings = judge(result)
        written = _write(what, result, findings, reader)
    _say(PlainConsole(), what, result, findings, written=written)
    return 0 if written else NOTHING_USABLE


def _check(what: FromMotion) -> None:
    if what.episodes < 3:
        raise ActionImagesError(f"--episodes is {what.episodes}; points must be seen in three at least")
    if what.focal is not None and what.focal <= 0:
        raise ActionImagesError(f"--focal is {what.focal:g}; give px of the videos, such as 610")
    if what.focal is not None and what.rough is not None:
        raise ActionImagesError("--focal and --rough both give a focal length; give one of them")
    if what.aspect is not None and not 0.2 < what.aspect < 5:
        raise ActionImagesError(f"--aspect is {what.aspect:g}; give fx / fy, such as 0.75")
    if what.aspect is not None and what.rough is not None:
        raise ActionImagesError("--aspect and --rough both give fx / fy; give one of them")
    if what.keep_focal and what.rough is None:
        raise ActionImagesError("--keep-focal needs --rough, whose focal lengths are kept")
    if what.same_lens and (what.focal is not None or what.keep_focal):
        raise ActionImagesError("--same-lens estimates a focal length; leave --focal and --keep-focal out")


def _asked(what: FromMotion, reader: "Reader") -> tuple[dict[str, "Asked"], list[str]]:
    """How each view is solved ('' stands for all others), and the episodes with clicks."""
    from action_images.calibration.from_motion.clicks import counted_as_read, load_clicks
    from action_images.calibration.from_motion.pinhole import Pinhole
    from action_images.calibration.from_motion.view import Asked
    from action_images.episodes.cameras_file import load_cameras

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


def _check_given(what: FromMotion, episode: "Seen", clicks: "tuple[Click, ...]") -> None:
    """Refuse rough cameras for other pictures, and names in --rough and --clicks that no view has."""
    from action_images.episodes.cameras_file import check_pictures, load_cameras

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


def _views_of_set(what: FromMotion, episode: "Seen") -> list[str]:
    """All views of an episode, also those that --views leaves out."""
    from action_images.episodes.readers import Wanted, open_foreign

    if not what.views:
        return list(episode.sizes)
    everything = open_foreign(what.dataset, "auto", Wanted(fps=what.fps))[1]
    return [view.name for view in everything.read(episode.id).views]


def _write(what: FromMotion, result: "SetResult", findings: "list[Finding]", reader: "Reader") -> bool:
    """Write report, page and cameras; returns whether there are any cameras."""
    from action_images.calibration.from_motion.apply import apply, redeclared
    from action_images.calibration.from_motion.judge import CONVENTION, MIRRORED
    from action_images.calibration.from_motion.report import SOURCE, report, usable_cameras
    from action_images.calibration.own_folder import check_own
    from action_images.episodes.cameras_file import save_cameras
    from action_images.files.atomic import write_json
    from action_images.reports.from_motion_page import write_from_motion_page

    is_declarable = what.apply and redeclared(what.dataset, result.convention) is not None
    declared = {CONVENTION} if is_declarable else set()
    cameras = usable_cameras(result, findings, declared=declared)
    # Cameras of mirrored videos are valid only if calibration.json declares the videos mirrored.
    applied = usable_cameras(result, findings, declared=declared | {MIRRORED}) if what.apply else {}
    path = check_own(what.out, SOURCE)
    write_json(what.out / "report.json", report(result, findings), indent=1)
    title = f"{what.dataset.resolve().name}: cameras from motion"
    write_from_motion_page(what.out / "from_motion.html", title, result, findings, reader)
    if applied:
        apply(what.dataset, result, applied)
    if cameras:
        save_cameras(path, cameras, source=SOURCE)
    elif path.is_file():
        path.unlink()
        print(f"{path}: is removed; it was of an earlier run, which this one contradicts")
    return bool(cameras or applied)


def _say(
    console: "PlainConsole",
    what: FromMotion,
    result: "SetResult",
    findings: "list[Finding]",
    *,
    written: bool,
) -> None:
    from rich.table import Table

    table = Table("view", "state", "± px", "± mm", "held out", "points", "late by", "focal px")
    for view in result.views:
        name = view.view.name
        levels = {finding.level for finding in findings if finding.view in (None, name)}
        state = "refused" if "refused" in levels else "warning" if "warning" in levels else "good"
        predicted = ("-", "-")
        if view.predicted is not None:
            predicted = (f"{view.predicted.px:.2f}", f"{1e3 * view.predicted.metres:.1f}")
        held_out = "-" if view.held_out_px is None else f"{view.held_out_px:.2f}"
        late = f"{view.shift:.2f} ± {view.shift_error:.2f}" if view.shift else "none"
        focal = "-" if view.solved is None else f"{view.camera.focal:.1f}"
        table.add_row(name, state, *predicted, held_out, str(view.num_shared), late, focal)
    console.print(table)
    console.print(
        "±: predicted error of the drawn tool, the median over the workspace. held out: residual (px) on the "
        "tool in episodes that the camera was not fitted to. late by: frames.",
        soft_wrap=True,
    )
    told = [_conventions(result)]
    told += [f"refused {one}: {reason}" for one, reason in result.gathered.refused.items()]
    told += [f"{one.level}: {one.view or what.dataset}: {one.message}" for one in findings]
    for sentence in told:
        console.print(sentence, soft_wrap=True)
    print(f"look at them: {what.out}/from_motion.html; figures: {what.out}/report.json")
    usable = what.out / "cameras.json"
    declared = f"cameras of mirrored videos: {what.dataset / 'calibration.json'}"
    print(f"cameras: {usable}" if usable.is_file() else declared if written else "no camera may be used")


def _conventions(result: "SetResult") -> str:
    used = f"{len(result.gathered.episodes)} of {result.gathered.num_episodes} episodes"
    reading = f"read '{result.convention}', {100 * result.share:.0f} % of the tracks move with the tool"
    if not result.rivals:
        return f"{used}: {reading}; no other convention was tried"
    next_one = result.rivals[0]
    behind = f"{100 * next_one.behind:.1f} ± {100 * next_one.error:.1f} % less"
    return f"{used}: {reading}; the next convention, '{next_one.convention}', explains {behind}"
