"""Recipes: complete, printable, and refused where they make no sense."""

import json
import math
import re
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from action_images.benchmarks import find_benchmark
from action_images.canvas import MODES
from action_images.codec import ActionImageFormat
from action_images.errors import ActionImagesError
from action_images.model.presets import PRESETS
from action_images.model.text import words_of
from action_images.sim import find_task
from action_images.training.migration import VERSION
from action_images.training.optimizer import learning_rate
from action_images.training.recipe import PRACTICAL, Recipe, differences
from action_images.training.recipes import DEBUG, RECIPES
from action_images.training.schedule import planned_fall
from action_images.training.setup import clips_of, open_mixture

NAN = math.nan
ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_survives_json_and_names_what_exists(name):
    recipe = RECIPES[name]
    assert Recipe.from_json(json.loads(json.dumps(recipe.as_json()))) == recipe
    assert recipe.preset in PRESETS
    assert all(mode in MODES for source in (*recipe.sources, *recipe.validation) for mode in source.modes)


def test_what_differs_is_named_unless_it_only_says_how_the_run_goes_on():
    assert differences(DEBUG, DEBUG) == []
    assert differences(DEBUG, replace(DEBUG, seed=3)) == ["seed: 0 -> 3"]
    assert "micro_batch_size" in PRACTICAL
    assert differences(DEBUG, replace(DEBUG, micro_batch_size=1, num_workers=7)) == []


def test_a_run_says_when_the_commands_of_a_set_are_the_poses_reached(recipe):
    told, said = [replace(recipe.sources[0], drawn="told")], []
    open_mixture(told, recipe, clips_of(recipe), 0, said.append)
    assert len(said) == 1
    assert "move/0000 are exactly those reached, so drawn: told changes nothing" in said[0]


def test_a_source_mirrors_by_its_own_probability_before_the_runs(recipe, held_out):
    asymmetric = replace(recipe.sources[0], path=held_out, mirror=0.0)
    both = replace(recipe, sources=(*recipe.sources, asymmetric), mirror=1.0)
    mixture = open_mixture(both.sources, both, clips_of(both), 0)
    mirrored = {(draw.source, draw.mirror) for draw in map(mixture.__getitem__, range(40))}
    assert mirrored == {("demonstrations", True), ("validation", False)}


def test_plans_of_models_that_learnt_a_world_without_mirror_image_are_not_averaged_over_it(recipe):
    alone = replace(recipe, preset="tiny", mirror=0.5)
    beside = replace(alone, sources=(*recipe.sources, replace(recipe.sources[0], mirror=0.0)))
    plain = clips_of(replace(alone, mirror=0.0)).sampling
    assert clips_of(beside).sampling == plain != clips_of(alone).sampling


def test_one_model_of_several_worlds_gives_each_an_equal_share_and_its_own_mirroring():
    worlds = [RECIPES[name] for name in ("tiny", "tiny-metaworld", "tiny-robosuite")]
    together, place = RECIPES["tiny-worlds"], 0
    for world in worlds:
        sources = together.sources[place : place + len(world.sources)]
        place += len(world.sources)
        assert [replace(one, mirror=None) for one in sources] == list(world.sources)
        assert {together.mirror_of(one) for one in sources} == {world.mirror}
        assert sum(one.ratio for one in sources) == pytest.approx(1)
    assert place == len(together.sources)
    assert {one.path for one in together.validation} == {one.path for w in worlds for one in w.validation}


def test_fields_of_another_version_are_named():
    values = DEBUG.as_json()
    with pytest.raises(ValueError, match="does not know: momentum"):
        Recipe.from_json(values | {"momentum": 0.9})
    del values["shift"]
    with pytest.raises(ValueError, match="needs: shift"):
        Recipe.from_json(values)


def test_a_recipe_that_the_first_version_saved_is_read_in_the_words_of_this_one():
    """The file is what version 1 wrote for `tiny`, when modes were called tasks."""
    saved = json.loads((Path(__file__).parent / "recipe_of_version_1.json").read_text())
    assert "tasks" in saved["sources"][0]
    read, now = Recipe.from_json(saved), RECIPES["tiny"]
    by_path = {source.path: source for source in now.sources}
    # Cameras over the shoulders came later; what the four others are learnt as has not changed.
    assert [source.path.name for source in read.sources] == ["demonstrations", "choices", "clumsy", "play"]
    assert all(replace(by_path[one.path], ratio=one.ratio) == one for one in read.sources)
    # Larger cells came later too, and with them longer batches, a later fall of the rate and sorted steps.
    later = {name: getattr(now, name) for name in ("num_steps", "batch_size", "decay", "sorted_steps")}
    assert differences(replace(read, sources=now.sources, **later), now) == []


def test_a_recipe_of_a_later_version_is_refused():
    with pytest.raises(ValueError, match="saved by a newer Action Images"):
        Recipe.from_json({"version": VERSION + 1, **DEBUG.as_json()})


