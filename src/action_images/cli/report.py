"""Write the results of evaluations as one html page, with films, that needs no other file."""

from pathlib import Path
from typing import Annotated

import tyro


def main(
    results: Annotated[list[Path], tyro.conf.Positional],
    /,
    out: Path = Path("report.html"),
    training_log: Path | None = None,
) -> None:
    """Write the results of evaluations as one html page that needs no other file.

    It shows success by protocol and task with intervals and ceilings, policies compared scene by scene, why
    trials failed, and for each task a success and a failure on film.

    Args:
        results: Folders that 'action-images evaluate' wrote.
        out: The page to write.
        training_log: A log with one JSON object a line; its numbers are drawn as curves.
    """
    from rich.console import Console

    from action_images.reports.report import write_report

    written = write_report(results, out, training_log)
    for warning in written.warnings:
        Console(stderr=True).print(f"warning: {warning}", style="yellow", markup=False, soft_wrap=True)
    Console().print(
        f"{written.num_trials} trials: {written.path} ({written.num_bytes / 1e6:.1f} MB)",
        markup=False,
        soft_wrap=True,
    )
