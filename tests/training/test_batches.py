"""What a step learns from: its own noise for each draw, and a loss over what is asked and valid alone."""

from dataclasses import replace

import pytest
import torch
from runs import parts_of

from action_images.canvas import MODES
from action_images.canvas.layout import STREAMS
from action_images.inference.clip_generator import ClipGenerator
from action_images.inference.generation import GENERATIONS
from action_images.training.batches import losses
from action_images.training.objective import ACTION_IMAGES
from action_images.training.recipe import SourceRecipe
from action_images.training.setup import clips_of
from action_images.training.train import Run
from action_images.training.validation import Validation


@pytest.fixture
def run(recipe, tmp_path):
    return Run.start(recipe, tmp_path)


def by_draw(parts):
    return {
        draw.index: (part.noise[row], part.level[row])
        for part in parts
        for row, draw in enumerate(part.draws)
    }


def test_each_draw_has_its_own_noise_and_level_whoever_computes_it(run, recipe):
    whole, single = by_draw(parts_of(run, recipe)), by_draw(parts_of(run, recipe, size=1))
    assert sorted(whole) == sorted(single) == [0, 1, 2, 3]
    for index, (noise, level) in whole.items():
        assert torch.equal(noise, single[index][0])
        assert level == single[index][1]
    levels = [level.item() for _, level in whole.values()]
    assert len(set(levels)) == 4
    assert all(0 < level <= 1 for level in levels)


def test_the_loss_looks_at_what_is_asked_and_valid_alone(run, recipe):
    part = parts_of(run, recipe)[0]
    valid = torch.ones_like(part.canvas.given)
    valid[:, -1] = False
    canvas = replace(part.canvas, valid=valid)

    def loss(latents):
        return losses(
            lambda *_: torch.zeros_like(latents),
            replace(part, canvas=replace(canvas, latents=latents)),
            recipe,
        )

    latents = canvas.latents
    elsewhere = torch.where(canvas.counted, latents, latents + 7)
    assert torch.equal(loss(latents), loss(elsewhere))
    inside = torch.where(canvas.counted, latents + 7, latents)
    assert (loss(inside) > loss(latents)).all()


def test_action_weight_says_how_much_a_frame_of_an_action_counts(run, recipe):
    part = next(part for part in parts_of(run, recipe) if part.canvas.layout.segments[0].num_frames > 1)
    is_action = (part.canvas.layout.stream_of_frame() == STREAMS.index("action"))[:, None, None]
    truth = part.noise - part.canvas.latents

    def loss(wrong, weight):
        return losses(lambda *_: truth + wrong.float(), part, replace(recipe, action_weight=weight))

    counted = part.canvas.counted.float().expand_as(truth)
    num_action, num_video = (counted * is_action).flatten(1).sum(1), (counted * ~is_action).flatten(1).sum(1)
    expected = 3 * num_action / (3 * num_action + num_video)
    wrong = is_action.expand_as(truth)
    torch.testing.assert_close(loss(wrong, 3.0) / loss(torch.ones_like(truth), 3.0), expected)


def test_the_text_is_dropped_as_often_as_the_source_says_for_each_mode(recipe, demonstrations, tmp_path):
    modes = {"policy": 0.5, "label": 0.5}
    own = replace(
        recipe,
        sources=(SourceRecipe(demonstrations, modes=modes, drop_text=0.2, drop_text_of={"label": 1.0}),),
    )
    mixture = Run.start(own, tmp_path).mixture
    draws = [mixture[index] for index in range(2000)]
    assert all(draw.drop_text for draw in draws if draw.mode == "label")
    share = [draw.drop_text for draw in draws if draw.mode == "policy"]
    assert sum(share) / len(share) == pytest.approx(0.2, abs=0.03)
    assert mixture.sample(next(draw for draw in draws if draw.drop_text)).instruction is None


def test_a_dropped_camera_is_zeros_and_leaves_the_other_samples_alone(run, recipe):
    shown = {
        draw.index: maps
        for part in parts_of(run, recipe)
        for draw, maps in zip(part.draws, part.condition.camera, strict=True)
    }
    half = replace(recipe, drop_camera=0.5)
    dropped = 0
    for part in parts_of(run, half):
        for draw, maps in zip(part.draws, part.condition.camera, strict=True):
            if draw.uniform("camera") < 0.5:
                assert not maps.any()
                dropped += 1
            else:
                assert torch.equal(maps, shown[draw.index])
    assert 0 < dropped < 4


