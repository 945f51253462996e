"""Options are refused where they would have no effect, or where they are no positive number."""

from collections.abc import Mapping

from action_images.errors import ActionImagesError


def above_zero(options: Mapping[str, float | None]) -> None:
    """Refuse options (name -> value, None if not given) that are not above zero."""
    wrong = [f"--{name} {value:g}" for name, value in options.items() if value is not None and not value > 0]
    if wrong:
        raise ActionImagesError(f"{', '.join(wrong)}: give a number above zero, or leave the option out")


def without_effect(why: str, options: Mapping[str, object | None]) -> None:
    """Refuse options (name -> value, None if not given) that would be ignored; `why` says so in words."""
    given = [f"--{name}" for name, value in options.items() if value is not None]
    if given:
        raise ActionImagesError(f"{why}; leave {' and '.join(given)} out")
