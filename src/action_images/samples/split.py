"""The episodes of a data set that a source uses: all, those to train on, or those held out."""

import re
from dataclasses import dataclass
from typing import Literal, get_args

from action_images.errors import ActionImagesError
from action_images.samples.stateless_random import held_out

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
