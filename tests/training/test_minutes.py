"""A run that is given minutes finds out how many steps they hold, decides once, and learns the same again."""

from dataclasses import replace

import pytest
from runs import assert_same_weights, losses_of

from action_images.cli import train as command
from action_images.errors import ActionImagesError
from action_images.terminal.arguments import parsed
from action_images.training import train as loop
from action_images.training.checkpoint import checkpoints, load
from action_images.training.log import read_log
from action_images.training.optimizer import learning_rate
from action_images.training.recipe import MANY_STEPS, differences
from action_images.training.recipes import TINY
from action_images.training.schedule import Fall, fall_from_now
from action_images.training.train import Run, train


@pytest.fixture(autouse=True)
def clock(monkeypatch):
    """Time passes with steps alone: a minute each."""
    now = [0.0]
    learn = Run.learn

    def learn_for_a_minute(run, step, batches):
        now[0] += 60
        return learn(run, step, batches)

    monkeypatch.setattr(Run, "learn", learn_for_a_minute)
    monkeypatch.setattr(loop.time, "monotonic", lambda: now[0])
    return now


@pytest.fixture
def timed(recipe):
    """Ten minutes, the rate falls over the last four; no checkpoint but those that must be."""
    return replace(
        recipe, validation=(), num_steps=1000, minutes=10.0, decay=0.4, warmup_steps=1, save_minutes=1e9
    )


def rates_of(out):
    return [row["rate"] / 3e-3 for row in read_log(out) if "rate" in row]


def test_the_rate_stays_and_falls_to_zero_as_the_minutes_end(timed, tmp_path):
    train(timed, tmp_path)
    assert rates_of(tmp_path) == pytest.approx([1.0] * 6 + [1.0, 0.75, 0.5, 0.25])
    assert "step 10 of 10" in (tmp_path / "model" / "README.md").read_text()


def test_seconds_of_all_sittings_count_and_what_was_decided_stays(timed, tmp_path, clock):
    train(timed, tmp_path / "whole")
    clock[0] = 0.0

    def sitting(num_steps: int, minutes_lost: float) -> None:
        run = Run.start(timed, tmp_path / "cut")
        for number, (step, batches) in enumerate(run.steps(), 1):
            run.log.step(step, *run.learn(step, batches), learning_rate(step, timed, run.fall), 4)
            _, _, save = run.agreed(stop=False)
            if save or number == num_steps:
                run.save()
            if number == num_steps:
                break
        clock[0] += 60 * minutes_lost  # between sittings, which does not count

    sitting(3, 100.0)
    sitting(5, 100.0)  # the fall is decided in this one
    train(timed, tmp_path / "cut")
    assert losses_of(tmp_path / "cut") == losses_of(tmp_path / "whole")
    assert_same_weights(tmp_path / "cut" / "model", tmp_path / "whole" / "model")


def test_more_minutes_go_on_from_before_the_rate_fell(timed, tmp_path, clock):
    train(timed, tmp_path)
    longer = replace(timed, minutes=20.0)
    train(longer, tmp_path)
    clock[0] = 0.0
    train(longer, tmp_path / "at once")
    assert losses_of(tmp_path) == losses_of(tmp_path / "at once")
    assert_same_weights(tmp_path / "model", tmp_path / "at once" / "model")
    assert load(checkpoints(tmp_path / "checkpoints")[-1])[1].end == 20


def test_a_run_that_counts_steps_is_not_given_minutes_on_its_way_nor_the_other_way_round(timed, tmp_path):
    counted = replace(timed, minutes=None, num_steps=2)
    train(counted, tmp_path / "counted")
    with pytest.raises(ActionImagesError, match=r"counts steps.*Keep --minutes None"):
        train(replace(counted, minutes=5.0), tmp_path / "counted")
    train(timed, tmp_path / "timed")
    with pytest.raises(ActionImagesError, match=r"is given minutes.*Keep --minutes 10"):
        train(replace(timed, minutes=None), tmp_path / "timed")
    Run.start(counted, tmp_path / "begun")
    Run.start(replace(counted, minutes=5.0), tmp_path / "begun")  # nothing was learnt yet


