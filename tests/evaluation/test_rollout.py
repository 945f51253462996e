"""A trial under control: plans when they are needed, success that lasts, rails that stop the arm."""

from dataclasses import replace

import pytest
import torch

from action_images.control import Blend, Execution, Guard
from action_images.evaluation.latency import Latency
from action_images.evaluation.rollout import REST_STEPS, BegunTrial, RolloutConfig, roll_out
from action_images.geometry import Camera, Pose, Trajectory
from action_images.robot import Observation, Plan, StepReport

START = torch.tensor([0.45, 0.0, 0.25])


class Table:
    """An Environment whose arm goes where it is told; done while the tool is beyond x = `goal`."""

    control_hz = 20.0

    def __init__(self, goal: float = 9.0) -> None:
        self.goal, self.tool, self.opening, self.num_looks = goal, Pose(torch.eye(3), START), 1.0, 0

    def reset(self, seed: int) -> Observation:  # noqa: ARG002 (all trials are alike)
        self.__init__(self.goal)
        return self.observation()

    def step(self, world_from_tool: Pose, opening: float) -> StepReport:
        self.tool, self.opening = world_from_tool, opening
        return StepReport(True, 0.0, 0.0, world_from_tool)

    def observation(self) -> Observation:
        self.num_looks += 1
        cameras = Camera.look_at(torch.ones(2, 3), torch.zeros(2, 3), 0.8, (8, 8))
        return Observation(
            torch.zeros(2, 3, 8, 8, dtype=torch.uint8),
            cameras,
            self.tool,
            torch.tensor(self.opening),
            "go on",
        )

    def succeeded(self) -> bool:
        return self.tool.translation[0].item() > self.goal


class Forward:
    """Moves on along x by `step` m a control step."""

    def __init__(
        self, step: float = 0.01, num_steps: int = 16, confidence: float | None = None, x: float | None = None
    ) -> None:
        self.step, self.num_steps, self.confidence, self.x, self.num_asked = step, num_steps, confidence, x, 0

    def plan(self, observation: Observation) -> Plan:
        self.num_asked += 1
        ahead = torch.arange(1, self.num_steps + 1)[:, None] * torch.tensor([self.step, 0.0, 0.0])
        place = observation.world_from_tool.translation + ahead
        if self.x is not None:
            place[:, 0] = self.x
        sure = None if self.confidence is None else torch.full((self.num_steps,), self.confidence)
        path = Trajectory(
            Pose(torch.eye(3).expand(self.num_steps, 3, 3), place), observation.opening.expand(self.num_steps)
        )
        return Plan(path, confidence=sure)


def run(policy, table: Table, max_steps: int = 20, *, filming: bool = False, **values):
    rollout_config = RolloutConfig(**{"execution": Execution(num_steps=4), **values})
    trial = BegunTrial(table, "go", 7, first_seen=table.reset(0), max_steps=max_steps)
    return roll_out(policy, trial, rollout_config, filming=filming)


def test_a_trial_ends_once_the_task_has_been_done_for_some_steps():
    rollout = run(Forward(), Table(goal=0.495), steady_steps=3)
    assert rollout.succeeded
    assert len(rollout.steps) == 5 + 2
    assert [step.plan for step in rollout.steps] == [0] * 4 + [1] * 3


def test_passing_by_is_no_success():
    class Flash(Table):
        def succeeded(self) -> bool:
            return abs(self.tool.translation[0].item() - 0.50) < 0.012

    passed_by = run(Forward(), Flash(), steady_steps=4)
    assert (passed_by.succeeded, passed_by.touched) == (False, True)
    assert run(Forward(), Flash(), steady_steps=2).succeeded
    assert not run(Forward(), Table()).touched


def test_images_are_made_only_for_plans_unless_the_trial_is_filmed():
    table = Table()
    rollout = run(Forward(), table)
    assert table.num_looks == 5  # one for each plan of 20 steps in fours
    assert all(step.seen is None for step in rollout.steps)
    assert rollout.last_seen is None
    filmed = run(Forward(), table, filming=True)
    assert table.num_looks == 21
    assert all(step.seen is not None for step in filmed.steps)
    assert filmed.last_seen is not None
    assert len(filmed.plan_ms) == len(filmed.plans) == 5


def test_an_open_loop_rests_after_its_plan_and_ends():
    policy = Forward(num_steps=6)
    rollout = run(policy, Table(), max_steps=100, execution=Execution(num_steps=None, max_plans=1))
    assert policy.num_asked == 1
    assert len(rollout.steps) == 6 + REST_STEPS
    assert (rollout.tool.translation - rollout.steps[5].asked.translation).abs().max() == 0
    assert rollout.stopped is None


@pytest.mark.parametrize(
    ("policy", "rail"),
    [
        (Forward(step=0.2), "speed"),
        (Forward(confidence=0.01), "confidence"),
        (Forward(step=float("nan")), "finite"),
        (Forward(x=2.0), "workspace"),
    ],
)
def test_what_a_rail_forbids_is_never_driven_and_ends_the_trial_with_its_reason(policy, rail: str):
    rollout = run(policy, Table(), guard=Guard(patience=3))
    assert rollout.stopped is not None
    assert rollout.stopped.rail == rail
    assert [step.held.rail for step in rollout.steps if step.held] == [rail] * 3
    assert (rollout.tool.translation - START).abs().max() < 1e-9
    assert policy.num_asked == 4  # each refusal asks for another plan


def test_an_open_loop_has_no_second_chance():
    rollout = run(Forward(x=2.0), Table(), execution=Execution(num_steps=None, max_plans=1))
    assert rollout.stopped is not None
    assert not rollout.steps


