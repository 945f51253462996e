"""Recipes on data sets of one's own: their modes, views and held-out episodes, and what is refused."""

import re
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from action_images.canvas import MODES
from action_images.cli import main
from action_images.episodes.dataset import DatasetWriter
from action_images.episodes.episode import Episode, FramesInMemory, View
from action_images.errors import ActionImagesError
from action_images.samples.split import Split
from action_images.training.own_data import check_overwritten, with_data
from action_images.training.recipes import DEBUG, RECIPES, TINY
from small_scenes import scenes

OUT = Split("held_out", 0.1, "episode")
NAMES = [f"e{number}" for number in range(40)]
HELD_OUT, KEPT = [name for name in NAMES if OUT(name)], [name for name in NAMES if not OUT(name)]


def write(folder: Path, names: list[str], *, frames: int = 9, blind: str = "", posed: bool = True) -> Path:
    """Episodes of two views, the view `blind` without a camera, the path left out unless `posed`."""
    batch = scenes(1, 2, frames, (32, 32), 0)
    pixels = batch.video.add(1).mul(127.5).round().clamp(0, 255).to(torch.uint8)
    with DatasetWriter(folder, fps=5) as writer:
        for name in names:
            views = []
            for number, view in enumerate(("front", "wrist", "side")):
                camera = None if view == blind else batch.cameras[0, number % 2, 0]
                views.append(View(view, FramesInMemory(pixels[0, number % 2]), camera))
            path = batch.trajectory[0] if posed else None
            writer.add(Episode(name, "go there", 5.0, tuple(views), path))
    return folder


def test_the_modes_are_those_of_the_first_source_that_draws_actions(tmp_path):
    data = write(tmp_path / "data", NAMES[:3])
    for name, recipe in RECIPES.items():
        adapted, said = with_data(replace(recipe, num_frames=5), [data])
        modes = adapted.sources[0].modes
        assert any(MODES[mode].action is not None for mode in modes), name
        assert adapted.validation[0].modes == (recipe.validation[0].modes if recipe.validation else modes)
        assert any(one.startswith("learns the modes ") for one in said)
    adapted, said = with_data(replace(RECIPES["wan2.2-5b-lora"], num_frames=5), [data])
    assert adapted.sources[0].modes == RECIPES["wan2.2-5b-lora"].sources[1].modes
    assert "learns the modes joint 85 %, simulate 5 %, label 5 %, video 5 %" in said


def test_a_view_without_a_camera_is_named_and_can_be_left_out(tmp_path):
    data = write(tmp_path / "data", NAMES[:3], blind="wrist")
    with pytest.raises(
        ActionImagesError, match="the view wrist is calibrated in no episode; give --views front side"
    ):
        with_data(DEBUG, [data])
    recipe, _ = with_data(DEBUG, [data], ("front", "side"))
    assert recipe.sources[0].views == recipe.validation[0].views == ("front", "side")
    with pytest.raises(ActionImagesError, match="has no view 'left'; its views are front, wrist, side"):
        with_data(DEBUG, [data], ("front", "left"))
    with pytest.raises(ActionImagesError, match="has 1 views to draw from"):
        with_data(DEBUG, [data], ("front",))


def test_a_set_without_poses_is_refused_also_for_recipes_whose_first_source_has_video_alone(tmp_path):
    data = write(tmp_path / "data", NAMES[:3], posed=False)
    for recipe in (DEBUG, replace(RECIPES["wan2.2-5b-lora"], num_frames=5)):
        with pytest.raises(ActionImagesError, match="data: no episode has tool poses; add them"):
            with_data(recipe, [data])


def test_a_set_of_short_episodes_is_refused_with_what_would_do(tmp_path):
    data = write(tmp_path / "data", NAMES[:2])
    with pytest.raises(
        ActionImagesError, match=r"needs a recording of 17 frames, the longest episode has 9; give"
    ):
        with_data(DEBUG, [data], stride=4)
    assert with_data(DEBUG, [data], stride=2)[0].sources[0].stride == 2


def test_the_held_out_episodes_are_some_that_give_windows(tmp_path):
    data = tmp_path / "data"
    write(data, KEPT[:5])
    write(data, HELD_OUT[:1], frames=3)  # too short for a clip, and the only one held out at a share of .1
    recipe, said = with_data(DEBUG, [data])
    share = recipe.sources[0].held_out
    assert share > 0.1
    held_out = sum(map(Split("held_out", share, "episode"), KEPT[:5]))
    assert f"{5 - held_out} episodes to learn from, {held_out} held out" in said[0]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--sources.0.views", "front"], "--sources.0.views does nothing with --data, .*give --views"),
        (["--sources.0.stride", "3"], "--sources.0.stride does nothing with --data, .*give --stride"),
        (["--sources.0.part", "train"], "--sources.0.part does nothing with --data, .*leave it out"),
        (["--validation.0.held-out", "0.3"], "--validation.0.held-out does nothing with --data"),
    ],
)
def test_options_that_data_would_overwrite_are_refused(words, said, tmp_path, capsys):
    data = write(tmp_path / "data", NAMES[:2])
    assert main(["train", "debug", "--data", str(data), "--out", str(tmp_path / "run"), *words]) == 2
    assert re.search(said, capsys.readouterr().err)


def test_views_without_data_are_refused(tmp_path, capsys):
    assert main(["train", "debug", "--out", str(tmp_path / "run"), "--views", "front"]) == 2
    assert "--views and --stride are about --data" in capsys.readouterr().err


def test_of_several_sources_only_the_modes_of_the_one_that_is_used_may_change():
    first, second, *others = TINY.sources
    used = replace(TINY, sources=(replace(first, drop_text=0.5), second, *others))
    check_overwritten(used, TINY)
    with pytest.raises(
        ActionImagesError, match=r"--sources.1.drop-text does nothing .*give --sources.0.drop-text"
    ):
        check_overwritten(replace(TINY, sources=(first, replace(second, drop_text=0.5), *others)), TINY)
