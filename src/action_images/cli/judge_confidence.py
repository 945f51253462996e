"""Measure how reliable a model's confidence is: how often poses are wrong, by confidence and by word.

action-images judge-confidence validation --out judged
action-images judge-confidence validation --model run/model --mode policy --write --out judged
"""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

from action_images.errors import ActionImagesError
from action_images.terminal.model_options import ModelOptions
from action_images.terminal.paths import GivenDataset, OutFolder

if TYPE_CHECKING:
    from rich.table import Table

    from action_images.evaluation.reliability import Bin, JudgedPoses
    from action_images.model.reliability import Bounds

MODES = ("policy", "joint", "label", "label_from_nothing")


def main(
    dataset: Annotated[GivenDataset, tyro.conf.Positional],
    out: OutFolder,
    windows: int = 160,
    mode: tuple[str, ...] = MODES,
    views: tuple[str, ...] = (),
    seed: int = 0,
    *,
    write: bool = False,
    models: Annotated[ModelOptions, tyro.conf.arg(name="")] = ModelOptions(),
) -> None:
    """Measure how often a model's poses are wrong (30 mm or 20 degrees off) at each confidence.

    Writes OUT/confidence.json and OUT/confidence.md, with one row for each range of confidence: the median
    error, and the share of wrong poses. The share has a 95 % bootstrap interval over windows. They also have
    the bounds of the words good, doubtful and unreadable. Bounds are chosen on every other window; the
    shares are measured on the remaining windows.

    With --write the bounds are stored beside the models (reliability.json), and 'generate', 'imagine',
    'label', 'serve' and 'demo' print their words with these shares. They hold only for similar data.

    Args:
        dataset: a LeRobotDataset v3 with calibrated views and tool poses that the model was not trained on.
        out: folder to write to.
        windows: how many clips are judged, evenly over the data set.
        mode: names of modes: policy and joint plan; label and label_from_nothing see the whole video and no
            instruction.
        views: which views; the first two if not given.
        seed: seed of the noise; the same seed gives the same figures.
        write: store the bounds beside the models; those of other modes stay. Refused if these are of other
            data, and with --sampling.
    """
    from rich.progress import track

    from action_images.episodes.dataset import Dataset
    from action_images.episodes.tables import content_of
    from action_images.evaluation.clip_answers import judged_windows
    from action_images.evaluation.reliability import bounds_of, judge_poses
    from action_images.files.lock import alone_in
    from action_images.model.reliability import Reliability
    from action_images.terminal.console import PlainConsole

    if unknown := sorted({*mode} - {*MODES}):
        raise ActionImagesError(f"--mode: {', '.join(unknown)} is none of {', '.join(MODES)}")
    if write and models.sampling is not None:
        raise ActionImagesError(
            "--write: commands state these shares for the models' own sampling, not for --sampling "
            f"{models.sampling}; leave one of the two out"
        )
    models = models.placed().held()
    called = models.name
    generator, source = models.generator(), Dataset(dataset)
    chosen = views or tuple(source.view_names[:2])
    if len(chosen) < 2:
        raise ActionImagesError(f"{dataset}: poses are read from at least two views; name more with --views")
    data, content = source.path.resolve().name, content_of(source.path)
    kept = _kept(models.folder, data, content, mode) if write else {}
    judged = judged_windows(source, generator, chosen, windows)
    if len(judged) < 2:
        raise ActionImagesError(
            f"{dataset}: {len(judged)} clip is judged (--windows {windows}); bounds are chosen on every "
            "other one and measured on the rest, so give at least 2"
        )
    console, measured = PlainConsole(), {}
    with alone_in(out):
        for name in mode:
            shown = track([one.window for one in judged], name, console=PlainConsole(stderr=True))
            measured[name] = judge_poses(generator, shown, name, seed)
        bounds = {name: bounds_of(poses) for name, poses in measured.items()}
        about = {
            "dataset": data,
            "model": called,
            "sampling": models.sampling,
            "views": chosen,
            "windows": len(judged),
            "seed": seed,
        }
        _write(out, about, measured, bounds)
        if write:
            models.check_held()
            Reliability(data, kept | bounds, content).save(models.folder)
    for name, poses in measured.items():
        console.print(_table(name, poses, bounds[name]))
    console.print(f"written: {out / 'confidence.json'}, {out / 'confidence.md'}", soft_wrap=True)


