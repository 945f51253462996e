"""Every task: its expert does it, doing nothing does not, and its words fit its trial."""

from pathlib import Path

import pytest

from action_images.sim import TASKS, Tabletop, demonstrate, find_task
from action_images.sim import tasks as tasks_package

SEEDS = (0, 1, 2)


@pytest.mark.parametrize("name", TASKS)
@pytest.mark.parametrize("seed", SEEDS)
def test_the_expert_succeeds_where_nothing_was_done_yet(name: str, seed: int):
    environment = Tabletop(name)
    environment.begin(seed)
    assert not environment.succeeded()
    reports = list(demonstrate(environment))
    assert environment.succeeded()
    assert environment.num_unreachable == 0
    assert environment.num_steps == len(reports) <= 0.9 * TASKS[name].max_steps


@pytest.mark.parametrize("name", TASKS)
def test_standing_still_does_no_task(name: str):
    environment = Tabletop(name)
    environment.begin(0)
    stay = environment.world.tool
    for _ in range(30):
        environment.step(stay, 1.0)
    assert not environment.succeeded()


@pytest.mark.parametrize(
    "name",
    [
        name
        for name in TASKS
        if hasattr(TASKS[name], "__annotations__") and "colour" in TASKS[name].__annotations__
    ],
)
def test_instructions_name_the_colour_that_counts(name: str):
    environment = Tabletop(name)
    for seed in range(8):
        environment.begin(seed)
        assert f" {environment.trial.colour}" in environment.instruction


@pytest.mark.parametrize("name", TASKS)
def test_every_phrasing_can_be_filled_in(name: str):
    environment = Tabletop(name)
    environment.begin(0)
    filled = {phrasing.format(**vars(environment.trial)) for phrasing in environment.trial.phrasings}
    assert len(filled) == len(environment.trial.phrasings) >= 4
    assert environment.instruction in filled


def test_a_task_is_one_short_file():
    for name in TASKS:
        assert len((Path(tasks_package.__file__).parent / f"{name}.py").read_text().splitlines()) < 120


def test_an_unknown_task_is_refused_with_the_names_there_are():
    with pytest.raises(ValueError, match=r"no task 'juggle'; there are: close_box, .*turn_dial"):
        find_task("juggle")


@pytest.mark.parametrize("share", [0.0, 0.8])
def test_a_dial_turned_by_too_little_is_not_turned(share: float):
    environment = Tabletop("turn_dial")
    for seed in SEEDS:
        environment.begin(seed)
        object.__setattr__(environment.trial, "angle_deg", environment.trial.angle_deg * share)
        for _ in demonstrate(environment):
            pass
        object.__setattr__(
            environment.trial, "angle_deg", environment.trial.angle_deg / share if share else 60
        )
        assert not environment.succeeded()


def test_pressing_the_wrong_button_is_no_success():
    environment = Tabletop("push_button")
    environment.begin(0)
    asked = environment.trial.colour
    object.__setattr__(environment.trial, "colour", environment.trial.others[0])
    for _ in demonstrate(environment):
        pass
    object.__setattr__(environment.trial, "colour", asked)
    assert not environment.succeeded()
