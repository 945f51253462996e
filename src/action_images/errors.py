"""What a user can put right: the one kind of error that the command line turns into one line."""


class ActionImagesError(ValueError):
    """Something given to the program is wrong; the message names it and a cure.

    Any other exception is a programming error: the command line shows its traceback and where to report it.
    Names of strangers' files stand in messages: what a terminal would obey is shown as an escape.
    """

    def __str__(self) -> str:
        return printable(super().__str__())


def printable(text: str) -> str:
    """A text that a terminal can be given: control characters, and what cannot be encoded, as escapes."""
    if text.isprintable():
        return text
    return "".join(letter if letter == "\n" or letter.isprintable() else _escape(letter) for letter in text)


def _escape(letter: str) -> str:
    return letter.encode("unicode_escape").decode("ascii")
