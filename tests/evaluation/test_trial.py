"""Records of trials: whole or refused, appended safely, read back as they were."""

import json
from dataclasses import asdict
from pathlib import Path

import pytest

from action_images.evaluation.trial import TRIALS, TrialRecord, append_trial, load_trials
from action_images.files.jsonl import repair


def record(seed: int = 1_000_000, task: str = "reach_target", **values) -> TrialRecord:
    plain = {
        "protocol": "in_domain",
        "policy": "expert",
        "instruction": "reach the red ball",
        "succeeded": True,
        "failure": None,
    }
    counts = {"detail": "done", "num_steps": 12, "num_plans": 1, "num_unreachable": 0}
    return TrialRecord(**{**plain, "task": task, "seed": seed, **counts, **values})


def test_a_record_is_one_line_and_comes_back_as_it_was(tmp_path: Path):
    figures = {"missed_mm": 12.5, "plan_ms": 80.0, "stage_ms": {"read": 9.5}}
    records = (record(), record(succeeded=False, failure="missed", film="films/a.mp4", **figures))
    for one in records:
        append_trial(tmp_path, one)
    lines = (tmp_path / TRIALS).read_text().splitlines()
    assert [TrialRecord.of(json.loads(line)) for line in lines] == [*records]


@pytest.mark.parametrize(
    "change",
    [
        {"seed": "7"},
        {"succeeded": 1},
        {"num_steps": True},
        {"stage_ms": {"read": "fast"}},
        {"extra": 1},
        {"failure": "bad luck"},
    ],
)
def test_a_line_that_is_not_a_record_is_refused_with_its_number(tmp_path: Path, change):
    append_trial(tmp_path, record())
    with (tmp_path / TRIALS).open("a") as file:
        file.write(json.dumps({**asdict(record(1_000_001)), **change}) + "\n")
    with pytest.raises(ValueError, match="line 2"):
        load_trials(tmp_path)


def test_a_success_has_no_reason_to_have_failed_and_a_failure_has_one():
    with pytest.raises(ValueError, match="succeeded=True"):
        record(failure="missed")
    with pytest.raises(ValueError, match="succeeded=False"):
        record(succeeded=False)


def test_records_come_sorted_whatever_the_order_of_their_lines(tmp_path: Path):
    for seed, task in ((1_000_001, "b"), (1_000_000, "b"), (1_000_003, "a")):
        append_trial(tmp_path, record(seed, task))
    assert [one.key for one in load_trials(tmp_path)] == [
        ("a", 1_000_003),
        ("b", 1_000_000),
        ("b", 1_000_001),
    ]


def test_a_line_that_a_crash_left_unfinished_is_no_record_and_is_cut_off(tmp_path: Path):
    append_trial(tmp_path, record())
    with (tmp_path / TRIALS).open("a") as file:
        file.write(json.dumps(asdict(record(1_000_001)))[:40])
    assert len(load_trials(tmp_path)) == 1
    repair(tmp_path / TRIALS)
    append_trial(tmp_path, record(1_000_001))
    assert len(load_trials(tmp_path)) == 2


def test_a_scene_that_stands_there_twice_and_a_folder_without_results_are_refused(tmp_path: Path):
    with pytest.raises(ValueError, match="no folder of results"):
        load_trials(tmp_path)
    append_trial(tmp_path, record())
    append_trial(tmp_path, record())
    with pytest.raises(ValueError, match="twice"):
        load_trials(tmp_path)
