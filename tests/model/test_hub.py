"""Loading by hub id, on tiny files of the same layout in a cache of the same layout, offline."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from test_bundle import small_wan

from action_images.cli import main
from action_images.model.backbones.wan import ActionImagesTransformer3DModel
from action_images.model.bundle import Models
from action_images.model.convert import rename
from action_images.model.hub import (
    RELEASED_CLIPS,
    SOURCES,
    TRANSFORMER,
    WAN,
    Source,
    assemble,
    from_hub,
    load_released,
)
from action_images.model.shipped import INDEX
from tiny_models import TINY, tiny_tokenizer, tiny_umt5

COMMIT = "0123456789abcdef0123456789abcdef01234567"


def theirs(name: str, published: dict[str, str]) -> str:
    """The release's name for one of ours."""
    block = name.split(".")[1] if name.startswith("blocks.") else "0"
    return published[name.replace(f"blocks.{block}.", "blocks.0.")].replace("blocks.0.", f"blocks.{block}.")


@pytest.fixture
def cache(tmp_path, published, monkeypatch) -> Path:
    """A hub cache that holds tiny siblings of both repositories."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    for source in (TRANSFORMER, WAN):
        folder = tmp_path / "cache" / f"models--{source.repository.replace('/', '--')}"
        (folder / "refs").mkdir(parents=True)
        (folder / "refs" / "main").write_text(COMMIT)
        snapshot = folder / "snapshots" / COMMIT
        snapshot.mkdir(parents=True)
        if source is TRANSFORMER:
            state = ActionImagesTransformer3DModel(**TINY, camera="released").state_dict()
            torch.save(
                {theirs(name, published): value for name, value in state.items()},
                snapshot / "step125750.ckpt",
            )
        else:
            small_wan().vae.save_pretrained(snapshot / "vae")
            tiny_umt5().save_pretrained(snapshot / "text_encoder")
            tiny_tokenizer().save_pretrained(snapshot / "tokenizer")
    return tmp_path / "cache"


@pytest.fixture
def published() -> dict[str, str]:
    """Our names -> the release's, from the published map."""
    about = json.loads((Path(__file__).parents[1] / "golden" / "dit_config.json").read_text())
    return {ours: name for name, ours in about["keymap_upstream_to_diffusers"].items()}


PINNED = [replace(source, revision=COMMIT) for source in (TRANSFORMER, WAN)]


@pytest.mark.filterwarnings("error")
def test_the_released_models_load_by_their_hub_ids(cache, tmp_path):
    folder = tmp_path / "ours"
    models = load_released(folder, *PINNED, dtype=torch.float32, fetch=lambda source: from_hub(source, cache))
    assert models.denoiser.transformer.config["camera"] == "released"
    assert models.autoencoder.encode(torch.zeros(1, 3, 32, 32)).shape == (8, 1, 2, 2)
    assert models.text.encode(["push the red cup"]).shape == (1, 512, 16)
    assert models.clips == RELEASED_CLIPS  # without it only `generate` would take the folder
    assert json.loads((folder / SOURCES).read_text()) == {
        TRANSFORMER.repository: COMMIT,
        WAN.repository: COMMIT,
        "preset": "wan2.2-5b",
    }


def test_a_filled_folder_asks_the_hub_nothing(cache, tmp_path):
    load_released(tmp_path / "ours", *PINNED, fetch=lambda source: from_hub(source, cache))

    def no_hub(source: Source) -> Path:
        raise AssertionError(f"the hub was asked for {source}")

    load_released(tmp_path / "ours", *PINNED, fetch=no_hub)
    Models.load(tmp_path / "ours")


def test_following_a_branch_is_said_with_the_commit_that_it_led_to(cache, tmp_path):
    with pytest.warns(UserWarning, match=f"'main' can change; this is commit {COMMIT}") as said:
        load_released(tmp_path / "ours", fetch=lambda source: from_hub(source, cache))
    assert len([one for one in said if "can change" in str(one.message)]) == 2


def test_a_folder_of_another_commit_is_refused(cache, tmp_path):
    load_released(tmp_path / "ours", *PINNED, fetch=lambda source: from_hub(source, cache))
    other = replace(TRANSFORMER, revision="f" * 40)
    with pytest.raises(ValueError, match=f"was begun from anyeZHY/ActionImages at {COMMIT}, not ffff"):
        load_released(tmp_path / "ours", other, WAN, fetch=lambda source: from_hub(source, cache))


