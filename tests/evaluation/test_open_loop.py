"""Single plans judged against the expert: right for the expert's own path, and honest about all others."""

import json
from dataclasses import asdict, dataclass, replace

import pytest
import torch

from action_images.benchmarks import WorldConfig, find_benchmark
from action_images.control import Hold
from action_images.evaluation.open_loop import (
    PLANS,
    QUESTIONS,
    PlanError,
    SceneErrors,
    judge_plans,
    judge_scene,
    load_plans,
    markdown,
    summarise,
)
from action_images.geometry import Trajectory
from action_images.robot import Observation, Plan
from action_images.sim import Tabletop, demonstrate, find_task
from action_images.structs import stack

SEED = 1_000_000
WORLD = WorldConfig(size=(32, 32))


@dataclass
class Knowing:
    """A policy that knows the scene, and does the expert's next 32 steps for the colour that it is told."""

    task: str
    deaf: bool = False

    def plan(self, observation: Observation) -> Plan:
        world = Tabletop(self.task, size=WORLD.size)
        world.begin(SEED)
        other = world.trial.with_another_goal()
        if other is not None and not self.deaf and f"{vars(other)['colour']}" in observation.instruction:
            world.trial = other
        poses, openings = [], []
        for _ in demonstrate(world):
            poses.append(world.world.tool)
            openings.append(world.world.opening)
        path = Trajectory(stack(poses), torch.tensor(openings)).to(torch.float32)
        return Plan(path[torch.arange(32).clamp(max=len(openings) - 1)])


def by_question(policy, task="reach_target"):
    return {error.question: error for error in judge_scene(policy, WORLD, (task, SEED)).errors}


def test_the_experts_own_plan_has_no_error_and_follows_both_goals():
    errors = by_question(Knowing("reach_target"))
    assert set(errors) == set(QUESTIONS)
    for question in ("told", "rephrased", "other goal"):
        assert errors[question].final_mm < 1e-3
        assert errors[question].path_deg < 0.1
        assert errors[question].gripper == 1
        assert errors[question].follows is True


def test_a_deaf_policy_is_found_out_by_the_other_goal():
    errors = by_question(Knowing("reach_target", deaf=True))
    assert errors["told"].follows is True
    assert errors["other goal"].follows is False
    assert errors["other goal"].final_mm > 50
    # It looks at nothing either: the controls cost it nothing.
    assert errors["other scene"].final_mm == errors["not told"].final_mm == errors["told"].final_mm


def test_standing_still_costs_what_the_expert_moves():
    error = by_question(Hold())["told"]
    assert error.final_mm == pytest.approx(error.moved_mm, abs=1.0)
    assert error.moved_mm > 50


def test_who_hurries_along_the_experts_path_is_not_off_it():
    class Slower(Knowing):
        def plan(self, observation):
            path = super().plan(observation).trajectory
            return Plan(path[torch.arange(32) // 4])

    class Aside(Slower):
        def plan(self, observation):
            path = super().plan(observation).trajectory
            moved = replace(
                path.world_from_tool,
                translation=path.world_from_tool.translation + torch.tensor([0.0, 0.0, 0.5]),
            )
            return Plan(replace(path, world_from_tool=moved))

    told = by_question(Slower("reach_target"))["told"]
    assert told.final_mm > 5
    assert told.off_path_mm < 0.01
    assert 300 < by_question(Aside("reach_target"))["told"].off_path_mm <= 500


def test_results_from_before_the_distance_to_the_path_are_read_and_have_none(tmp_path):
    error = {
        name: value for name, value in asdict(by_question(Hold())["told"]).items() if name != "off_path_mm"
    }
    (tmp_path / PLANS).write_text(json.dumps({"task": "reach_target", "seed": 1, "errors": [error]}) + "\n")
    (row, _) = summarise(load_plans(tmp_path))
    assert row.off_path_mm is None
    assert "|  |" in markdown([row])


def test_what_could_not_be_read_is_far_off():
    class Blank(Knowing):
        def plan(self, observation):
            plan = super().plan(observation)
            return replace(plan, confidence=torch.zeros(32))

    told = by_question(Blank("reach_target"))["told"]
    assert told.final_mm == 1000
    assert told.follows is False  # though its place-holder lies where it should


def test_a_scene_without_a_choice_has_no_other_goal():
    errors = by_question(Hold(), "close_drawer")
    assert "other goal" not in errors
    assert errors["told"].follows is None


@pytest.mark.parametrize("task", find_benchmark("tabletop").trained)
def test_every_task_has_words_that_no_demonstration_uses(task):
    kind = find_task(task)
    assert len(kind.kept_out) >= 2
    assert not set(kind.kept_out) & set(kind.phrasings)
    world = Tabletop(task, num_views=2, size=(32, 32))
    world.begin(SEED)
    goal = world.trial.with_another_goal()
    if goal is not None:
        assert goal.with_another_goal() != goal
        assert goal.succeeded(world.world) is False
        assert type(goal) is type(world.trial)


def test_scenes_are_written_as_they_are_done_and_not_judged_twice(tmp_path):
    addresses = [("close_drawer", SEED), ("close_drawer", SEED + 1)]
    assert len(list(judge_plans(Hold(), "hold", WORLD, addresses[:1], out=tmp_path))) == 1
    with (tmp_path / PLANS).open("ab") as file:
        file.write(b'{"task": "close_drawer", "se')
    assert [scene.seed for scene in judge_plans(Hold(), "hold", WORLD, addresses, out=tmp_path)] == [SEED + 1]
    lines = [json.loads(line) for line in (tmp_path / PLANS).read_text().splitlines()]
    assert [line["seed"] for line in lines] == [SEED, SEED + 1]
    rows = summarise(load_plans(tmp_path))
    assert {row.task for row in rows} == {"close_drawer", "all"}
    assert all(row.num_plans == 2 for row in rows)
    assert markdown(rows).count("\n") == 2 + len(rows)
    for name, scenes, differs in (
        ("random", WORLD, "policy"),
        ("hold", replace(WORLD, size=(64, 64)), "size"),
    ):
        with pytest.raises(ValueError, match=rf"\({differs} differ\)"):
            list(judge_plans(Hold(), name, scenes, addresses, out=tmp_path))


def test_a_broken_line_is_named(tmp_path):
    (tmp_path / PLANS).write_text('{"task": "close_drawer"}\n')
    with pytest.raises(ValueError, match=r"plans.jsonl, line 1"):
        load_plans(tmp_path)


def test_the_median_of_two_scenes_lies_between_them():
    scenes = [
        SceneErrors("reach", seed, (PlanError("told", mm, mm, 1.0, 1.0, 50.0, None),))
        for seed, mm in enumerate((10.0, 1000.0))
    ]
    (row, _) = summarise(scenes)
    assert row.final_mm[0] == 505.0


def test_two_commands_do_not_write_into_one_folder(tmp_path):
    running = judge_plans(
        Hold(), "hold", WORLD, [("reach_target", SEED), ("reach_target", SEED + 1)], out=tmp_path
    )
    next(running)
    with pytest.raises(ValueError, match="another process is writing"):
        next(judge_plans(Hold(), "hold", WORLD, [("reach_target", SEED)], out=tmp_path))
    running.close()
    assert len(list(judge_plans(Hold(), "hold", WORLD, [("reach_target", SEED + 1)], out=tmp_path))) == 1
