"""Train a model by a named recipe, or go on with a run that was stopped."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro

from action_images.recipes import RECIPES
from action_images.training.recipe import Recipe


@dataclass(frozen=True)
class Training:
    """One run. The same command goes on where it was stopped.

    `out` is the run's folder. `dry_run` prints the plan and draws the first batch instead of training.
    """

    recipe: Annotated[Recipe, tyro.conf.arg(name="")]
    out: Path = tyro.MISSING
    dry_run: bool = False
    trackers: tuple[Literal["tensorboard", "wandb", "trackio"], ...] = ()


Chosen = tyro.extras.subcommand_type_from_defaults({name: Training(recipe) for name, recipe in RECIPES.items()}, prefix_names=False)


def main(
    run: Annotated[Chosen | None, tyro.conf.arg(name="")] = None,  # type: ignore[valid-type]
    resume: Path | None = None,
) -> None:
    """Train a model by a named recipe, or go on with a run that was stopped.

    Args:
        run: The recipe.
        resume: The folder of a run to go on with; its recipe is found there.
    """
    print(run, resume)
