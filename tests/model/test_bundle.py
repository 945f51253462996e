"""The three models are built, saved and loaded together; what does not fit is refused."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from diffusers import AutoencoderKLWan

from action_images.canvas import MODES, Canvas
from action_images.cli import main
from action_images.codec import ActionImageFormat
from action_images.errors import ActionImagesError
from action_images.model.autoencoders.pca import PcaAutoencoder
from action_images.model.autoencoders.wan import WanAutoencoder
from action_images.model.backbones.wan import ActionImagesTransformer3DModel
from action_images.model.build import build, build_autoencoder, build_transformer
from action_images.model.bundle import Clips, Models, answers_of, load_clips
from action_images.model.denoiser import CanvasDenoiser, Condition
from action_images.model.index import VERSION
from action_images.model.presets import PRESETS, WAN22_LATENTS, preset_named
from action_images.model.shipped import INDEX, models_folder
from tiny_models import TINY, tiny_language_model

SMALL_WAN = {
    "base_dim": 8,
    "decoder_base_dim": 8,
    "z_dim": 8,
    "is_residual": True,
    "in_channels": 12,
    "out_channels": 12,
    "patch_size": 2,
    "scale_factor_spatial": 16,
    "dim_mult": [1, 1, 1, 1],
    "num_res_blocks": 1,
    "latents_mean": [0.1] * 8,
    "latents_std": [2.0] * 8,
}
"""Wan2.2's autoencoder with few channels."""


def small_wan() -> WanAutoencoder:
    torch.manual_seed(0)
    return WanAutoencoder(AutoencoderKLWan(**SMALL_WAN))


def test_wans_autoencoder_has_the_shapes_of_the_method():
    autoencoder, video = small_wan(), torch.rand(2, 5, 3, 32, 48) * 2 - 1
    latents = autoencoder.encode(video)
    assert latents.shape == (2, 8, 2, 2, 3)
    assert autoencoder.decode(latents).shape == video.shape


def test_wans_latents_are_the_normalised_mode():
    autoencoder, video = small_wan(), torch.rand(1, 5, 3, 32, 32) * 2 - 1
    with torch.no_grad():
        mode = autoencoder.vae.encode(video.transpose(1, 2)).latent_dist.mode()
    torch.testing.assert_close(autoencoder.encode(video), (mode - 0.1) / 2)


def test_wans_first_latent_frame_sees_the_first_frame_only():
    autoencoder, video = small_wan(), torch.rand(9, 3, 32, 32) * 2 - 1
    torch.testing.assert_close(
        autoencoder.encode(video)[:, :1], autoencoder.encode(video[:1]), atol=1e-5, rtol=1e-4
    )


def test_wans_autoencoder_refuses_what_it_cannot_take():
    with pytest.raises(ValueError, match="cut the clip to 5 or 9 frames"):
        small_wan().encode(torch.zeros(6, 3, 32, 32))
    with pytest.raises(ValueError, match="resize to 32 x 48"):
        small_wan().encode(torch.zeros(5, 3, 40, 48))
    with pytest.raises(ValueError, match="8 channels, but its config's latents_mean 16"):
        WanAutoencoder(
            AutoencoderKLWan(**{name: value for name, value in SMALL_WAN.items() if "latents" not in name})
        )


def test_the_released_presets_statistics_are_the_published_ones():
    published = json.loads((Path(__file__).parents[1] / "golden" / "vae_latent_stats.json").read_text())
    assert published == WAN22_LATENTS


def test_the_released_preset_has_the_released_sizes():
    with torch.device("meta"):
        transformer, autoencoder = (
            build_transformer(PRESETS["wan2.2-5b"]),
            AutoencoderKLWan(**PRESETS["wan2.2-5b"].autoencoder),
        )
    assert sum(parameter.numel() for parameter in transformer.parameters()) == pytest.approx(
        6.416e9, rel=1e-4
    )
    assert autoencoder.config["z_dim"] == transformer.config["in_channels"]


def test_tiny_weighs_at_most_thirty_megabytes():
    assert sum(4 * parameter.numel() for parameter in build_transformer(PRESETS["tiny"]).parameters()) <= 30e6


def test_the_same_seed_builds_the_same_weights_whatever_was_drawn_before():
    first = build(PRESETS["debug"], seed=3).denoiser.state_dict()
    torch.rand(7)
    second, other = (build(PRESETS["debug"], seed=seed).denoiser.state_dict() for seed in (3, 4))
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert any(not torch.equal(first[name], other[name]) for name in first)


