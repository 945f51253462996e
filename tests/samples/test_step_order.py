"""Every draw belongs to one step; sorted steps hold one kind, but for a few."""

import pytest

from action_images.episodes.dataset import Dataset
from action_images.errors import ActionImagesError
from action_images.samples.loader import load
from action_images.samples.mixture import Decisions, Mixture, Source
from action_images.samples.step_order import StepOrder
from action_images.samples.window import Cutting
from recorded import write_set

MODES = {"policy": 0.6, "label": 0.3, "joint": 0.1}
BATCH, BLOCK = 6, 5


@pytest.fixture(scope="module")
def mixture(tmp_path_factory) -> Mixture:
    data = Dataset(write_set(tmp_path_factory.mktemp("data") / "set"))
    return Mixture([Source("sim", data, Cutting(3))], seed=3, decisions=Decisions(MODES))


def mode_of(mixture: Mixture, draw) -> str:
    del mixture
    return draw.mode


SORTED = StepOrder(BATCH, BLOCK, mode_of)


def test_the_steps_of_each_block_share_out_its_draws(mixture):
    for number in range(4):
        steps = range(number * BLOCK, (number + 1) * BLOCK)
        indices = [index for step in steps for index in SORTED.indices(mixture, step)]
        length = BATCH * BLOCK
        assert sorted(indices) == list(range(number * length, (number + 1) * length))


def test_at_most_as_many_steps_of_a_block_are_mixed_as_kinds_end_within_one(mixture):
    mixed = []
    for number in range(8):
        steps = range(number * BLOCK, (number + 1) * BLOCK)
        kinds = [{mixture[index].mode for index in SORTED.indices(mixture, step)} for step in steps]
        mixed.append(sum(len(one) > 1 for one in kinds))
    assert max(mixed) < len(MODES)


def test_without_sorting_a_step_takes_the_next_draws(mixture):
    assert StepOrder(BATCH).indices(mixture, 7) == list(range(7 * BATCH, 8 * BATCH))


def test_the_order_of_a_block_is_random(mixture):
    first = [mixture[SORTED.indices(mixture, number * BLOCK)[0]].mode for number in range(12)]
    assert len(set(first)) > 1


def told(mixture: Mixture, **changes) -> list[list[int]]:
    """The indices of each loaded step."""
    steps = load(mixture, num_workers=0, size=(16, 16), block=BLOCK, draw_kind=mode_of, **changes)
    return [sorted(draw.index for batch in batches for draw in batch.draws) for batches in steps]


def test_ranks_share_a_step_and_a_run_goes_on_where_it_stopped(mixture):
    whole = told(mixture, batch_size=BATCH, num_steps=8)
    assert whole == [sorted(SORTED.indices(mixture, step)) for step in range(8)]
    ranks = [told(mixture, batch_size=BATCH // 2, num_steps=8, rank=rank, num_ranks=2) for rank in (0, 1)]
    assert [sorted(one + other) for one, other in zip(*ranks, strict=True)] == whole
    assert told(mixture, batch_size=BATCH, num_steps=3, start=5) == whole[5:]


def test_a_block_of_no_step_is_refused():
    with pytest.raises(ActionImagesError, match="block"):
        StepOrder(BATCH, 0)
