"""Training and validation on a CUDA card that is not there (see fake_card): what lies where, what waits."""

from dataclasses import replace

import pytest
import torch
from accelerate.state import PartialState
from runs import parts_of

from action_images.inference.clip_generator import ClipGenerator
from action_images.pipeline import Pipeline
from action_images.samples.loader import load
from action_images.training.batches import layout_kind
from action_images.training.ema import EMA
from action_images.training.engine import engine_of
from action_images.training.run_folder import START
from action_images.training.setup import clips_of
from action_images.training.train import Run
from action_images.training.validation import Validation
from fake_card import CUDA, fake_card, on_card

A_STEP = {"loss": 1, "gradient norm": 1}
"""Its moves to the CPU."""


def moved(run: Run, precision: str = "no") -> Run:
    """The run with its models on the card, and a new engine there."""
    # accelerate's state is one for all, and is copied from that of the processes now and then.
    PartialState._shared_state["device"] = run.accelerator.state.device = CUDA
    run.accelerator.state._mixed_precision = precision
    engine = engine_of(run.models, run.accelerator, replace(run.recipe, mixed_precision=precision))
    models = replace(run.models, denoiser=engine.network)
    ema = EMA(engine.network, run.recipe.ema_decay)
    return replace(run, models=models, pipeline=Pipeline.of(models), engine=engine, ema=ema)


def steps_of(run: Run):
    """Batches as the loader gives them to a card: videos there, all else on the CPU."""
    for batches in load(run.mixture, 4, 2, 0, run.clips.size, num_workers=0, group=layout_kind):
        yield tuple(
            replace(one, pixels=replace(one.pixels, video=one.pixels.video.to(CUDA))) for one in batches
        )


@pytest.mark.parametrize(("trainable", "precision"), [("full", "no"), ("lora", "bf16")])
def test_a_step_waits_for_its_loss_and_its_norm_alone(recipe, tmp_path, trainable, precision):
    start = Run.start(recipe, tmp_path / "start")
    recipe = replace(recipe, trainable=trainable, pretrained=tmp_path / "start" / START)
    with fake_card() as card:
        run = moved(replace(start, recipe=recipe), precision)
        assert all(on_card(parameter) for parameter in run.engine.network.parameters())
        batches = next(steps_of(run))
        card.forget()
        loss, norm = run.learn(0, batches)
        assert (loss, norm) == (1.0, 1.0)
        assert card.moves == {**A_STEP, "fitted": 1}
        assert card.waits == {}, card.where
        assert all(on_card(one) for one in run.ema.named().values() if one.ndim)


def test_a_validation_moves_what_it_judges_and_nothing_else(recipe, tmp_path):
    start = Run.start(recipe, tmp_path)
    recipe = replace(recipe, validation_windows=1)
    validation = Validation.of(recipe, clips_of(recipe))
    with fake_card() as card:
        run = moved(start)
        with run.averaged() as models:
            validation.judge(ClipGenerator.of(models))
        assert set(card.moves) == {"clip", "paths", "fitted"}
        assert set(card.waits) <= {"end of a stage", "blocking copy to the card"}
        # Models are moved once, before anything is judged.
        assert not [place for place in card.where if not place.startswith(("model/bundle", "training/train"))]


def test_losses_of_samples_are_the_same_where_the_card_masks_what_the_cpu_picks(recipe, tmp_path):
    """On a card stems look at all frames and drop those that are not given; on the CPU at those alone."""
    run = Run.start(recipe, tmp_path)
    network = run.models.denoiser.transformer
    part = next(part for part in parts_of(run, recipe) if part.condition.later_frames is not None)
    stem, frames = network.motion_stem, part.condition.later_frames
    given = part.canvas.layout.later(part.canvas.given, "video")
    picked = torch.zeros(*given.shape, *stem(frames[given]).shape[1:])
    picked[given] = stem(frames[given])
    masked = stem(frames.flatten(0, 2)).unflatten(0, given.shape)
    masked = torch.where(given[..., None, None, None], masked, 0.0)
    torch.testing.assert_close(masked, picked)
