"""Wan's own weights by their hub ids, on tiny files of the same layout: they gain cameras, lose nothing."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from diffusers import WanTransformer3DModel
from diffusers.models.autoencoders.autoencoder_kl_wan import AutoencoderKLWan

from action_images.cli import main
from action_images.model.backbones import BACKBONES
from action_images.model.bundle import Models
from action_images.model.cost import Network, count_parameters
from action_images.model.hub import (
    PLAIN,
    SOURCES,
    TRANSFORMER,
    WAN,
    fetch_plain,
    fetch_released,
    from_hub,
)
from action_images.model.presets import PRESETS
from plain_snapshot import AUTOENCODER, COMMIT, SMALL, write_snapshot


@pytest.fixture
def cache(tmp_path, monkeypatch) -> Path:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    return tmp_path / "cache"


@pytest.mark.parametrize("preset", list(PLAIN))
def test_they_load_by_their_hub_id_and_answer_as_diffusers_own_until_cameras_have_learnt(
    preset: str, cache: Path, tmp_path
):
    snapshot = write_snapshot(cache, preset)
    source = replace(PLAIN[preset], revision=COMMIT)
    commits = fetch_plain(tmp_path / "ours", preset, source, lambda one: from_hub(one, cache))
    assert commits == {source.repository: COMMIT}
    models = Models.load(tmp_path / "ours")
    network = models.denoiser.transformer
    assert network.config["camera"] == "rays"
    assert models.clips is not None
    assert models.clips.size == PRESETS[preset].size
    theirs = WanTransformer3DModel.from_pretrained(snapshot / "transformer")
    latents, text = torch.randn(1, 16, 3, 4, 4), torch.randn(1, 7, 16)
    rays = torch.randn(1, 3, 24, 2, 2)
    with torch.no_grad():
        expected = theirs(latents, torch.tensor([500.0]), text).sample
        found = network(latents, torch.full((1, 3), 500.0), text, camera=rays).sample
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)
    # A filled folder asks the hub nothing.
    fetch_plain(tmp_path / "ours", preset, source, lambda _: 1 / 0)


def test_a_folder_begun_from_another_repository_is_refused(cache: Path, tmp_path):
    write_snapshot(cache, "wan2.1-1.3b")
    fetch_plain(tmp_path / "ours", "wan2.1-1.3b", fetch=lambda one: from_hub(one, cache))
    with pytest.raises(ValueError, match=r"was begun from Wan-AI/Wan2.1.*, not from Wan-AI/Wan2.2"):
        fetch_plain(tmp_path / "ours", "wan2.2-5b-rays")


def test_a_folder_of_other_weights_is_refused_whatever_repositories_they_share(cache: Path, tmp_path):
    write_snapshot(cache, "wan2.2-5b-rays")
    (tmp_path / "ours").mkdir()
    sources = tmp_path / "ours" / SOURCES
    released = {TRANSFORMER.repository: COMMIT, WAN.repository: COMMIT}
    for recorded, said in (
        (released, "from anyeZHY/ActionImages and Wan-AI"),  # as earlier versions wrote it
        ({**released, "preset": "wan2.2-5b"}, "from anyeZHY/ActionImages and Wan-AI"),
        ({WAN.repository: COMMIT, "preset": "other"}, "for the preset other, not wan2.2-5b-rays"),
    ):
        sources.write_text(json.dumps(recorded))
        with pytest.raises(ValueError, match=f"was begun {said}"):
            fetch_plain(tmp_path / "ours", "wan2.2-5b-rays", fetch=lambda _: 1 / 0)
    sources.write_text(json.dumps({WAN.repository: COMMIT}))
    with pytest.raises(
        ValueError, match=r"was begun from Wan-AI/Wan2.2.*, not from anyeZHY/ActionImages and"
    ):
        fetch_released(tmp_path / "ours", fetch=lambda _: 1 / 0)
    fetch_plain(tmp_path / "ours", "wan2.2-5b-rays", fetch=lambda one: from_hub(one, cache))
    assert json.loads(sources.read_text()) == {WAN.repository: COMMIT, "preset": "wan2.2-5b-rays"}


def test_converted_they_gain_what_fetched_ones_gain_and_it_is_said(cache: Path, tmp_path, capsys):
    snapshot = write_snapshot(cache, "wan2.1-1.3b")
    fetch_plain(tmp_path / "fetched", "wan2.1-1.3b", fetch=lambda one: from_hub(one, cache))
    arguments = [
        "convert-weights",
        str(snapshot / "transformer"),
        str(tmp_path / "ours"),
        "--wan",
        str(snapshot),
    ]
    assert main(arguments) == 0
    assert "of the preset wan2.1-1.3b: they have never seen an action image" in capsys.readouterr().out
    fetched, ours = (Models.load(tmp_path / name) for name in ("fetched", "ours"))
    assert ours.clips == fetched.clips
    for name in ("camera", "per_frame_noise_level", "pixels_per_token"):
        assert ours.denoiser.transformer.config[name] == fetched.denoiser.transformer.config[name]


def test_wans_own_weights_of_no_preset_are_refused(cache: Path, tmp_path, capsys):
    snapshot = write_snapshot(cache, "wan2.1-1.3b")
    WanTransformer3DModel(**{**SMALL, "in_channels": 36}).save_pretrained(snapshot / "transformer")
    arguments = [
        "convert-weights",
        str(snapshot / "transformer"),
        str(tmp_path / "ours"),
        "--wan",
        str(snapshot),
    ]
    assert main(arguments) == 2
    assert "takes 36 channels" in capsys.readouterr().err
    assert not (tmp_path / "ours").exists()


def test_image_to_video_weights_are_refused_with_the_cure(cache: Path, tmp_path):
    snapshot = write_snapshot(cache, "wan2.1-1.3b")
    WanTransformer3DModel(**SMALL, image_dim=8, added_kv_proj_dim=24).save_pretrained(
        snapshot / "transformer"
    )
    with pytest.raises(ValueError, match="take the text-to-video weights"):
        fetch_plain(tmp_path / "ours", "wan2.1-1.3b", fetch=lambda one: from_hub(one, cache))


def test_an_autoencoder_of_another_model_is_refused(cache: Path, tmp_path):
    snapshot = write_snapshot(cache, "wan2.1-1.3b")
    AutoencoderKLWan(**AUTOENCODER, z_dim=8, latents_mean=[0.0] * 8, latents_std=[1.0] * 8).save_pretrained(
        snapshot / "vae"
    )
    with pytest.raises(ValueError, match="makes 8 channels, but the transformer takes 16"):
        fetch_plain(tmp_path / "ours", "wan2.1-1.3b", fetch=lambda one: from_hub(one, cache))


def test_the_command_refuses_a_commit_of_the_release_for_them(tmp_path, capsys):
    arguments = ["fetch-weights", str(tmp_path), "--preset", "wan2.1-1.3b", "--revision", COMMIT]
    assert main(arguments) == 2
    assert "give --wan-revision" in capsys.readouterr().err


@pytest.mark.parametrize("name", list(PRESETS))
def test_describe_counts_what_a_preset_builds(name: str):
    with torch.device("meta"):
        network = BACKBONES[PRESETS[name].backbone](**PRESETS[name].transformer)
    built = sum(part.numel() for part in network.parameters())
    assert count_parameters(Network.of(PRESETS[name])) == built
