"""A painter learns to show where things go; plans stay as they are, and stopped runs go on."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from runs import assert_same_weights, weights_of
from safetensors.torch import load_file

from action_images.cli import main
from action_images.errors import ActionImagesError
from action_images.evaluation.clip_answers import ModeAnswers
from action_images.inference.clip_generator import ClipGenerator
from action_images.model.bundle import Models
from action_images.samples.sample import Sample
from action_images.training.painting import PainterTraining, train_painter
from action_images.training.recipe import Recipe, SourceRecipe
from action_images.training.recipes import DEBUG
from action_images.training.train import train
from small_scenes import scenes


@pytest.fixture(scope="module")
def models(tmp_path_factory, demonstrations: Path) -> Path:
    """A small model that has hardly learnt."""
    return train(debug_run(demonstrations), tmp_path_factory.mktemp("models") / "run")


def debug_run(demonstrations: Path) -> Recipe:
    return replace(
        DEBUG,
        sources=(SourceRecipe(demonstrations, modes={"policy": 0.5, "simulate": 0.5}),),
        validation=(),
        num_steps=2,
        batch_size=2,
        num_workers=0,
    )


def settings(models: Path, demonstrations: Path, number: int) -> PainterTraining:
    return PainterTraining(
        models,
        (demonstrations,),
        num_steps=number,
        learning_rate=3e-3,
        held_out=0.3,
        num_workers=0,
        judged=2,
    )


def test_it_learns_to_show_what_moves_and_plans_stay_as_they_are(
    models: Path, demonstrations: Path, tmp_path
):
    figures = train_painter(settings(models, demonstrations, 60), tmp_path)
    assert figures["painted, changed pixels dB"] > figures["imagined, changed pixels dB"] + 1
    assert figures["painted, changed pixels dB"] > figures["still, changed pixels dB"] + 1
    assert_same_weights(models, tmp_path / "model")
    card = (tmp_path / "model" / "README.md").read_text()
    assert card.startswith((models / "README.md").read_text())
    assert "60 steps of 4 windows of demonstrations" in card
    plain, painted = (ClipGenerator.of(Models.load(one)) for one in (models, tmp_path / "model"))
    scene = scenes(1, 2, 5, (32, 32))

    def generated(mode: str) -> list[tuple]:
        """Video and action images without and with the painter."""
        answers = [generator.generate(scene, mode, [0]) for generator in (plain, painted)]
        return [(answer.video, answer.action_images) for answer in answers]

    for mode in ("policy", "label"):
        without, with_one = generated(mode)
        assert all(map(torch.equal, without, with_one))
    for mode in ("simulate", "joint"):
        (one, drawn), (other, same) = generated(mode)
        assert torch.equal(drawn, same)
        assert torch.equal(one[:, :, 0], other[:, :, 0])
        assert (one - other).abs()[:, :, 1:].mean() > 1e-3
    # The first view was shown whole, the second is imagined.
    (one, _), (other, _) = generated("second_view")
    assert torch.equal(one[:, 0], other[:, 0])
    assert not torch.equal(one[:, 1], other[:, 1])
    # The ceiling of judge-clips is the recording itself.
    assert scene.cameras is not None
    assert scene.trajectory is not None
    window = Sample(scene.video[0], scene.cameras[0], scene.trajectory[0], scene.valid[0], "push")
    one, other = (ModeAnswers(generator).codec(window) for generator in (plain, painted))
    assert one.video is not None
    assert other.video is not None
    assert torch.equal(one.video, other.video)


def test_a_run_that_was_stopped_goes_on_to_the_same_weights(models: Path, demonstrations: Path, tmp_path):
    class Stopped(Exception):
        pass

    def stop(step: int, _: float) -> None:
        if step == 2:
            raise Stopped

    run = replace(settings(models, demonstrations, 4), save_minutes=0.0)
    train_painter(run, tmp_path / "whole")
    with pytest.raises(Stopped):
        train_painter(run, tmp_path / "stopped", told=stop)
    seen = []
    train_painter(run, tmp_path / "stopped", told=lambda step, _: seen.append(step))
    assert seen == [2, 3]
    one, other = (
        load_file(tmp_path / name / "model" / "painter" / "diffusion_pytorch_model.safetensors")
        for name in ("whole", "stopped")
    )
    assert all(torch.equal(value, other[name]) for name, value in one.items())
    with pytest.raises(ActionImagesError, match=r"holds another run \(seed differ\)"):
        train_painter(replace(run, seed=1), tmp_path / "stopped")


@pytest.mark.parametrize("change", [{"num_steps": 0}, {"held_out": 2.0}, {"learning_rate": float("nan")}])
def test_numbers_that_make_no_sense_are_refused(models: Path, demonstrations: Path, change):
    with pytest.raises(ActionImagesError, match=f"{next(iter(change))} must be"):
        replace(settings(models, demonstrations, 1), **change)


def test_what_cannot_be_learnt_from_is_refused_before_the_first_step(
    models: Path, demonstrations: Path, tmp_path
):
    run = settings(models, demonstrations, 1)
    for wrong, out, said in (
        (replace(run, data=()), tmp_path, "name at least one data set"),
        (replace(run, held_out=0.001), tmp_path, r"0 of 6 episodes .* give --held-out 0\.\d"),
        (run, models.parent, "is where the models with a painter go; name another --out"),
        (replace(run, models=tmp_path / "other"), models.parent, "holds models .* name another --out"),
    ):
        with pytest.raises(ActionImagesError, match=said):
            train_painter(wrong, out, told=lambda *_: pytest.fail("it has begun"))


def test_the_command_writes_and_tells(models: Path, demonstrations: Path, tmp_path, capsys):
    told = ["--steps", "1", "--workers", "0", "--held-out", "0.3", "--device", "cpu"]
    out = tmp_path / "painted"
    assert main(["train-painter", str(demonstrations), "--model", str(models), "--out", str(out), *told]) == 0
    said = capsys.readouterr()
    assert "runs on cpu in float32" in said.err
    assert "painted, last frame dB:" in said.out
    assert f"written: {out / 'model'}" in said.out
    assert Models.load(out / "model").painter is not None
    assert weights_of(out / "model").keys() == weights_of(models).keys()


def test_models_that_are_trained_on_have_no_painter(models: Path, demonstrations: Path, tmp_path):
    train_painter(settings(models, demonstrations, 1), tmp_path / "painted")
    painted = tmp_path / "painted" / "model"
    assert Models.load(painted).painter is not None
    recipe = replace(debug_run(demonstrations), pretrained=painted, num_steps=1)
    assert Models.load(train(recipe, tmp_path / "run")).painter is None
