"""Work by several processes of this machine: in order, the same as here, and each with a card of its own."""

import os
import signal
import time
from functools import partial
from pathlib import Path

import pytest

from action_images.errors import ActionImagesError
from action_images.parallel import pool
from action_images.parallel.cluster import executor_named, here
from action_images.parallel.processes import OnProcesses


def begin(base: int):
    """Work that takes longer the smaller the item is, so that later items are done first."""

    def work(item: int) -> tuple[int, str | None]:
        time.sleep(0.02 * (5 - item))
        return base + item, os.environ.get("CUDA_VISIBLE_DEVICES")

    return work


def begin_badly(item: int | None):
    def work(number: int) -> int:
        if number == item:
            os.kill(os.getpid(), signal.SIGKILL)
        raise ActionImagesError(f"item {number} is damaged")

    if item is None:
        raise ActionImagesError("there are no weights")
    return work


def test_results_are_those_of_one_process_in_the_same_order():
    alone = list(here(partial(begin, 100), range(5)))
    assert list(executor_named("processes", 2)(partial(begin, 100), range(5))) == alone
    assert list(OnProcesses(3)(partial(begin, 100), [])) == []


def begin_together(folder: Path):
    """Work that waits until two cards have been seen, so that no process does all of it."""

    def work(_: int) -> str:
        card = os.environ["CUDA_VISIBLE_DEVICES"]
        (folder / card).touch()
        limit = time.monotonic() + 60
        while len(list(folder.iterdir())) < 2 and time.monotonic() < limit:
            time.sleep(0.02)
        return card

    return work


def test_each_process_sees_one_card(monkeypatch, tmp_path):
    monkeypatch.setattr(pool, "visible_cards", lambda: ("4", "6"))
    assert set(OnProcesses(2, on_cards=True)(partial(begin_together, tmp_path), range(2))) == {"4", "6"}


def test_cards_are_those_that_torch_sees_by_their_names(monkeypatch):
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    monkeypatch.setattr("torch.cuda.device_count", lambda: 2)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    assert pool.visible_cards() == ("0", "1")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "5,7")
    assert pool.visible_cards() == ("5", "7")


@pytest.mark.parametrize(
    ("bad", "error", "message"),
    [
        (None, ActionImagesError, "there are no weights"),
        (7, ActionImagesError, "item 0 is damaged"),
        (0, OSError, "a worker process was killed"),
    ],
)
def test_what_goes_wrong_in_a_process_is_raised_here(bad, error, message):
    with pytest.raises(error, match=message):
        list(OnProcesses(1)(partial(begin_badly, bad), range(2)))