def test_presets_that_cannot_be_built_or_do_not_exist_say_so():
    with pytest.raises(ValueError, match="load its weights instead"):
        build(PRESETS["wan2.2-5b"])
    with pytest.raises(ValueError, match="there are: debug, tiny"):
        preset_named("huge")


def fitted_debug() -> Models:
    autoencoder = build_autoencoder(PRESETS["debug"])
    assert isinstance(autoencoder, PcaAutoencoder)
    return build(PRESETS["debug"], autoencoder=autoencoder.fit([(torch.rand(2, 5, 3, 32, 32), 1.0)]))


def released_kind() -> Models:
    transformer = ActionImagesTransformer3DModel(**TINY, camera="released")
    return Models(CanvasDenoiser(transformer), small_wan(), tiny_language_model())


@pytest.mark.parametrize("make", [fitted_debug, released_kind])
def test_models_come_back_from_disk(make, tmp_path):
    models = make()
    models.save(tmp_path)
    assert not list(tmp_path.rglob("*.bin")) + list(tmp_path.rglob("*.pt"))
    loaded = Models.load(tmp_path)
    video, instructions = torch.rand(1, 5, 3, 32, 32), ["push the red cup", ""]
    torch.testing.assert_close(loaded.autoencoder.encode(video), models.autoencoder.encode(video))
    torch.testing.assert_close(loaded.text.encode(instructions), models.text.encode(instructions))
    for ours, theirs in zip(loaded.denoiser.parameters(), models.denoiser.parameters(), strict=True):
        assert torch.equal(ours, theirs)


def test_models_that_do_not_belong_together_are_refused():
    debug, tiny = build(PRESETS["debug"]), build(PRESETS["tiny"])
    with pytest.raises(ValueError, match="takes 32 channels, the autoencoder makes 64"):
        Models(debug.denoiser, tiny.autoencoder, debug.text)
    with pytest.raises(ValueError, match="takes text of width 64, the text encoder makes 128"):
        Models(debug.denoiser, debug.autoencoder, tiny.text)


def test_a_folder_of_something_else_is_refused(tmp_path):
    with pytest.raises(ValueError, match="fetch-weights or convert-weights --wan makes one"):
        Models.load(tmp_path)


def test_a_weights_file_that_was_cut_short_is_named(tmp_path):
    for part in ("transformer", "vae"):
        fitted_debug().save(tmp_path / part)
        path = tmp_path / part / part / "diffusion_pytorch_model.safetensors"
        path.write_bytes(path.read_bytes()[:-1000])
        with pytest.raises(ValueError, match=f"{part}: a weights file is missing, damaged or cut short"):
            Models.load(tmp_path / part)


def test_weights_of_another_shape_are_named(tmp_path):
    fitted_debug().save(tmp_path)
    config = tmp_path / "transformer" / "config.json"
    config.write_text(config.read_text().replace('"ffn_dim": 96', '"ffn_dim": 128'))
    with pytest.raises(ValueError, match=r"transformer: the weights do not fit config.json"):
        Models.load(tmp_path)


def test_weights_that_lack_a_tensor_are_refused(tmp_path):
    from safetensors.torch import load_file, save_file

    fitted_debug().save(tmp_path)
    path = tmp_path / "transformer" / "diffusion_pytorch_model.safetensors"
    tensors = load_file(path)
    tensors.pop("output_bias")
    save_file(tensors, path, {"format": "pt"})
    with pytest.raises(ValueError, match=r"missing_keys \['output_bias'\]"):
        Models.load(tmp_path)


def test_an_unknown_kind_is_refused(tmp_path):
    fitted_debug().save(tmp_path)
    for file, known, part in (
        (INDEX, "pca", "autoencoder"),
        (INDEX, "hashed_words", "text"),
        (INDEX, "wan", "backbone"),
    ):
        path = tmp_path / file
        before = path.read_text()
        path.write_text(before.replace(f'"{known}"', '"Sculptor"'))
        with pytest.raises(ValueError, match=f"names an unknown {part}, 'Sculptor'"):
            Models.load(tmp_path)
        path.write_text(before)


