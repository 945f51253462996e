"""Whether an episode's videos are of the rate and size that the set says, and show anything."""

from torch import Tensor

from action_images.episodes.checks.finding import Say
from action_images.episodes.episode import View
from action_images.episodes.video_places import MOST_RATE_ERROR

LEAST_CONTRAST = 3.0
"""Pictures whose levels (of 255) spread less than this (standard deviation) show nothing."""


def check_video(view: View, fps: float, size: tuple[int, int], say: Say) -> None:
    """Its rate and size against those that info.json says."""
    own = getattr(view.frames, "fps", None)
    if own is not None and abs(own - fps) > MOST_RATE_ERROR * fps:
        rates = f"its video runs at {own:g} frames/s, the data set at {fps:g}"
        say("warning", "frame rate", f"{view.name}: {rates}")
    if view.frames.size != size:
        sizes = f"its frames are {view.frames.size} px, the data set says {size}"
        say("error", "mixed sizes", f"{view.name}: {sizes}; import it again")


def check_contents(view: View, pictures: Tensor, say: Say) -> None:
    """Pictures of one colour are those of a camera that was covered, off or not written.

    `pictures` are the small copies of `looks.decode_all`.
    """
    contrast = pictures.float().mean(1).flatten(1).std(1)
    empty = int((contrast < LEAST_CONTRAST).sum())
    if empty:
        level = "black" if float(pictures.float().mean()) < 16 else "of a single colour"
        share = f"{empty} of {len(pictures)} pictures are {level}"
        say("warning", "empty pictures", f"{view.name}: {share}; was the camera on? Leave this view out")
