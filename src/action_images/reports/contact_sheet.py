"""A contact sheet of a model's predictions for held-out samples beside the truth, for each validation."""

from collections.abc import Iterable, Sequence
from pathlib import Path

import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from action_images.reports.pictures import LABEL_PX, enlarged, save_png, text_line
from action_images.training.validation import Judged, Shown

MOST_COLUMNS = 9
LABEL_WIDTH = 118
GAP_PX, BLOCK_GAP_PX = 2, 8

Row = tuple[str, Float[Tensor, "_ 3 _ _"]]
"""A label, and frames in [0, 1]."""


def save_contact_sheet(path: Path, judged: Judged, samples_of_each: int = 2) -> None:
    """Write the sheet as png; needs pillow (the extra `view`).

    For each mode it shows some samples, and for each view the true and the generated video and actions.
    """
    blocks = []
    for shown in judged.shown:
        for number in range(min(samples_of_each, len(shown.truth.video))):
            title = _title(shown, number)
            if number == 0:
                title += f"   [all windows: {_told(judged.figures[shown.mode])}]"
            blocks.append(sheet(title, rows_of(shown, number)))
    save_png(path, _under_each_other(blocks))


def _title(shown: Shown, number: int) -> str:
    instruction = shown.truth.instruction
    own = instruction[number] if isinstance(instruction, tuple) else instruction
    return f"{shown.mode}: {own or '(no instruction)'}"


def _told(figures: dict[str, float]) -> str:
    return "   ".join(f"{name} {value:.3g}" for name, value in figures.items() if not name.startswith("loss"))


def rows_of(shown: Shown, number: int) -> list[Row]:
    """The rows of one sample: the truth of each view, with the prediction below it."""
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
    """Rows of frames under a title, labels at the left; small frames are enlarged, long clips thinned."""
    strips = [(label, _strip(frames)) for label, frames in rows]
    width = max(strip.shape[-1] for _, strip in strips)
    parts = [text_line(title, LABEL_PX, LABEL_WIDTH + width)]
    for label, strip in strips:
        beside = text_line(label, strip.shape[-2], LABEL_WIDTH)
        parts.append(torch.cat([beside, _padded(strip, right=width - strip.shape[-1])], -1))
    return torch.cat(parts, -2)


def _strip(frames: Float[Tensor, "frame 3 h w"]) -> UInt8[Tensor, "3 ht wt"]:
    """Some frames beside each other."""
    picks = torch.linspace(0, len(frames) - 1, min(MOST_COLUMNS, len(frames))).round().long()
    levels = frames[picks].clamp(0, 1).mul(255).round().to(torch.uint8)
    return torch.cat(list(_padded(enlarged(levels), right=GAP_PX, below=GAP_PX)), -1)


def _under_each_other(blocks: Iterable[Tensor]) -> UInt8[Tensor, "3 hs ws"]:
    blocks = list(blocks)
    width = max(block.shape[-1] for block in blocks)
    padded = [_padded(block, right=width - block.shape[-1], below=BLOCK_GAP_PX) for block in blocks]
    return torch.cat(padded, -2)


def _padded(pixels: Tensor, *, right: int, below: int = 0) -> Tensor:
    """Add white at two sides."""
    return torch.nn.functional.pad(pixels, (0, right, 0, below), value=255)
