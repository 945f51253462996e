"""A learned simulator is trusted wholly where it is MuJoCo itself, not at all where it shows nothing new."""

import math
from dataclasses import replace

import pytest
import torch

from action_images.control import Hold
from action_images.evaluation.protocols import PROTOCOLS
from action_images.evaluation.references import DisplacedExpert
from action_images.evaluation.simulator_fidelity import best_threshold, fidelity
from action_images.evaluation.simulator_pairs import (
    BothWorlds,
    Pair,
    append_pair,
    compare,
    load_pairs,
    progress,
)
from action_images.sim import Tabletop

PROTOCOL = replace(PROTOCOLS["in_domain"], tasks=("push_button",))
SCENES = PROTOCOL.addresses(3)
POLICIES = {"expert": lambda: DisplacedExpert(0.0), "off": lambda: DisplacedExpert(0.1), "hold": Hold}


class Frozen(Tabletop):
    """A world that shows its first picture for ever."""

    def reset(self, seed):
        self.first = super().reset(seed)
        return self.first

    def observation(self):
        seen = super().observation()
        return replace(seen, images=self.first.images) if self.num_steps else seen


def worlds(imagine):
    return BothWorlds(PROTOCOL.world(num_views=2, size=(64, 64)), imagine, PROTOCOL.rollout_config)


def compared(imagine):
    return list(compare(POLICIES, worlds(imagine), SCENES))


@pytest.fixture(scope="module")
def perfect():
    return compared(lambda world: world)


def figure(made, beginning):
    return next(one for one in made.figures if one.name.startswith(beginning))


def test_mujoco_in_the_place_of_the_model_agrees_with_itself_in_everything(perfect):
    assert all(
        pair.real_progress == pair.imagined_progress and pair.real_missed_mm == pair.imagined_missed_mm
        for pair in perfect
    )
    made = fidelity(perfect)
    success = {row.policy: row.success for row in made.policies}
    assert success["expert"] == 1 > success["off"]
    assert success["hold"] == 0
    assert figure(made, "imagined and real progress").value == pytest.approx(1)
    assert figure(made, "trials that end alike").value == figure(made, "the judge's ceiling: trials").value
    across = figure(made, "success inside and in MuJoCo, across policies (Pearson)")
    assert across.value == figure(made, "the judge's ceiling: success").value > 0.5


def test_the_expert_goes_all_the_way_and_who_stands_still_none_of_it(perfect):
    by_policy = {row.policy: row for row in fidelity(perfect).policies}
    assert by_policy["expert"].real_progress > max(0.5, by_policy["off"].real_progress)
    assert abs(by_policy["hold"].real_progress) < 0.3
    assert by_policy["expert"].real_missed_mm < by_policy["off"].real_missed_mm


def test_a_simulator_that_shows_nothing_new_is_found_out(perfect):
    def frozen(world):
        return Frozen(world.task, size=(64, 64))

    pairs = compared(frozen)
    assert [pair.succeeded for pair in pairs] == [pair.succeeded for pair in perfect]
    made = fidelity(pairs)
    assert all(row.success_inside == 0 for row in made.policies)
    assert math.isnan(figure(made, "success inside").value)
    assert figure(made, "trials that end alike").value < figure(made, "the judge's ceiling: trials").value


def test_what_is_done_is_not_run_again_and_a_torn_line_is_no_pair(tmp_path, perfect):
    for pair in perfect[:4]:
        append_pair(tmp_path, pair)
    with (tmp_path / "pairs.jsonl").open("a") as file:
        file.write('{"policy": "exp')
    assert load_pairs(tmp_path) == perfect[:4]
    append_pair(tmp_path, perfect[4])
    assert load_pairs(tmp_path) == perfect[:5]
    known = frozenset(pair.key for pair in perfect[:8])
    rest = list(compare(POLICIES, worlds(lambda world: world), SCENES, done=known))
    assert rest == perfect[8:]
    (tmp_path / "pairs.jsonl").write_text("{}\n")
    with pytest.raises(ValueError, match="no list of pairs"):
        load_pairs(tmp_path)


def test_progress_is_one_at_the_goal_none_at_the_start_and_negative_beyond():
    first, goal = torch.zeros(2, 3, 4, 4, dtype=torch.uint8), torch.full((2, 3, 4, 4), 100, dtype=torch.uint8)
    assert progress(first, goal, goal) == 1
    assert progress(first, first, goal) == 0
    assert progress(first, goal // 2, goal) == pytest.approx(0.5)
    assert progress(goal // 2, first, goal) < 0


def test_the_threshold_splits_what_can_be_split():
    values, positive = torch.tensor([0.1, 0.2, 0.7, 0.9]), torch.tensor([False, False, True, True])
    assert 0.2 < best_threshold(values, positive) < 0.7
    assert best_threshold(values, positive | True) < 0.1
    assert best_threshold(values, positive & False) > 0.9


def test_one_policy_alone_or_scenes_that_are_not_shared_compare_with_nothing():
    one = Pair("a", "push_button", 1, True, 1.0, 1.0, 0.0, 0.0)
    with pytest.raises(ValueError, match="at least two"):
        fidelity([one])
    with pytest.raises(ValueError, match="same scenes"):
        fidelity([one, replace(one, policy="b", seed=2)])
