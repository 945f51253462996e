"""Where commands print: what a stranger's name holds is shown, neither obeyed nor taken for markup."""

from typing import Any

from rich.console import Console
from rich.text import Text

from action_images.errors import printable


class PlainConsole(Console):
    """rich's console without its markup, its `:names:` of pictures and its guesses of what is a number.

    Control characters are shown as escapes, in tables too. What has a style is given one by name.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(markup=False, emoji=False, highlight=False, **options)

    def render_str(self, text: str, **options: Any) -> Text:
        """Text as it stands; rich turns every string that it prints into text here."""
        return super().render_str(printable(text), **options)
