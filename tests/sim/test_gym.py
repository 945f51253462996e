"""The Gymnasium wrapper keeps Gymnasium's rules."""

import warnings

import gymnasium
import numpy as np
import pytest
import torch
from gymnasium.utils.env_checker import check_env

import action_images.sim  # noqa: F401 registers the tasks
from action_images.geometry import Trajectory
from action_images.sim import TASKS, Tabletop, demonstrate


def test_gymnasiums_own_checker_passes():
    environment = gymnasium.make("action_images/push_button", size=(32, 32), render_mode="rgb_array")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it advises action spaces of [-1, 1]; these are metres
        check_env(environment.unwrapped)
    environment.close()


def test_every_task_is_registered_with_its_time_limit():
    for name, task in TASKS.items():
        assert gymnasium.spec(f"action_images/{name}").max_episode_steps == task.max_steps


def test_an_expert_is_rewarded_once_at_the_end():
    environment = gymnasium.make("action_images/reach_target", size=(32, 32))
    first, info = environment.reset(seed=4)
    world = environment.unwrapped._tabletop
    asked = [tool_numbers(world) for _ in demonstrate(world)]
    again, _ = environment.reset(seed=4)
    assert info == {"seed": 4}
    assert (first["images"] == again["images"]).all()
    rewards, done = [], False
    for action in [*asked, *[asked[-1]] * 5]:
        _, reward, done, _, _ = environment.step(action)
        rewards.append(reward)
        if done:
            break
    assert done
    assert rewards[-1] == 1.0
    assert sum(rewards) == 1.0
    environment.close()


def tool_numbers(tabletop: Tabletop) -> np.ndarray:
    opening = torch.tensor([tabletop.world.opening], dtype=torch.float64)
    return Trajectory(tabletop.world.tool[None], opening).to_vector()[0].float().numpy()


def test_an_action_without_a_rotation_is_refused():
    environment = gymnasium.make("action_images/reach_target", size=(32, 32))
    environment.reset(seed=0)
    with pytest.raises(ValueError, match="quaternion"):
        environment.unwrapped.step(np.array([0.4, 0, 0.2, 0, 0, 0, 0, 1], np.float32))
    environment.close()


def test_passing_by_is_no_success_and_openings_are_clamped():
    environment = gymnasium.make("action_images/reach_target", size=(32, 32)).unwrapped
    environment.reset(seed=4)
    world = environment._tabletop
    asked = [tool_numbers(world) for _ in demonstrate(world)]
    environment.reset(seed=4)
    there = []
    for action in [*asked, *[asked[-1]] * 5]:
        done = environment.step(np.append(action[:7], 1.01).astype(np.float32))[2]
        there.append(world.succeeded())
        assert done == (there[-3:] == [True] * 3)
    assert there[-1]
    for number in (3, 7):
        action = asked[0].copy()
        action[number] = np.nan
        with pytest.raises(ValueError, match="finite"):
            environment.step(action)
    environment.close()
