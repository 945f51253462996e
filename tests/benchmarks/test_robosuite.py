"""robosuite behind our protocol: calibrated, repeatable, driven to where it is told, and closed cleanly."""

import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch

from action_images.benchmarks import WorldConfig, find_benchmark, missing_modules, tasks_named
from action_images.benchmarks.robosuite import SCRIPTS
from action_images.evaluation.ceiling import Gate, run_trial
from action_images.evaluation.expert import demonstration
from action_images.robot import RepeatableEnvironment

BENCHMARK = find_benchmark("robosuite")
LACKS = missing_modules(BENCHMARK)
needs_robosuite = pytest.mark.skipif(
    bool(LACKS), reason=f"needs {', '.join(LACKS)}: make test-env-robosuite makes an environment with it"
)
WORLD = WorldConfig("robosuite", size=(128, 128))


def test_every_task_has_words_and_an_expert_that_exists():
    from action_images.benchmarks import robosuite_scripts

    assert set(SCRIPTS) == set(BENCHMARK.tasks())
    assert all(callable(getattr(robosuite_scripts, script)) for script in SCRIPTS.values())
    assert all(len(set(BENCHMARK.instructions(task))) >= 3 for task in BENCHMARK.tasks())
    with pytest.raises(ValueError, match=r"did you mean Stack"):
        tasks_named(BENCHMARK, ("Stak",))


@needs_robosuite
@pytest.mark.parametrize("rig", ["sampled", "held_out", "published"])
def test_cameras_are_calibrated(rig: str):
    from foreign import FIRST, marker_errors

    environment = replace(WORLD, rig=rig).environment("Lift")
    environment.begin(FIRST)
    above_the_table = np.array([0.0, 0.0, 0.95])
    errors = marker_errors(environment._views, environment.data, environment.cameras, above_the_table)
    environment.close()
    assert np.median(errors) <= 0.5
    assert errors.max() <= 1.0


@needs_robosuite
def test_the_tool_comes_to_rest_where_and_how_it_is_told():
    from foreign import median_rest_error

    metres, degrees = median_rest_error(
        WORLD.environment("Lift"), num_seeds=4, low=(-0.05, -0.15, -0.1), high=(0.15, 0.15, 0.05)
    )
    assert metres <= 3e-3
    assert degrees <= 0.5


@needs_robosuite
@pytest.mark.parametrize("task", ["Lift", "PickPlaceCan", "Door"])
def test_the_room_moves_and_nothing_else(task: str):
    from foreign import FIRST, fingerprint

    still, moved = (
        replace(WORLD, look=look, size=(64, 64)).environment(task) for look in ("still", "moved_room")
    )
    one, other = still.reset(FIRST), moved.reset(FIRST)
    assert one.instruction == other.instruction
    assert torch.equal(one.cameras.world_from_camera.matrix(), other.cameras.world_from_camera.matrix())
    still.step(still.told, 1.0)
    moved.step(moved.told, 1.0)
    assert np.array_equal(still.data.qpos, moved.data.qpos)
    fixed = moved.model.geom_bodyid != 0
    assert np.array_equal(still.data.geom_xpos[fixed], moved.data.geom_xpos[fixed])
    differs = (one.images.int() - other.images.int()).abs().amax(1) > 8
    assert 0.1 < differs.float().mean() < 0.9
    rooms = [moved.data.geom_xpos[moved.model.geom("wall_rear_visual").id].copy()]
    moved.begin(FIRST + 1)
    rooms.append(moved.data.geom_xpos[moved.model.geom("wall_rear_visual").id].copy())
    assert np.linalg.norm(rooms[0] - rooms[1]) > 0.1
    twin = moved.twin()
    assert fingerprint(moved, FIRST) == fingerprint(twin, FIRST) != fingerprint(still, FIRST)
    for environment in (still, moved, twin):
        environment.close()


@needs_robosuite
@pytest.mark.parametrize("rig", ["sampled", "fixed", "held_out"])
def test_all_cameras_stay_inside_the_room(rig: str):
    environment = replace(WORLD, rig=rig, look="moved_room", num_views=2, size=(32, 32)).environment("Lift")
    for seed in range(20):
        environment.begin(seed)
        eyes = environment.cameras.world_from_camera.translation.numpy()
        walls = [one for one in range(environment.model.ngeom) if "wall" in environment.model.geom(one).name]
        inward, middles = (
            environment.data.geom_xmat[walls].reshape(-1, 3, 3)[..., 2],
            environment.data.geom_xpos[walls],
        )
        centre = environment.data.geom_xpos[environment.model.geom("floor").id]
        sides = np.sign(((centre - middles) * inward).sum(-1))
        distances = ((eyes[:, None] - middles) * inward).sum(-1) * sides
        assert distances.min() > 0.1
    environment.close()


def test_cameras_that_a_moved_wall_could_hide_are_refused():
    with pytest.raises(ValueError, match=r"'published'.*the look still"):
        BENCHMARK.make("Lift", rig="published", look="moved_room", num_views=2, size=(32, 32))


@needs_robosuite
@pytest.mark.parametrize("task", ["Stack", "NutAssemblySquare"])
def test_a_seed_is_the_same_trial_every_time_and_another_seed_is_another(task: str):
    from foreign import FIRST, fingerprint

    environment = replace(WORLD, size=(64, 64)).environment(task)
    assert isinstance(environment, RepeatableEnvironment)
    first, other = fingerprint(environment, FIRST), fingerprint(environment, FIRST + 1)
    assert fingerprint(environment, FIRST) == first != other
    twin = environment.twin()
    assert fingerprint(twin, FIRST) == first
    environment.close()
    twin.close()


@needs_robosuite
def test_things_lie_still_when_a_trial_begins():
    environment = WORLD.environment("NutAssemblySquare")
    environment.begin(1_000_000)
    place = environment.body("SquareNut_main").translation
    for _ in range(5):
        environment.step(environment.told, opening=1.0)
    moved = environment.body("SquareNut_main").translation - place
    environment.close()
    assert moved.norm() < 1e-3


@needs_robosuite
@pytest.mark.parametrize("task", ["Door", "NutAssemblySquare"])
def test_an_expert_drives_the_arm_through_step_and_is_done_at_rest(task: str):
    environment = WORLD.environment(task)
    shown = demonstration(environment, 1_000_000)
    assert environment.succeeded()
    assert shown.told.num_frames == environment.num_steps + 1 <= environment.max_steps / 2
    environment.close()


@needs_robosuite
def test_an_experts_path_survives_codec_and_video():
    gate = Gate(WORLD, sizes=(128,), rates=(5.0,), paths=("told",))
    trial = run_trial("Lift", 1_000_000, gate)
    assert trial.succeeded == dict.fromkeys(("expert", "recorded", "told", "128 told 5 fps"), True)
    assert trial.error["128 told 5 fps"] < 3e-3


@needs_robosuite
def test_a_process_that_leaves_an_environment_open_ends_well_and_says_nothing():
    code = (
        "from action_images.benchmarks import WorldConfig\n"
        "one, other = (WorldConfig('robosuite', size=(32, 32)).environment('Lift') for _ in range(2))\n"
        "one.reset(0); other.reset(0); other.close(); print(one.observation().images.float().mean())\n"
    )
    ran = subprocess.run([sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True)
    assert (ran.returncode, ran.stderr) == (0, "")
