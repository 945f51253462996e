"""The meaning of saved models' confidences in words, and how often such answers are wrong."""

from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal, get_args

from action_images.errors import ActionImagesError
from action_images.files.atomic import write_json
from action_images.files.typed import check_fields
from action_images.model.claims import read_object

RELIABILITY = "reliability.json"
"""The file in a folder of models; it does not affect the models' name."""
WRONG_MM, WRONG_DEG = 30.0, 20.0
"""A pose is wrong from this error on, at which a grasp misses."""
Word = Literal["good", "doubtful", "unreadable"]
WORDS: tuple[Word, ...] = get_args(Word)


@dataclass(frozen=True)
class Bounds:
    """The least confidence of each word, and how often its poses were wrong when that was measured."""

    good: float
    """Poses of at least this confidence are good."""
    doubtful: float
    """Others of at least this confidence are doubtful, the rest is unreadable."""
    wrong: dict[str, float] = field(default_factory=dict)
    """Word -> the share (0 to 1) of its poses that were wrong; words that never occurred are left out."""

    def __post_init__(self) -> None:
        shares_are_right = set(self.wrong) <= {*WORDS} and all(0 <= one <= 1 for one in self.wrong.values())
        if not (0 < self.doubtful <= self.good <= 1 and shares_are_right):
            raise ActionImagesError(
                f"bounds lie in (0, 1], doubtful below good, shares in [0, 1]; got {self}"
            )

    def word(self, confidence: float) -> Word:
        """The word for a pose of this confidence."""
        return (
            "good" if confidence >= self.good else "doubtful" if confidence >= self.doubtful else "unreadable"
        )

    def counts(self, confidences: Iterable[float]) -> dict[Word, int]:
        """The number of poses of each word, including words without poses."""
        words = [self.word(one) for one in confidences]
        return {word: words.count(word) for word in WORDS}


@dataclass(frozen=True)
class Reliability:
    """Bounds by mode, and the data that they were measured on; they are valid for such data alone."""

    data: str
    modes: dict[str, Bounds]
    content: str | None = None
    """A hash of the data's content; None in files of earlier versions, which have its name alone."""

    def save(self, folder: Path) -> None:
        """Write it beside the models."""
        values = asdict(self)
        write_json(folder / RELIABILITY, {k: v for k, v in values.items() if v is not None}, indent=1)

    def is_of(self, data: str, content: str) -> bool:
        """Whether it was measured on this data; without a content, the name decides."""
        return self.data == data if self.content is None else self.content == content

    @classmethod
    def load(cls, folder: Path) -> "Reliability | None":
        """The reliability beside the models; None if nothing was measured.

        Raises ActionImagesError for a file with other contents.
        """
        path = folder / RELIABILITY
        if not path.is_file():
            return None
        values = read_object(path)
        try:
            check_fields(cls, values)
            modes = {mode: Bounds(**_checked(bounds)) for mode, bounds in values["modes"].items()}
            return cls(values["data"], modes, values.get("content"))
        except (ActionImagesError, KeyError, TypeError) as error:
            raise ActionImagesError(
                f"{path}: says no reliability ({error}); remove it, or run 'action-images judge-confidence "
                "--write'"
            ) from error

    def told(self, mode: str, confidences: Iterable[float]) -> str | None:
        """A sentence on poses of these confidences; None if their mode was not measured."""
        bounds = self.modes.get(mode)
        if bounds is None:
            return None
        counts = {word: number for word, number in bounds.counts(confidences).items() if number}
        named = [f"{number} {word}{self._rate(bounds, word)}" for word, number in counts.items()]
        return f"poses: {', '.join(named) or 'none'}; wrong is {WRONG_MM:g} mm or {WRONG_DEG:g} degrees off"

    def _rate(self, bounds: Bounds, word: str) -> str:
        share = bounds.wrong.get(word)
        return "" if share is None else f" (of such {share:.0%} were wrong on {self.data})"


def _checked(bounds: Any) -> dict[str, Any]:
    check_fields(Bounds, bounds)
    return bounds