def _kept(folder: Path, data: str, content: str, modes: tuple[str, ...]) -> "dict[str, Bounds]":
    """The bounds of other modes beside the models, which stay; refused if they are of other data."""
    from action_images.model.reliability import RELIABILITY, Reliability

    known = Reliability.load(folder)
    others = {} if known is None else {name: one for name, one in known.modes.items() if name not in modes}
    if known is not None and others and not known.is_of(data, content):
        all_modes = " ".join([*modes, *others])
        raise ActionImagesError(
            f"{folder / RELIABILITY}: has {', '.join(others)} measured on other data ('{known.data}'), and "
            f"one file holds for one data set; judge all of them (--mode {all_modes}), or move the file "
            "elsewhere"
        )
    return others


def _rows(poses: "JudgedPoses", bounds: "Bounds") -> "list[tuple[str, Bin]]":
    """All rows of a mode: first by word, with the shares that are stated, then by confidence."""
    from action_images.evaluation.reliability import bins, by_word

    _, stated_on = poses.halves()
    words = [(f"{word}", row) for word, row in by_word(stated_on, bounds).items()]
    return words + [(f"{row.low:.2g} to {row.high:.2g}", row) for row in bins(poses)]


def _cells(row: "Bin") -> tuple[str, ...]:
    low, high = row.interval
    wrong = f"{row.wrong:.1%} ({low:.1%} to {high:.1%})"
    return str(row.num_poses), wrong, f"{row.median_mm:.1f}", f"{row.median_deg:.1f}"


HEADS = ("poses", "wrong (95 %)", "median mm", "median deg")


def _write(out: Path, about: dict, measured: "dict[str, JudgedPoses]", bounds: "dict[str, Bounds]") -> None:
    from dataclasses import asdict

    from action_images.evaluation.reliability import rank_correlation
    from action_images.files.atomic import write_json, write_text

    content, lines = {}, []
    for name, poses in measured.items():
        rows = _rows(poses, bounds[name])
        content[name] = {
            "bounds": asdict(bounds[name]),
            "spearman": _finite(rank_correlation(poses)),
            "rows": [{"which": which, **_plain(row)} for which, row in rows],
        }
        lines += [f"| {name} | {' | '.join(HEADS)} |", "|---" * (1 + len(HEADS)) + "|"]
        lines += [f"| {which} | {' | '.join(_cells(row))} |" for which, row in rows]
        lines.append("")
    write_json(out / "confidence.json", {**about, "modes": content}, indent=1)
    write_text(out / "confidence.md", "\n".join(lines))


def _plain(row: "Bin") -> dict:
    from dataclasses import asdict

    values = asdict(row)
    return {**values, "interval": [_finite(one) for one in row.interval]}


def _finite(value: float) -> float | None:
    import math

    return value if math.isfinite(value) else None


def _table(name: str, poses: "JudgedPoses", bounds: "Bounds") -> "Table":
    from action_images.evaluation.reliability import rank_correlation
    from action_images.terminal.tables import figure_table

    title = f"{name}: good from {bounds.good:.2f}, doubtful from {bounds.doubtful:.2f}"
    ranked = f"confidence and error: Spearman {rank_correlation(poses):.2f}"
    table = figure_table(f"{title}; {ranked}", "confidence", HEADS)
    for which, row in _rows(poses, bounds):
        table.add_row(which, *_cells(row))
    return table
