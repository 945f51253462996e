"""Worlds by name: found, refused with a cure, made alike in every process, and added by other packages."""

import json
import os
import pickle
import re
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

import action_images
from action_images.benchmarks import (
    Seeds,
    WorldConfig,
    benchmark_names,
    find_benchmark,
    registry,
    require_installed,
    require_task,
)
from action_images.benchmarks.record import WorldRecording
from action_images.control import Hold
from action_images.errors import ActionImagesError
from action_images.evaluation.ceiling import Gate, run_trial
from action_images.evaluation.closed_loop import EvaluationConfig, evaluate, judge
from action_images.evaluation.open_loop import judge_scene
from action_images.evaluation.protocols import PROTOCOLS, protocol_named, protocols_of
from action_images.evaluation.references import Expert, Random
from action_images.evaluation.trial import load_trials
from action_images.geometry import Trajectory
from action_images.policies import ReferencePolicy
from action_images.robot import RepeatableEnvironment
from action_images.sim import LOOKS, RIGS, TASKS

SOURCE = Path(action_images.__file__).parent
TABLETOP = find_benchmark("tabletop")
FIRST = TABLETOP.seeds.first_for_judging


@pytest.fixture
def point(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """The world of another package, installed for one test."""
    site = tmp_path / "site"
    metadata = site / "point_world-0.1.dist-info"
    metadata.mkdir(parents=True)
    shutil.copy(Path(__file__).with_name("point_world.py"), site)
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: point-world\nVersion: 0.1\n")
    (metadata / "entry_points.txt").write_text(
        "[action_images.worlds]\npoint = point_world:POINT\nbroken = no_such_module:WORLD\n"
    )
    monkeypatch.syspath_prepend(site)
    registry._registered.cache_clear()
    yield find_benchmark("point")
    registry._registered.cache_clear()
    sys.modules.pop("point_world", None)


def test_worlds_that_say_how_many_tasks_they_have_have_as_many():
    found = {name: re.search(r"(\d+) tasks", find_benchmark(name).description) for name in benchmark_names()}
    counts = {name: int(said[1]) for name, said in found.items() if said is not None}
    assert {"metaworld", "libero", "maniskill"} <= set(counts)
    assert counts == {name: len(find_benchmark(name).tasks()) for name in counts}


def test_the_embedded_benchmark_names_ten_tasks_for_training_and_two_that_are_kept_out():
    assert TABLETOP.trained == (
        "close_box",
        "close_drawer",
        "open_drawer",
        "pick_and_lift",
        "place_in_bowl",
        "push_button",
        "reach_target",
        "slide_block_to_target",
        "stack_blocks",
        "turn_dial",
    )
    assert TABLETOP.held_out == ("close_laptop", "pick_up_cup")
    assert {*TABLETOP.trained, *TABLETOP.held_out} <= set(TASKS)


def test_the_papers_benchmark_trains_seventeen_tasks_and_keeps_six_from_training():
    paper = find_benchmark("paper")
    assert len(paper.trained) == 17
    assert len(paper.held_out) == 6
    assert set(TABLETOP.trained) < set(paper.trained)
    assert set(TABLETOP.held_out) < set(paper.held_out)
    assert not set(paper.trained) & set(paper.held_out)
    assert {*paper.trained, *paper.held_out} == set(TASKS)
    for name in ("paper", "paper_open_loop"):
        assert set(PROTOCOLS[name].tasks) == set(TASKS)
        assert PROTOCOLS[name].environment("open_jar", num_views=2, size=(32, 32)).max_steps == 120


def test_what_the_embedded_benchmark_says_is_what_its_simulator_has():
    assert set(TABLETOP.rigs) == set(RIGS)
    assert set(TABLETOP.looks) == set(LOOKS)
    assert TABLETOP.seen("held_out", "unseen")["rig"]["azimuth_deg"] == RIGS["held_out"].azimuth_deg
    assert TABLETOP.instructions("open_drawer") == TASKS["open_drawer"].phrasings


def test_another_task_file_changes_no_protocol_and_no_result(tmp_path: Path):
    copied = tmp_path / "src" / "action_images"
    shutil.copytree(SOURCE, copied, ignore=shutil.ignore_patterns("weights", "__pycache__"))
    new = (copied / "sim" / "tasks" / "reach_target.py").read_text().replace("ReachTarget", "AimAtTarget")
    (copied / "sim" / "tasks" / "aim_at_target.py").write_text(new)
    code = (
        "import json\n"
        "from action_images.evaluation.closed_loop import EvaluationConfig, run\n"
        "from action_images.evaluation.protocols import PROTOCOLS\n"
        "from action_images.evaluation.references import Random\n"
        "from action_images.sim import TASKS\n"
        "tasks = {name: protocol.tasks for name, protocol in PROTOCOLS.items()}\n"
        "config = EvaluationConfig('in_domain', PROTOCOLS['in_domain'], 'random', Random, size=(32, 32))\n"
        "trials = list(run(config, [('reach_target', 1_000_000)]))\n"
        "print(json.dumps([len(TASKS), tasks, trials[0].detail, trials[0].missed_mm]))\n"
    )
    found = []
    for source in (SOURCE.parent, copied.parent):
        environ = {**os.environ, "PYTHONPATH": str(source), "OMP_NUM_THREADS": "1"}
        ran = subprocess.run(
            [sys.executable, "-c", code], env=environ, capture_output=True, text=True, check=True
        )
        found.append(json.loads(ran.stdout))
    (num_before, *before), (num_after, *after) = found
    assert num_after == num_before + 1
    assert after == before


def test_a_world_comes_out_of_values_in_every_process():
    config = pickle.loads(pickle.dumps(WorldConfig(rig="held_out", look="unseen", size=(32, 32))))
    environment = config.environment("push_button")
    seen = environment.reset(FIRST)
    twin = environment.twin()
    assert torch.equal(seen.images, twin.reset(FIRST).images)
    environment.close()
    twin.close()


def test_an_environment_has_all_that_judging_needs_without_rendering():
    environment = WorldConfig(size=(32, 32)).environment("reach_target")
    assert isinstance(environment, RepeatableEnvironment)
    environment.begin(FIRST)
    steps = environment.expert()
    assert steps is not None
    reports = list(steps)
    assert environment.succeeded()
    assert environment.num_steps == len(reports) < environment.max_steps
    metres, _ = reports[-1].world_from_tool.distance(environment.state().world_from_tool)
    assert metres < 1e-6


def test_a_switched_goal_is_what_expert_and_success_follow():
    environment, rng = WorldConfig(size=(32, 32)).environment("push_button"), np.random.default_rng(0)
    environment.begin(FIRST)
    before = environment.state().instruction
    assert environment.switch_goal(rng) == environment.state().instruction != before
    list(environment.expert() or ())
    assert environment.succeeded()
    no_choice = WorldConfig(size=(32, 32)).environment("open_drawer")
    no_choice.begin(FIRST)
    assert no_choice.switch_goal(rng) is None


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: find_benchmark("tabeltop"), "there is no world 'tabeltop'; did you mean tabletop?"),
        (lambda: find_benchmark("x"), "there are: tabletop"),
        (lambda: WorldConfig(rig="overhead"), "has no rig 'overhead'; it has: sampled"),
        (lambda: WorldConfig(look="dark"), "has no look 'dark'; it has: train, wide"),
        (lambda: require_task(TABLETOP, "push_butron"), "did you mean push_button"),
        (lambda: WorldConfig().environment("fly"), "there is no task 'fly' in the world 'tabletop'"),
        (
            lambda: require_installed(replace(TABLETOP, requires=("no_such_simulator",))),
            "needs no_such_simulator; install with: pip install",
        ),
        (lambda: Seeds("official", num_for_judging=50).for_judging(100), "there are 50 scenes"),
    ],
)
def test_what_is_not_there_is_refused_with_a_cure(make, said: str):
    with pytest.raises(ValueError, match=said.replace("?", r"\?")):
        make()


