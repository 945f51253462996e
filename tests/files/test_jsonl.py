"""Appended lines survive a kill; a line that it cut off is dropped and the next one stands alone."""

import pytest

from action_images.errors import ActionImagesError
from action_images.files import jsonl
from processes import kill_after

APPEND_THEN_HALF_A_LINE = """
import sys, time
from pathlib import Path
from action_images.files import jsonl
path = Path(sys.argv[1])
for number in range(3):
    jsonl.append(path, {"number": number})
with path.open("a") as file:
    file.write('{"number": 3, "te')
    file.flush()
    print("ready", flush=True)
    time.sleep(600)
"""


def test_records_come_back_in_the_order_they_were_appended(tmp_path):
    path = tmp_path / "trials.jsonl"
    records = [{"task": "drücken\n", "seed": seed} for seed in range(4)]
    for record in records:
        jsonl.append(path, record)
    assert jsonl.load(path) == records


def test_a_file_that_is_not_there_has_no_records(tmp_path):
    assert jsonl.load(tmp_path / "trials.jsonl") == []
    jsonl.repair(tmp_path / "trials.jsonl")
    assert not (tmp_path / "trials.jsonl").exists()


def test_a_line_that_a_kill_cut_off_is_left_out_and_the_next_record_stands_alone(tmp_path):
    path = tmp_path / "trials.jsonl"
    kill_after(APPEND_THEN_HALF_A_LINE, path)
    whole = [{"number": number} for number in range(3)]
    assert jsonl.load(path) == whole
    jsonl.repair(path)
    jsonl.append(path, {"number": 4})
    assert jsonl.load(path) == [*whole, {"number": 4}]


def test_repair_leaves_whole_files_as_they_are(tmp_path):
    path = tmp_path / "trials.jsonl"
    jsonl.append(path, {"number": 0})
    before = path.read_bytes()
    jsonl.repair(path)
    assert path.read_bytes() == before


@pytest.mark.parametrize(("line", "said"), [("{", "line 2 is no JSON"), ("[1]", "line 2 is no JSON object")])
def test_a_damaged_line_in_the_middle_is_named(tmp_path, line, said):
    path = tmp_path / "trials.jsonl"
    path.write_text(f'{{"number": 0}}\n{line}\n{{"number": 2}}\n')
    with pytest.raises(ActionImagesError, match=f"{path}: {said}"):
        jsonl.load(path)
