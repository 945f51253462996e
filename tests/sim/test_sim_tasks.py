"""Every task: its expert does it, doing nothing does not, and its words fit its trial."""

from dataclasses import replace
from pathlib import Path

import pytest

from action_images.sim import TASKS, Tabletop, demonstrate, find_task
from action_images.sim import tasks as tasks_package
from action_images.sim.expert import _Driver

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
    with pytest.raises(ValueError, match=r"no task 'juggle'; there are: basketball_in_hoop, .*wipe_desk"):
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


def moved(name: str, leave_out: range, seed: int = 0, **changed: float) -> Tabletop:
    """The world after an expert who left out some of its motions, and changed the others."""
    environment = Tabletop(name)
    environment.begin(seed)
    driver = _Driver(environment, None)
    for number, motion in enumerate(environment.trial.motions(environment.world)):
        if number not in leave_out:
            list(driver.run(replace(motion, **changed)))
    return environment


def test_a_jars_lid_does_not_come_off_before_it_is_turned():
    for seed in SEEDS:
        assert not moved("open_jar", range(3, 4), seed).succeeded()


def test_a_cap_that_nobody_holds_does_not_turn():
    assert not moved("open_bottle", range(0), opening=1.0).succeeded()


@pytest.mark.parametrize("seed", SEEDS)
def test_spots_are_wiped_away_by_the_sponge_alone(seed: int):
    environment = moved(
        "wipe_desk", range(1, 3), seed
    )  # the hand alone passes over them, low above the table
    assert all(
        environment.world.joint(spot) == pytest.approx(0, abs=1e-3) for spot in environment.trial.spots
    )


def test_a_door_pushed_halfway_is_not_shut():
    environment = Tabletop("close_door")
    environment.begin(0)
    for _ in zip(demonstrate(environment), range(24), strict=False):
        pass
    assert environment.world.joint("door") > 0.1
    assert not environment.succeeded()


def test_the_furniture_of_two_scenes_is_not_the_same():
    for name in ("open_door", "open_oven", "close_microwave", "open_jar", "toilet_seat_down"):
        world, sizes = Tabletop(name), set()
        for seed in SEEDS:
            world.begin(seed)
            sizes.add(world.world.model.geom_size[-3:].round(6).tobytes())
        assert len(sizes) == len(SEEDS)


def test_pressing_the_wrong_button_is_no_success():
    environment = Tabletop("push_button")
    environment.begin(0)
    asked = environment.trial.colour
    object.__setattr__(environment.trial, "colour", environment.trial.others[0])
    for _ in demonstrate(environment):
        pass
    object.__setattr__(environment.trial, "colour", asked)
    assert not environment.succeeded()
