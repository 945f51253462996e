"""LIBERO behind our protocol: its own initial states, calibrated, repeatable, and closed cleanly."""

import gc
import os
import subprocess
import sys
import weakref
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from action_images.benchmarks import WorldConfig, find_benchmark, missing_modules, tasks_named
from action_images.benchmarks.libero import FOLDERS, GOAL, OBJECT, SUITES, TEN, words_of
from action_images.benchmarks.libero_pro import PERTURBATIONS, PERTURBED, WITHOUT_STATES
from action_images.evaluation.ceiling import Gate, run_trial
from action_images.evaluation.protocols import protocols_of
from action_images.robot import RepeatableEnvironment

BENCHMARK = find_benchmark("libero")
LACKS = missing_modules(BENCHMARK)
needs_libero = pytest.mark.skipif(
    bool(LACKS), reason=f"needs {', '.join(LACKS)}: make test-env-libero makes an environment with it"
)
PRO = find_benchmark("libero-pro")
needs_libero_pro = pytest.mark.skipif(bool(missing_modules(PRO)), reason="needs liberopro: make env-libero")
WORLD = WorldConfig("libero", size=(128, 128))
PRO_WORLD = WorldConfig("libero-pro", size=(128, 128))
SOUP, CHEESE = OBJECT[:2]
"""The cheese lies beside a can that the hand would touch in the middle of its grip."""


def test_each_suite_has_ten_tasks_and_the_words_are_their_names_without_the_scene():
    assert [len(set(tasks)) for tasks in SUITES.values()] == [10, 10, 10, 10]
    assert len(set(BENCHMARK.tasks())) == 40
    assert words_of("KITCHEN_SCENE8_put_both_moka_pots_on_the_stove") == "put both moka pots on the stove"
    with pytest.raises(ValueError, match=r"did you mean turn_on_the_stove"):
        tasks_named(BENCHMARK, ("turn_on_stove",))


def test_there_are_fifty_scenes_for_judging():
    assert BENCHMARK.seeds.for_judging(50)[-1] == 1_000_049
    with pytest.raises(ValueError, match="there are 50 scenes"):
        BENCHMARK.seeds.for_judging(51)


def test_what_no_expert_shows_is_judged_as_new_tasks():
    assert protocols_of(BENCHMARK)["new_task"].tasks == (*GOAL, *TEN)
    assert {*protocols_of(PRO)} == {"new_task"}
    assert len(set(PRO.tasks())) == 160 - len(WITHOUT_STATES)
    assert {suite: len(tasks) for suite, tasks in PERTURBED.items() if len(tasks) < 10} == {
        "spatial_task": 8,
        "ten_object": 9,
        "ten_task": 9,
    }


@needs_libero_pro
def test_perturbed_tasks_are_those_of_the_package_and_have_fifty_states_each():
    from action_images.benchmarks.libero_environment import SceneFiles

    empty, base = set(), BENCHMARK.tasks()
    for perturbation in PERTURBATIONS:
        for suite, tasks in SUITES.items():
            files = SceneFiles("liberopro", f"{FOLDERS[suite]}_{perturbation}")
            states = {task: len(files.initial_states(task)) for task in tasks}
            empty |= {f"{perturbation}_{task}" for task, num_states in states.items() if num_states == 0}
            assert set(states.values()) <= {0, 50}
    assert empty == set(WITHOUT_STATES)
    assert PRO.instructions(f"swap_{SOUP}") == BENCHMARK.instructions(SOUP)
    assert PRO.instructions(f"lan_{SOUP}") == ("grab alphabet soup and put it into basket",)
    assert PRO.instructions(f"task_{SOUP}") == ("Pick the cream cheese and place it in the basket",)
    assert all(PRO.instructions(f"lan_{task}") != BENCHMARK.instructions(task) for task in base)


@needs_libero_pro
def test_a_perturbed_trial_begins_in_its_own_state_before_the_cameras_of_the_usual_one():
    usual, swapped = (world.environment(task) for world, task in ((WORLD, SOUP), (PRO_WORLD, f"swap_{SOUP}")))
    for environment in (usual, swapped):
        environment.begin(1_000_003)
    assert torch.equal(usual.cameras.world_from_camera.matrix(), swapped.cameras.world_from_camera.matrix())
    assert usual.state().instruction == swapped.state().instruction
    soups = [environment.body("alphabet_soup_1_main").translation for environment in (usual, swapped)]
    assert (soups[0] - soups[1]).norm() > 0.05
    looks = PRO_WORLD.environment(f"object_{SOUP}")
    looks.begin(1_000_003)
    assert looks.expert() is None
    assert "red_basket_1_main" in looks.simulator.sim.model.body_names
    for environment in (usual, swapped, looks):
        environment.close()


