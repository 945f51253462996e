"""Files and folders are whole or not there, whatever kills their writer; what it left is cleaned up."""

import json
import stat

import pytest

from action_images.files.atomic import remove_leftovers, whole_file, whole_folder, write_json, write_text
from processes import kill_after

HALF_A_FILE = """
import sys, time
from pathlib import Path
from action_images.files.atomic import whole_file
with whole_file(Path(sys.argv[1])) as temporary:
    temporary.write_text("half")
    print("ready", flush=True)
    time.sleep(600)
"""
HALF_A_FOLDER = HALF_A_FILE.replace("whole_file", "whole_folder").replace(
    'temporary.write_text("half")', '(temporary / "one").write_text("half")'
)
BETWEEN_THE_RENAMES = """
import os, sys, time
from pathlib import Path
from action_images.files.atomic import whole_folder
rename, calls = os.replace, []
def stop_at_the_second(source, target):
    calls.append(target)
    if len(calls) == 2:
        print("ready", flush=True)
        time.sleep(600)
    rename(source, target)
os.replace = stop_at_the_second
with whole_folder(Path(sys.argv[1])) as temporary:
    (temporary / "one").write_text("new")
"""


def write_half_and_fail(temporary):
    temporary.write_text("half")
    raise ZeroDivisionError


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_a_file_appears_when_the_block_ends_and_not_before(tmp_path):
    path = tmp_path / "deep" / "result.txt"
    with whole_file(path) as temporary:
        temporary.write_text("all of it")
        assert temporary.suffix == ".txt"
        assert not path.exists()
    assert path.read_text() == "all of it"
    assert names(path.parent) == ["result.txt"]


def test_after_an_error_the_old_file_stays_and_nothing_else(tmp_path):
    path = tmp_path / "result.txt"
    write_text(path, "old")
    with pytest.raises(ZeroDivisionError), whole_file(path) as temporary:
        write_half_and_fail(temporary)
    assert path.read_text() == "old"
    assert names(tmp_path) == ["result.txt"]


def test_after_a_kill_the_old_file_stays_and_what_is_left_can_be_removed(tmp_path):
    path = tmp_path / "result.txt"
    write_text(path, "old")
    kill_after(HALF_A_FILE, path)
    assert path.read_text() == "old"
    assert len(names(tmp_path)) == 2
    remove_leftovers(tmp_path)
    assert names(tmp_path) == ["result.txt"]


def test_everybody_may_read_a_file_and_its_owner_alone_write_it(tmp_path):
    path = tmp_path / "result.txt"
    write_text(path, "words")
    assert stat.S_IMODE(path.stat().st_mode) == 0o644


def test_a_link_is_replaced_and_its_target_left_alone(tmp_path):
    target, link = tmp_path / "target.txt", tmp_path / "link.txt"
    target.write_text("old")
    link.symlink_to(target)
    write_text(link, "new")
    assert link.read_text() == "new"
    assert not link.is_symlink()
    assert target.read_text() == "old"


def test_json_is_read_back_and_not_a_number_is_refused(tmp_path):
    path = tmp_path / "numbers.json"
    write_json(path, {"a": [1, 2.5, None]})
    assert json.loads(path.read_text()) == {"a": [1, 2.5, None]}
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json(path, {"a": float("nan")})
    assert json.loads(path.read_text()) == {"a": [1, 2.5, None]}


def test_a_folder_takes_the_place_of_the_old_one_as_a_whole(tmp_path):
    path = tmp_path / "models"
    for content in ("old", "new"):
        with whole_folder(path) as temporary:
            (temporary / content).write_text(content)
    assert names(path) == ["new"]
    assert names(tmp_path) == ["models"]


def test_everybody_may_read_a_folder(tmp_path):
    with whole_folder(tmp_path / "models"):
        pass
    assert stat.S_IMODE((tmp_path / "models").stat().st_mode) & 0o500 == 0o500


def test_after_an_error_the_old_folder_stays_and_nothing_else(tmp_path):
    path = tmp_path / "models"
    with whole_folder(path) as temporary:
        (temporary / "old").touch()
    with pytest.raises(ZeroDivisionError), whole_folder(path) as temporary:
        write_half_and_fail(temporary / "new")
    assert names(path) == ["old"]
    assert names(tmp_path) == ["models"]


def test_a_folder_of_a_killed_writer_can_be_removed(tmp_path):
    kill_after(HALF_A_FOLDER, tmp_path / "models")
    assert not (tmp_path / "models").exists()
    remove_leftovers(tmp_path)
    assert names(tmp_path) == []


def test_a_kill_between_the_two_renames_loses_no_folder(tmp_path):
    path = tmp_path / "models"
    with whole_folder(path) as temporary:
        (temporary / "one").write_text("old")
    kill_after(BETWEEN_THE_RENAMES, path)
    remove_leftovers(tmp_path)
    assert names(tmp_path) == ["models"]
    assert (path / "one").read_text() == "old"


def test_only_what_writers_left_is_removed(tmp_path):
    foreign = [".bashrc.old", ".film.part", ".film.part.mp4", ".hidden", "models.old", "result.part"]
    for name in foreign:
        (tmp_path / name).touch()
    remove_leftovers(tmp_path)
    assert names(tmp_path) == foreign


def test_a_users_files_and_folders_with_names_like_ours_stay_as_they_are(tmp_path):
    folders = [".bak.part", ".emacs.d.old", ".vim.old", "emacs.d"]
    files = [".film.my_draft.part", ".film.my_draft.part.mp4"]
    for name in folders:
        (tmp_path / name).mkdir()
        (tmp_path / name / "mine").touch()
    for name in files:
        (tmp_path / name).touch()
    remove_leftovers(tmp_path)
    assert names(tmp_path) == sorted([*folders, *files])
    assert all((tmp_path / name / "mine").exists() for name in folders)


HALF_REMOVED = """
import shutil, sys, time
from pathlib import Path
from action_images.files.atomic import remove_folder
def stop(folder):
    (folder / "one").unlink()
    print("ready", flush=True)
    time.sleep(600)
shutil.rmtree = stop
remove_folder(Path(sys.argv[1]))
"""


def test_a_kill_while_a_folder_is_removed_leaves_nothing_that_looks_like_it(tmp_path):
    path = tmp_path / "step-1"
    path.mkdir()
    for name in ("one", "two"):
        (path / name).touch()
    kill_after(HALF_REMOVED, path)
    assert not path.exists()
    remove_leftovers(tmp_path)
    assert names(tmp_path) == []
