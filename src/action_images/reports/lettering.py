"""Text on films; needs the extra `view` (pillow, and matplotlib for its font of many scripts)."""

from functools import cache
from pathlib import Path

from PIL import ImageFont

MAX_LETTERS = 500
"""Longer lines are cut before they are measured."""


@cache
def font(size_px: int, *, bold: bool = False) -> ImageFont.FreeTypeFont:
    """DejaVu Sans, which comes with matplotlib, so that every machine draws the same letters."""
    import matplotlib

    name = "DejaVuSans-Bold.ttf" if bold else "DejaVuSans.ttf"
    return ImageFont.truetype(str(Path(matplotlib.get_data_path()) / "fonts" / "ttf" / name), size_px)


def shortened(text: str, width_px: float, letters: ImageFont.FreeTypeFont) -> str:
    """As much of a line as fits, with control characters replaced and three dots for the rest."""
    text = "".join(letter if letter.isprintable() else " " for letter in text[:MAX_LETTERS])
    if letters.getlength(text) <= width_px:
        return text
    while text and letters.getlength(text + "…") > width_px:
        text = text[:-1]
    return text.rstrip() + "…"
