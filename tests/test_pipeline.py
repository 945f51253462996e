"""Samples become canvases and come back; what one call needs is made once."""

from dataclasses import replace

import pytest
import torch

from action_images.canvas import MODES
from action_images.codec import ActionImageFormat, draw
from action_images.diffusion.sampler import Sampling, StepCache, sample
from action_images.model.build import build
from action_images.model.bundle import Clips
from action_images.model.presets import PRESETS
from action_images.pipeline import Pipeline
from action_images.pipeline.still_video import moved_share
from action_images.samples.sample import Sample
from small_scenes import clips, rig, scenes

SIZE = (64, 64)


@pytest.fixture(scope="module")
def fitted():
    """An autoencoder fitted to the small scenes."""
    pipeline = build(PRESETS["tiny"])
    return pipeline.autoencoder.fit(clips(scenes(16)))


@pytest.fixture
def pipeline(fitted) -> Pipeline:
    """A small model on a good autoencoder, its weights random everywhere (none at its zero start)."""
    tiny = PRESETS["tiny"]
    small = replace(
        tiny,
        transformer=tiny.transformer
        | {"num_attention_heads": 2, "num_layers": 1, "ffn_dim": 64, "stem_channels": 8},
    )
    models = build(small, autoencoder=fitted)
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in models.denoiser.parameters():
            parameter.add_(0.05 * torch.randn(parameter.shape, generator=generator))
    return Pipeline(models)


@pytest.mark.parametrize("num_views", [2, 3])
@pytest.mark.parametrize("mode", MODES)
def test_a_canvas_that_is_not_touched_decodes_to_its_sample(pipeline, mode: str, num_views: int):
    scene = scenes(2, num_views)
    canvas, _ = pipeline.encode(scene, MODES[mode])
    prediction = pipeline.decode(canvas, None, scene.cameras)
    if mode == "video":
        assert prediction.trajectory is None
    else:
        metres, radians = scene.trajectory.world_from_tool.distance(prediction.trajectory.world_from_tool)
        assert metres.median() < 2e-3
        assert radians.median() < 0.02
    num_frames = 1 if mode == "policy" else 9
    torch.testing.assert_close(prediction.video, (scene.video[:, :, :num_frames] + 1) / 2, atol=0.1, rtol=0)


def test_action_images_are_drawn_and_read_with_axes_as_long_as_the_models_say(pipeline):
    sample = scenes(1)
    for length in (0.1, 0.2):
        own = Pipeline.of(
            replace(pipeline.models, clips=Clips(SIZE, sample.video.shape[2], 5.0, "one-step", length))
        )
        canvas, condition = own.encode(sample, MODES["simulate"])
        shown = own.show(canvas, condition)
        plain = draw(sample.trajectory, sample.cameras, ActionImageFormat(axis_length=length))
        assert shown.action_images is not None
        assert (shown.action_images - plain).abs().mean() < 0.01
        path = own.read(shown, sample.cameras).trajectory
        assert path is not None
        metres, radians = path.world_from_tool.distance(sample.trajectory.world_from_tool)
        assert metres.median() < 3e-3
        assert radians.median() < 0.03


def test_an_imagined_video_that_stands_still_is_the_given_image_to_the_bit(pipeline):
    scene = scenes(2)
    canvas, condition = pipeline.encode(scene, MODES["simulate"])
    noise = 0.01 * torch.randn(canvas.latents.shape, generator=torch.Generator().manual_seed(0))
    still = replace(
        canvas, latents=torch.where(canvas.asked.expand_as(noise), condition.still + noise, canvas.latents)
    )
    shown = pipeline.show(still, condition, ["video"]).video
    assert torch.equal(shown, ((scene.video[:, :, :1] + 1) / 2).expand_as(shown))
    plain = pipeline.show(still, None, ["video"]).video
    assert 0 < (plain - shown).abs().max() < 0.2


def test_what_moves_in_an_imagined_video_is_shown_as_imagined_and_the_rest_as_given(pipeline):
    scene = scenes(2)
    canvas, condition = pipeline.encode(scene, MODES["simulate"])
    plain, shown = (pipeline.show(canvas, known, ["video"]).video for known in (None, condition))
    truth = (scene.video + 1) / 2
    changed = (truth - truth[:, :, :1]).abs().amax(-3, keepdim=True).expand_as(truth)
    torch.testing.assert_close(shown[changed > 0.5], plain[changed > 0.5], atol=0.02, rtol=0)
    first = truth[:, :, :1].expand_as(truth)
    assert (shown == first)[changed == 0].float().mean() > 0.5
    assert (shown - truth).square().mean() < 1e-4  # what is lost where little changes


