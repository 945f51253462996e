"""Users' mistakes: the one kind of error that the command line turns into one line."""

from collections.abc import Iterable


class ActionImagesError(ValueError):
    """Something given to the program is wrong; the message names it and a remedy.

    Any other exception is a programming error: the command line shows its traceback and where to report it.
    Messages may hold names of untrusted files: characters that a terminal would obey are shown as escapes.
    """

    def __str__(self) -> str:
        return printable(super().__str__())


class WeightsChanged(ActionImagesError):
    """The weights in a folder or behind a server are no longer those that were named at first."""


def printable(text: str) -> str:
    """A text that is safe for a terminal: control characters and unencodable ones become escapes."""
    if text.isprintable():
        return text
    return "".join(letter if letter == "\n" or letter.isprintable() else _escape(letter) for letter in text)


def _escape(letter: str) -> str:
    return letter.encode("unicode_escape").decode("ascii")


def no_such(what: str, given: str, known: Iterable[str]) -> ActionImagesError:
    """The error for an unknown name, with the name that was probably meant."""
    return ActionImagesError(f"there is no {what} '{given}'{among(given, known)}")


def among(given: str, known: Iterable[str]) -> str:
    """The text that follows an unknown name: the name that was probably meant, and all of them."""
    there = list(known)
    meant = did_you_mean(given, there)
    return f"{meant} There are: {', '.join(there)}" if meant else f"; there are: {', '.join(there)}"


def did_you_mean(given: str, known: Iterable[str], place: str = "") -> str:
    """`; did you mean ...?` for the name most similar to the given one; empty if none is similar."""
    from difflib import get_close_matches

    close = get_close_matches(given, list(known), n=1, cutoff=0.5)
    return f"; did you mean {place}{close[0]}?" if close else ""
