"""Find everything that is wrong with a data set, and look at it.

action-images check dataset
action-images check dataset --html report/check.html --workers 0
"""

from pathlib import Path
from typing import Annotated

import tyro

from action_images.terminal.paths import GivenDataset
from action_images.terminal.progress import counting


def main(
    dataset: Annotated[GivenDataset, tyro.conf.Positional],
    html: Path | None = None,
    workers: int = 2,
    thumbnails: int = 1000,
    *,
    thorough: bool = False,
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
    """
    from rich.table import Table

    from action_images.episodes.checks.check import check_dataset, open_possible, summary
    from action_images.episodes.checks.report_file import NAME, CheckReport, save_report
    from action_images.reports.data_page import write_data_page
    from action_images.terminal.console import PlainConsole

    with counting("checking") as tell:
        verdict = check_dataset(dataset, workers, tell, thorough=thorough)
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