def test_what_is_small_and_moves_is_shown_where_it_was_imagined_and_no_more_where_it_was():
    still = torch.full((1, 1, 1, 3, 64, 64), 0.2)
    video = still.clone()
    video[..., 20:22, 30:33] += 0.5
    moved = moved_share((video - still).abs().amax(-3))[..., None, :, :]
    assert (moved[..., 20:22, 30:33] == 1).all()
    assert moved[..., 26:, :].max() == 0


@pytest.mark.parametrize("mode", ["label", "second_view"])
def test_given_videos_are_shown_as_the_canvas_has_them(pipeline, mode: str):
    scene = scenes(2)
    canvas, condition = pipeline.encode(scene, MODES[mode])
    plain, shown = (pipeline.show(canvas, known, ["video"]).video for known in (None, condition))
    assert torch.equal(shown[:, 0], plain[:, 0])
    assert torch.equal(shown[:, 1], plain[:, 1]) == (mode == "label")


@pytest.mark.parametrize("mode", MODES)
def test_sampling_leaves_what_is_given_bit_identical(pipeline, mode: str):
    scene = scenes(2)
    canvas, condition = pipeline.encode(scene, MODES[mode])
    sampled = sample(
        pipeline.models.denoiser, canvas, condition, Sampling(2), torch.Generator().manual_seed(0)
    )
    given = ~canvas.asked.expand_as(canvas.latents)
    assert torch.equal(sampled.latents[given], canvas.latents[given])
    assert not torch.isclose(sampled.latents[~given], canvas.latents[~given]).all()


@pytest.mark.parametrize("mode", MODES)
def test_only_given_videos_are_shown_after_their_first_frame(pipeline, mode: str):
    scene = scenes(2)
    _, condition = pipeline.encode(scene, MODES[mode])
    if mode not in {"label", "label_from_nothing", "second_view"}:
        assert condition.later_frames is None
        return
    later = condition.later_frames.flatten(2, 3)
    assert torch.equal(later[:, 0], scene.video[:, 0, 1:])
    assert torch.equal(
        later[:, 1], torch.zeros_like(later[:, 1]) if mode == "second_view" else scene.video[:, 1, 1:]
    )


def test_in_one_batch_each_sample_is_shown_what_its_own_mode_gives(pipeline):
    scene = scenes(2)
    _, condition = pipeline.encode(scene, [MODES["label"], MODES["simulate"]])
    for shown, other in ((condition.later_frames, 1), (condition.later_actions, 0)):
        assert (shown[other] == 0).all()
        assert (shown[1 - other] != 0).any()


@pytest.mark.parametrize("mode", MODES)
def test_only_given_actions_are_shown_after_their_first_frame(pipeline, mode: str):
    scene = scenes(2)
    _, condition = pipeline.encode(scene, MODES[mode])
    if mode != "simulate":
        assert condition.later_actions is None
        return
    drawn = pipeline.draw(scene.trajectory, scene.cameras)
    assert torch.equal(condition.later_actions.flatten(2, 3), drawn[:, :, 1:])


def test_the_same_seed_gives_the_same_bytes(pipeline):
    scene = scenes(1)
    canvas, condition = pipeline.encode(scene, MODES["policy"])
    runs = [
        sample(
            pipeline.models.denoiser, canvas, condition, Sampling(4), torch.Generator().manual_seed(5)
        ).latents
        for _ in range(2)
    ]
    assert torch.equal(*runs)


def observed(scene: Sample) -> Sample:
    """What a robot knows before it moves: one image from each still camera, and where its tool is."""
    return replace(
        scene,
        video=scene.video[:, :, :1],
        trajectory=scene.trajectory[:, :1],
        valid=scene.valid[:, :1],
        cameras=rig(2),
    )


@pytest.mark.parametrize("mode", ["joint", "policy"])
def test_one_image_and_the_current_pose_are_enough_to_plan(pipeline, mode: str):
    scene = scenes(2)
    whole, _ = pipeline.encode(scene, MODES[mode])
    canvas, condition = pipeline.encode(observed(scene), MODES[mode], num_frames=9)
    assert canvas.layout == whole.layout
    given = ~canvas.asked.expand_as(canvas.latents)
    torch.testing.assert_close(canvas.latents[given], whole.latents[given])
    sampled = sample(
        pipeline.models.denoiser, canvas, condition, Sampling(1), torch.Generator().manual_seed(0)
    )
    prediction = pipeline.decode(sampled, None, rig(2), wanted=["action"])
    assert prediction.video is None
    assert prediction.trajectory.batch_shape == (2, 9)