def test_a_mode_that_does_not_exist_is_refused(recipe, demonstrations, tmp_path):
    with pytest.raises(ValueError, match=r"there is no mode policey; there are: joint, policy"):
        Run.start(replace(recipe, sources=(SourceRecipe(demonstrations, modes={"policey": 1.0}),)), tmp_path)


def test_a_blank_action_image_is_far_off_and_not_keeping_still(run, recipe):
    validation = Validation.of(recipe, run.clips)
    black = run.pipeline.models.autoencoder.encode(-torch.ones(5, 3, 32, 32)).mean((-2, -1)).mT
    with torch.no_grad():  # a new network answers with its output bias alone
        run.models.denoiser.transformer.output_bias[STREAMS.index("action"), : len(black)] = black
    figures = validation.judge(ClipGenerator.of(run.models)).figures["policy"]
    assert figures["final mm"] > 10 * figures["still mm"]


def test_held_out_windows_are_told_what_their_own_mode_and_source_say(recipe, demonstrations, held_out):
    """Text is dropped by the judged mode; each mode is judged on the sources that have it, never mirrored."""
    modes = dict.fromkeys(("policy", "label"), 1.0)
    labelled = SourceRecipe(held_out, modes=modes, drop_text=0.0, drop_text_of={"label": 1.0})
    planned = SourceRecipe(demonstrations, modes={"policy": 1.0}, drop_text=0.0, mirror=1.0)
    validation = Validation.of(
        replace(recipe, validation=(labelled, planned), validation_windows=12, mirror=1.0), clips_of(recipe)
    )
    told = {
        mode: [text for sample, _ in validation.batches(mode, 16) for text in sample.instruction]
        for mode in modes
    }
    assert None not in told["policy"]
    assert set(told["label"]) == {None}
    draws = {mode: [draw for _, draws in validation.batches(mode, 16) for draw in draws] for mode in modes}
    assert {draw.source for draw in draws["policy"]} == {"demonstrations", "validation"}
    assert {draw.source for draw in draws["label"]} == {"validation"}
    assert not any(draw.mirror for draw in draws["policy"])


def test_validation_passes_no_more_at_once_than_training_and_needs_no_guidance(run, recipe):
    guided = replace(run.clips, sampling="release-cached")
    few = replace(recipe, micro_batch_size=1, validation_windows=2)
    judged = Validation.of(few, guided).judge(ClipGenerator.of(run.models, clips=guided))
    assert {shown.mode: len(shown.truth.video) for shown in judged.shown} == {"policy": 1, "joint": 1}


def test_augmented_windows_take_as_many_canvases_in_a_pass_as_plain_ones(run, recipe):
    sizes = {"policy": set(), "joint": set()}

    def note(_, arguments):
        canvas = arguments[0]
        mode = "policy" if canvas.layout == MODES["policy"].layout(2, 2) else "joint"
        sizes[mode].add(len(canvas.latents))

    generator = ClipGenerator.of(run.models, generation=GENERATIONS["one-step-averaged"])
    with run.models.denoiser.register_forward_pre_hook(note):
        Validation.of(replace(recipe, micro_batch_size=8, validation_windows=8), run.clips).judge(generator)
    assert sizes == {"policy": {2, 8}, "joint": {8}}  # the losses look at the scene as it is


def test_validation_judges_the_clips_that_a_policy_plans_with(run, recipe):
    """The path of a held-out window is the clip generator's, from its first images, averaged and smoothed."""
    for weight in run.models.denoiser.parameters():
        weight.data.add_(0.05 * torch.randn(weight.shape, generator=torch.Generator().manual_seed(0)))
    generator = ClipGenerator.of(run.models, generation=GENERATIONS["one-step-averaged"])
    validation = Validation.of(recipe, run.clips)
    truth, draws = next(validation.batches("policy", 4))
    scene = replace(truth, video=truth.video[:, :, :1], trajectory=truth.trajectory[:, :1])
    planned = generator.generate(scene, "policy", [draw.index for draw in draws])
    judged = ACTION_IMAGES.predict(generator, replace(truth, video=truth.video[:, :, :1]), "policy", draws)
    assert torch.equal(
        judged.path.world_from_tool.translation, planned.trajectory.world_from_tool.translation
    )
    assert torch.equal(judged.path.world_from_tool.rotation, planned.trajectory.world_from_tool.rotation)
    plain = replace(generator, generation=GENERATIONS["one-step"]).generate(scene, "policy", [0, 1, 2, 3])
    assert not torch.equal(
        plain.trajectory.world_from_tool.translation, planned.trajectory.world_from_tool.translation
    )
