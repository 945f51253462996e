"""A results folder is one command's: no other replaces the settings of results that are there."""

import json
from itertools import permutations
from pathlib import Path

import pytest

from action_images.cli.demo import _forget
from action_images.errors import ActionImagesError
from action_images.evaluation.ceiling import Gate
from action_images.evaluation.protocols import protocol_named
from action_images.evaluation.results_folder import COMMANDS, PAIRS, PLANS, REPLAYS, open_results
from action_images.evaluation.trial import SETTINGS, TRIALS
from action_images.files import jsonl

SCENES = protocol_named("in_domain", "tabletop")
POLICY = {"policy": "hold", "num_views": 2, "size": [32, 32]}
ASKED = {
    TRIALS: {"protocol": "in_domain"} | POLICY | SCENES.settings(),
    PLANS: POLICY | SCENES.world(num_views=2, size=(32, 32)).seen(),
    REPLAYS: Gate().settings(),
    PAIRS: {"model": "shipped", "views": 2, "seed": 0, "sampling": None},
}


@pytest.mark.parametrize(("there", "asked"), list(permutations(COMMANDS, 2)))
def test_results_keep_their_settings_when_another_command_is_told_to_write_there(
    tmp_path: Path, there: str, asked: str
):
    open_results(tmp_path, there, ASKED[there])
    jsonl.append(tmp_path / there, {"seed": 0})
    before = (tmp_path / SETTINGS).read_text()
    with pytest.raises(ActionImagesError, match=rf"holds the results of '{COMMANDS[there]}'.*another folder"):
        open_results(tmp_path, asked, ASKED[asked])
    assert (tmp_path / SETTINGS).read_text() == before
    open_results(tmp_path, there, ASKED[there])


@pytest.mark.parametrize("asked", COMMANDS)
@pytest.mark.parametrize("content", ['{"editor.fontSize": 14, "size": 3}', "no json"])
def test_a_strangers_settings_stay_as_they_are(tmp_path: Path, asked: str, content: str):
    (tmp_path / SETTINGS).write_text(content)
    with pytest.raises(ActionImagesError, match=r"settings\.json: .*choose another folder"):
        open_results(tmp_path, asked, ASKED[asked])
    with pytest.raises(ActionImagesError, match="choose another"):
        _forget(tmp_path)
    assert (tmp_path / SETTINGS).read_text() == content


def test_an_attempt_that_failed_before_its_first_result_blocks_no_folder(tmp_path: Path):
    open_results(tmp_path, TRIALS, ASKED[TRIALS] | {"clips": [64, 64, 5.0]})
    (tmp_path / TRIALS).write_text('{"protocol": "in_dom')  # what a crash leaves
    open_results(tmp_path, TRIALS, ASKED[TRIALS] | {"policy": "random"})
    assert json.loads((tmp_path / SETTINGS).read_text())["policy"] == "random"
    assert (tmp_path / TRIALS).read_text() == ""
