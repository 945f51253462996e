"""Words that somebody typed find the scene that they are about, and no other."""

import numpy as np
import pytest

from action_images.sim import TASKS, Tabletop
from action_images.sim.wording import tells


def trials(task: str, number: int = 12):
    world = Tabletop(task)
    for seed in range(number):
        world.begin(seed)
        yield world.trial


@pytest.mark.parametrize("task", TASKS)
def test_a_scene_is_told_by_each_of_its_own_phrasings(task: str):
    for trial in trials(task, 3):
        for phrasing in (*trial.phrasings, *trial.kept_out):
            assert tells(f"{phrasing.format(**vars(trial)).upper()}.", trial)


@pytest.mark.parametrize("task", ["stack_blocks", "slide_block_to_target", "turn_dial"])
def test_no_scene_is_told_by_an_instruction_of_another_goal(task: str):
    rng = np.random.default_rng(0)
    for trial in trials(task):
        other = trial.with_another_goal()
        if other is not None:
            assert not tells(other.instruction(rng), trial)
    told = [trial.phrasings[0].format(**vars(trial)) for trial in trials(task)]
    for one, trial in enumerate(trials(task)):
        assert [tells(text, trial) for text in told] == [text == told[one] for text in told]


@pytest.mark.parametrize(
    ("task", "instruction"),
    [
        ("close_drawer", "reach the green ball"),
        ("close_drawer", "push down the green button"),
        ("push_button", "reach the green ball"),
        ("stack_blocks", "on the red block put the green one"),
        ("reach_target", "the"),
    ],
)
def test_words_about_something_else_tell_no_scene(task: str, instruction: str):
    assert not any(tells(instruction, trial) for trial in trials(task, 40))


def test_own_words_will_do_where_nothing_can_be_mixed_up():
    (drawer,) = trials("close_drawer", 1)
    assert tells("please shut that drawer", drawer)
    green = [trial for trial in trials("reach_target", 40) if vars(trial)["colour"] == "green"]
    assert green
    assert all(tells("reach the ball, the green one", trial) for trial in green)
