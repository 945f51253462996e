"""What the folder of a run holds, and whether a run may go on in it."""

import json
from pathlib import Path

from action_images.errors import ActionImagesError
from action_images.files.atomic import write_json
from action_images.samples.mixture import Mixture, fingerprint
from action_images.training import checkpoint
from action_images.training.checkpoint import Progress, Stored
from action_images.training.migration import VERSION
from action_images.training.recipe import Recipe, differences

RECIPE, START, CHECKPOINTS, BEST, MODEL = "recipe.json", "start", "checkpoints", "best", "model"
"""The recipe, the models that the run began with, and what it learnt."""


def write_recipe(out: Path, recipe: Recipe) -> None:
    """Let the folder say which recipe its run has."""
    write_json(out / RECIPE, {"version": VERSION, **recipe.as_json()})


def saved_recipe(out: Path) -> Recipe:
    """The recipe of the run in a folder; raises ValueError where there is none or it cannot be read."""
    path = out / RECIPE
    if not path.is_file():
        raise ActionImagesError(
            f"{out}: holds no run ({RECIPE} is not there); "
            f"begin one with 'action-images train RECIPE --out {out}'"
        )
    try:
        return Recipe.from_json(json.loads(path.read_text()))
    except (KeyError, TypeError, ValueError) as error:
        raise ActionImagesError(f"{path}: is no recipe that this version can read ({error})") from error


def check_recipe(out: Path, recipe: Recipe) -> None:
    """Raise ValueError, naming what differs, where the folder holds a run of another recipe."""
    if not (out / RECIPE).is_file():
        return
    changed = differences(saved_recipe(out), recipe)
    if changed:
        raise ActionImagesError(
            f"{out}: holds a run of another recipe; begin in another folder, or keep these as they were: "
            f"{'; '.join(changed)}"
        )


def newest_checkpoint(out: Path, mixture: Mixture) -> tuple[Stored, Progress] | None:
    """What a run goes on from, None where it has yet to begin; raises ValueError where its data has
    changed."""
    found = checkpoint.checkpoints(out / CHECKPOINTS)
    if not found:
        return None
    tensors, progress = checkpoint.load(found[-1])
    if progress.fingerprint != fingerprint(mixture):
        raise ActionImagesError(
            f"{out}: the data has changed since this run began; restore it, "
            "or begin another run in another folder"
        )
    return tensors, progress
