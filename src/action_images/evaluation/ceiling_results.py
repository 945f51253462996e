"""A folder of ceilings: each trial is a line when it is over, so the same command continues."""

from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

from action_images.evaluation.ceiling import Gate, Trial, run_trials
from action_images.evaluation.results_folder import REPLAYS, open_results
from action_images.files import jsonl
from action_images.files.lock import alone_in
from action_images.files.typed import check_fields


def kept_trials(
    folder: Path, task: str, seeds: range, gate: Gate, *, num_workers: int = 1
) -> Iterator[Trial]:
    """The trials of these seeds: first those in the folder, then the others, each added when it is over.

    Raises ActionImagesError if the folder holds trials of other settings, or another process writes there.
    """
    with alone_in(folder):
        open_results(folder, REPLAYS, gate.settings())
        done = {trial.seed: trial for trial in load_replays(folder) if trial.task == task}
        yield from (done[seed] for seed in seeds if seed in done)
        missing = [seed for seed in seeds if seed not in done]
        for trial in run_trials(task, missing, gate, num_workers=num_workers):
            jsonl.append(folder / REPLAYS, asdict(trial))
            yield trial


def load_replays(folder: Path) -> list[Trial]:
    """All trials of a folder, in the order in which they ended.

    Raises ActionImagesError, naming the field, for a line that is no trial.
    """
    return [_trial(values) for values in jsonl.load(folder / REPLAYS)]


def _trial(values: dict) -> Trial:
    check_fields(Trial, values)
    return Trial(**values)
