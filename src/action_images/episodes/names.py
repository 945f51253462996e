"""Rules for names of episodes and views; needs no torch, so lists of episodes open at once."""

import re

from action_images.errors import ActionImagesError

SAFE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,99}")
SAFE_ID = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.+:@=,-]*(/[A-Za-z0-9_][A-Za-z0-9_.+:@=,-]*)*")


class EpisodeError(ActionImagesError):
    """An error in a data set; the message names dataset/episode/view and the remedy."""


def check_id(episode_id: str) -> None:
    """Raise EpisodeError unless an id is a safe name that cannot leave a folder.

    An id is words of letters, digits and `_-.+:@=,` joined by '/', without '..'.
    """
    if len(episode_id) > 400 or not SAFE_ID.fullmatch(episode_id) or ".." in episode_id:
        allowed = "words of letters, digits and _-.+:@=, joined by '/', without '..'"
        raise EpisodeError(f"episode id {episode_id[:80]!r} must be {allowed}")


def check_camera_name(name: str, where: str) -> None:
    """Raise EpisodeError, naming `where`, unless a file may be called as a camera is."""
    if not SAFE_NAME.fullmatch(name):
        cure = "rename it there with letters, digits, '_', '-' and '.', beginning with a letter or digit"
        raise EpisodeError(f"{where}: camera {name[:80]!r} cannot name a file; {cure}")
