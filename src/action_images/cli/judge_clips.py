"""Judge a model's clips in all modes on a recorded data set: videos, paths, tracks, a floor and a ceiling.

action-images judge-clips dataset --out judged
action-images judge-clips dataset --model run/model --mode joint simulate --out judged
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

from action_images.errors import ActionImagesError
from action_images.terminal.model_options import ModelOptions
from action_images.terminal.paths import GivenDataset, OutFolder

if TYPE_CHECKING:
    from rich.table import Table

    from action_images.episodes.dataset import Dataset
    from action_images.evaluation.clip_answers import FurtherMeasures, JudgedWindow
    from action_images.evaluation.clip_modes import Answerer
    from action_images.evaluation.clip_table import FigureRow

SHOWN = (
    "path mm",
    "path deg",
    "with video %",
    "grip F1",
    "track px",
    "jaccard@4",
    "average jaccard",
    "psnr dB",
    "ssim",
)


@dataclass(frozen=True)
class Besides:
    """Optional further measures."""

    lpips: bool = False
    """Also measure LPIPS, which needs torchvision and downloads weights."""
    fvd: bool = False
    """Also measure FVD, which needs cd-fvd, downloads weights, and needs clips of at least 10 frames and
    hundreds of windows."""


def main(
    dataset: Annotated[GivenDataset, tyro.conf.Positional],
    out: OutFolder,
    windows: int = 64,
    mode: tuple[str, ...] = (),
    views: tuple[str, ...] = (),
    seed: int = 0,
    models: Annotated[ModelOptions, tyro.conf.arg(name="")] = ModelOptions(),
    besides: Annotated[Besides, tyro.conf.arg(name="")] = Besides(),
) -> None:
    """Judge every mode of a model on the same recorded windows of one clip, spread evenly over a data set.

    Writes OUT/clips.json and OUT/clips.md: every figure with its 95 % bootstrap interval over windows. The
    main figures are printed.

    'label', 'label_from_nothing' and 'simulate' are judged with the true instruction, without one, and with
    a different instruction of another window (if there is one). The difference shows whether a model follows
    the text instead of what it is shown. 'with video %' is the share of such labelled poses that are nearer
    to the recording than to the model's plan for the other instruction. It counts poses where these two are
    4 cm apart or more.

    'still' is the floor: the first image and pose repeated. 'codec' is the ceiling: the recording passed
    through the autoencoder and the reader. 'lucas-kanade' is a point tracker without learning.

    Args:
        dataset: a LeRobotDataset v3 with calibrated views and tool poses that the model was not trained on.
        out: folder to write to.
        windows: how many clips are judged.
        mode: names of the modes to judge, for a model that has not learnt all of them; all if not given.
        views: which views; the first two if not given.
        seed: seed of the noise; the same seed gives the same figures.
    """
    # Import early what is used late: an hour of judging must not end in an import error.
    import cv2  # noqa: F401
    import torchmetrics  # noqa: F401

    from action_images.episodes.dataset import Dataset
    from action_images.evaluation.clip_answers import JUDGED_MODES, FurtherMeasures, answerers, judged_windows
    from action_images.files.lock import alone_in
    from action_images.terminal.console import PlainConsole

    if unknown := sorted(set(mode) - {*JUDGED_MODES}):
        raise ActionImagesError(
            f"--mode: nothing is judged by the name {', '.join(unknown)}; there are: "
            f"{', '.join(JUDGED_MODES)}"
        )
    models = models.placed().held()
    name = models.name
    generator, source = models.generator(), Dataset(dataset)
    chosen = _views(source, views)
    # Load everything that needs weights before judging anything.
    measures = FurtherMeasures.loaded(
        generator.clips.num_frames, lpips=besides.lpips, fvd=besides.fvd, device=models.device
    )
    judged = judged_windows(source, generator, chosen, windows)
    asked = answerers(generator, judged, mode or JUDGED_MODES, seed)
    about = {
        "dataset": dataset.resolve().name,
        "model": name,
        "sampling": models.sampling,
        "views": chosen,
        "windows": len(judged),
        "seed": seed,
    }
    with alone_in(out):
        rows = _figures(judged, asked, chosen, measures)
        _write(out, about, rows)
    console = PlainConsole()
    console.print(_table(rows, len(judged)))
    console.print(f"written: {out / 'clips.json'}, {out / 'clips.md'}", soft_wrap=True)


def _views(source: "Dataset", named: tuple[str, ...]) -> tuple[str, ...]:
    chosen = named or tuple(source.view_names[:2])
    if len(chosen) < 2:
        raise ActionImagesError(
            f"{source.path}: paths are read from at least two views, {', '.join(chosen)} is one; "
            "name more with --views"
        )
    return chosen


def _figures(
    judged: "Sequence[JudgedWindow]",
    asked: "Mapping[str, Answerer]",
    views: Sequence[str],
    measures: "FurtherMeasures",
) -> "list[FigureRow]":
    from rich.progress import track

    from action_images.evaluation.clip_answers import figures
    from action_images.terminal.console import PlainConsole

    windows = [one.window for one in judged]
    return figures(track(windows, "judging", console=PlainConsole(stderr=True)), asked, views, measures)


def _write(out: Path, about: Mapping, rows: "Sequence[FigureRow]") -> None:
    from action_images.evaluation.clip_table import as_json, as_markdown
    from action_images.files.atomic import write_json, write_text

    write_json(out / "clips.json", {**about, "rows": as_json(rows)}, indent=1)
    write_text(out / "clips.md", as_markdown(rows))


def _table(rows: "Sequence[FigureRow]", num_windows: int) -> "Table":
    """The main figures over all views and frames."""
    from action_images.terminal.tables import figure_table

    title = f"{num_windows} windows: medians of path errors, means of the rest"
    table = figure_table(title, "mode", SHOWN)
    over_all = [row for row in rows if (row.view, row.frame) == ("all", "all")]
    for mode in dict.fromkeys(row.mode for row in rows):
        values = {row.figure: f"{row.value:.3g}" for row in over_all if row.mode == mode}
        table.add_row(mode, *(values.get(name, "") for name in SHOWN))
    return table
