"""Other worlds than the embedded one are LeRobot environments too: here Meta-World."""

import numpy as np
import pytest
import torch
from lerobot.envs import make_env, preprocess_observation
from lerobot_env_action_images import ActionImagesEnvConfig
from lerobot_env_action_images.arrays import matrix_row
from lerobot_policy_action_images.observations import observations_of

from action_images.benchmarks import registry
from action_images.benchmarks.registry import find_benchmark, missing_modules
from action_images.errors import ActionImagesError

TASK, SEED = "reach-v3", 1_000_000
needs_metaworld = pytest.mark.skipif(
    bool(missing_modules(find_benchmark("metaworld"))), reason="Meta-World is not installed here"
)


def config(**changes) -> ActionImagesEnvConfig:
    return ActionImagesEnvConfig(world="metaworld", task=TASK, rotation="matrix", **changes)


@needs_metaworld
def test_what_an_expert_is_told_succeeds_through_lerobot():
    own = config().seen.environment(TASK)
    own.begin(SEED)
    reports = own.expert()
    assert reports is not None
    rows = [matrix_row(own.state().told, own.state().opening) for _ in reports]
    own.close()
    made = make_env(config(), n_envs=1)["metaworld"][0]
    made.reset(seed=[SEED])
    total, is_over = 0.0, False
    for row in [*rows, *[rows[-1]] * 20]:
        _, reward, terminated, truncated, _ = made.step(row[None])
        total, is_over = total + float(reward[0]), bool(terminated[0] or truncated[0])
        if is_over:
            break
    made.close()
    assert is_over
    assert total == 1.0


@needs_metaworld
def test_an_observation_comes_through_lerobot_as_the_world_gave_it():
    made = make_env(config(), n_envs=1)["metaworld"][0]
    seen, _ = made.reset(seed=[SEED])
    batch = preprocess_observation(seen) | {"task": list(made.call("task_description"))}
    made.close()
    (observation,) = observations_of(batch, ("view0", "view1"))
    environment = config().seen.environment(TASK)
    own = environment.reset(SEED)
    environment.close()
    assert observation.instruction == own.instruction
    assert torch.equal(observation.cameras.intrinsics, own.cameras.intrinsics.float())
    assert torch.equal(observation.world_from_tool.matrix(), own.world_from_tool.matrix().float())
    # Two contexts of the graphics library may differ in the last bit of an edge.
    assert (observation.images.int() - own.images.int()).abs().float().mean() < 0.5


@needs_metaworld
def test_tasks_of_another_world_are_named_by_its_groups():
    made = make_env(ActionImagesEnvConfig(world="metaworld", task="mt10"), n_envs=1)["metaworld"]
    assert list(made) == list(range(10))
    names = [made[number].get_attr("task")[0] for number in made]
    assert TASK in names
    for one in made.values():
        one.close()
    assert np.isclose(made[0].metadata["render_fps"], 20)


def test_a_world_that_is_not_there_is_refused_with_those_that_are():
    with pytest.raises(ActionImagesError, match="there is no world 'metawold'; did you mean metaworld"):
        ActionImagesEnvConfig(world="metawold", task=TASK)


def test_a_world_whose_simulator_is_missing_names_what_installs_it(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(registry, "missing_modules", lambda benchmark: list(benchmark.requires))
    with pytest.raises(ActionImagesError, match=r"the world 'libero' needs .*; install with: "):
        ActionImagesEnvConfig(world="libero", task="spatial").create_envs(1)
