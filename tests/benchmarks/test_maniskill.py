"""ManiSkill behind our protocol: calibrated, repeatable, driven to where it is told, and closed cleanly."""

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from action_images.benchmarks import WorldConfig, find_benchmark, missing_modules, tasks_named
from action_images.benchmarks.maniskill import SCRIPTS
from action_images.evaluation.ceiling import Gate, run_trial
from action_images.evaluation.expert import demonstration
from action_images.robot import RepeatableEnvironment

BENCHMARK = find_benchmark("maniskill")
LACKS = missing_modules(BENCHMARK)
needs_maniskill = pytest.mark.skipif(
    bool(LACKS), reason=f"needs {', '.join(LACKS)}: make test-env-maniskill makes an environment with it"
)
WORLD = WorldConfig("maniskill", size=(128, 128))


def test_every_task_has_words_and_all_but_one_an_expert():
    from action_images.benchmarks import maniskill_scripts

    assert set(BENCHMARK.tasks()) - set(SCRIPTS) == {"LiftPegUpright-v1"}
    assert set(SCRIPTS) < set(BENCHMARK.tasks())
    assert all(callable(getattr(maniskill_scripts, script)) for script in SCRIPTS.values())
    assert all(len(set(BENCHMARK.instructions(task))) >= 3 for task in BENCHMARK.tasks())


def test_a_wrong_name_says_the_nearest_and_an_unknown_rig_says_those_there_are():
    with pytest.raises(ValueError, match=r"did you mean StackCube-v1"):
        tasks_named(BENCHMARK, ("StakCube",))
    with pytest.raises(ValueError, match=r"has no rig 'wrist'; it has: sampled, fixed, held_out, published"):
        WorldConfig("maniskill", rig="wrist")


@needs_maniskill
@pytest.mark.parametrize("rig", ["sampled", "held_out", "published"])
def test_cameras_are_calibrated(rig: str):
    from foreign import FIRST

    environment = replace(WORLD, rig=rig).environment("PickCube-v1")
    environment.begin(FIRST)
    errors = ball_errors(environment)
    environment.close()
    assert np.median(errors) <= 0.5
    assert errors.max() <= 1.0


def ball_errors(environment, num_places: int = 10) -> np.ndarray:
    """How far (px) the centres of balls drawn by Vulkan lie from where our cameras project them.

    A ball is what changes in the image when it comes there from out of sight. Those that the arm or the
    image's edge hides in part are left out.
    """
    ball, away = Ball(environment), np.array([0.0, 0.0, -50.0])
    ball.move(away)
    without, errors = environment.observation().images.int(), []
    for place in np.random.default_rng(0).uniform((-0.1, -0.2, 0.25), (0.1, 0.2, 0.45), (num_places, 3)):
        ball.move(place)
        changed = (environment.observation().images.int() != without).any(1)
        for view in range(len(changed)):
            camera = environment.cameras[view]
            expected, depth = camera.project(torch.from_numpy(place).to(camera.dtype))
            radius = ball.radius * camera.intrinsics[0, 0] / depth
            rows, columns = changed[view].numpy().nonzero()
            if len(rows) >= 0.85 * np.pi * radius**2:
                shown = np.array([columns.mean() + 0.5, rows.mean() + 0.5])
                errors.append(np.linalg.norm(expected.numpy() - shown))
    assert len(errors) >= num_places
    return np.array(errors)


class Ball:
    """A ball that can be put anywhere in ManiSkill's scene."""

    radius = 0.02

    def __init__(self, environment):
        import sapien

        builder = environment.simulator.scene.sub_scenes[0].create_actor_builder()
        magenta = sapien.render.RenderMaterial()
        magenta.base_color = magenta.emission = [1, 0, 1, 1]
        builder.add_sphere_visual(radius=self.radius, material=magenta)
        self._actor = builder.build_kinematic("ball")

    def move(self, place: np.ndarray) -> None:
        """Put its centre at a place (m, world)."""
        import sapien

        self._actor.set_pose(sapien.Pose(place))


@needs_maniskill
def test_the_tool_comes_to_rest_where_and_how_it_is_told():
    from foreign import median_rest_error

    metres, degrees = median_rest_error(
        WORLD.environment("PickCube-v1"),
        num_seeds=4,
        low=(-0.1, -0.15, -0.1),
        high=(0.1, 0.15, 0.1),
        num_steps=20,
    )
    assert metres <= 3e-3
    assert degrees <= 0.5


