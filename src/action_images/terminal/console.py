"""The console that commands print on: names from outside are printed literally, without markup or escapes."""

from typing import Any

from rich.console import Console
from rich.text import Text

from action_images.errors import printable


class PlainConsole(Console):
    """rich's console without markup, emoji codes and highlighting of numbers.

    Control characters are printed as escapes, in tables too. Pass a style by name to text that should have
    one.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(markup=False, emoji=False, highlight=False, **options)

    def render_str(self, text: str, **options: Any) -> Text:
        """Text as it stands; rich converts every string that it prints here."""
        return super().render_str(printable(text), **options)
