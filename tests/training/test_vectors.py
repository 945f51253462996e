"""The vector policy in the one loop: it learns, sees what the others see, is saved, and drives an arm."""

import json
from dataclasses import replace

import pytest
import torch
from runs import losses_of, weights_of

from action_images.baselines.network import PathRegressor, backbone_config
from action_images.baselines.numbers import reference, tool_now
from action_images.baselines.objective import VECTORS
from action_images.baselines.objectives import objective_of
from action_images.canvas import MODES
from action_images.cli import main
from action_images.inference.clip_generator import ClipGenerator
from action_images.model import cost
from action_images.model.bundle import Models, answers_of
from action_images.model.presets import preset_named
from action_images.samples.sample import collate
from action_images.training.recipe import Recipe, SourceRecipe
from action_images.training.recipes import DEBUG, DEBUG_VECTOR, RECIPES, TINY
from action_images.training.train import Run, train
from action_images.training.validation import Validation


@pytest.fixture
def vectors(demonstrations) -> Recipe:
    """Learning a few episodes by heart."""
    seen = (SourceRecipe(demonstrations, modes={"policy": 1.0}, drop_text=0.0),)
    return replace(
        DEBUG_VECTOR,
        sources=seen,
        validation=seen,
        num_steps=150,
        batch_size=8,
        warmup_steps=10,
        num_workers=0,
        validation_windows=16,
    )


def asked(run: Run):
    """A canvas of one sample of the run, what is told besides, and where the tool is."""
    sample = collate([run.mixture.sample(run.mixture[0], run.clips.size)]).normalised()
    canvas, condition = run.pipeline.encode(sample, MODES["policy"], run.clips.num_frames)
    return canvas, condition, tool_now(sample.trajectory, reference(sample.cameras))


def test_it_learns_paths_by_heart_is_saved_and_drives_an_arm(vectors, tmp_path, capsys):
    """It begins with the mean path of the data, which is what the trained one is compared with."""
    model = train(vectors, tmp_path / "run", objective=objective_of(vectors))
    losses = list(losses_of(tmp_path / "run").values())
    assert sum(losses[-10:]) < 0.7 * sum(losses[:10])

    run = Run.start(vectors, tmp_path / "begun", objective=VECTORS)
    validation = Validation.of(vectors, run.clips, VECTORS)
    mean_path = validation.judge(ClipGenerator.of(run.models)).figures["policy"]
    loaded = Models.load(model, denoiser=PathRegressor)
    trained = validation.judge(ClipGenerator.of(loaded)).figures["policy"]
    assert trained["final mm"] < 0.7 * mean_path["final mm"]
    last = json.loads((tmp_path / "run" / "log.jsonl").read_text().splitlines()[-1])
    assert trained["final mm"] == pytest.approx(last["validation"]["policy"]["final mm"], abs=1e-3)
    assert answers_of(model) == "path"
    with pytest.raises(ValueError, match="answer with a path, wanted are some that answer with a canvas"):
        Models.load(model)

    results = tmp_path / "results"
    judged = [
        "evaluate",
        "--policy",
        str(model),
        "--out",
        str(results),
        "--task",
        "reach_target",
        "--trials",
        "1",
    ]
    assert main([*judged, "--no-films", "--no-ceiling"]) == 0
    (trial,) = [json.loads(line) for line in (results / "trials.jsonl").read_text().splitlines()]
    assert list(trial["stage_ms"]) == ["encode", "regress"]
    assert trial["num_plans"] >= 1
    assert main([*judged, "--best-of", "2"]) == 2
    assert "no best of 2" in capsys.readouterr().err


def test_what_is_to_be_answered_is_not_shown(vectors, tmp_path):
    run = Run.start(vectors, tmp_path, objective=VECTORS)
    canvas, condition, now = asked(run)
    with torch.no_grad():
        for (
            weight
        ) in run.models.denoiser.parameters():  # a new head answers with the mean path whatever it sees
            weight.add_(0.05)
        denoiser = run.models.denoiser.eval()
        answer = denoiser(canvas, condition, now)
        hidden = replace(canvas, latents=torch.where(canvas.asked, 7.0, canvas.latents))
        assert torch.equal(denoiser(hidden, condition, now), answer)
        other = replace(canvas, latents=torch.where(canvas.asked, canvas.latents, -canvas.latents))
        assert not torch.equal(denoiser(other, condition, now), answer)
        assert not torch.equal(denoiser(canvas, condition, now + 0.1), answer)


def test_a_new_one_answers_with_the_mean_path_of_the_data(vectors, tmp_path):
    run = Run.start(vectors, tmp_path, objective=VECTORS)
    canvas, condition, now = asked(run)
    answer = run.models.denoiser(canvas, condition, now)
    assert torch.equal(answer, torch.zeros_like(answer))
    assert answer.shape == (1, run.clips.num_frames - 1, 10)


