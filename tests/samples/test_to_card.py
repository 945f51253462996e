"""The next item is under way while one is worked on: in order, one ahead, and errors where they belong."""

import threading

import pytest
import torch

from action_images.samples.to_card import one_ahead
from action_images.samples.workers import made_ahead


def test_items_come_in_order_prepared_by_one_other_thread():
    threads = set()

    def prepare(item: int) -> int:
        threads.add(threading.get_ident())
        return 10 * item

    assert list(one_ahead(iter(range(50)), prepare)) == [10 * item for item in range(50)]
    assert len(threads) == 1
    assert threading.get_ident() not in threads


def test_the_next_item_is_prepared_while_one_is_worked_on_and_no_more_than_that():
    prepared: list[int] = []
    second = threading.Event()

    def prepare(item: int) -> int:
        prepared.append(item)
        if item == 1:
            second.set()
        return item

    stream = one_ahead(iter(range(10)), prepare)
    assert next(stream) == 0
    assert second.wait(5), "nothing is prepared ahead"
    assert prepared == [0, 1]
    stream.close()
    assert prepared == [0, 1]


def test_an_error_is_raised_where_its_item_would_have_come_and_ends_the_stream():
    def items():
        yield 1
        raise ValueError("damaged")

    stream = one_ahead(items(), lambda item: item)
    assert next(stream) == 1
    with pytest.raises(ValueError, match="damaged"):
        next(stream)
    assert list(stream) == []


def test_who_stops_early_closes_the_items():
    closed = threading.Event()

    def items():
        try:
            yield from range(100)
        finally:
            closed.set()

    stream = one_ahead(items(), lambda item: item)
    next(stream)
    stream.close()
    assert closed.is_set()


def make_step(step: int, allocate, _):
    return {"pixels": allocate(64).fill_(step)}


def test_worker_processes_may_be_started_by_the_thread():
    stream = one_ahead(made_ahead(make_step, range(20), 2), lambda value: value["pixels"].clone())
    for step, pixels in enumerate(stream):
        assert torch.equal(pixels, torch.full((64,), step, dtype=torch.uint8))