def test_what_is_not_wanted_is_not_decoded(pipeline, monkeypatch):
    scene, decoded = scenes(1), []
    canvas, _ = pipeline.encode(scene, MODES["joint"])
    plain = pipeline.models.autoencoder.decode
    monkeypatch.setattr(
        pipeline.models.autoencoder,
        "decode",
        lambda latents: decoded.append(latents.shape) or plain(latents),
        raising=False,
    )
    pipeline.decode(canvas, None, scene.cameras, wanted=["action"])
    assert decoded == [(1, 2, 64, 3, 8, 8)]


def test_a_rig_that_does_not_change_is_encoded_once(pipeline):
    pipeline.encode(scenes(1), MODES["policy"])
    pipeline.encode(scenes(1, seed=4), MODES["joint"])
    assert len(pipeline.rigs._maps) == 1
    pipeline.encode(scenes(1, num_views=3), MODES["joint"])
    assert len(pipeline.rigs._maps) == 2


def test_one_encoded_scene_serves_many_samples_and_instructions(pipeline):
    canvas, condition = pipeline.encode(scenes(1), MODES["policy"])
    before = canvas.latents.clone()
    other = condition.with_text(pipeline.models.text.encode(["open the drawer"]))
    runs = [
        sample(
            pipeline.models.denoiser, canvas, told, Sampling(2), torch.Generator().manual_seed(seed)
        ).latents
        for told, seed in ((condition, 0), (condition, 1), (other, 0))
    ]
    assert torch.equal(canvas.latents, before)
    assert not torch.equal(runs[0], runs[1])
    assert not torch.equal(runs[0], runs[2])


def test_guidance_and_caching_run_through_the_real_model(pipeline):
    canvas, condition = pipeline.encode(scenes(2), MODES["policy"])
    sampling = Sampling(6, guidance=3.0, cache=StepCache())
    sampled = sample(
        pipeline.models.denoiser,
        canvas,
        condition,
        sampling,
        torch.Generator().manual_seed(0),
        pipeline.unconditional(2),
    )
    assert sampled.latents.isfinite().all()


def test_frames_past_an_episodes_end_are_not_valid(pipeline):
    scene = scenes(1)
    scene = replace(scene, valid=torch.arange(9)[None] < 6)
    canvas, _ = pipeline.encode(scene, MODES["joint"])
    # 9 frames: latent frame 0 is frame 0, 1 is frames 1-4, 2 is frames 5-8, of which the last three are not
    # data.
    assert canvas.valid.tolist() == [[True, True, False] * 4]


def test_samples_in_bytes_are_as_good_as_floats(pipeline):
    scene = scenes(1)
    in_bytes = replace(scene, video=((scene.video + 1) * 127.5).round().to(torch.uint8))
    canvases = [pipeline.encode(part, MODES["video"])[0].latents for part in (scene, in_bytes)]
    torch.testing.assert_close(*canvases, atol=0.1, rtol=0.05)


def test_one_view_alone_has_action_images_but_no_reading(pipeline):
    scene = scenes(1, num_views=1)
    canvas, _ = pipeline.encode(scene, MODES["joint"])
    prediction = pipeline.decode(canvas, None, scene.cameras)
    assert prediction.action_images is not None
    assert prediction.trajectory is None


BAD = {
    "40 frames": (lambda s: s, {"num_frames": 40}, "cut the clip to 37 or 41 frames"),
    "odd size": (lambda s: replace(s, video=s.video[..., :40]), {}, "multiples of 32; resize to 64 x 32"),
    "no cameras": (lambda s: replace(s, cameras=None), {}, "the sample has no cameras"),
    "no trajectory": (lambda s: replace(s, trajectory=None), {}, "the sample has no trajectory"),
    "three cameras": (lambda s: replace(s, cameras=rig(3)), {}, "2 views and 3 cameras"),
    "cameras of another size": (
        lambda s: replace(s, cameras=rig(2, (32, 32))),
        {},
        r"its cameras say \(32, 32\)",
    ),
    "not a batch": (lambda s: s[0], {}, "collate"),
    "half a clip": (
        lambda s: replace(s, video=s.video[:, :, :5], valid=s.valid[:, :5]),
        {},
        "for 9 frames and the video has 5",
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_refused_with_the_cure(pipeline, case: str):
    change, arguments, message = BAD[case]
    with pytest.raises(ValueError, match=message):
        pipeline.encode(change(scenes(1)), MODES["joint"], **arguments)


def test_labelling_needs_the_whole_video(pipeline):
    with pytest.raises(ValueError, match="the video has 1; this mode takes all of them"):
        pipeline.encode(observed(scenes(1)), MODES["label"], num_frames=9)
