"""Loading by hub id, on tiny files of the same layout in a cache of the same layout, offline."""

from pathlib import Path

import pytest
import torch
from test_models import small_wan
from tiny_models import TINY, tiny_tokenizer, tiny_umt5

from action_images.model.denoiser import ActionImagesTransformer3DModel
from action_images.model.hub import REST, TRANSFORMER, Source, from_hub, load_released
from action_images.model.weights import rename

COMMIT = "0123456789abcdef0123456789abcdef01234567"


def theirs(name: str, published: dict[str, str]) -> str:
    """The release's name for one of ours."""
    block = name.split(".")[1] if name.startswith("blocks.") else "0"
    return published[name.replace(f"blocks.{block}.", "blocks.0.")].replace("blocks.0.", f"blocks.{block}.")


@pytest.fixture
def cache(tmp_path, published, monkeypatch) -> Path:
    """A hub cache that holds tiny siblings of both repositories."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    for source in (TRANSFORMER, REST):
        folder = tmp_path / "cache" / f"models--{source.repository.replace('/', '--')}"
        (folder / "refs").mkdir(parents=True)
        (folder / "refs" / "main").write_text(COMMIT)
        snapshot = folder / "snapshots" / COMMIT
        snapshot.mkdir(parents=True)
        if source is TRANSFORMER:
            state = ActionImagesTransformer3DModel(**TINY, camera="released").state_dict()
            torch.save({theirs(name, published): value for name, value in state.items()}, snapshot / "step125750.ckpt")
        else:
            small_wan().vae.save_pretrained(snapshot / "vae")
            tiny_umt5().save_pretrained(snapshot / "text_encoder")
            tiny_tokenizer().save_pretrained(snapshot / "tokenizer")
    return tmp_path / "cache"


@pytest.fixture
def published() -> dict[str, str]:
    """Our names -> the release's, from the published map."""
    import json

    about = json.loads((Path(__file__).parents[1] / "golden" / "dit_config.json").read_text())
    return {ours: name for name, ours in about["keymap_upstream_to_diffusers"].items()}


def test_the_released_models_load_by_their_hub_ids(cache, tmp_path):
    models = load_released(tmp_path / "ours", dtype=torch.float32, fetch=lambda source: from_hub(source, cache))
    assert models.denoiser.transformer.config["camera"] == "released"
    assert models.autoencoder.encode(torch.zeros(1, 3, 32, 32)).shape == (8, 1, 2, 2)
    assert models.text.encode(["push the red cup"]).shape == (1, 512, 16)
    folder = tmp_path / "ours" / f"anyeZHY--ActionImages-{COMMIT}"
    written = (folder / "config.json").stat().st_mtime_ns
    load_released(tmp_path / "ours", dtype=torch.float32, fetch=lambda source: from_hub(source, cache))
    assert (folder / "config.json").stat().st_mtime_ns == written, "converted twice"


def test_a_commit_pins_what_is_fetched(cache):
    assert from_hub(Source(TRANSFORMER.repository, TRANSFORMER.files, COMMIT), cache).name == COMMIT
    with pytest.raises(OSError, match="neither the hub nor its cache has it"):
        from_hub(Source(TRANSFORMER.repository, TRANSFORMER.files, "f" * 40), cache)


def test_a_repository_without_the_checkpoint_is_refused(cache, tmp_path):
    other = Source(TRANSFORMER.repository, ("step1.ckpt",))
    with pytest.raises(ValueError, match=r"0 files fit \['step1.ckpt'\]"):
        load_released(tmp_path, other, fetch=lambda source: from_hub(source, cache))


def test_names_survive_the_way_back(published):
    assert all(rename(name) == ours for ours, name in published.items())
