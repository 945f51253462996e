"""The contents of a run's folder, and checks whether a run may continue in it."""

import json
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from itertools import chain
from pathlib import Path
from shlex import quote

from accelerate import Accelerator

from action_images.errors import ActionImagesError
from action_images.files.atomic import remove_folder, remove_leftovers, write_json
from action_images.files.lock import alone_in
from action_images.model.shipped import INDEX
from action_images.samples.mixture import Mixture, fingerprint
from action_images.training import checkpoint
from action_images.training.checkpoint import Progress, Stored
from action_images.training.migration import VERSION
from action_images.training.processes import raised_together
from action_images.training.recipe import Recipe, differences
from action_images.training.schedule import fall_from_now

RECIPE, START, CHECKPOINTS, BEST, MODEL = "recipe.json", "start", "checkpoints", "best", "model"
"""The recipe, the models that the run started with, and its results."""
PLATEAU = "plateau"
"""The checkpoint at which the learning rate of a run with minutes began to fall."""


@contextmanager
def alone_with_run(accelerator: Accelerator, out: Path) -> Iterator[None]:
    """Lock the folder of a run for all processes; raises ActionImagesError if another run holds it."""
    with ExitStack() as held:
        with raised_together(accelerator):
            if accelerator.is_main_process:
                held.enter_context(alone_in(out))
        yield


def clean(out: Path) -> None:
    """Remove half-written files of a killed process, if the folder holds a run."""
    if (out / RECIPE).is_file():
        inside = [path for path in out.iterdir() if path.is_dir()]
        kept = chain.from_iterable(checkpoint.checkpoints(out / name) for name in (CHECKPOINTS, PLATEAU))
        for folder in (out, *inside, *kept):
            remove_leftovers(folder)


def write_recipe(out: Path, recipe: Recipe) -> None:
    """Write the run's recipe to its folder."""
    write_json(out / RECIPE, {"version": VERSION, **recipe.as_json()})


def saved_recipe(out: Path) -> Recipe:
    """The recipe of the run in a folder; raises ValueError if there is none or it cannot be read."""
    path = out / RECIPE
    if not path.is_file():
        raise ActionImagesError(
            f"{out}: holds no run ({RECIPE} is not there); "
            f"begin one with 'action-images train RECIPE --out {quote(str(out))}'"
        )
    try:
        return Recipe.from_json(json.loads(path.read_text()))
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise ActionImagesError(f"{path}: is no recipe that this version can read ({error})") from error


def check_recipe(out: Path, recipe: Recipe) -> None:
    """Raise ValueError, naming the differences, if the folder holds a run of another recipe."""
    if not (out / RECIPE).is_file():
        return
    changed = differences(saved_recipe(out), recipe)
    if changed:
        raise ActionImagesError(
            f"{out}: holds a run of another recipe; begin in another folder, or keep these as they were: "
            f"{'; '.join(changed)}"
        )


def is_begun(out: Path) -> bool:
    """Whether the folder holds something that was made from the run's data."""
    saved = (checkpoint.checkpoints(out / name) for name in (CHECKPOINTS, PLATEAU))
    return (out / START / INDEX).is_file() or any(saved)


def newest_checkpoint(out: Path, mixture: Mixture, num_steps: int) -> tuple[Stored, Progress] | None:
    """The checkpoint from which a run of `num_steps` continues; None if it has none yet.

    Raises ActionImagesError if its data has changed, or if the checkpoint is damaged.
    """
    found = checkpoint.checkpoints(out / CHECKPOINTS)
    if not found:
        return None
    tensors, progress = checkpoint.load(found[-1])
    if progress.step > num_steps:
        raise ActionImagesError(
            f"{found[-1]}: says step {progress.step} of a run of {num_steps}; "
            "give more num_steps, or delete it to go on from the one before"
        )
    if progress.fingerprint != fingerprint(mixture):
        raise ActionImagesError(
            f"{out}: the data has changed since this run began; restore it, "
            "or begin another run in another folder"
        )
    return tensors, progress


def check_minutes(out: Path, recipe: Recipe, progress: Progress) -> None:
    """Raise ActionImagesError if the run's learning rate cannot follow the recipe's minutes any more.

    A run that counts steps cannot be given minutes on its way, nor the other way round: its rate would jump.
    Once the rate falls, its end is decided; `back_to_the_plateau` handles those with more minutes.
    """
    if progress.step == 0 or not (out / RECIPE).is_file():
        return
    before, now = saved_recipe(out).minutes, recipe.minutes
    if before is None and now is not None:
        raise ActionImagesError(
            f"{out}: this run counts steps, and its learning rate follows them; with minutes it would jump. "
            "Keep --minutes None, or begin in another folder"
        )
    if before is not None and now is None:
        raise ActionImagesError(
            f"{out}: this run is given minutes, and its learning rate follows them; with steps it would "
            f"jump. Keep --minutes {before:g}, or begin in another folder"
        )
    if before is None or now is None or progress.end is None:
        return
    if before != now or recipe.num_steps < progress.end:
        more = ", or give more to go on from before the fall" * bool(checkpoint.checkpoints(out / PLATEAU))
        raise ActionImagesError(
            f"{out}: its learning rate falls already, as for {before:g} minutes, and the run ends after step "
            f"{progress.end}; {now:g} minutes and at most {recipe.num_steps} steps come too late. Keep "
            f"--minutes {before:g} and no fewer steps{more}"
        )


def back_to_the_plateau(out: Path, recipe: Recipe) -> str | None:
    """If a run was given more minutes or steps after its rate began to fall, reset it to before the fall.

    Returns a sentence about it, or None if nothing was done. The checkpoints of the fall are removed; `best/`
    and `model/` stay until they are written again.
    """
    before, since = checkpoint.checkpoints(out / PLATEAU), checkpoint.checkpoints(out / CHECKPOINTS)
    if recipe.minutes is None or not before or not since:
        return None
    tensors, progress = checkpoint.load(before[-1])
    _, last = checkpoint.load(since[-1])
    fall = fall_from_now(recipe, progress.step, progress.seconds)
    if fall is not None and (last.end is None or fall.end <= last.end):
        return None
    # The exported models are from the fall, and only better ones should replace them.
    same = (one for one in (progress, last) if one.judged_on == last.judged_on)
    bests = [one.best for one in same if one.best is not None]
    best = min(bests, default=None)
    progress = replace(progress, best=best, judged_on=last.judged_on, end=None, fall=None)
    checkpoint.save(out / CHECKPOINTS, dict(tensors), progress, keep_last=len(since) + 1)
    for path in since:
        if path.name > before[-1].name:
            remove_folder(path)
    return (
        f"{out}: goes on from step {progress.step}, before its learning rate fell, as it has been given "
        f"more: now {recipe.minutes:g} minutes, at most {recipe.num_steps} steps"
    )