def test_recipes_saved_before_axes_had_a_length_are_gone_on_with_and_drew_them_as_everybody_did():
    values = DEBUG.as_json()
    del values["axis_length"]
    assert differences(Recipe.from_json(values), DEBUG) == []
    assert {preset.axis_length for preset in PRESETS.values()} == {ActionImageFormat().axis_length}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"sources": ()}, "at least one source"),
        ({"batch_size": 0}, "batch_size must be at least 1, not 0"),
        ({"num_steps": 0}, "num_steps must be at least 1"),
        ({"micro_batch_size": -1}, "micro_batch_size must be at least 1"),
        ({"minutes": NAN}, "minutes must be above 0, not nan"),
        ({"learning_rate": math.inf}, "learning_rate must be above 0, not inf"),
        ({"warmup_steps": -1}, "warmup_steps must be at least 0"),
        ({"weight_decay": -0.1}, "weight_decay must be at least 0"),
        ({"betas": (0.9, 1.0)}, "betas must be at least 0 and below 1, not 1"),
        ({"clip_gradient": 0.0}, "clip_gradient must be above 0"),
        ({"clip_gradient": NAN}, "clip_gradient must be above 0"),
        ({"shift": 0.0}, "shift must be above 0"),
        ({"action_weight": -1.0}, "action_weight must be at least 0"),
        ({"save_minutes": NAN}, "save_minutes must be at least 0"),
        ({"validate_minutes": -1.0}, "validate_minutes must be at least 0"),
        ({"validation_windows": 0}, "validation_windows must be at least 1"),
        ({"size": (0, 64)}, "size must be at least 1"),
        ({"decay": 1.5}, "decay must be at least 0 and at most 1"),
        ({"drop_camera": 2.0}, "drop_camera must be"),
        ({"mirror": -0.1}, "mirror must be"),
        ({"ema_decay": 1.0}, "ema_decay must be above 0 and below 1"),
        ({"trainable": "lora"}, "adapters .* give pretrained"),
        ({"transformer_dtype": "bfloat16"}, "weights that learn are float32"),
    ],
)
def test_values_that_make_no_sense_are_refused(change, said):
    with pytest.raises(ValueError, match=said):
        replace(DEBUG, **change)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"ratio": math.inf}, "ratio must be above 0"),
        ({"drop_text": 5.0}, "drop_text must be at least 0 and at most 1, not 5"),
        ({"drop_text": NAN}, "drop_text must be"),
        ({"drop_text_of": {"label": -1.0}}, "drop_text_of.label must be"),
        ({"drop_text_of": {"labels": 1.0}}, "there is no mode labels; there are: joint"),
        ({"modes": {"joint": -1.0}}, "modes.joint must be at least 0"),
        ({"modes": {"joint": 0.0}}, "modes need at least one weight above 0"),
        ({"stride": 0}, "stride must be at least 1"),
        ({"step": 0}, "step must be at least 1"),
        ({"held_out": 1.5}, "held_out must be"),
        ({"at_most": 0}, "at_most must be at least 1"),
        ({"mirror": 1.1}, "mirror must be"),
        ({"views": ("left", "left")}, "views name 'left' twice"),
    ],
)
def test_values_of_a_source_that_make_no_sense_are_refused_with_its_path(change, said):
    with pytest.raises(ActionImagesError, match=f"^demonstrations: {said}"):
        replace(DEBUG.sources[0], **change)


def test_without_validation_its_windows_do_not_matter():
    assert replace(DEBUG, validation=(), validation_windows=0).validation_windows == 0


def test_the_learning_rate_rises_stays_and_falls_to_zero():
    recipe = replace(DEBUG, num_steps=100, warmup_steps=10, decay=0.2, learning_rate=1.0)
    rates = [learning_rate(step, recipe, planned_fall(recipe)) for step in range(100)]
    assert rates[:10] == pytest.approx([0.1 * (step + 1) for step in range(10)])
    assert rates[10:81] == pytest.approx([1.0] * 71)
    assert rates[80:] == pytest.approx([1 - step / 20 for step in range(20)])
    assert min(rates) > 0


def test_without_a_decay_the_rate_stays_to_the_end():
    recipe = replace(DEBUG, num_steps=10, warmup_steps=1, decay=0.0, learning_rate=1.0)
    assert [learning_rate(step, recipe, planned_fall(recipe)) for step in range(10)] == [1.0] * 10


def test_make_train_tiny_records_all_that_the_recipe_reads():
    makefile = (ROOT / "Makefile").read_text()
    commands = makefile.replace("\\\n", " ")
    recorded = set(re.findall(r"\$\(RECORD\) .* --out \$\(TINY\)/(\w+)", commands))
    tiny = RECIPES["tiny"]
    assert recorded == {source.path.name for source in (*tiny.sources, *tiny.validation)}


@pytest.mark.parametrize("name", ["metaworld", "libero-object", "robosuite", "maniskill", "worlds"])
def test_training_on_another_world_records_all_that_its_recipe_reads(name: str):
    ask = ["make", "--dry-run", f"train-{name}"]
    told = subprocess.run(ask, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    recipe = RECIPES[f"tiny-{name}"]
    recorded = {Path(out).name for out in re.findall(r"action-images\"? record .* --out (\S+)", told)}
    assert recorded == {source.path.name for source in (*recipe.sources, *recipe.validation)}
    assert f'action-images" train tiny-{name} ' in told


def test_tiny_reads_every_sentence_of_the_tasks_that_it_is_trained_on():
    """A longer one would be refused in the middle of a run."""
    longest = PRESETS["tiny"].num_words
    for task in find_benchmark("paper").trained:
        grammar = find_task(task).grammar
        assert grammar is not None
        assert max(len(words_of(sentence)) for sentence in grammar.sentences("grammar")) <= longest
