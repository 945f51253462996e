"""Find everything that is wrong with a data set, and look at it.

action-images check dataset
action-images check dataset --html report/check.html --workers 0
"""

from pathlib import Path
from shlex import quote
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Annotated

import tyro

from action_images.errors import ActionImagesError
from action_images.terminal.paths import GivenDataset
from action_images.terminal.progress import counting, working

if TYPE_CHECKING:
    from action_images.episodes.checks.check import Verdict

FEW_EPISODES, MOST_EPISODES = 10, 40
"""How many episodes features are tracked in: by default, and with --thorough."""


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

    Exits with code 1 if there are errors, 0 if there are only warnings. The last line says which cameras,
    times and tool the pictures could verify and which they could not.

    Args:
        dataset: folder of the data set.
        html: where to write the page with a thumbnail of each episode; check.html in the data set's folder if
            not given. The findings are written beside it as check.json, which 'action-images view' reads.
        workers: processes that decode; 0 decodes in this one.
        thumbnails: the most episodes shown on the page, the worst first.
        thorough: try other conventions in every episode; by default only in 16 and in those that fit worse.
        motion: also compare still cameras with those that 'calibrate from_motion' finds: in 10 episodes, or
            in 40 with --thorough.
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
    console.print(
        f"thumbnails: {page}; look closer: action-images view {quote(str(dataset))}", soft_wrap=True
    )
    return 1 if verdict.num_errors else 0


def _hold_against_motion(dataset: Path, verdict: "Verdict", workers: int, most: int) -> None:
    """Add to a verdict how the set's own cameras compare with those found from motion."""
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
    off = [f"{one.sentence()}; {one.cure()}" for one in compared if one.is_off]
    verdict.findings += [Finding("warning", "calibration", "", message) for message in off]
    said = "; ".join(one.sentence() for one in compared if not one.is_off)
    verdict.verified += f" By motion: {said}." if said else ""