@needs_maniskill
def test_a_seed_is_the_same_trial_every_time_and_another_seed_is_another():
    from foreign import FIRST, fingerprint

    environment = replace(WORLD, size=(64, 64)).environment("StackCube-v1")
    assert isinstance(environment, RepeatableEnvironment)
    chance = torch.get_rng_state()
    first, other = fingerprint(environment, FIRST), fingerprint(environment, FIRST + 1)
    assert fingerprint(environment, FIRST) == first != other
    twin = environment.twin()
    assert fingerprint(twin, FIRST) == first
    assert torch.equal(torch.get_rng_state(), chance)  # torch's global source is left as it was
    environment.close()
    twin.close()


@needs_maniskill
def test_a_closed_environment_shows_the_same_again():
    environment = replace(WORLD, size=(64, 64)).environment("PickCube-v1")
    seen = environment.reset(7)
    environment.close()
    assert torch.equal(environment.observation().images, seen.images)
    environment.close()


@needs_maniskill
def test_the_goal_that_maniskill_hides_can_be_seen():
    environment = replace(WORLD, rig="fixed").environment("PickCube-v1")
    seen = environment.reset(3)
    red, green, blue = seen.images.int().unbind(1)
    goal = environment.thing("goal_site").translation.float()
    pixels, _ = environment.cameras.project(goal)
    is_green = (green > red + 60) & (green > blue + 60)
    rows, columns = is_green[0].nonzero(as_tuple=True)
    middle = torch.stack([columns, rows]).float().mean(1) + 0.5
    environment.close()
    assert (middle - pixels[0]).norm() < 3  # half of it may be hidden


@needs_maniskill
@pytest.mark.parametrize("task", list(SCRIPTS))
def test_an_expert_drives_the_arm_through_step_and_is_done_at_rest(task: str):
    environment = WORLD.environment(task)
    shown = demonstration(environment, 1_000_000)
    assert environment.succeeded()
    assert shown.told.num_frames == environment.num_steps + 1 <= environment.max_steps
    environment.close()


@needs_maniskill
def test_an_experts_path_survives_codec_and_video():
    gate = Gate(WORLD, sizes=(128,), rates=(5.0,), paths=("told",))
    trial = run_trial("PickCube-v1", 1_000_000, gate)
    assert trial.succeeded == dict.fromkeys(("expert", "recorded", "told", "128 told 5 fps"), True)
    assert trial.error["128 told 5 fps"] < 3e-3


@needs_maniskill
def test_a_pose_out_of_reach_is_reported_and_does_not_raise():
    environment = WORLD.environment("PickCube-v1")
    environment.begin(0)
    far = replace(environment.told, translation=torch.tensor([3.0, 0.0, 0.2], dtype=torch.float64))
    report = environment.step(far, opening=1.0)
    environment.close()
    assert not report.reachable
    assert report.position_error > 1


def in_a_new_process(code: str, home: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    """Lines that make environments, run with another home folder."""
    lines = f"from action_images.benchmarks import WorldConfig\n{code}"
    environ = {name: value for name, value in os.environ.items() if name != "MS_ASSET_DIR"}
    environ |= {"HOME": str(home), **variables}
    return subprocess.run(
        [sys.executable, "-W", "ignore", "-c", lines], capture_output=True, text=True, env=environ
    )


@needs_maniskill
def test_a_process_ends_well_says_nothing_and_writes_nothing_into_the_home_folder(tmp_path: Path):
    code = (
        "world = WorldConfig('maniskill', size=(32, 32))\n"
        "one, other = (world.environment(task) for task in ('PickCube-v1', 'StackCube-v1'))\n"
        "one.reset(0); other.reset(0); other.close(); print(one.observation().images.float().mean())\n"
    )
    ran = in_a_new_process(code, tmp_path)
    assert (ran.returncode, ran.stderr) == (0, "")
    assert len(ran.stdout.split()) == 1
    assert [path.relative_to(tmp_path) for path in tmp_path.rglob("*")] == []


@needs_maniskill
def test_without_a_vulkan_driver_the_package_that_brings_one_is_named(tmp_path: Path):
    code = (
        "try:\n    WorldConfig('maniskill').environment('PickCube-v1')\n"
        "except ValueError as error:\n    print(error)\n"
    )
    ran = in_a_new_process(code, tmp_path, VK_ICD_FILENAMES="/nowhere.json", VK_DRIVER_FILES="/nowhere.json")
    assert ran.returncode == 0, ran.stderr
    assert "no Vulkan driver was found" in ran.stdout
    assert "mesa-vulkan-drivers" in ran.stdout