def test_a_folder_that_was_cut_short_is_not_finished_from_another_commit(cache, tmp_path):
    fetch = lambda source: from_hub(source, cache)  # noqa: E731
    load_released(tmp_path / "ours", *PINNED, fetch=fetch)
    (tmp_path / "ours" / INDEX).unlink()
    shutil.rmtree(tmp_path / "ours" / "tokenizer")
    for source in (TRANSFORMER, WAN):
        repository = cache / f"models--{source.repository.replace('/', '--')}"
        (repository / "snapshots" / COMMIT).rename(repository / "snapshots" / ("e" * 40))
        (repository / "refs" / "main").write_text("e" * 40)
    with pytest.raises(ValueError, match=f"was begun from anyeZHY/ActionImages at {COMMIT}, not eeee"):
        load_released(tmp_path / "ours", fetch=fetch)
    for source in (TRANSFORMER, WAN):
        repository = cache / f"models--{source.repository.replace('/', '--')}"
        (repository / "snapshots" / ("e" * 40)).rename(repository / "snapshots" / COMMIT)
    load_released(tmp_path / "ours", *PINNED, fetch=fetch)


def test_models_of_unknown_origin_are_not_taken_for_the_release(cache, tmp_path):
    snapshots = [from_hub(source, cache) for source in (TRANSFORMER, WAN)]
    assemble(snapshots[0] / "step125750.ckpt", snapshots[1], tmp_path / "ours")
    with pytest.raises(ValueError, match="holds models of unknown origin"):
        load_released(tmp_path / "ours", *PINNED, fetch=lambda source: from_hub(source, cache))


def test_the_commands_make_folders_that_load(cache, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(cache))
    assert main(["fetch-weights", str(tmp_path / "fetched")]) == 0
    told = capsys.readouterr().out
    assert f"--revision {COMMIT}" in told
    assert f"--wan-revision {COMMIT}" in told
    checkpoint, wan = from_hub(TRANSFORMER, cache) / "step125750.ckpt", from_hub(WAN, cache)
    assert main(["convert-weights", str(checkpoint), str(tmp_path / "converted"), "--wan", str(wan)]) == 0
    fetched, converted = (
        Models.load(tmp_path / name).denoiser.transformer.state_dict() for name in ("fetched", "converted")
    )
    assert all(torch.equal(fetched[name], converted[name]) for name in converted)
    assert main(["convert-weights", str(checkpoint), str(tmp_path / "none"), "--wan", str(tmp_path)]) == 2
    assert "has no vae and no text_encoder and no tokenizer" in capsys.readouterr().err
    assert main(["fetch-weights", str(tmp_path / "none"), "--revision", "f" * 40]) == 2
    assert "neither the hub nor its cache has it" in capsys.readouterr().err
    assert not (tmp_path / "none").exists()


def test_a_commit_pins_what_is_fetched(cache):
    assert from_hub(Source(TRANSFORMER.repository, TRANSFORMER.files, COMMIT), cache).name == COMMIT
    with pytest.raises(OSError, match="neither the hub nor its cache has it"):
        from_hub(Source(TRANSFORMER.repository, TRANSFORMER.files, "f" * 40), cache)


def test_a_repository_without_the_checkpoint_is_refused(cache, tmp_path):
    other = Source(TRANSFORMER.repository, ("step1.ckpt",))
    with pytest.raises(ValueError, match=r"0 files fit \['step1.ckpt'\]"):
        load_released(tmp_path / "ours", other, fetch=lambda source: from_hub(source, cache))
    assert not (tmp_path / "ours").exists()


@pytest.mark.parametrize(
    ("part", "content", "said"),
    [
        ("vae", None, "has no config.json"),
        ("text_encoder", b"version https://git-lfs", "is no file of weights"),
    ],
)
def test_a_download_without_its_weights_is_refused_before_anything_is_converted(
    cache, tmp_path, part, content, said
):
    snapshots = [from_hub(source, cache) for source in (TRANSFORMER, WAN)]
    wan = tmp_path / "wan"
    shutil.copytree(snapshots[1], wan)
    for path in (wan / part).iterdir():
        if content is None:
            path.unlink()
        elif path.suffix == ".safetensors":
            path.unlink()
            path.write_bytes(content)
    with pytest.raises(ValueError, match=said):
        assemble(snapshots[0] / "step125750.ckpt", wan, tmp_path / "ours")
    assert not (tmp_path / "ours" / "transformer").exists()


def test_a_language_model_that_lacks_a_weight_is_refused(cache, tmp_path):
    load_released(tmp_path / "ours", *PINNED, fetch=lambda source: from_hub(source, cache))
    file = tmp_path / "ours" / "text_encoder" / "model.safetensors"
    tensors = load_file(file)
    tensors.pop(next(name for name in tensors if name.endswith("q.weight")))
    file.unlink()
    save_file(tensors, file, {"format": "pt"})
    with pytest.raises(ValueError, match="lacks weights of a UMT5 encoder"):
        Models.load(tmp_path / "ours")


def test_names_survive_the_way_back(published):
    assert all(rename(name) == ours for ours, name in published.items())