def test_minutes_that_come_too_late_are_refused(timed, tmp_path):
    train(timed, tmp_path)
    for late in (replace(timed, minutes=8.0), replace(timed, num_steps=9)):
        (tmp_path / "checkpoints/step-00000010").rename(tmp_path / "last")
        Run.start(timed, tmp_path)  # in its fall
        with pytest.raises(ActionImagesError, match=r"ends after step 10; .*come too late"):
            train(late, tmp_path)
        (tmp_path / "last").rename(tmp_path / "checkpoints/step-00000010")
    train(replace(timed, num_steps=10**9), tmp_path)


def test_a_finished_run_stays_finished(timed, tmp_path, clock):
    train(timed, tmp_path)
    before = losses_of(tmp_path)
    train(timed, tmp_path)
    assert losses_of(tmp_path) == before
    assert clock[0] == 600


def test_a_run_whose_steps_run_out_first_falls_over_the_last_of_them_and_is_saved(timed, recipe, tmp_path):
    short = replace(timed, num_steps=5, minutes=1000.0, validation=recipe.validation)
    train(short, tmp_path)
    assert rates_of(tmp_path) == pytest.approx([1.0] * 3 + [1.0, 0.5])
    assert checkpoints(tmp_path / "checkpoints")[-1].name == "step-00000005"
    assert "step 5 of 5" in (tmp_path / "model" / "README.md").read_text()


def test_a_run_without_a_fall_saves_its_last_step_too(timed, tmp_path):
    train(replace(timed, num_steps=3, minutes=1000.0, decay=0.0), tmp_path)
    assert rates_of(tmp_path) == [1.0] * 3
    assert checkpoints(tmp_path / "checkpoints")[-1].name == "step-00000003"


def test_more_steps_go_on_from_before_the_rate_fell(timed, tmp_path):
    train(replace(timed, num_steps=5, minutes=1000.0), tmp_path)
    train(replace(timed, num_steps=8, minutes=1000.0), tmp_path)
    assert max(losses_of(tmp_path)) == 8
    before = losses_of(tmp_path)
    train(replace(timed, num_steps=8, minutes=1000.0), tmp_path)
    assert losses_of(tmp_path) == before


def test_on_the_command_line_minutes_lift_the_steps_of_the_recipe_unless_others_are_given(capsys):
    def steps_of(*words: str) -> int:
        told = parsed(command.main, ["tiny", "--out", "run", *words], "train").by_name(command.main)
        return command.ended_by_minutes(told["run"]).recipe.num_steps

    assert steps_of() == TINY.num_steps
    assert steps_of("--minutes", "480") == MANY_STEPS
    assert f"runs for 480 minutes, and not for the recipe's {TINY.num_steps} steps" in capsys.readouterr().out
    assert steps_of("--minutes", "480", "--num-steps", "9000") == 9000


def test_a_run_with_minutes_that_any_earlier_version_began_is_gone_on_with():
    for steps in (6000, 1_000_000):
        begun = replace(TINY, minutes=80.0, num_steps=steps)
        assert differences(begun, replace(TINY, minutes=480.0, num_steps=MANY_STEPS)) == []
    assert differences(TINY, replace(TINY, num_steps=7)) == [f"num_steps: {TINY.num_steps} -> 7"]


def test_a_slow_beginning_shortens_the_fall_and_no_step_comes_after_num_steps(timed):
    assert fall_from_now(timed, 100, 359.0) is None
    assert fall_from_now(timed, 100, 360.0) == Fall(100 + 67, 67)
    assert fall_from_now(timed, 100, 900.0) == Fall(101, 1)
    assert fall_from_now(replace(timed, num_steps=110), 100, 360.0) == Fall(110, 10)
