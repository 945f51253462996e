"""A file that kills the process which reads it is one finding, and stops nothing else."""

import os
import shutil
import signal

import pyarrow.parquet as pq
import pytest
import torch

from action_images.cli import main as command
from action_images.episodes.checks import check as checking
from action_images.episodes.dataset import Dataset, DatasetWriter
from action_images.episodes.episode import EpisodeError
from action_images.parallel.isolated import each_isolated
from action_images.reports.data_page import write_data_page
from action_images.samples import loader
from action_images.samples.mixture import Mixture, Source
from action_images.samples.window import Cutting
from recorded import make_episode, write_set


def double_or_die(number: int) -> int:
    if number == 2:
        os.abort()  # what an uncaught exception of a C++ library ends in
    return 2 * number


def test_every_item_that_kills_is_named_and_all_others_are_done():
    results = list(each_isolated(double_or_die, range(5), 1, torch.set_num_threads, (1,)))
    assert results == [(0, 0), (1, 2), (2, None), (3, 6), (4, 8)]


def test_processes_that_cannot_start_are_one_error_and_no_items_fault():
    with pytest.raises(
        OSError, match="a worker process ended before it was given anything to do; free memory"
    ):
        list(each_isolated(double_or_die, range(5), 2, os._exit, (3,)))


def read_or_die(look: checking.Look) -> checking.Examined:
    if look.index == 1:
        os.abort()
    return checking._examine_in_worker(look)


def test_check_survives_a_deadly_episode_and_never_opens_it_again(tmp_path, monkeypatch, capsys):
    path = write_set(tmp_path / "set")
    monkeypatch.setattr(checking, "_examine_in_worker", read_or_die)
    assert command(["check", str(path), "--workers", "1"]) == 1
    said = capsys.readouterr().out
    assert "error: reach/variation1/e1: the process that decoded it died; its files are damaged" in said
    assert said.count("error: reach") == 1
    page = (path / "check.html").read_text()
    assert page.count("data:image/jpeg") == 5
    opened = []
    parts = Dataset.parts
    monkeypatch.setattr(Dataset, "parts", lambda self, index: opened.append(index) or parts(self, index))
    finding = checking.Finding("error", checking.DEADLY, "reach/variation1/e1", "died")
    write_data_page(
        tmp_path / "page.html", Dataset(path), checking.Verdict(6, 87, 20, ("front", "left"), [finding]), 100
    )
    assert sorted(opened) == [0, 2, 3, 4, 5]


def open_and_die(path) -> bool:
    return path.exists() and os.abort()


def test_check_survives_a_set_that_kills_whoever_opens_it(tmp_path, monkeypatch):
    path = write_set(tmp_path / "set")
    monkeypatch.setattr(checking, "_survives", open_and_die)
    with pytest.raises(
        EpisodeError, match=r"set: the process that opened it died; a file in its folder meta is damaged"
    ):
        checking.check_dataset(path, 1)


class DeadlyMixture(Mixture):
    """Draw 6 cannot be decoded and lived through."""

    def sample(self, draw, *rest, **options):
        if draw.index == 6:
            os.kill(os.getpid(), signal.SIGKILL)
        return super().sample(draw, *rest, **options)


@pytest.mark.parametrize("num_workers", [1, 2])
def test_a_killed_worker_is_one_error_that_names_the_window_and_the_cure(tmp_path, num_workers):
    path = write_set(tmp_path / "set")
    mixture = DeadlyMixture([Source("sim", Dataset(path), Cutting(4))], 0)
    stream = loader.load(mixture, 2, 10, num_workers=num_workers)
    with pytest.raises(EpisodeError) as caught:
        list(stream)
    assert str(caught.value).startswith(
        "a worker process died (exit code -9) while it decoded sim: reach/variation"
    )
    assert str(mixture[6].window) in str(caught.value)
    assert f"run 'action-images check {path}'" in str(caught.value)


def test_a_parquet_file_whose_numbers_of_bytes_lie_is_refused_or_found(tmp_path):
    """Every byte of a footer, changed one at a time in steps: errors and findings, and the check ends."""
    with DatasetWriter(tmp_path / "set", fps=20) as writer:
        writer.add(make_episode())
    file = next((tmp_path / "set/data").rglob("*.parquet"))
    content = file.read_bytes()
    assert pq.read_table(file).num_rows == 12
    footer = len(content) - 8 - int.from_bytes(content[-8:-4], "little")
    for place in range(footer, len(content), 997):
        broken = tmp_path / f"broken{place}"
        shutil.copytree(tmp_path / "set", broken)
        (broken / file.relative_to(tmp_path / "set")).write_bytes(
            content[:place] + b"\xff" + content[place + 1 :]
        )
        verdict = checking.check_dataset(broken, 0)
        assert verdict.num_episodes == 1
