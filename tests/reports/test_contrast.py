"""Text is readable: every colour of text has the contrast of WCAG 2.1 AA (4.5) on what it may stand on."""

import re
from itertools import product
from pathlib import Path

import pytest

from action_images.reports import theme

TEMPLATES = Path(theme.__file__).parent / "templates"
TEXT = ("ink", "dim", "accent", "good", "bad", "ceiling", "line-0", "line-1", "line-2")
GROUNDS = ("ground", "raised")
ROOT = re.compile(r"(@media \(prefers-color-scheme: dark\) \{\s*)?:root \{(.*?)\}", re.DOTALL)


def luminance(colour: str) -> float:
    """Relative luminance of `#rrggbb` as WCAG 2.1 defines it."""
    levels = [level / 255 for level in bytes.fromhex(colour[1:])]
    linear = [one / 12.92 if one <= 0.04045 else ((one + 0.055) / 1.055) ** 2.4 for one in levels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: str, other: str) -> float:
    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


def tokens(*, dark: bool) -> dict[str, str]:
    """The colours of pages by name; the dark ones stand in the media query."""
    found: dict[str, str] = {}
    for name in ("style.css", "view/view.css"):
        css = (TEMPLATES / name).read_text()
        for media, body in ROOT.findall(css):
            if dark == bool(media):
                found |= dict(re.findall(r"--([a-z0-9-]+): (#[0-9a-f]{6})", body))
    return found


def test_the_measure_is_that_of_the_standard():
    assert contrast("#000000", "#ffffff") == pytest.approx(21)
    assert contrast("#777777", "#ffffff") == pytest.approx(4.48, abs=0.01)


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_text_of_pages_is_readable(dark: bool):
    colours = tokens(dark=dark)
    assert set(TEXT + GROUNDS) <= set(colours)
    pairs = product(TEXT, GROUNDS)
    weak = [(one, other) for one, other in pairs if contrast(colours[one], colours[other]) < 4.5]
    assert not weak


def test_text_of_films_is_readable():
    on = {
        theme.BACKGROUND: (theme.TEXT, theme.MUTED, theme.BAD, theme.GOOD),
        theme.PANEL: (theme.TEXT, theme.MUTED),
        theme.GOOD: (theme.BACKGROUND,),
        theme.BAD: (theme.BACKGROUND,),
    }
    for ground, texts in on.items():
        for text in texts:
            assert contrast(text, ground) >= 4.5, (text, ground)