def test_evaluation_names_no_world_of_its_own():
    for path in (SOURCE / "evaluation").glob("*.py"):
        assert "Tabletop" not in path.read_text(), path
        assert "action_images.sim" not in path.read_text(), path


def test_another_package_adds_a_world_by_its_entry_point(point):
    assert "point" in benchmark_names()
    assert find_benchmark("point") is point
    with pytest.raises(ValueError, match="'broken' is registered by point-world"):
        find_benchmark("broken")


def test_a_world_is_offered_the_protocols_that_it_can_hold(point):
    assert set(protocols_of(TABLETOP)) >= {"new_look", "new_viewpoint", "new_task"}
    assert set(PROTOCOLS) == {*protocols_of(TABLETOP), "new_look_checkered", "paper", "paper_open_loop"}
    assert set(protocols_of(point)) == {"in_domain", "open_loop"}
    with pytest.raises(ValueError, match="no protocol 'new_look' for the world 'point'"):
        protocol_named("new_look", "point")
    with pytest.raises(ValueError, match="has no look 'wide'; it has none to choose from"):
        WorldConfig("point", look="wide")


def point_config(name: str = "hold") -> EvaluationConfig:
    make = ReferencePolicy(name, (32, 32), 5.0)
    return EvaluationConfig("in_domain", protocol_named("in_domain", "point"), name, make, size=(32, 32))


