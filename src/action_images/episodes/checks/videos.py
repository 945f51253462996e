"""Check that an episode's videos have the declared rate and size, and show what happens."""

from collections.abc import Mapping
from itertools import combinations

import torch
from torch import Tensor

from action_images.episodes.checks.finding import Say
from action_images.episodes.checks.follow import scene_of, step_px
from action_images.episodes.checks.looks import kept_frames
from action_images.episodes.checks.paths import path_length
from action_images.episodes.episode import View
from action_images.episodes.video_places import MOST_RATE_ERROR
from action_images.geometry import Trajectory

BLACK = 24
"""Highest level (of 255) in black bars, after compression."""
LEAST_BAR = 0.03
"""Least fraction of a picture that a bar covers on each of two sides."""
FILLED = 0.7
"""Least fraction of its length in which the edge of a bar is brighter."""
LEAST_CONTRAST = 3.0
"""Pictures with a lower standard deviation of levels (of 255) show nothing."""
SAME_LEVELS = 0.5
"""Views whose small copies differ by less on average show the same."""
LEAST_STEP_PX = 1.0
"""A motion of the tool (px of the small copies) that must change the picture."""
MOST_NOISE = 6
"""Largest difference in levels between small copies of the same picture."""
LEAST_REPEATED, LEAST_SHARE = 4, 0.2
"""Least number of repeated pictures, and least share of those in which the tool moves."""
LONG_PATH = 0.2
"""Length of a path of the tool (m) on which a view without a camera must change."""


def check_video(view: View, fps: float, size: tuple[int, int], say: Say) -> None:
    """Compare the video's rate and size with those in info.json."""
    own = getattr(view.frames, "fps", None)
    if own is not None and abs(own - fps) > MOST_RATE_ERROR * fps:
        rates = f"its video runs at {own:g} frames/s, the data set at {fps:g}"
        say("warning", "frame rate", f"{view.name}: {rates}")
    if view.frames.size != size:
        sizes = f"its frames are {view.frames.size} px, the data set says {size}"
        say("error", "mixed sizes", f"{view.name}: {sizes}; import it again")


def check_contents(view: View, pictures: Tensor, say: Say) -> None:
    """Report pictures of one colour: the camera was covered or off, or nothing was written.

    `pictures` are the small copies of `looks.decode_all`.
    """
    contrast = pictures.float().mean(1).flatten(1).std(1)
    empty = int((contrast < LEAST_CONTRAST).sum())
    if empty:
        level = "black" if float(pictures.float().mean()) < 16 else "of a single colour"
        share = f"{empty} of {len(pictures)} pictures are {level}"
        say("warning", "empty pictures", f"{view.name}: {share}; was the camera on? Leave this view out")


def check_bars(view: View, pictures: Tensor, say: Say) -> None:
    """Report black bars on two sides: the picture was letterboxed, and the camera may be the whole one's.

    `pictures` are the small copies of `looks.decode_all`.
    """
    if view.camera is None or not len(pictures):
        return
    lit = pictures.amax((0, 1)) > BLACK
    for rows, sides in ((lit, "above and below"), (lit.T, "left and right")):
        shown = rows.any(1).nonzero().flatten()
        if not len(shown):
            return  # entirely black, which is reported elsewhere
        first, last = int(shown[0]), len(rows) - 1 - int(shown[-1])
        edges = rows[[first + 1, len(rows) - 2 - last]].float().mean(1)
        if min(first, last) >= LEAST_BAR * len(rows) and abs(first - last) <= 1 and edges.min() > FILLED:
            share = f"{100 * first / len(rows):.0f} % of the picture each"
            cure = "are its intrinsics for the picture with its bars?"
            say("warning", "bars", f"{view.name}: has black bars {sides} ({share}); {cure}")


def check_copies(pictures: Mapping[str, Tensor], say: Say) -> None:
    """Report two views with the same pictures: one file was copied, or read for both."""
    for one, other in combinations(pictures, 2):
        if len(pictures[one]) != len(pictures[other]):
            continue
        levels = [pictures[name].to(torch.int16) for name in (one, other)]
        shows = float(levels[0].float().std()) >= LEAST_CONTRAST
        if shows and float((levels[0] - levels[1]).abs().float().mean()) < SAME_LEVELS:
            told = f"{one} and {other} show the same pictures; is one a copy of the other?"
            say("warning", "copied pictures", told)


def check_repeats(view: View, pictures: Tensor, trajectory: Trajectory, say: Say) -> None:
    """Report pictures that repeat while the tool moves in view: the camera is stuck, or slower.

    In a view without a camera, report pictures that are all the same while the tool travels far.
    `pictures` are the small copies of `looks.decode_all`.
    """
    if len(pictures) < 2:
        return
    kept = torch.tensor(kept_frames(trajectory.num_frames))
    if view.camera is None:
        _check_frozen(view, pictures, path_length(trajectory[kept]), say)
        return
    scene = scene_of(view.camera, trajectory.world_from_tool[kept], kept)
    number = torch.arange(len(kept))
    first = torch.tensor(_first_alike(pictures.to(torch.int16)))
    unseen = step_px(scene, torch.stack([first, number])) >= LEAST_STEP_PX
    moves = unseen | (step_px(scene, torch.stack([(number - 1).clamp(min=0), number])) >= LEAST_STEP_PX)
    repeated, moving = int(unseen.sum()), int(moves.sum())
    if repeated >= max(LEAST_REPEATED, LEAST_SHARE * moving):
        share = f"{repeated} of {moving} pictures show nothing new while the tool moves in view"
        say(
            "warning",
            "repeated pictures",
            f"{view.name}: {share}; was the camera stuck, or slower than the set?",
        )


def _first_alike(levels: Tensor) -> list[int]:
    """For each picture the first of the pictures in a row, up to this one, that show the same."""
    first = [0]
    for number in range(1, len(levels)):
        differs = int((levels[number] - levels[first[-1]]).abs().max()) > MOST_NOISE
        first.append(number if differs else first[-1])
    return first


def _check_frozen(view: View, pictures: Tensor, path: float, say: Say) -> None:
    """Report a view whose pictures are all the same while the tool travels `path` (m)."""
    levels = pictures.to(torch.int16)
    shows = float(levels[0].float().std()) >= LEAST_CONTRAST  # empty pictures are reported elsewhere
    if shows and path >= LONG_PATH and int((levels - levels[0]).abs().max()) <= MOST_NOISE:
        told = f"none of {len(pictures)} pictures changes while the tool travels {path:.2f} m"
        cure = "was the camera stuck, or does it not see the robot? Leave this view out"
        say("warning", "repeated pictures", f"{view.name}: {told}; {cure}")
