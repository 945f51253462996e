"""The episodes of a data set that a source uses: all, those to train on, or those held out."""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Literal, get_args

from action_images.errors import ActionImagesError
from action_images.samples.stateless_random import held_out, random_bits

Part = Literal["all", "train", "held_out"]
Unit = Literal["episode", "variation"]


@dataclass(frozen=True)
class Split:
    """A rule for `Source(keep=...)`: about `fraction` of all episodes are held out, by a hash of their id.

    By `variation` all repetitions of one scene are on the same side; by `episode` each id decides for itself.
    New episodes do not move old ones. Cameras are held out by `Source(views=...)`.
    """

    part: Part = "all"
    fraction: float = 0.1
    by: Unit = "variation"

    def __post_init__(self) -> None:
        if self.part not in get_args(Part) or self.by not in get_args(Unit):
            raise ActionImagesError(
                f"part is one of {', '.join(get_args(Part))}, by one of {', '.join(get_args(Unit))}; got "
                f"{self.part}, {self.by}"
            )

    def __call__(self, episode_id: str) -> bool:
        """Whether the episode belongs to this part."""
        out = held_out(variation(episode_id) if self.by == "variation" else episode_id, self.fraction)
        return self.part == "all" or out == (self.part == "held_out")


def variation(episode_id: str) -> str:
    """The scene that an episode repeats: its id up to the part 'variation<N>', or without its last part."""
    match = re.match(r"(.*?(?:^|/)variation_?\d+)(?:/|$)", episode_id)
    return match[1] if match else episode_id.rpartition("/")[0] or episode_id


def chosen(
    ids: Sequence[str], split: Split, without: Sequence[str] = (), at_most: int | None = None
) -> frozenset[str]:
    """The ids of a part: those that no pattern of `without` matches, and `at_most` of them.

    Patterns are as in file names: "close_box/*". The `at_most` are taken in turn from all groups (ids alike
    but for their last part), in the order of a hash, so more of them include the fewer.
    Raises ValueError for a pattern that matches no id, and if there are fewer than `at_most`.
    """
    for pattern in without:
        if not any(fnmatchcase(name, pattern) for name in ids):
            raise ActionImagesError(
                f"no episode to leave out is called '{pattern}'; ids look like '{ids[0]}', and a pattern "
                f"like '{ids[0].rpartition('/')[0]}/*' or '*' stands for many"
            )
    part = [name for name in ids if split(name) and not any(fnmatchcase(name, one) for one in without)]
    if at_most is None:
        return frozenset(part)
    if len(part) < at_most:
        raise ActionImagesError(
            f"at_most is {at_most}, and there are {len(part)} episodes of these; ask for no more than that"
        )
    taken: Counter[str] = Counter()
    turns = []
    for name in sorted(part, key=lambda name: random_bits("at most", name)):
        group = name.rpartition("/")[0] or name
        turns.append((taken[group], random_bits("turn", name), name))
        taken[group] += 1
    return frozenset(name for *_, name in sorted(turns)[:at_most])
