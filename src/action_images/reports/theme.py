"""Colours and letters of films; needs the extra `view` (pillow, and matplotlib for its font of many scripts)."""

from functools import cache
from pathlib import Path

from PIL import ImageFont

GROUND, PANEL = "#0f1216", "#161a20"
INK, DIM, FAINT = "#f2f4f7", "#9aa4b2", "#333b47"
GOOD, BAD = "#3fb968", "#ef5b4c"


@cache
def font(size_px: int, bold: bool = False) -> ImageFont.FreeTypeFont:
    """DejaVu Sans, which comes with matplotlib, so that every machine draws the same letters."""
    import matplotlib

    name = "DejaVuSans-Bold.ttf" if bold else "DejaVuSans.ttf"
    return ImageFont.truetype(str(Path(matplotlib.get_data_path()) / "fonts" / "ttf" / name), size_px)


def fitted(text: str, width_px: float, size_px: int, bold: bool = False) -> str:
    """As much of a line as fits, control characters replaced; what was cut off is shown by three dots."""
    text = "".join(letter if letter.isprintable() else " " for letter in text[:500])
    letters = font(size_px, bold)
    if letters.getlength(text) <= width_px:
        return text
    while text and letters.getlength(text + "…") > width_px:
        text = text[:-1]
    return text.rstrip() + "…"
