"""The network equals the release's on golden numbers, and each addition does what its value says."""

import pytest
import torch

from action_images.canvas import MODES
from action_images.errors import ActionImagesError
from action_images.model.backbones.wan import ActionImagesTransformer3DModel
from action_images.model.conditioning.conditioned import Shown
from action_images.model.conditioning.rays import pool_cameras
from action_images.model.denoiser import CanvasDenoiser
from tiny_models import TINY


@pytest.mark.parametrize("case", ["a", "b", "c"])
def test_the_released_network_is_reproduced(released, golden, case: str):
    numbers = {name: value.float() for name, value in golden("dit_io").items() if name.startswith(f"{case}_")}
    latents, camera = numbers[f"{case}_x"], numbers[f"{case}_cam"]
    with torch.no_grad():
        output = released(
            latents,
            numbers[f"{case}_t"].expand(len(latents)),
            numbers[f"{case}_ctx"],
            camera,
            return_dict=False,
        )[0]
    torch.testing.assert_close(output, numbers[f"{case}_out"], atol=1e-5, rtol=0)


def test_the_released_pooling_is_reproduced(released, golden):
    numbers = golden("dit_io")
    pooled = pool_cameras(numbers["a_cam"].float(), numbers["a_x"])
    torch.testing.assert_close(pooled[0, 0].view(48, 16, 16), numbers["a_cam_pooled_first"])
    torch.testing.assert_close(
        released.blocks[0].cam_encoder(pooled), numbers["a_cam_tokens_block0"], atol=1e-5, rtol=0
    )


def test_without_cameras_it_is_wans_own_network(inputs):
    from diffusers import WanTransformer3DModel

    wan, ours = WanTransformer3DModel(**TINY), ActionImagesTransformer3DModel(**TINY)
    ours.load_state_dict(wan.state_dict(), strict=True)
    given = inputs()
    with torch.no_grad():
        torch.testing.assert_close(ours(**given).sample, wan(**given).sample, atol=1e-6, rtol=0)


@pytest.mark.parametrize("camera", ["released", "rays"])
def test_a_new_camera_branch_changes_nothing_until_it_is_trained(inputs, camera: str):
    plain, with_camera = (
        ActionImagesTransformer3DModel(**TINY),
        ActionImagesTransformer3DModel(**TINY, camera=camera),
    )
    with_camera.load_state_dict(plain.state_dict(), strict=False)
    given = inputs(height=32, width=32)
    maps = torch.randn(2, 4, 96, 32, 32) if camera == "released" else torch.randn(2, 4, 24, 16, 16)
    with torch.no_grad():
        torch.testing.assert_close(
            with_camera(**given, camera=maps).sample, plain(**given).sample, atol=1e-5, rtol=0
        )


@pytest.mark.parametrize("camera", ["released", "rays"])
def test_a_camera_branch_that_is_told_nothing_says_so(inputs, camera: str):
    with pytest.raises(ValueError, match="needs `camera` in every call"):
        ActionImagesTransformer3DModel(**TINY, camera=camera)(**inputs(height=16, width=16))


def test_the_pooled_condition_refuses_small_sizes_with_those_that_fit(inputs):
    model = ActionImagesTransformer3DModel(**TINY, camera="released")
    with pytest.raises(ValueError, match="latents of 8 x 16; use images of at least 256 x 256 px"):
        model(**inputs(height=8, width=16), camera=torch.randn(2, 4, 96, 8, 16))


def test_the_pooled_condition_refuses_channels_that_do_not_fit(inputs):
    model = ActionImagesTransformer3DModel(**TINY, camera="released")
    with pytest.raises(ActionImagesError, match="pools channels to 48 and cannot take 32"):
        model(**inputs(height=16, width=16), camera=torch.randn(2, 4, 32, 16, 16))


def test_rays_cost_a_thousandth_of_the_pooled_branch():
    with torch.device("meta"):
        plain, pooled, rays = (
            ActionImagesTransformer3DModel(camera=camera) for camera in (None, "released", "rays")
        )
    sizes = [sum(parameter.numel() for parameter in model.parameters()) for model in (plain, pooled, rays)]
    assert sizes[1] - sizes[0] == pytest.approx(1.416e9, rel=1e-3)
    assert sizes[0] == pytest.approx(5.000e9, rel=1e-3)
    assert (sizes[2] - sizes[0]) * 1000 < sizes[1] - sizes[0]
    assert len(list(pooled.parameters())) == 945


