"""What options ask for is refused where it would have no effect, or where it would mix or replace files."""

from collections.abc import Collection, Mapping
from pathlib import Path

from action_images.errors import ActionImagesError


def above_zero(options: Mapping[str, float | None]) -> None:
    """Refuse options (name -> value, None if not given) that are not above zero."""
    wrong = [f"--{name} {value:g}" for name, value in options.items() if value is not None and not value > 0]
    if wrong:
        raise ActionImagesError(f"{', '.join(wrong)}: give a number above zero, or leave the option out")


def without_effect(why: str, options: Mapping[str, object | None]) -> None:
    """Refuse options (name -> value, None if not given) that would be ignored; `why` says so in words."""
    given = [f"--{name}" for name, value in options.items() if value is not None]
    if given:
        raise ActionImagesError(f"{why}; leave {' and '.join(given)} out")


def nothing_left(out: Path, written: Collection[str], kinds: Collection[str]) -> None:
    """Refuse a folder with files of these kinds (globs) other than those to be `written` (names in it).

    They are of another run, or the user's own, and would pass for results of this one.
    """
    stale: list[str] = []
    for kind in kinds:
        names = [path.relative_to(out).as_posix() for path in out.glob(kind) if path.name[0] != "."]
        stale += [name for name in names if name not in written]
    if stale:
        first, *others = sorted(set(stale))
        more = f" and {len(others)} more" if others else ""
        raise ActionImagesError(
            f"{out}: has {first}{more}, which this run does not write; remove it, or give another folder"
        )


def not_into(out: Path, folder: Path | None, option: str) -> None:
    """Refuse to write into the folder of an option (None if not given), whose files would be replaced."""
    if folder is not None and folder.resolve() == out.resolve():
        raise ActionImagesError(f"--out {out}: is the folder of --{option}, whose files would be replaced")
