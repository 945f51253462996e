"""`action-images view` shows foreign sets as their readers read them: the tool lies where it was drawn."""

import json
from pathlib import Path

import pytest
from foreign import write_action_images_rlbench, write_bridge, write_rlbench
from test_readers import write_lerobot

from action_images.episodes.episode import Episode, View
from action_images.reports.viewing.opened import open_shelf
from action_images.reports.viewing.viewable import Viewable
from recorded import assert_tool_is_where_it_was_drawn


def episode_of(shown: Viewable) -> Episode:
    """What is shown, as the law of all readers asks it."""
    views = tuple(View(view.name, view.layers[0].frames, view.camera) for view in shown.views)
    return Episode(shown.id, shown.instruction, shown.fps, views, shown.paths[0].trajectory)


@pytest.mark.parametrize("write", [write_rlbench, write_action_images_rlbench])
def test_a_foreign_folder_is_listed_and_shown(tmp_path: Path, write):
    write(tmp_path)
    shelf = open_shelf(tmp_path)
    assert shelf.entries()
    assert "Read as" in shelf.notes[0]
    assert_tool_is_where_it_was_drawn(episode_of(shelf.open(0)))


def test_views_that_are_not_calibrated_are_shown_without_a_path(tmp_path: Path):
    write_bridge(tmp_path)
    shown = open_shelf(tmp_path).open(0)
    assert all(len(view.layers) == 1 for view in shown.views if view.camera is None)


def test_calibration_json_is_taken_into_account(tmp_path: Path):
    calibration = write_lerobot(tmp_path)
    (tmp_path / "calibration.json").unlink(missing_ok=True)
    assert all(view.camera is None for view in open_shelf(tmp_path).open(0).views)
    (tmp_path / "calibration.json").write_text(json.dumps(calibration))
    assert_tool_is_where_it_was_drawn(episode_of(open_shelf(tmp_path).open(0)))