@needs_libero
def test_suites_and_words_are_those_of_the_package():
    WORLD.environment(SOUP).close()  # its making tells the package where its files are
    from libero.libero.benchmark import grab_language_from_filename, libero_task_map

    assert {suite: tuple(libero_task_map[FOLDERS[suite]]) for suite in SUITES} == SUITES
    spoken = {task: grab_language_from_filename(f"{task}.bddl") for task in BENCHMARK.tasks()}
    assert {task: words_of(task) for task in spoken} == spoken


@needs_libero
def test_a_trial_for_judging_begins_in_liberos_own_state():
    environment = WORLD.environment(SOUP)
    environment.begin(1_000_007)
    first, _ = environment.simulator.sim.model.get_joint_qpos_addr("milk_1_joint0")
    wanted = environment._initial_states[7][1:]  # after the time
    now = environment.data.qpos
    assert np.abs(now[first : first + 2] - wanted[first : first + 2]).max() < 2e-3  # it has settled since
    with pytest.raises(ValueError, match="seed 1000050: LIBERO has 50 initial states"):
        environment.begin(1_000_050)
    environment.close()


@needs_libero
@pytest.mark.parametrize("rig", ["sampled", "published"])
def test_cameras_are_calibrated(rig: str):
    from foreign import FIRST, marker_errors

    environment = replace(WORLD, rig=rig).environment(SOUP)
    environment.begin(FIRST)
    above_the_floor = np.array([0.0, 0.0, 0.1])
    errors = marker_errors(environment._views, environment.data, environment.cameras, above_the_floor)
    environment.close()
    assert np.median(errors) <= 0.5
    assert errors.max() <= 1.0


@needs_libero
def test_the_tool_comes_to_rest_where_and_how_it_is_told():
    from foreign import median_rest_error

    metres, degrees = median_rest_error(
        WORLD.environment(SOUP), num_seeds=3, low=(-0.05, -0.15, -0.05), high=(0.15, 0.15, 0.05)
    )
    assert metres <= 3e-3
    assert degrees <= 0.5


@needs_libero
def test_a_seed_is_the_same_trial_every_time_and_another_seed_is_another():
    from foreign import FIRST, fingerprint

    environment = replace(WORLD, size=(64, 64)).environment(SOUP)
    assert isinstance(environment, RepeatableEnvironment)
    chance = np.random.get_state()[1].copy()  # noqa: NPY002
    shown = {seed: fingerprint(environment, seed, num_steps=3) for seed in (5, 6, FIRST, FIRST + 1)}
    assert len(set(shown.values())) == 4
    twin = environment.twin()
    assert {seed: fingerprint(twin, seed, num_steps=3) for seed in (FIRST, 5)} == {
        seed: shown[seed] for seed in (FIRST, 5)
    }
    # numpy's global source is left as it was.
    assert (np.random.get_state()[1] == chance).all()  # noqa: NPY002
    environment.close()
    twin.close()


@needs_libero
@pytest.mark.parametrize("task", [SOUP, CHEESE], ids=["soup", "cheese"])
def test_an_experts_path_survives_codec_and_video(task: str):
    gate = Gate(WORLD, sizes=(128,), rates=(5.0,), paths=("told",))
    trial = run_trial(task, 1_000_000, gate)
    assert trial.succeeded == dict.fromkeys(("expert", "recorded", "told", "128 told 5 fps"), True)


@needs_libero
def test_other_suites_have_no_expert():
    environment = WORLD.environment("turn_on_the_stove")
    environment.begin(1_000_000)
    assert environment.expert() is None
    environment.close()


@needs_libero
def test_an_environment_that_is_dropped_gives_its_scene_back_at_once():
    environment = WORLD.environment(SOUP)
    environment.begin(0)
    model = weakref.ref(environment.model)
    gc.disable()
    try:
        del environment
        assert model() is None
    finally:
        gc.enable()


@needs_libero
def test_a_process_ends_well_says_nothing_and_writes_nothing_into_the_home_folder(tmp_path: Path):
    code = (
        "from action_images.benchmarks import WorldConfig\n"
        f"one, other = (WorldConfig('libero', size=(32, 32)).environment('{SOUP}') for _ in range(2))\n"
        "one.reset(0); other.reset(0); other.close(); print(one.observation().images.float().mean())\n"
    )
    environ = {**os.environ, "HOME": str(tmp_path)}
    environ.pop("LIBERO_CONFIG_PATH", None)
    ran = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True, env=environ
    )
    assert (ran.returncode, ran.stderr) == (0, "")
    assert len(ran.stdout.split()) == 1
    # matplotlib, which the package imports, makes a folder of its own.
    assert [path.relative_to(tmp_path).parts[:2] for path in tmp_path.rglob("*") if path.is_file()] == []