def test_a_plan_is_followed_up_to_where_a_rail_stops_it_and_the_next_goes_on():
    class Improving(Forward):
        def plan(self, observation: Observation) -> Plan:
            plan = super().plan(observation)
            sure = torch.ones(self.num_steps)
            if self.num_asked == 1:
                sure[2:] = 0
            return replace(plan, confidence=sure)

    rollout = run(Improving(), Table(), execution=Execution(num_steps=8))
    held = [i for i, step in enumerate(rollout.steps) if step.held]
    assert held == [2]
    assert (rollout.steps[2].asked.translation - rollout.steps[1].reached.translation).abs().max() < 1e-9
    assert rollout.stopped is None
    assert [step.plan for step in rollout.steps[:5]] == [0, 0, 0, 1, 1]


def test_unreachable_steps_are_counted():
    class Far(Table):
        def step(self, world_from_tool: Pose, opening: float) -> StepReport:
            report = super().step(world_from_tool, opening)
            return replace(report, reachable=world_from_tool.translation[0].item() < 0.495)

    assert run(Forward(), Far(), max_steps=10).num_unreachable == 6


def places(rollout) -> list[float]:
    """Where along x the arm was told to be, from its start on."""
    return [START[0].item(), *(step.asked.translation[0].item() for step in rollout.steps)]


@pytest.mark.parametrize("blend", [None, Blend()])
@pytest.mark.parametrize(("ms", "num_steps"), [(0, 0), (50, 1), (100, 2), (130, 3), (300, 6), (800, 16)])
def test_an_arm_waits_for_its_first_plan_and_never_stops_or_steps_back_for_the_others(ms, num_steps, blend):
    policy, execution = Forward(num_steps=40), Execution(num_steps=8, blend=blend)
    rollout = run(policy, Table(), max_steps=30 + num_steps, execution=execution, latency=Latency(ms))
    at_once = run(Forward(num_steps=40), Table(), max_steps=30, execution=execution)
    assert [step.plan for step in rollout.steps[:num_steps]] == [None] * num_steps
    assert all(step.plan is not None for step in rollout.steps[num_steps:])
    assert places(rollout)[num_steps:] == pytest.approx(places(at_once), abs=1e-6)
    first_uses = [[step.plan for step in rollout.steps].index(plan) for plan in range(len(rollout.plans))]
    assert first_uses == [asked_at + num_steps for asked_at in rollout.asked_at]
    assert len(rollout.plans) == len(rollout.plan_ms) >= 2


def test_an_arm_whose_plan_ends_stands_still_until_the_next_and_goes_on_from_its_first_row():
    policy, execution = Forward(num_steps=5), Execution(num_steps=16)
    rollout = run(policy, Table(), max_steps=22, execution=execution, latency=Latency(200))
    assert [step.plan for step in rollout.steps[:22]] == [
        *[None] * 4, *[0] * 5, *[None] * 4, *[1] * 5, *[None] * 4
    ]  # fmt: skip
    moves = torch.tensor(places(rollout)).diff()
    still = torch.tensor([step.plan is None for step in rollout.steps])
    assert (moves[still].abs() < 1e-7).all()
    assert torch.allclose(moves[~still], torch.tensor(0.01), atol=1e-6)


def test_lost_plans_and_plans_of_the_past_are_not_followed_and_are_told_of():
    half = run(Forward(num_steps=16), Table(), max_steps=200, latency=Latency(100, lost=0.5))
    assert half.unused
    assert all("was lost" in sentence for sentence in half.unused)
    assert half.plans

    class Shrinking(Forward):
        def plan(self, observation: Observation) -> Plan:
            self.num_steps = 4 if self.num_asked else 30
            return super().plan(observation)

    past = run(Shrinking(), Table(), max_steps=36, execution=Execution(num_steps=8), latency=Latency(300))
    assert len(past.plans) == 1
    assert past.unused[0] == (
        "the plan of step 14 was not followed: the plan has 4 rows, and 6 control steps were driven meanwhile"
    )
    assert [step.frame for step in past.steps[6:]] == list(range(30))  # the first plan is followed on


def test_latencies_vary_by_the_trials_seed_alone():
    latency = Latency(300, jitter_ms=200, lost=0.2)
    first, again, other = (latency.arrivals(20.0, seed) for seed in (3, 3, 4))
    drawn = [[(one.num_steps(), one.is_lost()) for _ in range(50)] for one in (first, again, other)]
    assert drawn[0] == drawn[1] != drawn[2]
    steps = [num_steps for num_steps, _ in drawn[0]]
    assert 2 <= min(steps) < max(steps) <= 10
    rollouts = [run(Forward(), Table(), max_steps=60, latency=latency) for _ in range(2)]
    assert [step.plan for step in rollouts[0].steps] == [step.plan for step in rollouts[1].steps]


@pytest.mark.parametrize(
    "values", [{"ms": -1}, {"ms": float("nan")}, {"ms": 50, "jitter_ms": 60}, {"lost": 1.0}, {"lost": -0.1}]
)
def test_latencies_that_cannot_be_are_refused(values):
    with pytest.raises(ValueError, match="a latency needs"):
        Latency(**values)


def test_a_rail_holds_a_moving_arm_until_another_plan_arrives():
    rollout = run(Forward(x=2.0), Table(), guard=Guard(patience=2), latency=Latency(100), max_steps=40)
    assert rollout.stopped is not None
    waits_and_is_held = [False, False, True]
    assert [step.held is not None for step in rollout.steps] == [*waits_and_is_held * 2, False, False]
    assert (rollout.tool.translation - START).abs().max() < 1e-9
