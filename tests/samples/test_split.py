"""Which episodes of a data set are chosen."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from action_images.errors import ActionImagesError
from action_images.samples.split import Split, chosen

TASKS = ("close_box", "open_door", "turn_dial")
IDS = [f"{task}/{number:07d}" for task in TASKS for number in range(40)]
ALL = Split()


@given(st.permutations(IDS), st.integers(1, len(IDS)), st.integers(1, len(IDS)))
def test_fewer_are_some_of_more_whatever_the_order_of_the_set(ids, one, other):
    fewer, more = sorted((one, other))
    assert chosen(ids, ALL, at_most=fewer) <= chosen(IDS, ALL, at_most=more)
    assert len(chosen(ids, ALL, at_most=fewer)) == fewer


@given(st.integers(1, len(IDS)))
def test_tasks_are_taken_from_evenly(number):
    counts = Counter(name.rpartition("/")[0] for name in chosen(IDS, ALL, at_most=number))
    assert max(counts.values()) - min(counts[task] for task in TASKS) <= 1


def test_ids_without_groups_are_taken_in_the_order_of_a_hash():
    flat = [f"episode_{number:06d}" for number in range(200)]
    some = chosen(flat, ALL, at_most=50)
    assert len(some) == 50
    assert some != set(flat[:50])


@pytest.mark.parametrize("part", ["train", "held_out"])
def test_what_is_left_out_is_in_no_part(part):
    split = Split(part, 0.3, "episode")
    rest = chosen(IDS, split, without=("close_box/*", "*/0000003"))
    assert rest == {
        name for name in IDS if split(name) and "close_box" not in name and not name.endswith("/0000003")
    }
    assert chosen(IDS, split, ("close_box/*",), at_most=5) <= chosen(IDS, split) - chosen(IDS[:40], ALL)


def test_a_name_that_nothing_has_and_a_number_that_there_is_not_are_refused():
    with pytest.raises(ActionImagesError, match=r"no episode to leave out is called 'close_bx"):
        chosen(IDS, ALL, without=("close_bx/*",))
    with pytest.raises(ActionImagesError, match="at_most is 81, and there are 80 episodes"):
        chosen(IDS, ALL, without=("open_door/*",), at_most=81)
