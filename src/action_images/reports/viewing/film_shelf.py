"""A shelf with a video file as its only entry."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from action_images.episodes.strangers import check_regular
from action_images.reports.viewing.shelf import Entry

if TYPE_CHECKING:
    from action_images.reports.viewing.viewable import Viewable


class FilmShelf:
    """One entry: the file."""

    is_live = False
    notes: Sequence[str] = ()

    def __init__(self, path: Path):
        self.path, self.title = path, path.name

    def version(self) -> str:
        """Constant: a file is shown as it was when opened."""
        return "0"

    def entries(self) -> Sequence[Entry]:
        """The file's name."""
        return [Entry(self.path.name)]

    def open(self, number: int) -> "Viewable":
        """The film; raises EpisodeError if it is not a video."""
        assert number == 0
        return film(self.path)


def film(path: Path) -> "Viewable":
    """A video file without cameras and paths; raises EpisodeError if it is not a video."""
    from action_images.episodes.video import VideoFrames
    from action_images.reports.viewing.viewable import CAMERA, Layer, ShownView, Viewable

    check_regular(path)
    frames = VideoFrames(path)
    view = ShownView(path.stem, frames.size, None, (Layer(CAMERA, frames),))
    return Viewable(path.name, None, frames.fps, len(frames), (view,), notes=frames.notes)
