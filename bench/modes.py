"""What planning, labelling and simulating gain or lose when one set of weights learns all three.

    python bench/modes.py --data out --out RUNS --steps 1000

DATA is what `make train-tiny` records (its `demonstrations`, `choices`, `clumsy` and `validation`). All runs
begin with the same new models. Three learn one mode each for so many steps; `together` learns the three in
equal shares, once for as many steps as one of them (what one training costs), and once for three times as
many (as many samples of each mode as those that learn it alone, and as much training as the three). All are
judged by `action-images judge-clips`, and by the held-out loss at noise level 1. A run that was stopped goes
on where it was.
"""

import argparse
import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path

from rich.console import Console
from rich.table import Table

from action_images.inference.clip_generator import ClipGenerator
from action_images.training.recipe import Recipe, SourceRecipe
from action_images.training.recipes import NO_TEXT_WHERE_SEEN, TINY
from action_images.training.run_folder import START
from action_images.training.setup import clips_of
from action_images.training.train import train
from action_images.training.validation import Validation

LEARNT = ("policy", "label", "simulate")
SHARES = {"demonstrations": 0.56, "choices": 0.31, "clumsy": 0.13}
"""As in `tiny` without play, of which nothing can be planned: each mode learns from the same windows."""
SHOWN = ("path mm", "path deg", "psnr dB")


@dataclass(frozen=True)
class Run:
    """A training of some modes."""

    name: str
    modes: tuple[str, ...]
    num_steps: int


def runs(steps: int) -> Iterator[Run]:
    """What is compared."""
    for mode in LEARNT:
        yield Run(mode, (mode,), steps)
    yield Run("together", LEARNT, steps)
    yield Run("together, three times as long", LEARNT, 3 * steps)


def recipe_of(run: Run, data: Path, start: Path | None) -> Recipe:
    """`tiny` for these modes; without `start` its models are new."""
    modes = dict.fromkeys(run.modes, 1.0)
    sources = tuple(
        SourceRecipe(data / name, share, modes, 0.02, NO_TEXT_WHERE_SEEN) for name, share in SHARES.items()
    )
    return replace(
        TINY, sources=sources, validation=(), pretrained=start, num_steps=run.num_steps, save_minutes=3.0
    )


def judged(models: Path, dataset: Path, out: Path, run: Run, windows: int) -> dict[tuple[str, str], str]:
    """(mode, figure) -> the last frame's value with its interval."""
    file = out / "clips.json"
    if not file.is_file():
        asked = [str(dataset), f"--model={models}", f"--out={out}", f"--windows={windows}"]
        asked += ["--mode", *run.modes]
        subprocess.run([sys.executable, "-m", "action_images", "judge-clips", *asked], check=True)
    rows = json.loads(file.read_text())["rows"]
    last = max(int(row["frame"]) for row in rows if row["frame"] != "all")
    return {
        (row["mode"], row["figure"]): f"{row['value']:.1f} ({row['low']:.1f} to {row['high']:.1f})"
        for row in rows
        if row["frame"] == str(last) and row["figure"] in SHOWN and row["mode"].split(",")[0] in run.modes
    }


def lost(models: Path, data: Path, run: Run, windows: int) -> dict[tuple[str, str], str]:
    """The held-out loss at noise level 1, which tells models apart before any path can be read."""
    source = SourceRecipe(data / "validation", 1.0, dict.fromkeys(run.modes, 1.0), 0.0, NO_TEXT_WHERE_SEEN)
    recipe = replace(recipe_of(run, data, None), validation=(source,), validation_windows=windows)
    generator = ClipGenerator.load(models, sampling="one-step")
    figures = Validation.of(recipe, clips_of(recipe)).judge(generator).figures
    name = "loss 1"
    return {(mode, name): f"{row[name]:.4f}" for mode, row in figures.items() if name in row}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True, help="folder of the recordings")
    parser.add_argument("--out", type=Path, required=True, help="folder for the runs")
    parser.add_argument("--steps", type=int, default=1000, help="of a run that learns one mode")
    parser.add_argument("--windows", type=int, default=128, help="held-out clips that each is judged on")
    options = parser.parse_args()
    begun = options.out / "begun"
    if not (begun / "model").is_dir():
        train(recipe_of(Run("begun", LEARNT, 1), options.data, None), begun)
    found: dict[str, dict[tuple[str, str], str]] = {}
    for run in runs(options.steps):
        folder = options.out / run.name.replace(",", "").replace(" ", "-")
        models = train(recipe_of(run, options.data, begun / START), folder)
        found[run.name] = judged(models, options.data / "validation", folder / "judged", run, options.windows)
        found[run.name] |= lost(models, options.data, run, options.windows)
    names = list(found)
    table = Table("mode", "figure, last frame", *names)
    for mode, figure in dict.fromkeys(chain.from_iterable(found.values())):
        table.add_row(mode, figure, *(found[name].get((mode, figure), "") for name in names))
    Console(width=200).print(table)


if __name__ == "__main__":
    main()
