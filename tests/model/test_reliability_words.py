"""Words for confidences, kept beside models; files that say something else are refused."""

import json

import pytest

from action_images.errors import ActionImagesError
from action_images.model.reliability import RELIABILITY, Bounds, Reliability

BOUNDS = Bounds(0.6, 0.2, {"good": 0.04, "doubtful": 0.3})


def test_words_follow_from_bounds_and_each_bound_belongs_to_the_better_word():
    assert [BOUNDS.word(one) for one in (1.0, 0.6, 0.59, 0.2, 0.19, 0.0)] == [
        "good",
        "good",
        "doubtful",
        "doubtful",
        "unreadable",
        "unreadable",
    ]
    assert BOUNDS.counts([0.9, 0.3, 0.3]) == {"good": 1, "doubtful": 2, "unreadable": 0}


def test_what_is_told_names_the_rates_and_where_they_were_measured():
    told = Reliability("validation", {"policy": BOUNDS}).told("policy", [0.7, 0.7, 0.3, 0.1])
    assert told == (
        "poses: 2 good (of such 4% were wrong on validation), "
        "1 doubtful (of such 30% were wrong on validation), 1 unreadable; wrong is 30 mm or 20 degrees off"
    )


def test_a_mode_that_was_not_measured_has_no_words():
    assert Reliability("validation", {"policy": BOUNDS}).told("label", [0.7]) is None


def test_it_is_kept_beside_models(tmp_path):
    assert Reliability.load(tmp_path) is None
    known = Reliability("validation", {"policy": BOUNDS})
    known.save(tmp_path)
    assert Reliability.load(tmp_path) == known


@pytest.mark.parametrize(
    "content",
    [
        {"data": "validation"},
        {"data": 3, "modes": {}},
        {"data": "validation", "modes": {"policy": {"good": 0.2, "doubtful": 0.6}}},
        {"data": "validation", "modes": {"policy": {"good": 0.6, "doubtful": 0.2, "wrong": {"bad": 0.1}}}},
        {"data": "validation", "modes": {"policy": {"good": "0.6", "doubtful": 0.2}}},
        {"data": "validation", "modes": {"policy": [0.6, 0.2]}},
    ],
)
def test_a_file_that_says_something_else_is_refused_by_name(tmp_path, content):
    (tmp_path / RELIABILITY).write_text(json.dumps(content))
    with pytest.raises(ActionImagesError, match=r"reliability.json: says no reliability"):
        Reliability.load(tmp_path)