def canvas_for(network: ActionImagesTransformer3DModel) -> tuple[Canvas, Condition]:
    layout = MODES["joint"].layout(2, 2)
    canvas = Canvas(torch.randn(1, 8, layout.num_frames, 2, 2), MODES["joint"].given(layout)[None], layout)
    return canvas, Condition(torch.randn(1, 5, network.config["text_dim"]))


def test_the_denoiser_keeps_the_noise_level_in_float32_and_casts_the_rest():
    network = ActionImagesTransformer3DModel(**TINY).to(torch.bfloat16)
    seen: list[torch.Tensor] = []
    network.condition_embedder.timesteps_proj.register_forward_pre_hook(
        lambda _, arguments: seen.append(arguments[0])
    )
    canvas, condition = canvas_for(network)
    velocity = CanvasDenoiser(network)(canvas, torch.tensor([0.73725]), condition)
    assert velocity.dtype == torch.float32
    assert seen[0].dtype == torch.float32
    assert seen[0].item() == pytest.approx(737.25)


def test_the_denoiser_marks_given_frames_as_clean_where_the_model_is_built_so():
    network = ActionImagesTransformer3DModel(**TINY, per_frame_noise_level=True)
    seen: list[torch.Tensor] = []
    network.condition_embedder.timesteps_proj.register_forward_pre_hook(
        lambda _, arguments: seen.append(arguments[0])
    )
    canvas, condition = canvas_for(network)
    CanvasDenoiser(network)(canvas, torch.tensor([0.5]), condition)
    assert seen[0].tolist() == [0, 500] * 4


def test_a_clean_prediction_becomes_the_velocity_that_leads_to_it():
    network = ActionImagesTransformer3DModel(**TINY, prediction="clean", bias_frames=2)
    network.set_output_bias(torch.full((2, 2, 8), 0.7))
    canvas, condition = canvas_for(network)
    velocity = CanvasDenoiser(network)(canvas, torch.tensor([0.4]), condition)
    torch.testing.assert_close(canvas.latents - 0.4 * velocity, torch.full_like(velocity, 0.7))


def test_what_clips_a_model_was_trained_on_is_saved_with_it(tmp_path: Path):
    clips = Clips((32, 48), 5, 5.0, "one-step", axis_length=0.15)
    autoencoder = PcaAutoencoder(32).fit([(torch.rand(4, 5, 3, 32, 32) * 2 - 1, 1.0)])
    models = build(PRESETS["debug"], autoencoder=autoencoder)
    for known in (None, clips):
        replace(models, clips=known).save(tmp_path / str(known is None))
        assert Models.load(tmp_path / str(known is None)).clips == known


def made_old(folder: Path) -> None:
    """Rewrite a saved folder as version 0 wrote it: class names, and no word of what went without saying."""
    index = json.loads((folder / INDEX).read_text())
    text = {"hashed_words": "HashedWords", "language_model": "LanguageModel"}[index["text"]]
    old = {"door": "CanvasDenoiser", "text": text, "text_config": index["text_config"]}
    if "clips" in index:
        old["clips"] = {key: value for key, value in index["clips"].items() if key != "axis_length"}
    (folder / INDEX).write_text(json.dumps(old))
    config = folder / "vae" / "config.json"
    config.write_text(config.read_text().replace("PcaAutoencoder", "PatchAutoencoder"))


@pytest.mark.parametrize("make", [fitted_debug, released_kind])
def test_a_folder_of_version_0_loads_as_it_did(make, tmp_path: Path):
    models = replace(make(), clips=Clips((32, 32), 5, 5.0, "one-step"))
    models.save(tmp_path)
    made_old(tmp_path)
    assert answers_of(tmp_path) == "canvas"
    assert load_clips(tmp_path) == models.clips
    loaded, video = Models.load(tmp_path), torch.rand(1, 5, 3, 32, 32)
    torch.testing.assert_close(loaded.autoencoder.encode(video), models.autoencoder.encode(video))
    assert type(loaded.text) is type(models.text)
    for ours, theirs in zip(loaded.denoiser.parameters(), models.denoiser.parameters(), strict=True):
        assert torch.equal(ours, theirs)
    loaded.save(tmp_path / "again")
    assert json.loads((tmp_path / "again" / INDEX).read_text())["version"] == VERSION


