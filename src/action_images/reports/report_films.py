"""Which films a report shows: for each task of each policy a success and a failure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from markupsafe import Markup

from action_images.evaluation.table import ALL, Row, is_ceiling
from action_images.evaluation.trial import TrialRecord
from action_images.reports.inlined import Inlined
from action_images.reports.trial_folders import Address, address_of


@dataclass(frozen=True)
class ShownFilm:
    """A trial and its film as a data URI: an mp4, or a png of its main moments."""

    trial: TrialRecord
    uri: Markup

    @property
    def is_video(self) -> bool:
        """Whether it is to be played."""
        return self.uri.startswith("data:video")


def films_of(
    table: Sequence[Row], home: Mapping[Address, Path], inlined: Inlined
) -> list[tuple[Row, list[ShownFilm]]]:
    """The films of each row, rows without one left out; those of ceilings where there is nothing else."""
    filmed = [row for row in table if row.task != ALL and _is_filmed(row)]
    chosen = [row for row in filmed if not is_ceiling(row.policy)] or filmed
    shown = []
    for row in chosen:
        ends = [_first_film(row, home, inlined, succeeded=succeeded) for succeeded in (True, False)]
        films = [film for film in ends if film is not None]
        if films:
            shown.append((row, films))
    return shown


def _is_filmed(row: Row) -> bool:
    return any(trial.film for trial in row.trials)


def _first_film(
    row: Row, home: Mapping[Address, Path], inlined: Inlined, *, succeeded: bool
) -> ShownFilm | None:
    for trial in row.trials:
        if trial.film and trial.succeeded == succeeded:
            uri = inlined.uri(home[address_of(trial)], trial.film)
            if uri is not None:
                return ShownFilm(trial, uri)
    return None
