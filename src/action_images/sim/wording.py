"""Whether an instruction that a user typed fits a scene."""

import re
from collections.abc import Iterable
from string import Formatter

from action_images.sim.task import Task

FILLERS = frozenset(
    re.findall(
        r"\w+", "a an and at by down in into is it its of on onto over please that the then this to up with"
    )
)
"""Filler words without meaning for the task."""


def tells(instruction: str, trial: Task) -> bool:
    """Whether an instruction is one of the trial's own, or means the same in other words.

    A task that names two or more objects (which block on which) needs one of its phrasings, as other words
    could confuse the objects. Otherwise the instruction must name the trial's object, and at least half of
    its words, without fillers, must be words of the task.
    """
    said, phrasings = _words(instruction), (*trial.phrasings, *trial.kept_out)
    if any(said == _words(phrasing.format(**vars(trial))) for phrasing in phrasings):
        return True
    slots = _slots(phrasings)
    named = _words(" ".join(str(vars(trial)[name]) for name in slots))
    content = [word for word in said if word not in FILLERS]
    if len(slots) > 1 or not content or not set(named) <= set(said):
        return False
    known = _words(" ".join(phrasing.format(**vars(trial)) for phrasing in phrasings))
    return 2 * sum(word in known for word in content) >= len(content)


def _slots(phrasings: Iterable[str]) -> set[str]:
    """The names in braces."""
    slots: set[str] = set()
    for phrasing in phrasings:
        slots.update(name for _, name, _, _ in Formatter().parse(phrasing) if name)
    return slots


def _words(text: str) -> list[str]:
    return re.findall(r"\w+", text.lower())
