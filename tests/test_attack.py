"""The judge of `make attack` finds what is wrong: an attack that cannot fail would be worth nothing."""

import sys
from dataclasses import replace
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).parents[1] / "bench" / "attack"))

from forked import Ended
from kills import _content, _differences
from verdicts import judged

GOOD = Ended(
    code=2,
    said="",
    errors="action-images check: x: is no set\n",
    peak_mb=9,
    seconds=1,
    late=False,
    leftovers=(),
)
BAD = {
    "a traceback": {
        "errors": "Traceback (most recent call last)\n  line\nValueError\naction-images: a bug\n"
    },
    "code 70": {"code": 70},
    "no sentence": {"errors": "Killed\n"},
    "signal 11": {"code": -11},
    "had not ended": {"late": True},
    "takes 9000 MB": {"peak_mb": 9000.0},
    "leaves a process": {"leftovers": ("a process",)},
    "control characters": {"errors": "action-images check: \x1b[2J: is no set\n"},
    "another file": {"errors": "action-images check: secret: is no set\n"},
    "without end": {"errors": f"action-images check: {'x' * 9999}\n"},
}


def test_a_refusal_in_one_sentence_is_right():
    assert judged("kind", "what", GOOD, secret="secret").wrong is None


@pytest.mark.parametrize(("says", "change"), BAD.items(), ids=BAD)
def test_every_other_end_is_found(says, change):
    wrong = judged("kind", "what", replace(GOOD, **change), secret="secret").wrong
    assert wrong is not None
    assert says in wrong


def test_lost_changed_and_left_files_are_found_and_times_are_none(tmp_path):
    for name, seconds in (("whole", 1), ("again", 2)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "state.json").write_text(f'{{"step": 3, "seconds": {seconds}}}')
    whole = _content(tmp_path / "whole")
    assert list(_differences(whole, _content(tmp_path / "again"))) == []
    (tmp_path / "again" / "state.json").write_text('{"step": 4, "seconds": 2}')
    (tmp_path / "again" / ".x.action-images-part").touch()
    (tmp_path / "whole" / "y").touch()
    found = list(_differences(_content(tmp_path / "whole"), _content(tmp_path / "again")))
    assert found == [".x.action-images-part is left behind", "state.json differs", "y is lost"]