@pytest.mark.usefixtures("point")
def test_a_foreign_world_is_judged_as_the_embedded_one(tmp_path: Path):
    assert len(list(evaluate(point_config(), tmp_path, 2))) == 4
    trials = load_trials(tmp_path)
    assert [trial.seed for trial in trials] == [100, 101, 100, 101]
    right, alone = trials[0], trials[2]
    assert right.failure == alone.failure == "missed"
    assert right.missed_mm == pytest.approx(30, abs=0.1)
    assert "degrees" not in right.detail  # this world cannot turn the tool
    assert alone.missed_mm is None
    assert "no expert" in alone.detail
    settings = json.loads((tmp_path / "settings.json").read_text())
    assert settings["benchmark"] == ["point", "0.1"]
    with pytest.raises(ValueError, match="there are 3 scenes"):
        point_config().protocol.addresses(4)


@pytest.mark.usefixtures("point")
def test_a_foreign_worlds_guard_box_and_way_of_counting_are_its_own():
    trial, rollout = judge(Expert(), point_config("expert"), ("right", 100))
    assert trial.succeeded
    assert rollout.stopped is None
    assert len(rollout.steps) == 2  # done at any step, not three in a row
    random = Random(workspace=find_benchmark("point").workspace)
    moves, _ = judge(random, point_config(), ("right", 101))
    assert moves.failure != "guard"


@pytest.mark.usefixtures("point")
def test_a_task_without_an_expert_has_no_ceiling_and_says_so():
    address = ("right-without-expert", 100)
    with pytest.raises(ValueError, match="no expert"):
        judge(Expert(), point_config("expert"), address)
    with pytest.raises(ValueError, match="no expert"):
        run_trial(*address, Gate(WorldConfig("point")))
    with pytest.raises(ValueError, match="no expert"):
        judge_scene(Hold(), WorldConfig("point"), address)


def _path(recording: WorldRecording, task: str, seed: int) -> Trajectory:
    """The tool's path in a demonstration, which succeeds."""
    episode = recording.demonstration(task, seed)
    assert episode is not None
    assert episode.trajectory is not None
    return episode.trajectory


def _first_places(recording: WorldRecording) -> torch.Tensor:
    """Where the tool is in the first frame of a few demonstrations."""
    paths = [_path(recording, "reach_target", seed) for seed in range(4)]
    return torch.stack([path.world_from_tool.translation[0] for path in paths])


def test_a_disturbed_expert_begins_aside_within_the_workspace_and_still_succeeds():
    world = WorldConfig(size=(32, 32))
    plain, pushed = (WorldRecording(world, every=4, actor=actor) for actor in ("expert", "disturbed"))
    aside = _first_places(pushed)
    moved = (aside - _first_places(plain)).norm(dim=1)
    assert (moved > 0.01).all()
    assert len({round(one, 4) for one in moved.tolist()}) == 4
    low, high = (torch.tensor(bound) for bound in TABLETOP.workspace)
    assert ((aside > low - 0.02) & (aside < high + 0.02)).all()
    assert torch.equal(aside, _first_places(pushed))


@pytest.mark.usefixtures("point")
def test_an_expert_that_resumes_is_pushed_on_its_way_or_is_done_before(monkeypatch: pytest.MonkeyPatch):
    environment_class = type(WorldConfig("point", size=(32, 32)).environment("right"))
    monkeypatch.setattr(environment_class, "expert_resumes", True, raising=False)
    monkeypatch.setattr("action_images.benchmarks.record.LATEST_PUSH", 6)  # the expert takes 3 steps
    monkeypatch.setattr("action_images.benchmarks.record.FARTHEST_PUSH", ((0.02, 0.0, 0.0), (0.03, 0.0, 0.0)))
    world = WorldConfig("point", size=(32, 32))
    plain = _path(WorldRecording(world), "right", 0)
    paths = [_path(WorldRecording(world, actor="disturbed"), "right", seed) for seed in range(0, 60, 5)]
    assert any(path.num_frames == plain.num_frames for path in paths)  # done before the push
    pushed = [path for path in paths if path.num_frames < plain.num_frames]
    assert pushed
    assert all(path.world_from_tool.translation[0, 0] > 1.015 for path in pushed)


@pytest.mark.usefixtures("point")
def test_a_task_without_an_expert_cannot_be_recorded_pushed_or_not():
    for actor in ("expert", "disturbed"):
        recording = WorldRecording(WorldConfig("point", size=(32, 32)), actor=actor)
        with pytest.raises(ActionImagesError, match="no expert to record"):
            recording.demonstration("right-without-expert", 0)
