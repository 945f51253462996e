"""When the learning rate falls and the run ends: by steps, or by the minutes that a run may take."""

from dataclasses import dataclass

from action_images.training.recipe import Recipe


@dataclass(frozen=True)
class Fall:
    """Over the last `length` of `end` steps the rate falls in a straight line to zero."""

    end: int
    length: float

    def share(self, step: int) -> float:
        """What is left of the rate at a step (counted from 0)."""
        return min(1.0, (self.end - step) / self.length) if self.length >= 1 else 1.0


def planned_fall(recipe: Recipe) -> Fall | None:
    """The fall of a run that counts steps; None where its minutes decide, which are not known yet."""
    if recipe.minutes is not None:
        return None
    return Fall(recipe.num_steps, recipe.decay * recipe.num_steps)


def plateau_seconds(recipe: Recipe) -> float:
    """How long a run with minutes keeps its rate."""
    assert recipe.minutes is not None
    return 60 * recipe.minutes * (1 - recipe.decay)


def fall_from_now(recipe: Recipe, step: int, seconds: float) -> Fall | None:
    """The fall of a run with minutes that begins after so many steps and seconds; None where it is too early.

    It is as long as the seconds that are left allow at the speed so far, validations included. It is decided
    once and kept in checkpoints, so a run that goes on from one learns the same.
    """
    assert recipe.minutes is not None
    if step == 0 or seconds < plateau_seconds(recipe):
        return None
    left = max(0.0, 60 * recipe.minutes - seconds)
    length = min(recipe.num_steps - step, max(1, round(step / seconds * left)))
    return Fall(step + length, length)