def test_it_goes_on_where_it_was_stopped(vectors, tmp_path):
    short = replace(vectors, num_steps=4, validation=())
    whole = train(short, tmp_path / "whole", objective=VECTORS)
    run = Run.start(short, tmp_path / "stopped", objective=VECTORS)
    for step, batches in run.steps():
        run.log.step(step, *run.learn(step, batches), 0.0, 1)
        if step == 1:
            run.save()
            break
    resumed = train(short, tmp_path / "stopped", objective=VECTORS)
    first, second = weights_of(whole), weights_of(resumed)
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_what_makes_no_sense_is_refused(vectors, demonstrations, tmp_path):
    with pytest.raises(ValueError, match="not simulate"):
        Run.start(
            replace(vectors, sources=(SourceRecipe(demonstrations, modes={"simulate": 1.0}),)),
            tmp_path / "a",
            objective=VECTORS,
        )
    with pytest.raises(ValueError, match="the recipe learns vectors, the objective given is action-images"):
        train(vectors, tmp_path / "b")


def test_recipes_of_earlier_versions_learn_action_images():
    values = TINY.as_json()
    del values["learns"]
    assert Recipe.from_json(values) == TINY
    assert [name for name, recipe in RECIPES.items() if recipe.learns == "vectors"] == [
        "debug-vector",
        "tiny-vector",
        "tiny-metaworld-vector",
        "tiny-libero-object-vector",
        "tiny-robosuite-vector",
        "tiny-maniskill-vector",
    ]


@pytest.mark.parametrize("name", ["metaworld", "libero-object", "robosuite", "maniskill"])
def test_the_baseline_of_another_world_learns_from_all_that_the_method_plans_from(name):
    method, baseline = RECIPES[f"tiny-{name}"], RECIPES[f"tiny-{name}-vector"]
    paths, drawn, ratios = (
        [[getattr(source, field) for source in recipe.sources] for recipe in (method, baseline)]
        for field in ("path", "drawn", "ratio")
    )
    assert paths[0] == paths[1]
    assert drawn[0] == drawn[1]
    assert ratios[0] == ratios[1]
    assert all(source.modes == {"policy": 1.0} for source in baseline.sources + baseline.validation)


@pytest.mark.parametrize(
    "name", ["tiny", "tiny-metaworld", "tiny-libero-object", "tiny-robosuite", "tiny-maniskill"]
)
def test_the_baseline_has_the_methods_network_tokens_and_compute(name):
    method, baseline = RECIPES[name], RECIPES[f"{name}-vector"]
    preset = preset_named(method.preset)
    assert baseline.preset == method.preset
    assert baseline.batch_size == method.batch_size

    def operations(network: cost.Network, recipe: Recipe) -> float:
        total = 0.0
        for source in recipe.sources:
            for mode, weight in source.modes.items():
                load = cost.load_of(MODES[mode], 2, preset.num_frames, preset.size, (4, 8), 24)
                total += (
                    source.ratio
                    * weight
                    / sum(source.modes.values())
                    * cost.training_flops(network, load, "full", checkpointed=False)
                )
        return recipe.num_steps * recipe.batch_size * total / sum(source.ratio for source in recipe.sources)

    ours = cost.Network.of(preset)
    theirs = cost.Network("wan", backbone_config(preset.transformer))
    assert operations(theirs, baseline) == pytest.approx(operations(ours, method), rel=0.002)
    # A planner is shown no more. Its last layers, which draw, are left out: the baseline has a head instead.
    drawing = {"output_split": None, "out_channels": backbone_config(preset.transformer)["out_channels"]}
    without = {"motion_channels": None, "action_channels": None, **drawing}
    planning = cost.count_parameters(cost.Network("wan", {**preset.transformer, **without}))
    assert cost.count_parameters(theirs) == pytest.approx(planning, rel=0.02)


def test_it_can_begin_with_the_eyes_of_a_model_that_draws(vectors, tmp_path):
    """All of that network but its last layer is taken over; models of the same kind go on as they are."""
    drawing = train(
        replace(DEBUG, sources=vectors.sources, validation=(), num_steps=3, num_workers=0),
        tmp_path / "drawing",
    )
    seeing = Models.load(drawing).denoiser.transformer.state_dict()
    run = Run.start(replace(vectors, pretrained=drawing), tmp_path / "begun", objective=VECTORS)
    begun = run.models.denoiser.transformer.state_dict()
    taken = {name for name, weight in seeing.items() if torch.equal(weight, begun.get(name, torch.zeros(())))}
    assert set(begun) - taken == {"proj_out.weight", "proj_out.bias"}
    assert not run.models.denoiser.head.std.eq(1).all()

    model = train(replace(vectors, pretrained=drawing, num_steps=2), tmp_path / "run", objective=VECTORS)
    again = Run.start(replace(vectors, pretrained=model), tmp_path / "again", objective=VECTORS)
    loaded = Models.load(model, denoiser=PathRegressor).denoiser.state_dict()
    assert all(
        torch.equal(weight, loaded[name]) for name, weight in again.models.denoiser.state_dict().items()
    )
    with pytest.raises(ValueError, match="answer with a path, wanted are some that answer with a canvas"):
        Run.start(replace(DEBUG, sources=vectors.sources, pretrained=model), tmp_path / "wrong")
