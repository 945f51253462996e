"""The Gymnasium wrapper keeps Gymnasium's rules."""

import warnings

import gymnasium
import numpy as np
import pytest
import torch
from gymnasium.utils.env_checker import check_env

import action_images.sim  # noqa: F401 registers the tasks
from action_images.geometry import Trajectory
from action_images.geometry.rotation import from_quaternion_xyzw
from action_images.sim import TASKS, Tabletop, demonstrate
from action_images.sim.motion import about


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


def vector_environment(**values) -> gymnasium.vector.VectorEnv:
    return gymnasium.make_vec("action_images/reach_target", num_envs=2, size=(32, 32), **values)


SPAWNED = {"vectorization_mode": "async", "vector_kwargs": {"context": "spawn"}}
"""This process may have rendered already, and cannot be forked then."""


def test_each_observation_of_a_vector_environment_has_its_own_instruction():
    alone = gymnasium.make("action_images/reach_target", size=(32, 32))
    expected = {seed: alone.reset(seed=seed)[0]["instruction"] for seed in (5, 6, 11, 12)}
    alone.close()
    assert len(set(expected.values())) > 2
    for how in ({"vectorization_mode": "sync"}, SPAWNED):
        environments = vector_environment(**how)
        first, _ = environments.reset(seed=[5, 6])
        second, _ = environments.reset(seed=[11, 12])
        assert first["instruction"] == (expected[5], expected[6])
        assert second["instruction"] == (expected[11], expected[12])
        stepped, *_ = environments.step(second["tool"])
        assert stepped["instruction"] == second["instruction"]
        environments.close()


def test_instructions_that_are_not_copied_are_those_of_now():
    environments = vector_environment(
        vectorization_mode="async", vector_kwargs={"context": "spawn", "copy": False}
    )
    seen, _ = environments.reset(seed=[5, 6])
    before = list(seen["instruction"])
    environments.reset(seed=[11, 12])
    assert list(seen["instruction"]) != before
    assert seen["instruction"] == (seen["instruction"][0], seen["instruction"][1])
    assert len(seen["instruction"]) == 2
    environments.close()


def test_the_quaternion_of_a_tool_that_turns_past_upright_never_jumps():
    environment = gymnasium.make("action_images/reach_target", size=(32, 32)).unwrapped
    seen, _ = environment.reset(seed=4)
    assert seen["tool"][3] > 0  # near to the tool pointing down, 1 0 0 0
    world = environment._tabletop
    start = world.world.tool.to(torch.float32)
    rows = [seen["tool"]]
    for angle in np.linspace(-0.6, 0.6, 25):
        tilted = torch.as_tensor(about((1, 0, 0), angle), dtype=torch.float32) @ start.rotation
        tool = Trajectory(start.__class__(tilted, start.translation)[None], torch.ones(1)).to_vector()[0]
        rows.append(environment.step(tool.numpy())[0]["tool"])
    quaternions = np.stack(rows)[:, 3:7]
    canonical = np.where(quaternions[:, 3:] < 0, -quaternions, quaternions)
    assert np.abs(np.diff(canonical, axis=0)).max() > 1  # the law has something to mend
    assert np.abs(np.diff(quaternions, axis=0)).max() < 0.2
    reached = from_quaternion_xyzw(torch.from_numpy(quaternions[-1]))
    assert torch.allclose(reached, world.world.tool.rotation.float(), atol=1e-5)
    environment.close()