def test_the_oldest_folders_do_not_say_what_they_answer_with(tmp_path: Path):
    fitted_debug().save(tmp_path)
    made_old(tmp_path)
    index = json.loads((tmp_path / INDEX).read_text())
    del index["door"]
    (tmp_path / INDEX).write_text(json.dumps(index))
    assert answers_of(tmp_path) == "canvas"


def test_the_shipped_weights_are_of_version_0_and_load():
    folder = models_folder("shipped")
    assert "version" not in json.loads((folder / INDEX).read_text())
    models = Models.load(folder)
    assert models.clips == Clips((64, 64), 9, 5.0, "one-step-averaged", axis_length=0.1)
    assert models.autoencoder.kind == "pca"


def test_a_saved_folder_names_no_class(tmp_path: Path):
    fitted_debug().save(tmp_path)
    index = json.loads((tmp_path / INDEX).read_text())
    del index["text_config"], index["sha256"]
    assert index == {
        "version": 1,
        "answers": "canvas",
        "backbone": "wan",
        "autoencoder": "pca",
        "text": "hashed_words",
    }


@pytest.mark.parametrize("part", ["transformer", "vae"])
def test_a_flipped_bit_of_the_weights_is_refused_by_name_where_the_index_has_checksums(tmp_path: Path, part):
    fitted_debug().save(tmp_path)
    path = tmp_path / part / "diffusion_pytorch_model.safetensors"
    found = bytearray(path.read_bytes())
    found[-100] ^= 1
    path.write_bytes(bytes(found))
    with pytest.raises(ActionImagesError, match=f"{part}/diffusion_pytorch_model.*copy or download it again"):
        Models.load(tmp_path)
    index = json.loads((tmp_path / INDEX).read_text())
    del index["sha256"]  # as older versions wrote it
    (tmp_path / INDEX).write_text(json.dumps(index))
    Models.load(tmp_path)


def test_info_of_models_compares_their_checksums(tmp_path: Path, capsys):
    fitted_debug().save(tmp_path)
    assert main(["info", str(tmp_path)]) == 0
    assert "tensors as they were written" in capsys.readouterr().out
    path = tmp_path / "transformer" / "diffusion_pytorch_model.safetensors"
    found = bytearray(path.read_bytes())
    found[-100] ^= 1
    path.write_bytes(bytes(found))
    assert main(["info", str(tmp_path)]) == 2
    assert "copy or download it again" in capsys.readouterr().err


def test_a_folder_of_a_later_version_is_refused(tmp_path: Path):
    fitted_debug().save(tmp_path)
    index = json.loads((tmp_path / INDEX).read_text())
    (tmp_path / INDEX).write_text(json.dumps(index | {"version": VERSION + 1}))
    with pytest.raises(ActionImagesError, match="update action-images"):
        Models.load(tmp_path)


def test_axes_were_as_long_as_everybodys_before_folders_said_so(tmp_path: Path):
    replace(fitted_debug(), clips=Clips((32, 32), 5, 5.0, "one-step", 0.3)).save(tmp_path)
    made_old(tmp_path)
    clips = load_clips(tmp_path)
    assert clips is not None
    assert clips.axis_length == ActionImageFormat().axis_length


def test_clips_without_frames_are_refused():
    with pytest.raises(ValueError, match="greater than 0"):
        Clips((32, 32), 0, 5.0, "one-step")


def test_saved_models_do_not_say_where_their_weights_once_came_from(tmp_path: Path):
    autoencoder = PcaAutoencoder(32).fit([(torch.rand(4, 5, 3, 32, 32) * 2 - 1, 1.0)])
    build(PRESETS["debug"], autoencoder=autoencoder).save(tmp_path / "first")
    Models.load(tmp_path / "first").save(tmp_path / "second")
    for path in (tmp_path / "second").rglob("*.json"):
        assert str(tmp_path) not in path.read_text(), path


def test_saved_weights_are_for_all_who_may_enter_the_folder(tmp_path: Path):
    autoencoder = PcaAutoencoder(32).fit([(torch.rand(4, 5, 3, 32, 32) * 2 - 1, 1.0)])
    build(PRESETS["debug"], autoencoder=autoencoder).save(tmp_path)
    modes = {path.name: path.stat().st_mode & 0o777 for path in tmp_path.rglob("*") if path.is_file()}
    assert any(name.endswith(".safetensors") for name in modes)
    assert set(modes.values()) == {0o644}
