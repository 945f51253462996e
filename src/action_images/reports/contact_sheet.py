"""What a model made of held-out samples, beside the truth: one picture for each validation."""

from collections.abc import Sequence
from pathlib import Path

import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from action_images.reports.pictures import save_png
from action_images.training.validation import Judged, Shown

LEAST_TILE_PX = 96
MOST_COLUMNS = 9
LABEL_PX = 118
TITLE_PX = 18
GAP_PX = 2

Row = tuple[str, Float[Tensor, "frame 3 h w"]]


def save_contact_sheet(path: Path, judged: Judged, samples_of_each: int = 2) -> None:
    """Write the sheet as png: for each mode some samples, for each view the true and the imagined video and actions.

    Needs pillow (the extra `view`).
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    blocks = []
    for shown in judged.shown:
        figures = judged.figures[shown.mode]
        said = "   ".join(
            f"{name} {value:.3g}" for name, value in figures.items() if not name.startswith("loss")
        )
        for number in range(min(samples_of_each, len(shown.truth.video))):
            instruction = shown.truth.instruction
            told = instruction[number] if isinstance(instruction, tuple) else instruction
            title = f"{shown.mode}: {told or '(no instruction)'}" + (
                f"   [all windows: {said}]" if number == 0 else ""
            )
            blocks.append(sheet(title, rows_of(shown, number)))
    save_png(path, _under_each_other(blocks))


def rows_of(shown: Shown, number: int) -> list[Row]:
    """The rows of one sample, each a label and frames in [0, 1]."""
    made, rows = shown.prediction, []
    for view in range(shown.truth.video.shape[1]):
        rows.append((f"view {view} video", shown.truth.video[number, view].add(1).div(2).cpu()))
        if made.video is not None and made.video.shape[2] > 1:
            rows.append(("   imagined", made.video[number, view].cpu()))
        if shown.drawn is not None and made.action_images is not None:
            rows.append((f"view {view} actions", shown.drawn[number, view].cpu()))
            rows.append(("   imagined", made.action_images[number, view].cpu()))
    return rows


def sheet(title: str, rows: Sequence[Row]) -> UInt8[Tensor, "3 hs ws"]:
    """Rows of frames with their labels to the left, under a title; small frames are enlarged, long clips thinned."""
    width = max(_strip(frames).shape[-1] for _, frames in rows)
    parts = [_text(title, TITLE_PX, LABEL_PX + width)]
    for label, frames in rows:
        strip = _strip(frames)
        strip = torch.nn.functional.pad(strip, (0, width - strip.shape[-1]), value=255)
        parts.append(torch.cat([_text(label, strip.shape[-2], LABEL_PX), strip], -1))
    return torch.cat(parts, -2)


def _strip(frames: Float[Tensor, "frame 3 h w"]) -> UInt8[Tensor, "3 ht wt"]:
    picks = torch.linspace(0, len(frames) - 1, min(MOST_COLUMNS, len(frames))).round().long()
    scale = max(1, round(LEAST_TILE_PX / frames.shape[-2]))
    large = (
        frames[picks]
        .clamp(0, 1)
        .repeat_interleave(scale, -2)
        .repeat_interleave(scale, -1)
        .mul(255)
        .round()
        .to(torch.uint8)
    )
    return torch.cat(list(torch.nn.functional.pad(large, (0, GAP_PX, 0, GAP_PX), value=255)), -1)


def _text(text: str, height: int, width: int) -> UInt8[Tensor, "3 height width"]:
    import numpy as np
    from PIL import Image, ImageDraw

    image = Image.new("RGB", (width, height), "white")
    ImageDraw.Draw(image).text((4, (height - 11) // 2), text, fill="black")
    return torch.from_numpy(np.array(image)).movedim(-1, 0)


def _under_each_other(blocks: Sequence[Tensor]) -> Tensor:
    width = max(block.shape[-1] for block in blocks)
    return torch.cat(
        [torch.nn.functional.pad(block, (0, width - block.shape[-1], 0, 8), value=255) for block in blocks],
        -2,
    )
