"""Measure the accuracy that a rig permits over image size, views, noise and video quality.

action-images inspect-codec
action-images inspect-codec --sizes 128 256 --views 2 3 --out report
"""

from pathlib import Path
from typing import Annotated, Literal

import tyro

SIZES = (64, 128, 256, 512)
VIEWS = (2, 3, 4)
CORRUPTIONS = (
    "clean",
    "8bit",
    "h264:18",
    "h264:23",
    "noise:0.02",
    "noise:0.05",
    "noise:0.1",
    "black:8",
    "offset:0.1",
)


def main(
    sizes: Annotated[tuple[int, ...], tyro.conf.arg(metavar="PX...")] = SIZES,
    views: Annotated[tuple[int, ...], tyro.conf.arg(metavar="NUM...")] = (2,),
    corruptions: Annotated[tuple[str, ...], tyro.conf.arg(metavar="NAME...")] = CORRUPTIONS,
    precision: Literal["exact", "fast"] = "exact",
    clips: int = 2,
    seed: int = 0,
    out: Path | None = None,
) -> None:
    """Draw random poses, corrupt the images and read them back. Prints a table of errors; with --out also
    writes a picture and json.

    The cameras stand 1 m from the scene's centre, with a field of view of 45 degrees. Errors grow with
    distance divided by the focal length in pixels.

    Args:
        sizes: Heights of the square images in px.
        views: Numbers of cameras, 2 to 8.
        corruptions: clean, 8bit, h264:CRF, noise:STD (after a blur of .12 spot widths), black:LEVELS,
            offset:FRACTION.
        precision: exact reads every pixel near a spot, fast only some of them.
        clips: Clips of 41 poses for each combination.
        seed: The same seed gives the same poses.
        out: Folder for codec_error.png and codec_error.json.
    """
    import json
    from itertools import product

    from rich.progress import track

    from action_images.evaluation import codec_error
    from action_images.files.atomic import write_text
    from action_images.files.lock import alone_in
    from action_images.reports.codec_error_plot import plot_codec_error
    from action_images.terminal.console import PlainConsole

    settings = [
        codec_error.Setting(size, num, name, precision)
        for name, num, size in product(corruptions, views, sizes)
    ]
    samples = list(
        track(codec_error.measure(settings, clips, seed), total=len(settings), description="reading")
    )
    PlainConsole().print(codec_error.table(samples))
    correlation = codec_error.rank_correlation(samples)
    PlainConsole().print(
        f"rank correlation of predicted and actual position error over all frames: {correlation:.2f}"
    )
    if out is not None:
        with alone_in(out):
            content = {
                "seed": seed,
                "rank_correlation": correlation,
                "rows": [sample.row() for sample in samples],
            }
            write_text(out / "codec_error.json", json.dumps(content, indent=1) + "\n")
            plot_codec_error(samples, out / "codec_error.png")
        PlainConsole().print(f"{out / 'codec_error.png'}")