def test_rays_work_at_any_resolution(inputs):
    model = ActionImagesTransformer3DModel(**TINY, camera="rays")
    for height, width in ((2, 2), (6, 4)):
        given = inputs(height=height, width=width)
        assert (
            model(**given, camera=torch.randn(2, 4, 24, height // 2, width // 2)).sample.shape
            == given["hidden_states"].shape
        )


LAYOUT = MODES["policy"].layout(2, 3)


def shown(text: torch.Tensor, **what) -> Shown:
    """What a pass is shown: `what`, and nothing else."""
    nothing = {"camera": None, "first_frames": None, "layout": LAYOUT, "later": {}, "given": None}
    return Shown(**{**nothing, **what}, is_word=(text != 0).any(-1))


def test_one_noise_level_for_all_frames_equals_the_same_for_each(inputs):
    model, given = ActionImagesTransformer3DModel(**TINY), inputs()
    with torch.no_grad():
        once = model(**given).sample
        each = model(**{**given, "timestep": given["timestep"][:, None].expand(-1, 4)}).sample
    torch.testing.assert_close(once, each, atol=1e-6, rtol=0)


def test_a_frames_own_noise_level_matters(inputs):
    model, given = ActionImagesTransformer3DModel(**TINY), inputs()
    levels = given["timestep"][:, None].repeat(1, 4)
    levels[:, 0] = 0
    with torch.no_grad():
        assert not torch.allclose(
            model(**given).sample, model(**{**given, "timestep": levels}).sample, atol=1e-3
        )


def test_the_output_bias_is_where_training_starts(inputs):
    model = ActionImagesTransformer3DModel(**TINY, prediction="clean", bias_frames=2)
    means = torch.randn(2, 2, 8)
    model.set_output_bias(means)
    output = model(**inputs(num_frames=LAYOUT.num_frames), layout=LAYOUT).sample
    places, streams = LAYOUT.place_of_frame(), LAYOUT.stream_of_frame()
    for frame in range(LAYOUT.num_frames):
        expected = means[streams[frame], min(int(places[frame]), 1)]
        torch.testing.assert_close(
            output[:, :, frame], expected[None, :, None, None].expand_as(output[:, :, frame])
        )


def test_a_velocity_model_starts_from_the_negated_mean():
    model = ActionImagesTransformer3DModel(**TINY, bias_frames=1)
    model.set_output_bias(torch.ones(2, 1, 8))
    assert (model.output_bias == -1).all()
    with pytest.raises(ValueError, match=r"has shape \(2, 1, 8\), the means \(2, 3, 8\)"):
        model.set_output_bias(torch.ones(2, 3, 8))


def test_the_stem_shows_each_view_its_own_first_frame(inputs):
    model = ActionImagesTransformer3DModel(**TINY, stem_channels=8, pixels_per_token=16).eval()
    frames = torch.rand(2, 2, 3, 32, 48)
    given = inputs(num_frames=LAYOUT.num_frames)
    tokens = torch.zeros(2, 24, LAYOUT.num_frames, 2, 3)
    with torch.no_grad():
        text = model.condition_embedder.text_embedder(given["encoder_hidden_states"])
        other = frames.clone()
        other[:, 1] = 0
        seen, changed = (
            model.add_conditions(tokens, text, shown(text, first_frames=pixels)) for pixels in (frames, other)
        )
    differs = (seen != changed).any(0).any(0).any(-1).any(-1)
    assert torch.equal(differs, LAYOUT.view_of_frame() == 1)


def test_the_stem_reads_under_the_instruction():
    model = ActionImagesTransformer3DModel(**TINY, stem_channels=8, pixels_per_token=16).eval()
    frames, texts = torch.rand(1, 1, 3, 32, 32).expand(2, -1, -1, -1, -1), torch.randn(2, 24)
    with torch.no_grad():
        seen = model.stem(frames, texts)
    assert seen.shape == (2, 1, 24, 2, 2)
    assert not torch.allclose(seen[0], seen[1], atol=1e-3)


WHOLE = MODES["label"].layout(2, 3)
STEMS = {
    "motion_channels": ("video", "label", "later_frames"),
    "action_channels": ("action", "simulate", "later_actions"),
}
"""Value of the config -> the stream of its stem, a mode that gives it, and the argument that shows it."""


@pytest.mark.parametrize("stem", STEMS)
def test_a_stem_of_what_is_given_later_shows_each_time_and_view_its_own_frames(stem: str):
    model, (stream, mode, _) = (
        ActionImagesTransformer3DModel(**TINY, **{stem: 8}, pixels_per_token=16).eval(),
        STEMS[stem],
    )
    tokens, given = torch.zeros(2, 24, WHOLE.num_frames, 2, 3), MODES[mode].given(WHOLE).expand(2, -1)
    text = torch.randn(2, 5, 24)
    frames = torch.rand(2, 2, 2, 4, 3, 32, 48)
    other = frames.clone()
    other[:, 1, 0, 2] = 0
    with torch.no_grad():
        seen, changed = (
            model.add_conditions(
                tokens,
                text,
                shown(text, layout=WHOLE, given=given, later={"video": None, "action": None, stream: pixels}),
            )
            for pixels in (frames, other)
        )
    differs = (seen != changed).any(0).any(0).any(-1).any(-1)
    assert torch.equal(differs, (WHOLE.view_of_frame() == 1) & (WHOLE.place_of_frame() == 1))
    assert (seen[:, :, WHOLE.place_of_frame() == 0] == 0).all()


@pytest.mark.parametrize("stem", STEMS)
def test_a_stem_of_what_is_given_later_does_not_see_what_is_asked(stem: str, inputs):
    model, (_, mode, argument) = (
        ActionImagesTransformer3DModel(**TINY, **{stem: 8}, pixels_per_token=16).eval(),
        STEMS[stem],
    )
    given = torch.stack([MODES[one].given(WHOLE) for one in (mode, "joint")])
    frames, rest = torch.rand(2, 2, 2, 4, 3, 32, 48), inputs(num_frames=WHOLE.num_frames)
    with torch.no_grad():
        outputs = [
            model(**rest, layout=WHOLE, given=given, **{argument: pixels}).sample
            for pixels in (frames, 1 - frames)
        ]
    assert torch.equal(outputs[0][1], outputs[1][1])
    assert not torch.allclose(outputs[0][0], outputs[1][0])


@pytest.mark.parametrize("shown", [True, False])
@pytest.mark.parametrize("stem", STEMS)
def test_a_stem_of_what_is_given_later_takes_part_in_every_pass(inputs, stem: str, shown: bool):
    stream, mode, argument = STEMS[stem]
    mode = mode if shown else "policy"
    model, layout = (
        ActionImagesTransformer3DModel(**TINY, **{stem: 8}, pixels_per_token=16),
        MODES[mode].layout(2, 3),
    )
    later = torch.rand(2, 2, 2, 4, 3, 32, 48) if shown else None
    given = MODES[mode].given(layout).expand(2, -1)
    model(
        **inputs(num_frames=layout.num_frames), layout=layout, given=given, **{argument: later}
    ).sample.sum().backward()
    moved = [parameter.grad.abs().sum() > 0 for parameter in model.later_stems[stream].parameters()]
    assert all(moved) if shown else not any(moved)


def test_segment_embeddings_tell_views_and_streams_apart(inputs):
    model = ActionImagesTransformer3DModel(**TINY, max_views=2)
    rows = model._segment_embedding(LAYOUT, torch.device("cpu"))[:, :, 0, 0].mT
    assert len({tuple(row.tolist()) for row in rows}) == 4
    with pytest.raises(ValueError, match="built for 2 views, the canvas has view 2"):
        model(**inputs(num_frames=12), layout=MODES["policy"].layout(3, 3))


@pytest.mark.parametrize(
    "value",
    [
        {"stem_channels": 8},
        {"motion_channels": 8},
        {"action_channels": 8},
        {"bias_frames": 2},
        {"max_views": 2},
    ],
)
def test_an_addition_that_is_not_told_the_layout_says_so(inputs, value: dict):
    with pytest.raises(ValueError, match="needs `layout` in every call"):
        ActionImagesTransformer3DModel(**TINY, **value)(**inputs())


def test_gradients_are_the_same_with_checkpointing(inputs):
    model, given = ActionImagesTransformer3DModel(**TINY, camera="rays"), inputs()
    camera, gradients = torch.randn(2, 4, 24, 2, 3), []
    for _ in range(2):
        model.zero_grad()
        model(**given, camera=camera).sample.square().mean().backward()
        gradients.append(
            [parameter.grad.clone() for parameter in model.parameters() if parameter.grad is not None]
        )
        model.enable_gradient_checkpointing()
    for plain, checkpointed in zip(*gradients, strict=True):
        torch.testing.assert_close(plain, checkpointed)


def test_compiled_blocks_give_the_same_numbers(inputs):
    """By the tracer alone: what a compiler makes of it differs by rounding, and takes a minute."""
    model, given = ActionImagesTransformer3DModel(**TINY).eval(), inputs()
    with torch.no_grad():
        plain = model(**given).sample
        denoiser = CanvasDenoiser(model).compile_blocks("aot_eager")
        torch.testing.assert_close(denoiser.transformer(**given).sample, plain)
    assert all(block._compiled_call_impl is not None for block in model.blocks)
