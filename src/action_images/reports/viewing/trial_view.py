"""A trial of a results folder as a Viewable: its record, its film, or its numbers alone."""

from dataclasses import replace
from pathlib import Path

from action_images.episodes.strangers import check_inside
from action_images.evaluation.trial import TrialRecord
from action_images.reports.viewing.film_shelf import film
from action_images.reports.viewing.record_file import load_record
from action_images.reports.viewing.results_shelf import RECORD_SUFFIX
from action_images.reports.viewing.viewable import Viewable


def of_trial(folder: Path, trial: TrialRecord) -> Viewable:
    """The most complete of these; raises EpisodeError if a film is outside the folder or damaged."""
    name, facts = f"{trial.task} {trial.seed}", tuple(_facts(trial))
    if trial.film is None:
        note = "It was not filmed: 'action-images evaluate' films the first success and failure of a task."
        return Viewable(name, trial.instruction, 1.0, 0, (), facts=facts, notes=(note,))
    path = folder / trial.film
    record = path.with_suffix(RECORD_SUFFIX)
    check_inside(folder, path)
    check_inside(folder, record)
    shown = load_record(record) if record.is_file() else film(path)
    return replace(shown, id=name, instruction=trial.instruction, facts=(*facts, *shown.facts))


def _facts(trial: TrialRecord) -> list[tuple[str, str]]:
    facts = [
        ("outcome", "succeeded" if trial.succeeded else f"failed: {trial.failure}"),
        ("how it ended", trial.detail),
        ("policy", trial.policy),
        ("protocol", trial.protocol),
        ("steps", str(trial.num_steps)),
        ("plans", str(trial.num_plans)),
    ]
    if trial.plan_ms is not None:
        facts.append(("a plan took", f"{trial.plan_ms:.0f} ms"))
    if trial.missed_mm is not None:
        facts.append(("ended from the expert's end", f"{trial.missed_mm:.0f} mm"))
    return facts
