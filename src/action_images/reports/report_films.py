"""The films of a report: a success and a failure for each task of each policy."""

import base64
import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

from markupsafe import Markup

from action_images.episodes.episode import EpisodeError
from action_images.evaluation.table import ALL, Row, is_ceiling
from action_images.evaluation.trial import TrialRecord
from action_images.reports.inlined import Inlined
from action_images.reports.trial_folders import Address, address_of
from action_images.reports.viewing.record_file import load_record
from action_images.reports.viewing.results_shelf import RECORD_SUFFIX


@dataclass(frozen=True)
class ShownFilm:
    """A trial and its film as a data URI: an mp4, or a png of its main moments."""

    trial: TrialRecord
    uri: Markup
    new_plans_s: tuple[float, ...] = ()
    """The times (s of the film) at which another plan came into force, if known."""

    @property
    def is_video(self) -> bool:
        """Whether it is a video to be played."""
        return self.uri.startswith("data:video")


def film_script(films: Iterable[tuple[Row, Sequence[ShownFilm]]]) -> dict[str, Markup]:
    """The script that plays films, and its hash for the browser; empty if no film is played."""
    shown = chain.from_iterable(own for _, own in films)
    if not any(film.is_video for film in shown):
        return {}
    code = (Path(__file__).parent / "templates" / "films.js").read_text(encoding="utf-8")
    digest = base64.b64encode(hashlib.sha256(code.encode()).digest()).decode()
    return {"script": Markup(code), "script_hash": Markup(f"sha256-{digest}")}


def films_of(
    table: Sequence[Row], home: Mapping[Address, Path], inlined: Inlined
) -> list[tuple[Row, list[ShownFilm]]]:
    """The films of each row that has any; those of ceilings only if there are no others."""
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
            folder = home[address_of(trial)]
            uri = inlined.uri(folder, trial.film)
            if uri is not None:
                return ShownFilm(trial, uri, _new_plans_s(folder / trial.film, inlined))
    return None


def _new_plans_s(film: Path, inlined: Inlined) -> tuple[float, ...]:
    """The start times of plans after the first, from the record beside a film; empty if it has none."""
    record = film.with_suffix(RECORD_SUFFIX)
    if not record.is_file():
        return ()
    try:
        viewable = load_record(record)
    except EpisodeError as error:
        inlined.left_out.append(f"{error}; its film plays without pauses")
        return ()
    starts = [path.shown[0] for path in viewable.paths if path.shown is not None]
    return tuple(start / viewable.fps for start in sorted(starts)[1:])
