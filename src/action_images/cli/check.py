"""Find everything that is wrong with a data set, and look at it.

action-images check dataset
action-images check dataset --html report/check.html --workers 0
"""

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Annotated

import tyro

from action_images.errors import ActionImagesError
from action_images.terminal.paths import GivenDataset
from action_images.terminal.progress import counting, working

if TYPE_CHECKING:
    from action_images.episodes.checks.check import Verdict

FEW_EPISODES, MOST_EPISODES = 10, 40
"""In so many episodes features are followed."""


def main(
    dataset: Annotated[GivenDataset, tyro.conf.Positional],
    html: Path | None = None,
    workers: int = 2,
    thumbnails: int = 1000,
    *,
    thorough: bool = False,
    motion: bool = True,
) -> int:
    """Find everything that is wrong with a data set, and look at it.

    Exit code 1 where there are errors, 0 where there are warnings alone. The last line says what
    the pictures could verify of cameras, times and tool, and what they could not.

    Args:
        dataset: folder of the data set.
        html: where to write the page with a thumbnail of each episode; by default check.html in its folder.
            The findings go beside it as check.json, where 'action-images view' reads them.
        workers: processes that decode; 0 does it in this one.
        thumbnails: show at most so many episodes on the page, the worst first.
        thorough: try other conventions in every episode, not only in 16 and in those that fit worse.
        motion: hold still cameras against those that the motion of the hand gives, too, as
            'calibrate from_motion' finds them: in 10 episodes, with --thorough in 40.
    """
    from rich.table import Table

    from action_images.episodes.checks.check import check_dataset, open_possible, summary
    from action_images.episodes.checks.report_file import NAME, CheckReport, save_report
    from action_images.reports.data_page import write_data_page
    from action_images.terminal.console import PlainConsole

    with counting("checking") as tell:
        verdict = check_dataset(dataset, workers, tell, thorough=thorough)
    if motion and not verdict.num_errors:
        _hold_against_motion(dataset, verdict, workers, MOST_EPISODES if thorough else FEW_EPISODES)
    console = PlainConsole()
    views = ", ".join(verdict.views)
    counts = f"{verdict.num_episodes} episodes, {verdict.num_frames} frames at {verdict.fps:g}/s"
    console.print(f"{dataset}: {counts}, views {views}", soft_wrap=True)
    table = Table("finding", "count")
    for kind, count in summary(verdict).items():
        table.add_row(kind, str(count), style="red" if kind.startswith("error") else "yellow")
    if verdict.findings:
        console.print(table)
    for finding in verdict.findings:
        place = finding.episode or dataset
        console.print(f"{finding.level}: {place}: {finding.message}", soft_wrap=True)
    console.print(verdict.conclusion, soft_wrap=True)
    page = dataset / "check.html" if html is None else html
    write_data_page(page, open_possible(dataset), verdict, thumbnails)
    report = CheckReport(verdict.num_episodes, verdict.findings, verdict.conclusion, exists=True)
    save_report(page.with_name(NAME), report)
    console.print(f"thumbnails: {page}; look closer: action-images view {dataset}", soft_wrap=True)
    return 1 if verdict.num_errors else 0


def _hold_against_motion(dataset: Path, verdict: "Verdict", workers: int, most: int) -> None:
    """Add what motion says of the set's own cameras to a verdict."""
    from action_images.calibration.from_motion.compare import LEAST_EPISODES, compare_cameras
    from action_images.episodes.checks.finding import Finding

    if verdict.num_episodes < LEAST_EPISODES:
        verdict.verified += f" Not held against motion: that needs {LEAST_EPISODES} episodes."
        return
    try:
        with TemporaryDirectory() as folder, working("following the hand"):
            compared = compare_cameras(dataset, Path(folder), most=most, num_workers=workers)
    except ActionImagesError as error:
        verdict.verified += f" Not held against motion: {error}."
        return
    cause = "the camera, or the tool's poses in its world, are off; 'calibrate from_motion' finds the camera"
    off = [f"{one.sentence()}; {cause}" for one in compared if one.is_off]
    verdict.findings += [Finding("warning", "calibration", "", message) for message in off]
    said = "; ".join(one.sentence() for one in compared if not one.is_off)
    verdict.verified += f" By motion: {said}." if said else ""
