"""The fall of the learning rate and the end of a run: by steps, or by minutes."""

from dataclasses import dataclass

from action_images.training.recipe import Recipe


@dataclass(frozen=True)
class Fall:
    """The rate falls linearly to zero over the last `length` of `end` steps."""

    end: int
    length: float

    def share(self, step: int) -> float:
        """The remaining share of the rate at a step (counted from 0)."""
        return min(1.0, (self.end - step) / self.length) if self.length >= 1 else 1.0


def planned_fall(recipe: Recipe) -> Fall | None:
    """The fall of a run that counts steps; None if it is decided by minutes, in steps not known yet."""
    if recipe.minutes is not None:
        return None
    return Fall(recipe.num_steps, recipe.decay * recipe.num_steps)


def plateau_seconds(recipe: Recipe) -> float:
    """The time for which a run with minutes keeps its rate."""
    assert recipe.minutes is not None
    return 60 * recipe.minutes * (1 - recipe.decay)


def plateau_is_over(recipe: Recipe, step: int, seconds: float) -> bool:
    """Whether the rate of a run with minutes falls after these steps and seconds.

    The share `decay` of its minutes is left, or that of its most steps, so that either ends with a rate of 0.
    """
    steps_run_out = recipe.num_steps - step <= recipe.decay * recipe.num_steps
    return step > 0 and (seconds >= plateau_seconds(recipe) or steps_run_out)


def fall_from_now(recipe: Recipe, step: int, seconds: float) -> Fall | None:
    """The fall of a run with minutes if it begins after these steps and seconds; None if it is too early.

    Its length is the remaining time at the speed so far, including validations, or the remaining steps. It is
    decided once and stored in checkpoints, so that a resumed run learns the same.
    """
    assert recipe.minutes is not None
    if not plateau_is_over(recipe, step, seconds):
        return None
    left = max(0.0, 60 * recipe.minutes - seconds)
    length = min(recipe.num_steps - step, max(1, round(step / seconds * left)))
    return Fall(step + length, length)
