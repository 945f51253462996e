"""View a data set, results, plans or a film frame by frame in a browser, in one html page or in rerun.

action-images view dataset
action-images view dataset --episode 3 --out episode.html
"""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

from action_images.terminal.paths import GivenFolder, GivenPath
from action_images.terminal.refusals import without_effect

if TYPE_CHECKING:
    from action_images.reports.viewing.shelf import Shelf
    from action_images.reports.viewing.viewable import Viewable
    from action_images.terminal.console import PlainConsole


def main(
    path: Annotated[GivenPath, tyro.conf.Positional],
    episode: int | None = None,
    labels: GivenFolder | None = None,
    out: Path | None = None,
    rerun: Path | None = None,
    host: str | None = None,
    port: int | None = None,
) -> None:
    """View a data set, results, plans or a film frame by frame on a page with a list, until Ctrl-C.

    The page shows all views with action images, tool and path drawn over them, curves, and cameras and path
    in three dimensions. It lists the findings of 'action-images check', and updates results and plans while
    they are being written. With --out or --rerun, one episode is written to a file instead.

    Args:
        path: A data set of ours or of another format, a folder of 'evaluate', 'label' or 'serve --watch', or
            a video file.
        episode: Number of the episode to show first or to write to a file; the first if not given.
        labels: A folder that 'action-images label' wrote for this data set; its labels are shown beside the
            set's own path.
        out: Write the episode as one page that needs no other file.
        rerun: Write the episode as an .rrd file for the viewer of rerun.io; needs the extra 'rerun'.
        host: The address to listen on; 127.0.0.1 if not given.
        port: The port to listen on; any free one if not given or 0.
    """
    if out is not None or rerun is not None:
        without_effect("a file is written and nothing is served", {"host": host, "port": port})
    from action_images.reports.viewing.opened import open_shelf
    from action_images.terminal.console import PlainConsole

    console = PlainConsole()
    shelf = open_shelf(path, labels)
    if out is None and rerun is None:
        _serve(console, shelf, host=host or "127.0.0.1", port=port or 0, episode=episode)
        return
    viewable = _chosen(shelf, episode or 0)
    if out is not None:
        from action_images.reports.viewing.page import write_viewable_page

        num_bytes = write_viewable_page(out, viewable)
        console.print(f"{viewable.id}: {out} ({num_bytes / 1e6:.1f} MB)", soft_wrap=True)
    if rerun is not None:
        from action_images.reports.viewing.rerun_file import write_rerun

        write_rerun(rerun, viewable)
        size = f"{rerun.stat().st_size / 1e6:.1f} MB"
        console.print(f"{viewable.id}: {rerun} ({size}); open it with: rerun {rerun}", soft_wrap=True)


def _chosen(shelf: "Shelf", number: int) -> "Viewable":
    from action_images.errors import ActionImagesError

    count = len(shelf.entries())
    if not 0 <= number < count:
        raise ActionImagesError(f"{shelf.title}: has {count} to look at, from 0 on; --episode is {number}")
    return shelf.open(number)


def _serve(console: "PlainConsole", shelf: "Shelf", *, host: str, port: int, episode: int | None) -> None:
    import threading
    from contextlib import suppress

    from action_images.errors import ActionImagesError
    from action_images.reports.viewing.server import ViewServer

    if not 0 <= port < 65536:
        raise ActionImagesError(f"--port is {port}; give one from 0 to 65535")
    with ViewServer(shelf, host, port) as server:
        chosen = "" if episode is None else f"?episode={episode}"
        console.print(
            f"{shelf.title}: open {server.address}{chosen} in a browser; Ctrl-C ends", soft_wrap=True
        )
        # Whatever is opened first needs torch, which takes seconds to load: show the list meanwhile.
        threading.Thread(target=_load_torch, daemon=True).start()
        with suppress(KeyboardInterrupt):
            server.serve_forever()


def _load_torch() -> None:
    import action_images.reports.viewing.viewable  # noqa: F401
