"""Write the results of evaluations as one html page with films; the page needs no other file.

action-images report results --out report.html
action-images report results/mine results/shipped --training-log run/log.jsonl
"""

from pathlib import Path
from typing import Annotated

import tyro

from action_images.terminal.paths import GivenFile, GivenFolder


def main(
    results: Annotated[list[GivenFolder], tyro.conf.Positional],
    /,
    out: Path = Path("report.html"),
    training_log: GivenFile | None = None,
) -> None:
    """Write the results of evaluations as one html page that needs no other file.

    The page shows success by protocol and task with intervals and ceilings, policies compared scene by
    scene, and why trials failed. It shows a success and a failure of each task on film.

    Args:
        results: Folders that 'action-images evaluate' wrote.
        out: The page to write.
        training_log: A log with one JSON object a line; its numbers are drawn as curves.
    """
    from action_images.reports.report import write_report
    from action_images.terminal.console import PlainConsole
    from action_images.terminal.progress import working

    with working("writing films and tables into one page"):
        written = write_report(results, out, training_log)
    for warning in written.warnings:
        PlainConsole(stderr=True).print(f"warning: {warning}", style="yellow", soft_wrap=True)
    PlainConsole().print(
        f"{written.num_trials} trials: {written.path} ({written.num_bytes / 1e6:.1f} MB)",
        soft_wrap=True,
    )
