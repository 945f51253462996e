"""A folder has one writer at a time, and a dead one holds nothing."""

import pytest

from action_images.errors import ActionImagesError
from action_images.files.lock import alone_in, take_lock
from processes import kill_after, while_running

HOLD = """
import sys, time
from pathlib import Path
from action_images.files.lock import alone_in
with alone_in(Path(sys.argv[1])):
    print("ready", flush=True)
    time.sleep(600)
"""


def test_another_process_is_refused_with_the_name_of_the_folder(tmp_path):
    folder = tmp_path / "results"
    with while_running(HOLD, folder):
        assert take_lock(folder) is None
        with (
            pytest.raises(ActionImagesError, match=rf"{folder}: another process is writing here"),
            alone_in(folder),
        ):
            pass


def test_a_killed_process_holds_nothing(tmp_path):
    folder = tmp_path / "results"
    kill_after(HOLD, folder)
    with alone_in(folder):
        pass


def test_a_second_writer_in_the_same_process_is_refused_too(tmp_path):
    with alone_in(tmp_path):
        assert take_lock(tmp_path) is None
    lock = take_lock(tmp_path)
    assert lock is not None
    lock.release()


def test_the_folder_is_free_after_an_error(tmp_path):
    with pytest.raises(ZeroDivisionError), alone_in(tmp_path):
        _ = 1 / 0
    with alone_in(tmp_path):
        pass


def test_who_holds_a_folder_finds_nothing_half_written(tmp_path):
    half = tmp_path / ".settings.json.abcdefgh.action-images-part.json"
    half.touch()
    with alone_in(tmp_path):
        assert not half.exists()
