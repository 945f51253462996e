"""Steps made ahead are the same steps, in memory that is used again and never while somebody looks at it."""

import gc
import multiprocessing
import os
import signal
import subprocess
import sys
import time
import tracemalloc
from dataclasses import dataclass, field

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from action_images.samples.shared_memory import Buffer, pack, unpack
from action_images.samples.workers import MAX_SPARE, made_ahead
from processes import is_running


def number_pictures(step, allocate, note):
    """A step whose pixels all say its number; some are larger than others."""
    note(step)
    pixels = allocate((step % 5 + 1) * 1000)
    pixels.fill_(step % 256)
    return {"step": step, "pixels": pixels, "small": torch.tensor([step / 2])}


@pytest.mark.parametrize("num_workers", [0, 1, 2, 3])
def test_steps_come_in_order_with_what_was_put_into_them(num_workers):
    for expected, value in zip(
        range(7, 47), made_ahead(number_pictures, range(7, 47), num_workers), strict=True
    ):
        assert value["step"] == expected == 2 * value["small"].item()
        assert value["pixels"].unique().tolist() == [expected]


def test_a_stream_of_any_length_takes_no_memory_for_it():
    """A run that its minutes end asks for a billion steps."""
    tracemalloc.start()
    stream = made_ahead(number_pictures, range(7, 10**9), 1)
    assert [next(stream)["step"] for _ in range(3)] == [7, 8, 9]
    stream.close()
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert most < 10_000_000


def test_what_is_kept_is_not_written_over_and_what_is_dropped_is_used_again():
    kept = list(made_ahead(number_pictures, range(30), 2))
    assert [value["pixels"].unique().tolist() for value in kept] == [[step] for step in range(30)]
    kept = kept[3]["pixels"][10:20]  # a part of it keeps the whole alive, when all processes are gone too
    gc.collect()
    assert kept.unique().tolist() == [3]
    places = {
        value["pixels"].data_ptr()
        for value in made_ahead(lambda step, new, _: {"pixels": new(1 << 20).fill_(step)}, range(60), 1)
    }
    assert len(places) <= MAX_SPARE + 2


def test_pixels_made_in_the_memory_that_is_offered_are_not_copied():
    buffer = Buffer(4096)
    pixels = buffer.take(1000).fill_(3)
    content, filled = pack({"pixels": pixels.view(10, 100).T, "other": torch.arange(3)}, buffer)
    assert filled is buffer
    value = unpack(content, buffer.content, lambda: None)
    pixels.fill_(9)
    assert value["pixels"].unique().tolist() == [9]
    assert value["other"].tolist() == [0, 1, 2]
    assert buffer.take(4096) is None


@dataclass
class Holder:
    tensors: list = field(default_factory=list)


@settings(max_examples=60)
@given(
    shapes=st.lists(st.lists(st.integers(0, 4), max_size=4), max_size=5),
    dtype=st.sampled_from(
        [torch.uint8, torch.bool, torch.float32, torch.int64, torch.float64, torch.bfloat16]
    ),
    room=st.integers(0, 2000),
    order=st.randoms(use_true_random=False),
)
def test_any_tensors_come_through_any_buffer(shapes, dtype, room, order):
    tensors = []
    for shape in shapes:
        tensor = torch.randint(0, 2, shape).to(dtype)
        axes = list(range(tensor.ndim))
        order.shuffle(axes)
        tensors += [tensor.permute(axes), tensor[None].expand(3, *shape)]
    content, filled = pack(Holder(tensors), Buffer(room))
    dropped = []
    value = unpack(content, filled.content, lambda: dropped.append(True))
    assert all(
        torch.equal(got, put) and got.dtype == put.dtype
        for got, put in zip(value.tensors, tensors, strict=True)
    )
    assert not tensors or not dropped
    del value
    assert dropped == [True]


def fail_at_four(step, *_):
    if step == 4:
        raise KeyError("the fifth step")
    return step


def test_an_error_in_a_worker_is_told_with_its_place_and_ends_all_workers():
    with pytest.raises(
        RuntimeError, match=r"a worker process failed:\n(.|\n)*fail_at_four(.|\n)*the fifth step"
    ):
        list(made_ahead(fail_at_four, range(10), 2))
    assert not multiprocessing.active_children()


def test_a_stream_that_is_left_early_ends_its_workers():
    stream = made_ahead(number_pictures, range(1000), 2)
    assert next(stream)["step"] == 0
    assert len(multiprocessing.active_children()) == 2
    stream.close()
    assert not multiprocessing.active_children()


KILLED = """
import os, sys, time
from action_images.samples.workers import made_ahead

def step(number, *_):
    return os.getpid()

if __name__ == "__main__":
    steps = made_ahead(step, range(1000), 2)
    print(next(steps), next(steps), flush=True)
    time.sleep(600)
"""


def test_workers_end_when_who_started_them_is_killed():
    parent = subprocess.Popen([sys.executable, "-c", KILLED], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    workers = [int(part) for part in parent.stdout.readline().split()]
    assert len(set(workers)) == 2
    parent.kill()
    parent.wait()
    until = time.monotonic() + 20
    while any(is_running(worker) for worker in workers) and time.monotonic() < until:
        time.sleep(0.05)
    left = [worker for worker in workers if is_running(worker)]
    for worker in left:
        os.kill(worker, signal.SIGKILL)
    assert not left
